// Orrery in WebAssembly beside its peers from npm, in Node, in one run: `bench.js PACKAGE [ROWS]`. CPU time of the process, the best of
// several runs; a cold start is a process of its own. Everything is in memory.

import { execFileSync } from "node:child_process";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, rowsText] = process.argv.slice(2);
const ROWS = Number(rowsText ?? 100_000);
const SELECTS = 50_000;
const RUNS = 5;
const TABLE = "create table t (id integer primary key, a integer, b text)";
const SELECT = "select a, b from t where id = $1";
const INSERT = "insert into t values ($1, $2, $3)";
const index = pathToFileURL(path.resolve(folder, "index.js")).href;

function cpuMicros() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Microseconds of CPU for each of `count`, best of the runs. */
async function best(count, work, before = () => {}) {
  let least = Infinity;
  for (let run = 0; run < RUNS; run++) {
    await before();
    const start = cpuMicros();
    await work();
    least = Math.min(least, (cpuMicros() - start) / count);
  }
  return least;
}

const ids = Array.from({ length: SELECTS }, (_, n) => (n * 7919) % ROWS);
const params = Array.from({ length: ROWS }, (_, id) => [id, id * 3, `row ${id}`]);

async function orrery() {
  const { open } = await import(index);
  const db = await open("memory");
  await db.exec(TABLE);
  const clear = () => db.exec("delete from t");
  const insert = await db.prepare(INSERT);
  const inserts = await best(ROWS, () => db.transaction(async (transaction) => {
    const insert = await transaction.prepare(INSERT);
    for (const row of params) await insert.execute(row);
  }), clear);
  const many = await best(ROWS, () => insert.executeMany(params), clear);
  const select = await db.prepare(SELECT);
  const selects = await best(SELECTS, async () => {
    for (const id of ids) await select.query([id]);
  });
  const all = await best(ROWS, () => db.query("select id, a, b from t"));
  const sum = await best(1, () => db.query("select a % 10 as k, count(*), sum(a) from t group by 1"));
  await db.close();
  return { "insert, a call a row": inserts, "insert, one call": many, "point select": selects, "fetch all, a row": all, "group by, ms": sum / 1000 };
}

async function sqljs() {
  const { default: init } = await import("sql.js");
  const SQL = await init();
  const db = new SQL.Database();
  db.run(TABLE);
  const insert = db.prepare("insert into t values (?, ?, ?)");
  const inserts = await best(ROWS, () => {
    db.run("begin");
    for (const row of params) insert.run(row);
    db.run("commit");
  }, () => db.run("delete from t"));
  const select = db.prepare("select a, b from t where id = ?");
  const selects = await best(SELECTS, () => {
    for (const id of ids) select.getAsObject([id]);
  });
  const every = db.prepare("select id, a, b from t");
  const all = await best(ROWS, () => {
    const rows = [];
    while (every.step()) rows.push(every.getAsObject());
    every.reset();
    return rows;
  });
  const sum = await best(1, () => db.exec("select a % 10 as k, count(*), sum(a) from t group by 1"));
  return { "insert, a call a row": inserts, "point select": selects, "fetch all, a row": all, "group by, ms": sum / 1000 };
}

async function pglite() {
  const { PGlite } = await import("@electric-sql/pglite");
  const db = await PGlite.create();
  await db.exec(TABLE);
  const few = params.slice(0, 2000);
  const inserts = await best(few.length, () => db.transaction(async (transaction) => {
    for (const row of few) await transaction.query(INSERT, row);
  }), () => db.exec("delete from t"));
  await db.exec(`delete from t; insert into t select n, n * 3, 'row ' || n from generate_series(0, ${ROWS - 1}) as s(n)`);
  const fewer = ids.slice(0, 2000);
  const selects = await best(fewer.length, async () => {
    for (const id of fewer) await db.query(SELECT, [id]);
  });
  const all = await best(ROWS, () => db.query("select id, a, b from t"));
  const sum = await best(1, () => db.query("select a % 10 as k, count(*), sum(a) from t group by 1"));
  await db.close();
  return { "insert, a call a row": inserts, "point select": selects, "fetch all, a row": all, "group by, ms": sum / 1000 };
}

/** Milliseconds of CPU of a process that opens a database, asks `select 1`, and ends; less those of one that does nothing. */
function coldStart(script) {
  const run = (text) => {
    const out = `${text}; const { user, system } = process.cpuUsage(); console.log((user + system) / 1000); process.exit()`;
    const once = () => Number(execFileSync(process.execPath, ["--input-type=module", "-e", out], { encoding: "utf8" }).trim().split("\n").at(-1));
    return Math.min(...Array.from({ length: RUNS }, once));
  };
  return run(script) - run("");
}

const STARTS = {
  Orrery: `const { open } = await import("${index}"); const db = await open("memory"); await db.query("select 1")`,
  "sql.js": `const { default: init } = await import("sql.js"); const SQL = await init(); new SQL.Database().exec("select 1")`,
  PGlite: `const { PGlite } = await import("@electric-sql/pglite"); const db = await PGlite.create(); await db.query("select 1")`,
};

const results = { Orrery: await orrery(), "sql.js": await sqljs(), PGlite: await pglite() };
for (const [name, script] of Object.entries(STARTS)) results[name]["cold start, ms"] = coldStart(script);
const names = [...new Set(Object.values(results).flatMap(Object.keys))];
console.log(`Node ${process.version}, ${ROWS} rows; CPU µs unless said otherwise, best of ${RUNS}`);
console.log(`| | ${Object.keys(results).join(" | ")} |\n|---|${"---|".repeat(3)}`);
for (const name of names) {
  const cells = Object.values(results).map((result) => (result[name] === undefined ? "–" : result[name].toPrecision(3)));
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
