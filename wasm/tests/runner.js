// The conformance script through the JavaScript package: gives its transcript. See tests/conformance/README.md. Runs in Node and
// in a page alike; `openAt(name)` says where.

export async function transcript(steps, openAt, OrreryError, arrowCounts) {
  const runner = new Runner(openAt, arrowCounts);
  for (const step of steps.split("\n")) {
    if (step === "" || step.startsWith("#")) continue;
    runner.print(`> ${step}`);
    const space = step.indexOf(" ");
    const [verb, rest] = space < 0 ? [step, ""] : [step.slice(0, space), step.slice(space + 1)];
    try {
      await runner[`do_${verb}`](rest);
    } catch (error) {
      if (!(error instanceof OrreryError)) throw error;
      runner.bound = [];
      runner.print(`error ${error.code} at ${error.position ?? 0}: ${error.message}`);
    }
  }
  return runner.lines.join("\n") + "\n";
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function unhex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function value(text) {
  const space = text.indexOf(" ");
  const [type, rest] = space < 0 ? [text, ""] : [text.slice(0, space), text.slice(space + 1)];
  switch (type) {
    case "int": return BigInt(rest);
    case "float": return Number(rest);
    case "bool": return rest === "t";
    case "text": return rest;
    case "bytes": return unhex(rest);
    case "null": return null;
  }
  throw new Error(`bind ${type}`);
}

/** As C's `%.17g`. */
function float(number) {
  if (!Number.isFinite(number)) return String(number).toLowerCase().replace("infinity", "inf");
  if (Object.is(number, -0)) return "-0";
  const [digits, exponent] = number.toExponential(16).split("e");
  const power = Number(exponent);
  const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power >= -4 && power < 17) return trim(number.toFixed(16 - power));
  return `${trim(digits)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

function cell(it, type) {
  if (it === null) return "NULL";
  if (typeof it === "boolean") return it ? "t" : "f";
  if (it instanceof Uint8Array) return `\\x${hex(it)}`;
  if (it instanceof Date) return it.toISOString().replace("T", " ").replace(/\.000Z$/, "+00");
  if (type === "real" || type === "double precision") return float(it);
  return String(it);
}

class Runner {
  lines = [];
  bound = [];
  rows = [];
  db = null;
  transaction = null;
  cursor = null;

  constructor(openAt, arrowCounts) {
    this.openAt = openAt;
    this.arrowCounts = arrowCounts;
  }

  print(line) {
    this.lines.push(line);
  }

  takeBound() {
    const bound = this.bound;
    this.bound = [];
    return bound;
  }

  /** Where statements go now. */
  get session() {
    return this.transaction ?? this.db;
  }

  show(rows, columns) {
    for (const row of rows) this.print(row.map((it, column) => cell(it, columns[column].type)).join("|"));
  }

  async do_open(name) {
    this.db = await this.openAt(name, { seed: 7, now: 1700000000000000 });
    this.print("ok");
  }

  do_bind(text) {
    this.bound.push(value(text));
  }

  do_row() {
    this.rows.push(this.takeBound());
  }

  async do_run(sql) {
    const { columns, rows, changed } = await this.session.run(sql, this.takeBound(), { rows: "array" });
    if (columns === null) return this.print(changed === null ? "done" : `changed ${changed}`);
    this.show(rows, columns);
    this.print(`rows ${rows.length}`);
  }

  async do_many(sql) {
    const rows = this.rows;
    this.rows = [];
    this.print(`changed ${await this.session.executeMany(sql, rows)}`);
  }

  async do_cursor(sql) {
    this.cursor = await this.session.cursor(sql, this.takeBound());
    this.print(`columns ${this.cursor.columns.map(({ name, type }) => `${name}:${type}`).join(" ")}`);
  }

  async do_fetch(count) {
    const rows = await this.cursor.fetch(Number(count), { rows: "array" });
    this.show(rows, this.cursor.columns);
    if (rows.length < Number(count)) this.print("end");
  }

  async do_drop() {
    await this.cursor.close();
  }

  async do_arrow(sql) {
    const [columns, rows] = this.arrowCounts(await this.session.queryArrow(sql, this.takeBound()));
    this.print(`arrow ${columns} columns, ${rows} rows`);
  }

  async do_begin() {
    this.transaction = await this.db.begin();
    this.print("ok");
  }

  async do_commit() {
    const transaction = this.transaction;
    this.transaction = null;
    await transaction.commit();
    this.print("ok");
  }

  async do_rollback() {
    const transaction = this.transaction;
    this.transaction = null;
    await transaction.rollback();
    this.print("ok");
  }

  async do_set(rest) {
    const space = rest.indexOf(" ");
    await this.db.keyValue.set(rest.slice(0, space), rest.slice(space + 1));
    this.print("ok");
  }

  async do_get(key) {
    const found = await this.db.keyValue.get(key);
    this.print(found === null ? "none" : new TextDecoder().decode(found));
  }

  async do_delete(key) {
    this.print((await this.db.keyValue.delete(key)) ? "yes" : "no");
  }

  async do_list(prefix) {
    const text = (bytes) => new TextDecoder().decode(bytes);
    for (const [key, found] of await this.db.keyValue.list(prefix)) this.print(`${text(key)}=${text(found)}`);
  }

  async do_hash() {
    this.print(await this.db.stateHash());
  }

  async do_close() {
    await this.db.close();
    this.print("ok");
  }
}
