// Follows a page literally: its `js` blocks run in order as one module, in the current folder. What a block prints must be the `text`
// block right after it. `follow.js PAGE`.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const page = fs.readFileSync(process.argv[2], "utf8");
const blocks = [...page.matchAll(/^```(\S*)\n(.*?)^```$/gms)].map(([, kind, text]) => ({ kind, text }));
const followed = blocks.flatMap((block, index) => (block.kind === "js" ? [[block.text, blocks[index + 1]]] : []));
const wanted = followed.map(([, next]) => (next?.kind === "text" ? next.text : ""));

// One module, so that a block sees what the ones before it declared; a mark between the blocks tells their output apart.
const file = path.resolve("followed.mjs");
const mark = "\u0000";
fs.writeFileSync(file, followed.map(([text]) => `${text}\nconsole.log(${JSON.stringify(mark)});\n`).join(""));
let printed = "";
const log = console.log;
const show = (value) => (typeof value === "string" ? value : JSON.stringify(value, (_, it) => (typeof it === "bigint" ? `${it}n` : it)));
console.log = (...values) => {
  printed += `${values.map(show).join(" ")}\n`;
};
try {
  await import(pathToFileURL(file).href);
} finally {
  console.log = log;
}
const found = printed.split(`${mark}\n`);
for (const [index, text] of wanted.entries()) {
  if (found[index] !== text) {
    console.error(`${process.argv[2]}, block ${index + 1} printed\n${found[index]}\ninstead of\n${text}`);
    process.exit(1);
  }
}
console.log(`${process.argv[2]}: ${followed.length} blocks followed`);
