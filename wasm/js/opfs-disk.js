// Files of a page's origin (OPFS), by sync access handles, in a worker. Reading and writing through a handle is synchronous,
// opening one is not: so every file is opened beforehand.
//
// | file | what |
// |---|---|
// | `NAME` | the data file, byte for byte as everywhere |
// | `NAME-log/slot-N` | a ring of log files: a header that says which one it holds now, then its bytes |
// | `NAME-log/temp` | all scratch files of sorts and joins, in pieces; emptied at open |
//
// - B1: a slot is taken in this order: zeroed, flushed, header written, flushed. So a header that is whole names a file that is.
// - B2: a slot is given up in this order: header cleared, flushed, cut. A header torn by a crash means a free slot: either the
//   store was not told yet that it has the file, or it wanted it gone.
// - B3: when the ring has no free slot the disk is full; the store then folds its log into the data file. Between statements the
//   ring is made longer, so that this is rare.

import { OrreryError, inUse } from "./error.js";

const DATA = 0;
const LOG = 1;
const TEMP = 2;
const HEADER = 4096;
const MAGIC = 0x6f727279;
const SLOTS_FIRST = 8;
const SLOTS_FREE = 4;
const GROW_AGAIN_MILLIS = 1000;
const PIECE = 256 << 10;
const ZEROS = new Uint8Array(1 << 20);
// A tab that was closed or killed just now may hold its handles for so long.
const OPEN_TRIES = 40;
const OPEN_WAIT_MILLIS = 50;

function problem(name, message) {
  return Object.assign(new Error(message), { name });
}

/** Writing what does not fit is a short write, not an exception. */
function writeAll(handle, data, at) {
  let done = 0;
  while (done < data.length) {
    const count = handle.write(data.subarray(done), { at: at + done });
    if (count === 0) throw problem("QuotaExceededError", "the disk wrote nothing");
    done += count;
  }
}

function writeZeros(handle, from, to) {
  for (let at = from; at < to; at += ZEROS.length) {
    writeAll(handle, ZEROS.subarray(0, Math.min(ZEROS.length, to - at)), at);
  }
}

/** The Web Lock of the name, for as long as the returned function is not called; `null` when another tab has it. */
function holdLock(name) {
  return new Promise((resolve, reject) => {
    const options = { mode: "exclusive", ifAvailable: true };
    navigator.locks
      .request(`orrerydb:${name}`, options, (lock) => {
        if (lock === null) return resolve(null);
        return new Promise((release) => resolve(release));
      })
      .catch(reject);
  });
}

async function handleOf(folder, name, create) {
  const file = await folder.getFileHandle(name, { create });
  for (let count = 1; ; count++) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (error.name !== "NoModificationAllowedError" || count === OPEN_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, OPEN_WAIT_MILLIS));
    }
  }
}

/** Opens and locks the database `name` of this origin, making it unless `create` is false. */
export async function openOpfsDisk(name, { create = true } = {}) {
  if (typeof FileSystemSyncAccessHandle === "undefined") {
    throw new OrreryError("0A000", "OPFS databases open in a worker of a page served over https or from localhost");
  }
  const release = await holdLock(name);
  if (release === null) throw inUse(name, "another tab or worker");
  const opened = [];
  try {
    const root = await navigator.storage.getDirectory();
    const open = async (folder, file, make) => {
      const handle = await handleOf(folder, file, make);
      opened.push(handle);
      return handle;
    };
    const data = await open(root, name, create);
    const folder = await root.getDirectoryHandle(`${name}-log`, { create: true });
    const temp = await open(folder, "temp", true);
    const slots = [];
    for await (const entry of folder.keys()) {
      if (entry.startsWith("slot-")) slots.push(await open(folder, entry, false));
    }
    const makeSlot = (number) => open(folder, `slot-${number}`, true);
    while (slots.length < SLOTS_FIRST) slots.push(await makeSlot(slots.length));
    return new OpfsDisk(data, temp, slots, makeSlot, () => {
      for (const handle of opened) handle.close();
      release();
    });
  } catch (error) {
    for (const handle of opened) handle.close();
    release();
    if (error.name === "NotFoundError") throw new OrreryError("58P01", `could not open ${name}: no such file`);
    if (error.name === "NoModificationAllowedError") throw inUse(name, "another tab or worker");
    throw error instanceof OrreryError ? error : new OrreryError("58030", `could not open ${name}: ${error.message}`);
  }
}

function checksum(view) {
  return (view.getUint32(4, true) * 31 + view.getUint32(8, true) * 17 + view.getUint32(12, true) + MAGIC) >>> 0;
}

/** The number of the log file that a slot holds, or `null`. */
function readHeader(handle) {
  const view = new DataView(new ArrayBuffer(20));
  if (handle.read(view, { at: 0 }) < 20 || view.getUint32(0, true) !== MAGIC) return null;
  if (view.getUint32(4, true) === 0 || view.getUint32(16, true) !== checksum(view)) return null;
  return view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
}

function writeHeader(handle, number) {
  const header = new Uint8Array(HEADER);
  const view = new DataView(header.buffer);
  view.setUint32(0, MAGIC, true);
  if (number !== null) {
    view.setUint32(4, 1, true);
    view.setUint32(8, number % 2 ** 32, true);
    view.setUint32(12, Math.floor(number / 2 ** 32), true);
  }
  view.setUint32(16, checksum(view), true);
  writeAll(handle, header, 0);
  handle.flush();
}

class OpfsDisk {
  #data;
  #logs = new Map();
  #free = [];
  #slotCount;
  #makeSlot;
  #growing = false;
  #growAgainAt = 0;
  #closed = false;
  #scratch;
  #release;

  constructor(data, temp, slots, makeSlot, release) {
    this.#data = data;
    this.#scratch = new Scratch(temp);
    this.#slotCount = slots.length;
    this.#makeSlot = makeSlot;
    this.#release = release;
    for (const slot of slots) {
      const number = readHeader(slot);
      if (number === null) this.#free.push(slot);
      else this.#logs.set(number, slot);
    }
  }

  /** Between statements: makes the ring longer when few slots are free (B3). Its end is not waited for. */
  prepare() {
    if (this.#growing || this.#free.length >= SLOTS_FREE || performance.now() < this.#growAgainAt) return;
    this.#growing = true;
    this.#makeSlot(this.#slotCount)
      .then((slot) => {
        if (this.#closed) return slot.close();
        this.#slotCount += 1;
        this.#free.push(slot);
        this.#growing = false;
        this.prepare();
      })
      // No room for another: the ring stays as it is for a while.
      .catch(() => {
        this.#growing = false;
        this.#growAgainAt = performance.now() + GROW_AGAIN_MILLIS;
      });
  }

  #log(number) {
    const slot = this.#logs.get(number);
    if (slot === undefined) throw problem("NotFoundError", `there is no log file ${number}`);
    return slot;
  }

  /** The handle and where in it the file begins. */
  #find(kind, number) {
    return kind === DATA ? [this.#data, 0] : [this.#log(number), HEADER];
  }

  list() {
    const files = [[DATA, 0, this.#data.getSize()]];
    for (const [number, slot] of this.#logs) files.push([LOG, number, slot.getSize() - HEADER]);
    return files;
  }

  length(kind, number) {
    if (kind === TEMP) return this.#scratch.length(number);
    const [handle, start] = this.#find(kind, number);
    return handle.getSize() - start;
  }

  read(kind, number, offset, into) {
    if (kind === TEMP) return this.#scratch.read(number, offset, into);
    const [handle, start] = this.#find(kind, number);
    let done = 0;
    while (done < into.length) {
      const count = handle.read(into.subarray(done), { at: start + offset + done });
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(kind, number, offset, data) {
    if (kind === TEMP) return this.#scratch.write(number, offset, data);
    if (kind === LOG && !this.#logs.has(number)) this.allocate(kind, number, 0);
    const [handle, start] = this.#find(kind, number);
    writeAll(handle, data, start + offset);
  }

  sync(kind, number) {
    if (kind !== TEMP) this.#find(kind, number)[0].flush();
  }

  allocate(kind, number, length) {
    if (kind === LOG && !this.#logs.has(number)) return this.#take(number, length);
    const [handle, start] = this.#find(kind, number);
    const before = handle.getSize();
    if (before < start + length) {
      writeZeros(handle, before, start + length);
      handle.flush();
    }
  }

  #take(number, length) {
    const slot = this.#free.pop();
    if (slot === undefined) throw problem("QuotaExceededError", "the ring of log files is full");
    try {
      slot.truncate(HEADER);
      writeZeros(slot, HEADER, HEADER + length);
      slot.flush();
      writeHeader(slot, number);
    } catch (error) {
      this.#free.push(slot);
      slot.truncate(0);
      throw error;
    }
    this.#logs.set(number, slot);
  }

  truncate(kind, number, length) {
    if (kind === TEMP) return this.#scratch.truncate(number, length);
    const [handle, start] = this.#find(kind, number);
    handle.truncate(start + length);
  }

  remove(kind, number) {
    if (kind === TEMP) return this.#scratch.remove(number);
    if (kind === DATA) return this.#data.truncate(0);
    const slot = this.#logs.get(number);
    if (slot === undefined) return;
    writeHeader(slot, null);
    this.#logs.delete(number);
    slot.truncate(HEADER);
    this.#free.push(slot);
  }

  openStream(name) {
    throw problem("NotAllowedError", `a page has no file ${name}: use COPY … FROM STDIN`);
  }

  close() {
    this.#closed = true;
    this.#release();
  }
}

/** Scratch files, in pieces of one file: any number of them takes one handle. */
class Scratch {
  #handle;
  #files = new Map();
  #freePieces = [];
  #pieceCount = 0;

  constructor(handle) {
    this.#handle = handle;
    handle.truncate(0);
  }

  #file(number) {
    const file = this.#files.get(number);
    if (file === undefined) throw problem("NotFoundError", `there is no scratch file ${number}`);
    return file;
  }

  length(number) {
    return this.#file(number).length;
  }

  /** Calls `work(start of the part in the data, place on the disk, length)` for each piece that is touched. */
  #each(file, offset, length, work) {
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const part = Math.min(PIECE - (at % PIECE), length - done);
      work(done, file.pieces[Math.floor(at / PIECE)] * PIECE + (at % PIECE), part);
      done += part;
    }
  }

  read(number, offset, into) {
    const file = this.#file(number);
    const length = Math.max(0, Math.min(into.length, file.length - offset));
    this.#each(file, offset, length, (done, at, part) => this.#handle.read(into.subarray(done, done + part), { at }));
    return length;
  }

  write(number, offset, data) {
    let file = this.#files.get(number);
    if (file === undefined) this.#files.set(number, (file = { pieces: [], length: 0 }));
    const end = offset + data.length;
    while (file.pieces.length * PIECE < end) file.pieces.push(this.#freePieces.pop() ?? this.#pieceCount++);
    this.#each(file, offset, data.length, (done, at, part) => writeAll(this.#handle, data.subarray(done, done + part), at));
    file.length = Math.max(file.length, end);
  }

  truncate(number, length) {
    const file = this.#file(number);
    file.length = Math.min(file.length, length);
  }

  remove(number) {
    const file = this.#files.get(number);
    if (file === undefined) return;
    this.#files.delete(number);
    this.#freePieces.push(...file.pieces);
    if (this.#files.size === 0) {
      this.#handle.truncate(0);
      this.#freePieces = [];
      this.#pieceCount = 0;
    }
  }
}
