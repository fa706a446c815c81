// Orrery for JavaScript. In Node and in workers the database runs in the calling thread; a page gets a worker of its own for it.

import { OrreryError } from "./error.js";

export { OrreryError };

const FETCH_ROWS = 1024;

/**
 * Opens a database: "memory"; "opfs:NAME" in a browser; a path in Node. It is made when it is absent.
 * Options: `seed`, `now`, `create`, `durability`, `memory`, `pool`, `memtable`, `import` (the bytes of a database file),
 * `worker` (false: in this thread, where a page would start a worker; for databases in memory).
 */
export async function open(target, options = {}) {
  const isPage = typeof document !== "undefined";
  if (isPage && options.worker !== false) return new Database(await remote(target, options));
  const { Core } = await import("./core.js");
  const core = await Core.open(target, options);
  return new Database((method, ...args) => core.call(method, args));
}

/** What calls a database in a worker. */
async function remote(target, options) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let nextId = 1;
  let broken = null;
  const fail = (error) => {
    broken = error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.onmessage = ({ data: { id, value, error } }) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(OrreryError.revive(error));
  };
  worker.onmessageerror = () => fail(new OrreryError("08006", "an answer of the database's worker could not be read"));
  worker.onerror = (event) => fail(new OrreryError("08006", `the database's worker ended: ${event.message ?? "it did not load"}`));
  const post = (method, args) =>
    new Promise((resolve, reject) => {
      if (broken !== null) return reject(broken);
      waiting.set(nextId, { resolve, reject });
      try {
        worker.postMessage({ id: nextId++, method, args });
      } catch (error) {
        reject(new OrreryError("0A000", `a parameter cannot be sent to the database's worker: ${error.message}`));
      }
    });
  try {
    await post("open", [target, options]);
  } catch (error) {
    worker.terminate();
    throw error;
  }
  let closing = null;
  const close = async () => {
    try {
      await post("close", []);
    } finally {
      fail(new OrreryError("57P03", "the database is closed"));
      worker.terminate();
    }
  };
  return (method, ...args) => (method === "close" ? (closing ??= close()) : post(method, args));
}

/** What single statements and transactions have in common. */
class Session {
  #call;
  #number;

  constructor(call, number) {
    this.#call = call;
    this.#number = number;
  }

  /** Runs a statement; its rows as objects, or as arrays with `{ rows: "array" }`. */
  async query(sql, params = [], options = undefined) {
    return this.#call("query", this.#number, sql, params, options?.rows === "array");
  }

  /** Runs a statement: `{ columns, rows, changed }`. */
  async run(sql, params = [], options = undefined) {
    return this.#call("run", this.#number, sql, params, options?.rows === "array");
  }

  /** Runs a statement; how many rows it changed, `null` where that is not counted. */
  async execute(sql, params = []) {
    return this.#call("execute", this.#number, sql, params);
  }

  /** Runs a statement for each row of parameters, all or none; how many rows it changed. */
  async executeMany(sql, rows) {
    return this.#call("many", this.#number, sql, rows);
  }

  /** Runs a script of any number of statements. */
  async exec(sql) {
    return this.#call("exec", this.#number, sql);
  }

  /** Runs a query; its rows as the bytes of an Arrow IPC stream. */
  async queryArrow(sql, params = []) {
    return this.#call("arrow", this.#number, sql, params);
  }

  /** Runs `COPY … FROM STDIN` with text, bytes, or a stream of bytes; how many rows came. */
  async copy(sql, data) {
    return this.#call("copy", this.#number, sql, await partsOf(data));
  }

  /** Parses a statement for many runs. */
  async prepare(sql) {
    await this.#call("prepare", this.#number, sql);
    return new Statement(this, sql);
  }

  /** Opens a result whose rows come as they are asked for. */
  async cursor(sql, params = []) {
    const { id, columns } = await this.#call("openCursor", this.#number, sql, params);
    return new Cursor(this.#call, id, columns);
  }
}

function bytesOf(part) {
  if (typeof part === "string") return new TextEncoder().encode(part);
  if (part instanceof ArrayBuffer) return new Uint8Array(part);
  if (ArrayBuffer.isView(part)) return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  throw new OrreryError("0A000", "COPY takes text, bytes, or a stream of them");
}

async function partsOf(data) {
  const parts = [];
  if (typeof data === "string" || data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
    parts.push(bytesOf(data));
  } else if (data?.[Symbol.asyncIterator] !== undefined) {
    for await (const part of data) parts.push(bytesOf(part));
  } else if (typeof data?.getReader === "function") {
    const reader = data.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(bytesOf(part.value));
  } else {
    parts.push(bytesOf(data));
  }
  return parts;
}

/** A database. */
class Database extends Session {
  #call;
  // Transactions take turns: each waits for the one before.
  #last = Promise.resolve();

  constructor(call) {
    super(call, 0);
    this.#call = call;
  }

  /** Begins a transaction, once the one before has ended. */
  async begin() {
    const before = this.#last;
    let end;
    this.#last = new Promise((resolve) => (end = resolve));
    await before;
    try {
      await this.#call("begin");
    } catch (error) {
      end();
      throw error;
    }
    return new Transaction(this.#call, end);
  }

  /** Runs `body(transaction)`: committed when it answers, rolled back when it throws. */
  async transaction(body) {
    const transaction = await this.begin();
    let answer;
    try {
      answer = await body(transaction);
    } catch (error) {
      // What went wrong first is what matters.
      if (transaction.isOpen) await transaction.rollback().catch(() => {});
      throw error;
    }
    if (transaction.isOpen) await transaction.commit();
    return answer;
  }

  /** The key-value interface: keys and values are Uint8Arrays, or texts that go as UTF-8. */
  get keyValue() {
    const call = this.#call;
    const bytes = (it) => (typeof it === "string" ? new TextEncoder().encode(it) : it);
    return {
      get: async (key) => call("kvGet", bytes(key)),
      set: async (key, value) => call("kvSet", bytes(key), bytes(value)),
      delete: async (key) => call("kvDelete", bytes(key)),
      list: async (prefix, limit = 0xffffffff) => call("kvList", bytes(prefix), limit),
    };
  }

  /** A hash of all that the database holds: 16 hex digits. */
  async stateHash() {
    return this.#call("stateHash");
  }

  /** Folds what is in the log into the file. */
  async checkpoint() {
    return this.#call("checkpoint");
  }

  /** Walks everything; what is wrong, a line each. */
  async check() {
    return this.#call("check");
  }

  /** The bytes of the database file: any of Orrery's languages opens them. */
  async export() {
    return this.#call("export");
  }

  async close() {
    return this.#call("close");
  }

  async [Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]() {
    return this.close();
  }
}

/** An open transaction. */
class Transaction extends Session {
  #call;
  #end;

  constructor(call, end) {
    // Not async: each layer of promises costs a statement a tenth of a microsecond.
    const guarded = (...args) => {
      if (this.#end === null) throw new OrreryError("25P01", "the transaction has ended");
      return call(...args);
    };
    super(guarded, 1);
    this.#call = guarded;
    this.#end = end;
  }

  get isOpen() {
    return this.#end !== null;
  }

  async #finish(how) {
    try {
      return await this.#call(how);
    } finally {
      const end = this.#end;
      this.#end = null;
      end?.();
    }
  }

  /** Commits; when the transaction had failed it is rolled back, and this throws 25P02. */
  async commit() {
    return this.#finish("commit");
  }

  async rollback() {
    return this.#finish("rollback");
  }
}

/** A parsed statement. */
class Statement {
  #session;

  constructor(session, sql) {
    this.#session = session;
    this.sql = sql;
  }

  query(params = [], options = undefined) {
    return this.#session.query(this.sql, params, options);
  }

  execute(params = []) {
    return this.#session.execute(this.sql, params);
  }

  executeMany(rows) {
    return this.#session.executeMany(this.sql, rows);
  }

  queryArrow(params = []) {
    return this.#session.queryArrow(this.sql, params);
  }
}

/** A result under way; iterate it (`for await`), or `fetch` from it and `close` it. */
class Cursor {
  #call;
  #id;

  constructor(call, id, columns) {
    this.#call = call;
    this.#id = id;
    this.columns = columns;
  }

  /** At most `count` rows more; fewer only at the end. */
  async fetch(count, options = undefined) {
    return this.#call("fetch", this.#id, count, options?.rows === "array");
  }

  async close() {
    return this.#call("closeCursor", this.#id);
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (let rows = await this.fetch(FETCH_ROWS); rows.length > 0; rows = await this.fetch(FETCH_ROWS)) yield* rows;
    } finally {
      await this.close();
    }
  }
}
