// Files of Node, under the names and rules of the native driver (`drivers/src/files.rs`), so that a database moves freely
// between Node and the other languages: `NAME`, and while it is open or after a crash, `NAME-log/` beside it.

import { spawn } from "node:child_process";
import fs from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { OrreryError, inUse } from "./error.js";

const DATA = 0;
const LOG = 1;
const TEMP = 2;
const STREAM = 3;
const ZEROS = new Uint8Array(1 << 20);
// A process that was killed just now may take so long to let its lock go.
const LOCK_TRIES = 10;
const LOCK_WAIT_MILLIS = 50;

function problem(code, message) {
  return Object.assign(new Error(message), { code });
}

function syncFolder(folder) {
  const fd = fs.openSync(folder, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Holds `flock` on the file, the lock of the native driver. Node has no call for it, so the system's `flock` command holds it
 * for as long as its standard input, a pipe from this process, stays open: it goes when this process goes, however it does.
 */
function lock(name) {
  return new Promise((resolve, reject) => {
    const held = spawn("flock", ["-n", "-x", name, "sh", "-c", "echo; exec cat >&2"], {
      stdio: ["pipe", "pipe", "ignore"],
      // A group of its own: Ctrl-C goes to the whole group, and a program that lives on after it keeps its lock.
      detached: true,
    });
    held.on("error", () => {
      const hint = "Node locks the file by this command, so that no other program writes to it at the same time.";
      reject(new OrreryError("58030", "the command flock (util-linux) is missing", { hint }));
    });
    held.on("exit", () => resolve(null));
    held.stdout.once("data", () => {
      for (const part of [held, held.stdin, held.stdout]) part.unref();
      resolve(held);
    });
  });
}

async function lockOrFail(name) {
  for (let count = 0; count < LOCK_TRIES; count++) {
    const held = await lock(name);
    if (held !== null) return held;
    await new Promise((resolve) => setTimeout(resolve, LOCK_WAIT_MILLIS));
  }
  let owner = "";
  try {
    owner = fs.readFileSync(path.join(`${name}-log`, "owner"), "utf8");
  } catch {
    // It only makes the message poorer.
  }
  throw inUse(name, owner || "another process");
}

/** Opens and locks the file at `name`, making it unless `create` is false. */
export async function openNodeDisk(name, { create = true } = {}) {
  const existed = fs.existsSync(name);
  if (!existed && !create) throw new OrreryError("58P01", `could not open ${name}: no such file`);
  let data;
  try {
    data = fs.openSync(name, existed ? "r+" : "wx+");
  } catch (error) {
    throw new OrreryError(error.code === "ENOENT" ? "58P01" : "58030", `could not open ${name}: ${error.message}`);
  }
  let held = null;
  try {
    held = await lockOrFail(name);
    if (!existed) syncFolder(path.dirname(name));
    return new NodeDisk(name, data, held);
  } catch (error) {
    held?.stdin.destroy();
    fs.closeSync(data);
    throw error instanceof OrreryError ? error : new OrreryError("58030", `could not open ${name}: ${error.message}`);
  }
}

class NodeDisk {
  #name;
  #folder;
  #data;
  #held;
  #others = new Map();
  #synced = new Set();
  #nextStream = 0;

  constructor(name, data, held) {
    this.#name = name;
    this.#folder = `${name}-log`;
    this.#data = data;
    this.#held = held;
    this.#makeFolder();
    for (const entry of fs.readdirSync(this.#folder)) {
      if (entry.startsWith("temp-")) fs.unlinkSync(path.join(this.#folder, entry));
    }
    fs.writeFileSync(path.join(this.#folder, "owner"), `process ${process.pid} on ${hostname()}`);
  }

  #makeFolder() {
    if (fs.existsSync(this.#folder)) return;
    fs.mkdirSync(this.#folder);
    syncFolder(path.dirname(this.#folder));
  }

  #logPath(number) {
    return path.join(this.#folder, `${String(number).padStart(10, "0")}.log`);
  }

  #find(kind, number, create) {
    if (kind === DATA) return this.#data;
    const key = kind * 2 ** 50 + number;
    let fd = this.#others.get(key);
    if (fd !== undefined) return fd;
    if (kind === LOG) {
      const name = this.#logPath(number);
      if (!fs.existsSync(name) && !create) throw problem("ENOENT", `there is no log file ${number}`);
      if (create) this.#makeFolder();
      fd = fs.openSync(name, fs.existsSync(name) ? "r+" : "wx+");
    } else if (kind === TEMP && create) {
      this.#makeFolder();
      const name = path.join(this.#folder, `temp-${number}`);
      fd = fs.openSync(name, "w+");
      fs.unlinkSync(name);
    } else {
      throw problem("ENOENT", "the file is not open");
    }
    this.#others.set(key, fd);
    return fd;
  }

  list() {
    const files = [[DATA, 0, fs.fstatSync(this.#data).size]];
    if (fs.existsSync(this.#folder)) {
      for (const entry of fs.readdirSync(this.#folder)) {
        const digits = /^(\d{10,})\.log$/.exec(entry)?.[1];
        if (digits !== undefined) files.push([LOG, Number(digits), fs.statSync(path.join(this.#folder, entry)).size]);
      }
    }
    return files;
  }

  length(kind, number) {
    return fs.fstatSync(this.#find(kind, number, false)).size;
  }

  read(kind, number, offset, into) {
    const fd = this.#find(kind, number, false);
    let done = 0;
    while (done < into.length) {
      const count = fs.readSync(fd, into, done, into.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(kind, number, offset, data) {
    const fd = this.#find(kind, number, true);
    for (let done = 0; done < data.length; ) {
      done += fs.writeSync(fd, data, done, data.length - done, offset + done);
    }
  }

  /** A file's directory entry is durable before this, or an `allocate`, answers. */
  #syncEntry(kind, number) {
    if (kind !== LOG || this.#synced.has(number)) return;
    syncFolder(this.#folder);
    this.#synced.add(number);
  }

  sync(kind, number) {
    fs.fdatasyncSync(this.#find(kind, number, false));
    this.#syncEntry(kind, number);
  }

  allocate(kind, number, length) {
    const fd = this.#find(kind, number, true);
    const before = fs.fstatSync(fd).size;
    if (before < length) {
      for (let at = before; at < length; ) {
        at += fs.writeSync(fd, ZEROS, 0, Math.min(ZEROS.length, length - at), at);
      }
      fs.fsyncSync(fd);
    }
    this.#syncEntry(kind, number);
  }

  truncate(kind, number, length) {
    fs.ftruncateSync(this.#find(kind, number, false), length);
  }

  remove(kind, number) {
    const key = kind * 2 ** 50 + number;
    const fd = this.#others.get(key);
    if (fd !== undefined) fs.closeSync(fd);
    this.#others.delete(key);
    if (kind === TEMP || kind === STREAM) return;
    fs.rmSync(kind === LOG ? this.#logPath(number) : this.#name, { force: true });
    this.#synced.delete(number);
    syncFolder(kind === LOG ? this.#folder : path.dirname(this.#name));
  }

  openStream(name, write) {
    const fd = fs.openSync(name, write ? "w+" : "r");
    const number = this.#nextStream++;
    this.#others.set(STREAM * 2 ** 50 + number, fd);
    return number;
  }

  /** Its answer comes when the lock is free for others. */
  close() {
    for (const fd of this.#others.values()) fs.closeSync(fd);
    fs.closeSync(this.#data);
    fs.rmSync(path.join(this.#folder, "owner"), { force: true });
    try {
      fs.rmdirSync(this.#folder);
    } catch {
      // There is a log in it.
    }
    return new Promise((resolve) => {
      this.#held.ref();
      this.#held.on("exit", resolve);
      this.#held.stdin.destroy();
    });
  }
}
