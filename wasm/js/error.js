// Errors of the database, and of the disk below it.

/** What the database says. `code` is an SQLSTATE; `position` counts characters of the statement from 1. */
export class OrreryError extends Error {
  constructor(code, message, { position, detail, hint } = {}) {
    super(message);
    this.name = "OrreryError";
    this.code = code;
    this.position = position;
    this.detail = detail;
    this.hint = hint;
  }

  /** As a plain object, for another thread; `revive` makes it an error again. */
  toPlain() {
    const { code, message, position, detail, hint } = this;
    return { code, message, position, detail, hint };
  }

  static revive({ code, message, ...more }) {
    return new OrreryError(code, message, more);
  }
}

/** Another process, tab or handle has the database open. */
export function inUse(name, by) {
  const hint = "One program or tab at a time can have a database open.";
  return new OrreryError("55006", `database ${name} is in use by ${by}`, { hint });
}
