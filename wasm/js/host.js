// What the WASM module imports: disks by number, the clock, entropy, errors (`src/host.rs`).

import { OrreryError } from "./error.js";

const disks = new Map();
let nextDisk = 1;
let message = "";
let copySource = null;
/** The words of a panic, after which the module has no state to rely on. */
export let panic = null;

/** Gives a disk its number. */
export function attach(disk) {
  disks.set(nextDisk, disk);
  return nextDisk++;
}

export function detach(number) {
  disks.delete(number);
}

const NOT_FOUND = -1;
const FULL = -2;
const DENIED = -3;
const OTHER = -4;
const KINDS = {
  ENOENT: NOT_FOUND, NotFoundError: NOT_FOUND,
  ENOSPC: FULL, EDQUOT: FULL, QuotaExceededError: FULL,
  EACCES: DENIED, EPERM: DENIED, EROFS: DENIED, NotAllowedError: DENIED,
};

function guard(work) {
  try {
    return work() ?? 0;
  } catch (error) {
    message = error.message;
    return KINDS[error.code] ?? KINDS[error.name] ?? OTHER;
  }
}

export const diskList = (disk) => new Float64Array(disks.get(disk).list().flat());
export const diskLength = (disk, kind, number) => guard(() => disks.get(disk).length(kind, number));
export const diskRead = (disk, kind, number, offset, into) => guard(() => disks.get(disk).read(kind, number, offset, into));
export const diskWrite = (disk, kind, number, offset, data) => guard(() => disks.get(disk).write(kind, number, offset, data));
export const diskSync = (disk, kind, number) => guard(() => disks.get(disk).sync(kind, number));
export const diskAllocate = (disk, kind, number, length) => guard(() => disks.get(disk).allocate(kind, number, length));
export const diskTruncate = (disk, kind, number, length) => guard(() => disks.get(disk).truncate(kind, number, length));
export const diskRemove = (disk, kind, number) => guard(() => disks.get(disk).remove(kind, number));
export const diskStream = (disk, name, write) => guard(() => disks.get(disk).openStream(name, write));
export const diskMessage = () => message;

/** The bytes that the next COPY reads, as an array of Uint8Arrays. */
export function setCopySource(parts) {
  copySource = { parts, part: 0, offset: 0 };
}

export function copyRead(into) {
  const source = copySource;
  while (source.part < source.parts.length) {
    const rest = source.parts[source.part].subarray(source.offset);
    if (rest.length > 0) {
      const count = Math.min(rest.length, into.length);
      into.set(rest.subarray(0, count));
      source.offset += count;
      return count;
    }
    source.part += 1;
    source.offset = 0;
  }
  return 0;
}

export const nowMicros = () => (performance.timeOrigin + performance.now()) * 1000;

export function sleepMicros(micros) {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, micros / 1000);
  } catch {
    // A page without SharedArrayBuffer, or its main thread, may not sleep.
    const end = nowMicros() + micros;
    while (nowMicros() < end);
  }
}

export const entropy = () => crypto.getRandomValues(new Uint32Array(1))[0];

export function panicked(words) {
  panic = words;
}

export const makeError = (code, words, position, detail, hint) =>
  new OrreryError(code, words, { position: position || undefined, detail, hint });
