// The database in this thread: every call is synchronous, and takes and gives plain data, so that a worker may stand between.

import { FRAME_DONE, FRAME_ROWS, readFrame, readRows, writeManyParams, writeParams } from "./codec.js";
import { OrreryError } from "./error.js";
import * as host from "./host.js";
import init, { Database as WasmDatabase, initSync } from "./orrerydb_wasm.js";

const isNode = typeof process !== "undefined" && process.versions?.node !== undefined;
const STATEMENTS_MAX = 256;
const FETCH_ROWS = 4096;
const FILE_PART = 1 << 20;
const DEFAULT_MEMORY = 256 << 20;

let loading = null;

/** The module, loaded once. */
function load() {
  loading ??= (async () => {
    const url = new URL("./orrerydb_wasm_bg.wasm", import.meta.url);
    if (isNode && url.protocol === "file:") {
      const { readFile } = await import("node:fs/promises");
      // `init` asks for the global `Response`, which makes Node load its HTTP client: a tenth of a cold start.
      return initSync({ module: await WebAssembly.compile(await readFile(url)) });
    }
    return init({ module_or_path: fetch(url) });
  })();
  return loading;
}

/** The options of `open` as the module reads them. */
function optionWords(options) {
  const words = [];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || name === "import" || name === "worker") continue;
    words.push(`${name}=${typeof value === "boolean" ? (value ? "on" : "off") : value}`);
  }
  if (options.memory === undefined) words.push(`memory=${DEFAULT_MEMORY}`);
  return words.join(" ");
}

async function openDisk(target, options) {
  if (target === "memory" || target === ":memory:") return null;
  if (target.startsWith("opfs:")) return (await import("./opfs-disk.js")).openOpfsDisk(target.slice(5), options);
  if (isNode) return (await import("./node-disk.js")).openNodeDisk(target, options);
  throw new OrreryError("58P01", `there is no file system for ${target}: use "opfs:NAME" or "memory"`);
}

/** A session with its statements, by text. */
class Session {
  constructor(wasm) {
    this.wasm = wasm;
    this.statements = new Map();
  }

  statement(sql) {
    let known = this.statements.get(sql);
    if (known === undefined) {
      known = { wasm: this.wasm.prepare(sql), shape: 0, columns: [], names: [] };
      this.statements.set(sql, known);
      if (this.statements.size > STATEMENTS_MAX) {
        const [oldest, { wasm }] = this.statements.entries().next().value;
        this.statements.delete(oldest);
        wasm.free();
      }
    }
    return known;
  }

  free() {
    for (const { wasm } of this.statements.values()) wasm.free();
    this.wasm.free();
  }
}

export class Core {
  #memory;
  #database;
  #disk = null;
  #diskNumber = 0;
  #sessions = [];
  #cursors = new Map();
  #nextCursor = 1;
  #timer = null;
  #isReleased = false;

  static async open(target, options = {}) {
    const core = new Core();
    const [{ memory }, disk] = await Promise.all([load(), openDisk(target, options)]);
    core.#memory = memory;
    core.#disk = disk;
    core.#diskNumber = disk === null ? 0 : host.attach(disk);
    let isImport = false;
    try {
      core.#database = new WasmDatabase(core.#diskNumber, optionWords(options));
      if (options.import !== undefined) {
        if (core.#database.fileLength() > 0) {
          throw new OrreryError("42P04", "there is a database already: import needs a new name");
        }
        isImport = true;
        core.#import(options.import);
      }
      core.#start();
    } catch (error) {
      // The name is as free as it was: what was imported is no database, or not all of it.
      if (isImport) for (const [kind, number] of disk?.list() ?? []) disk.remove(kind, number);
      await core.#release();
      throw core.#problem(error);
    }
    return core;
  }

  #import(file) {
    for (let at = 0; at < file.length; at += FILE_PART) {
      this.#database.fileWrite(at, file.subarray(at, at + FILE_PART));
    }
  }

  #start() {
    this.#database.open();
    // One for single statements, one for the transaction that is open.
    this.#sessions = [0, 1].map(() => new Session(this.#database.session()));
  }

  /** Runs `method`; what it throws is an OrreryError. */
  call(method, args) {
    if (host.panic !== null && method !== "close") throw this.#problem(null);
    if (this.#sessions.length === 0 && method !== "close") {
      throw new OrreryError("57P03", "the database is closed");
    }
    try {
      return this[method](...args);
    } catch (error) {
      throw this.#problem(error);
    }
  }

  #problem(error) {
    // A trap (memory or stack at its end) leaves no more to rely on than a panic does.
    const isTrap = error instanceof WebAssembly.RuntimeError || (error instanceof RangeError && /call stack/.test(error.message));
    if (isTrap && host.panic === null) host.panicked(String(error));
    if (host.panic === null) return error;
    const hint = "Open the database again in a new page or process: what was committed is there.";
    return new OrreryError("XX000", `the database stopped after a mistake of its own: ${host.panic}`, { hint });
  }

  #run(session, sql, params) {
    const statement = session.statement(sql);
    const length = writeParams(this.#memory, session.wasm, params);
    const frame = readFrame(this.#memory, session.wasm.run(statement.wasm, length));
    if (frame.kind !== FRAME_DONE && frame.shape !== statement.shape) {
      const words = statement.wasm.columns();
      statement.columns = [];
      for (let at = 0; at < words.length; at += 2) statement.columns.push({ name: words[at], type: words[at + 1] });
      statement.names = statement.columns.map((column) => column.name);
      statement.shape = frame.shape;
      // The columns came through memory, which may have moved.
      return [statement, readFrame(this.#memory, frame.rows - 24)];
    }
    return [statement, frame];
  }

  run(number, sql, params, asArrays) {
    const session = this.#sessions[number];
    const [statement, frame] = this.#run(session, sql, params);
    if (frame.kind === FRAME_DONE) {
      if (number === 0) this.#housekeep();
      return { columns: null, rows: [], changed: frame.changed < 0 ? null : frame.changed };
    }
    const rows = [];
    if (frame.kind === FRAME_ROWS) {
      readRows(frame, statement.names, asArrays, rows);
      return { columns: statement.columns, rows, changed: null };
    }
    const cursor = session.wasm.take();
    try {
      let part;
      do {
        part = readFrame(this.#memory, cursor.fetch(FETCH_ROWS));
        readRows(part, statement.names, asArrays, rows);
      } while (part.more);
    } finally {
      cursor.free();
    }
    return { columns: statement.columns, rows, changed: null };
  }

  query(number, sql, params, asArrays) {
    return this.run(number, sql, params, asArrays).rows;
  }

  execute(number, sql, params) {
    const session = this.#sessions[number];
    const [, frame] = this.#run(session, sql, params);
    if (frame.kind === FRAME_ROWS) return null;
    if (frame.kind === FRAME_DONE) {
      if (number === 0) this.#housekeep();
      return frame.changed < 0 ? null : frame.changed;
    }
    const cursor = session.wasm.take();
    try {
      while (readFrame(this.#memory, cursor.fetch(FETCH_ROWS)).more);
    } finally {
      cursor.free();
    }
    return null;
  }

  many(number, sql, rows) {
    const session = this.#sessions[number];
    const statement = session.statement(sql);
    const changed = session.wasm.many(statement.wasm, writeManyParams(this.#memory, session.wasm, rows));
    this.#housekeep();
    return changed;
  }

  exec(number, sql) {
    this.#sessions[number].wasm.exec(sql);
    this.#housekeep();
  }

  prepare(number, sql) {
    this.#sessions[number].statement(sql);
  }

  arrow(number, sql, params) {
    const session = this.#sessions[number];
    const statement = session.statement(sql);
    return session.wasm.arrow(statement.wasm, writeParams(this.#memory, session.wasm, params));
  }

  copy(number, sql, parts) {
    host.setCopySource(parts);
    try {
      return this.#sessions[number].wasm.copy(sql);
    } finally {
      host.setCopySource([]);
      this.#housekeep();
    }
  }

  openCursor(number, sql, params) {
    const session = this.#sessions[number];
    const [statement, frame] = this.#run(session, sql, params);
    if (frame.kind === FRAME_DONE) throw new OrreryError("42601", "the statement gives no rows");
    const { columns, names } = statement;
    const id = this.#nextCursor++;
    if (frame.kind === FRAME_ROWS) {
      const rows = [];
      readRows(frame, names, true, rows);
      this.#cursors.set(id, { rows, names });
    } else {
      this.#cursors.set(id, { wasm: session.wasm.take(), names });
    }
    return { id, columns };
  }

  /** At most `count` rows more; fewer only at the end. */
  fetch(id, count, asArrays) {
    const cursor = this.#cursors.get(id);
    if (cursor === undefined) throw new OrreryError("34000", "the cursor is closed");
    const rows = [];
    if (cursor.wasm === undefined) {
      const object = (row) => Object.fromEntries(row.map((value, column) => [cursor.names[column], value]));
      for (const row of cursor.rows.splice(0, count)) rows.push(asArrays ? row : object(row));
      return rows;
    }
    let more = true;
    while (more && rows.length < count) {
      const frame = readFrame(this.#memory, cursor.wasm.fetch(count - rows.length));
      readRows(frame, cursor.names, asArrays, rows);
      more = frame.more;
    }
    return rows;
  }

  closeCursor(id) {
    this.#cursors.get(id)?.wasm?.free();
    this.#cursors.delete(id);
  }

  begin() {
    this.#sessions[1].wasm.begin();
  }

  commit() {
    this.#sessions[1].wasm.commit();
    this.#housekeep();
  }

  rollback() {
    this.#sessions[1].wasm.rollback();
  }

  kvGet(key) {
    return this.#database.kvGet(key) ?? null;
  }

  kvSet(key, value) {
    this.#database.kvSet(key, value);
    this.#housekeep();
  }

  kvDelete(key) {
    return this.#database.kvDelete(key);
  }

  kvList(prefix, limit) {
    const packed = this.#database.kvList(prefix, limit);
    const view = new DataView(packed.buffer, packed.byteOffset);
    const parts = [];
    for (let at = 0; at < packed.length; ) {
      const length = view.getUint32(at, true);
      parts.push(packed.slice(at + 4, at + 4 + length));
      at += 4 + length;
    }
    return Array.from({ length: parts.length / 2 }, (_, pair) => [parts[pair * 2], parts[pair * 2 + 1]]);
  }

  stateHash() {
    return this.#database.stateHash();
  }

  checkpoint() {
    this.#database.checkpoint();
  }

  check() {
    return this.#database.check();
  }

  /** The bytes of the file, as a clean close leaves them. */
  export() {
    if (this.#cursors.size > 0 || this.#sessions[1].wasm.inTransaction()) {
      throw new OrreryError("55006", "end the open transaction and cursors before exporting");
    }
    this.#database.checkpoint();
    this.#stop();
    try {
      const file = new Uint8Array(this.#database.fileLength());
      for (let at = 0; at < file.length; at += FILE_PART) {
        file.set(this.#database.fileRead(at, Math.min(FILE_PART, file.length - at)), at);
      }
      return file;
    } finally {
      this.#start();
    }
  }

  /** Sessions end, the database closes; the disk stays. */
  #stop() {
    for (const id of [...this.#cursors.keys()]) this.closeCursor(id);
    for (const session of this.#sessions) session.free();
    this.#sessions = [];
    this.#database.close();
  }

  /** After a panic too: the files are let go, as a crash would let them go. */
  async close() {
    clearTimeout(this.#timer);
    if (this.#isReleased) return;
    try {
      if (host.panic === null) this.#stop();
    } finally {
      await this.#release();
    }
  }

  /** The disk is free for others when this answers. */
  async #release() {
    this.#isReleased = true;
    this.#sessions = [];
    if (host.panic === null) this.#database?.free();
    if (this.#diskNumber !== 0) host.detach(this.#diskNumber);
    await this.#disk?.close();
  }

  /** After what may have written: syncs by interval and the like want a timer, the ring of log files wants free ones. */
  #housekeep() {
    this.#disk?.prepare?.();
    if (this.#timer !== null) return;
    const millis = this.#database.housekeep();
    if (millis < 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#sessions.length > 0 && host.panic === null) this.#housekeep();
    }, millis);
    this.#timer.unref?.();
  }
}
