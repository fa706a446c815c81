// Parameters and rows as bytes in the module's memory: the other end of `src/codec.rs`.

import { OrreryError } from "./error.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const LONG_MIN = -(2n ** 63n);
const LONG_MAX = 2n ** 63n - 1n;
// Shorter texts are quicker by hand than by a call into the engine.
const SHORT_TEXT = 24;

let buffer = null;
let bytes = null;
let view = null;

/** The module's memory; it moves when it grows. */
function look(memory) {
  if (memory.buffer !== buffer) {
    buffer = memory.buffer;
    bytes = new Uint8Array(buffer);
    view = new DataView(buffer);
  }
}

function sizeOf(value) {
  if (typeof value === "string") return 5 + value.length * 3;
  if (value instanceof Uint8Array) return 5 + value.length;
  if (typeof value === "bigint") return 5 + value.toString().length + 4;
  return 9;
}

function writeText(text, at, tag) {
  bytes[at] = tag;
  let end = at + 5;
  const short = text.length < SHORT_TEXT;
  let index = 0;
  if (short) {
    for (; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 127) break;
      bytes[end++] = code;
    }
  }
  if (!short || index < text.length) {
    end = at + 5 + encoder.encodeInto(text, bytes.subarray(at + 5, at + 5 + text.length * 3)).written;
  }
  view.setUint32(at + 1, end - at - 5, true);
  return end;
}

function writeValue(value, at) {
  switch (typeof value) {
    case "number":
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
        bytes[at] = 4;
        view.setInt32(at + 1, value, true);
        view.setInt32(at + 5, Math.floor(value / 4294967296), true);
      } else {
        bytes[at] = 3;
        view.setFloat64(at + 1, value, true);
      }
      return at + 9;
    case "string":
      return writeText(value, at, 5);
    case "boolean":
      bytes[at] = value ? 2 : 1;
      return at + 1;
    case "bigint":
      if (value < LONG_MIN || value > LONG_MAX) return writeText(value.toString(), at, 7);
      bytes[at] = 4;
      view.setBigInt64(at + 1, value, true);
      return at + 9;
    case "undefined":
      bytes[at] = 0;
      return at + 1;
  }
  if (value === null) {
    bytes[at] = 0;
    return at + 1;
  }
  if (value instanceof Uint8Array) {
    bytes[at] = 6;
    view.setUint32(at + 1, value.length, true);
    bytes.set(value, at + 5);
    return at + 5 + value.length;
  }
  if (value instanceof Date) {
    bytes[at] = 8;
    view.setFloat64(at + 1, value.getTime(), true);
    return at + 9;
  }
  throw new OrreryError("0A000", `a parameter of type ${value.constructor?.name ?? "object"} has no counterpart in SQL`);
}

/** Writes parameters into the session's buffer; how many bytes. */
export function writeParams(memory, session, params) {
  let size = 0;
  for (let index = 0; index < params.length; index++) size += sizeOf(params[index]);
  if (size === 0) return 0;
  const start = session.room(size) >>> 0;
  look(memory);
  let at = start;
  for (let index = 0; index < params.length; index++) at = writeValue(params[index], at);
  return at - start;
}

/** Writes rows of parameters: a row count, a width, the values. */
export function writeManyParams(memory, session, rows) {
  const width = rows.length > 0 ? rows[0].length : 0;
  let size = 8;
  for (const row of rows) {
    if (row.length !== width) {
      throw new OrreryError("42P02", `rows of parameters differ in length: the first has ${width}`);
    }
    for (let index = 0; index < width; index++) size += sizeOf(row[index]);
  }
  const start = session.room(size) >>> 0;
  look(memory);
  view.setUint32(start, rows.length, true);
  view.setUint32(start + 4, width, true);
  let at = start + 8;
  for (const row of rows) {
    for (let index = 0; index < width; index++) at = writeValue(row[index], at);
  }
  return at - start;
}

function readText(at, length) {
  if (length < SHORT_TEXT) {
    let text = "";
    for (let index = at; index < at + length; index++) {
      const code = bytes[index];
      if (code > 127) return decoder.decode(bytes.subarray(at, at + length));
      text += String.fromCharCode(code);
    }
    return text;
  }
  return decoder.decode(bytes.subarray(at, at + length));
}

// Where `readValue` has come to.
let place = 0;

function readValue() {
  const at = place + 1;
  switch (bytes[place]) {
    case 0:
      place = at;
      return null;
    case 1:
      place = at;
      return false;
    case 2:
      place = at;
      return true;
    case 3:
      place = at + 8;
      return view.getFloat64(at, true);
    case 4: {
      place = at + 8;
      const number = view.getInt32(at + 4, true) * 4294967296 + view.getUint32(at, true);
      return Number.isSafeInteger(number) ? number : view.getBigInt64(at, true);
    }
    case 5: {
      const length = view.getUint32(at, true);
      place = at + 4 + length;
      return readText(at + 4, length);
    }
    case 6: {
      const length = view.getUint32(at, true);
      place = at + 4 + length;
      return bytes.slice(at + 4, place);
    }
    case 8:
      place = at + 8;
      return new Date(view.getFloat64(at, true));
    case 9:
      place = at + 4;
      return view.getInt32(at, true);
  }
  throw new OrreryError("XX000", "the rows are not whole");
}

export const FRAME_DONE = 0;
export const FRAME_ROWS = 1;

/** A frame's header. */
export function readFrame(memory, address) {
  look(memory);
  const at = address >>> 0;
  return {
    kind: view.getUint32(at, true),
    rowCount: view.getUint32(at + 4, true),
    changed: view.getFloat64(at + 8, true),
    shape: view.getUint32(at + 16, true),
    more: view.getUint32(at + 20, true) !== 0,
    rows: at + 24,
  };
}

/** Appends a frame's rows to `into`, as objects or arrays. */
export function readRows(frame, names, asArrays, into) {
  place = frame.rows;
  for (let row = 0; row < frame.rowCount; row++) {
    if (asArrays) {
      const values = new Array(names.length);
      for (let column = 0; column < names.length; column++) values[column] = readValue();
      into.push(values);
    } else {
      const object = {};
      for (let column = 0; column < names.length; column++) object[names[column]] = readValue();
      into.push(object);
    }
  }
}
