// The conformance script in Node: `conformance.js STEPS [memory]` prints the transcript.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { tableFromIPC } from "apache-arrow";
import { OrreryError, open } from "orrerydb";
import { transcript } from "./runner.js";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "orrery-"));
const counts = (bytes) => {
  const table = tableFromIPC(bytes);
  return [table.numCols, table.numRows];
};
try {
  const openAt = (name, options) => open(path.join(folder, name), options);
  process.stdout.write(await transcript(fs.readFileSync(process.argv[2], "utf8"), openAt, OrreryError, counts));
} finally {
  fs.rmSync(folder, { recursive: true });
}
