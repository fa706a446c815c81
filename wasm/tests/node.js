// What the package promises in Node: `node.js NATIVE_SHELL`. The shell is the native `orrery`, whose files these must be.

import assert from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { OrreryError, open } from "orrerydb";

const shell = process.argv[2];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "orrery-"));
const fileOf = (name) => path.join(folder, name);
const native = (file, sql) => execFileSync(shell, [file, "--format", "csv", "-c", sql], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const code = (expected) => (error) => {
  assert.ok(error instanceof OrreryError, String(error));
  assert.strictEqual(error.code, expected, error.message);
  return true;
};

const tests = {
  async "values go in and come out"() {
    const db = await open("memory");
    const params = [null, true, false, 7, -1, 2 ** 52, 0.5, -0, 2n ** 62n, -(2n ** 63n), "", "häß ✓", "x".repeat(5000), new Uint8Array([0, 255]), new Date(1e12)];
    const types = ["text", "boolean", "boolean", "integer", "smallint", "bigint", "double precision", "double precision", "bigint", "bigint", "text", "text", "text", "bytea", "timestamptz"];
    const sql = `select ${types.map((type, index) => `$${index + 1}::${type}`).join(", ")}`;
    const [row] = await db.query(sql, params, { rows: "array" });
    assert.deepStrictEqual(row, params);
    assert.ok(Object.is(row[7], -0));
    const [texts] = await db.query("select 1.50::numeric(8,2) as n, date '2024-02-29' as d, timestamp '2024-02-29 01:02:03' as t, interval '1 day 2 hours' as i, uuid '00112233-4455-6677-8899-aabbccddeeff' as u, 12345678901234567890123 as big");
    assert.deepStrictEqual(texts, { n: "1.50", d: "2024-02-29", t: "2024-02-29 01:02:03", i: "1 day 02:00:00", u: "00112233-4455-6677-8899-aabbccddeeff", big: "12345678901234567890123" });
    const [big] = await db.query("select $1::numeric as n", [2n ** 80n]);
    assert.strictEqual(big.n, String(2n ** 80n));
    await assert.rejects(db.query("select $1", [{}]), code("0A000"));
    await assert.rejects(db.query("select $1::timestamptz", [new Date(NaN)]), code("22008"));
    await assert.rejects(db.query("select timestamptz '290000-01-01 00:00:00+00'"), code("22008"));
    await db.close();
    await assert.rejects(db.query("select 1"), code("57P03"));
  },

  async "errors have code, position, detail and hint"() {
    const db = await open("memory");
    await db.exec("create table t (id integer primary key); insert into t values (1)");
    const error = await db.query("select 'ä' || nope from t").catch((error) => error);
    assert.deepStrictEqual([error.name, error.code, error.position], ["OrreryError", "42703", 15]);
    const again = await db.execute("insert into t values (1)").catch((error) => error);
    assert.deepStrictEqual([again.code, again.detail], ["23505", "Key (id)=(1) already exists."]);
    await assert.rejects(open("memory", { nonsense: 1 }), code("22023"));
    await db.close();
  },

  async "transactions commit, roll back and take turns"() {
    const db = await open("memory");
    await db.exec("create table t (id integer primary key, a integer); insert into t values (1, 0)");
    // Each reads, gives way, and writes what it read plus one.
    const add = () => db.transaction(async (transaction) => {
      const [{ a }] = await transaction.query("select a from t where id = 1");
      await new Promise((resolve) => setTimeout(resolve, 1));
      return transaction.execute("update t set a = $1 where id = 1", [a + 1]);
    });
    await Promise.all(Array.from({ length: 20 }, add));
    assert.deepStrictEqual(await db.query("select a from t"), [{ a: 20 }]);
    await assert.rejects(db.transaction(async (transaction) => {
      await transaction.execute("delete from t");
      throw new Error("mine");
    }), /mine/);
    assert.deepStrictEqual(await db.query("select count(*) from t"), [{ count: 1 }]);
    // Outside of the open transaction its changes are not seen, and what it locked is said to be.
    const transaction = await db.begin();
    await transaction.execute("update t set a = 99 where id = 1");
    assert.deepStrictEqual(await db.query("select a from t"), [{ a: 20 }]);
    await assert.rejects(db.execute("update t set a = 1 where id = 1"), code("55P03"));
    await transaction.commit();
    await assert.rejects(transaction.query("select 1"), code("25P01"));
    const failed = await db.begin();
    await assert.rejects(failed.query("select 1 / 0"), code("22012"));
    await assert.rejects(failed.commit(), code("25P02"));
    assert.deepStrictEqual(await db.query("select a from t"), [{ a: 99 }]);
    await db.close();
  },

  async "schema changes reach prepared statements"() {
    const db = await open("memory");
    await db.exec("create table t (id integer primary key, a text); insert into t values (1, 'x')");
    const all = await db.prepare("select * from t where id = $1");
    for (let round = 0; round < 3; round++) assert.deepStrictEqual(await all.query([1]), [{ id: 1, a: "x" }]);
    await db.exec("drop table t; create table t (id integer primary key, b boolean, c integer); insert into t values (1, true, 5)");
    for (let round = 0; round < 3; round++) assert.deepStrictEqual(await all.query([1]), [{ id: 1, b: true, c: 5 }]);
    for (let count = 0; count < 600; count++) assert.strictEqual((await db.query(`select ${count} as n`))[0].n, count);
    await db.close();
  },

  async "large results, cursors, many rows, COPY"() {
    const db = await open("memory");
    await db.exec("create table t (id integer primary key, a text)");
    const rows = Array.from({ length: 20000 }, (_, id) => [id, `row ${id}`]);
    assert.strictEqual(await db.executeMany("insert into t values ($1, $2)", rows), 20000);
    await assert.rejects(db.executeMany("insert into t values ($1, $2)", [[30000, "a"], [1, "b"]]), code("23505"));
    assert.deepStrictEqual(await db.query("select * from t order by id", [], { rows: "array" }), rows);
    const cursor = await db.cursor("select id from t where id >= $1 order by id", [19000]);
    assert.deepStrictEqual(cursor.columns, [{ name: "id", type: "integer" }]);
    assert.deepStrictEqual(await cursor.fetch(2), [{ id: 19000 }, { id: 19001 }]);
    let count = 2;
    for await (const row of cursor) assert.strictEqual(row.id, 19000 + count++);
    assert.strictEqual(count, 1000);
    await assert.rejects(cursor.fetch(1), code("34000"));
    assert.strictEqual(await db.copy("copy t from stdin with (format csv)", "100000,a\n100001,b\n"), 2);
    async function* parts() {
      for (let id = 200000; id < 210000; id++) yield new TextEncoder().encode(`${id},text of ${id}\n`);
    }
    assert.strictEqual(await db.copy("copy t from stdin with (format csv)", parts()), 10000);
    await assert.rejects(db.copy("copy t from stdin with (format csv)", "not a number,a\n"), code("22P02"));
    assert.deepStrictEqual(await db.query("select count(*) from t"), [{ count: 30002 }]);
    await db.close();
  },

  async "a file goes to the native program and back"() {
    const file = fileOf("both.orrery");
    native(file, "create table t (id integer primary key, a text); insert into t values (1, 'native')");
    let db = await open(file);
    await db.execute("insert into t values (2, 'node')");
    await db.close();
    assert.deepStrictEqual(fs.readdirSync(folder).filter((name) => name.startsWith("both")), ["both.orrery"]);
    assert.strictEqual(native(file, "select * from t order by id").trim(), "id,a\n1,native\n2,node");
    // Exported bytes are a file too, and a file's bytes import.
    db = await open("memory", { import: new Uint8Array(fs.readFileSync(file)) });
    await db.execute("insert into t values (3, 'memory')");
    const hash = await db.stateHash();
    fs.writeFileSync(fileOf("exported.orrery"), await db.export());
    assert.strictEqual(await db.stateHash(), hash);
    await db.close();
    assert.strictEqual(native(fileOf("exported.orrery"), "select count(*) from t").trim(), "count\n3");
    db = await open(fileOf("exported.orrery"), { create: false });
    assert.strictEqual(await db.stateHash(), hash);
    assert.deepStrictEqual(await db.check(), []);
    await db.close();
    await assert.rejects(open(fileOf("absent.orrery"), { create: false }), code("58P01"));
    fs.writeFileSync(fileOf("text.txt"), "not a database at all\n".repeat(2000));
    await assert.rejects(open(fileOf("text.txt")), (error) => error instanceof OrreryError);
  },

  async "one program at a time, whichever it is"() {
    const file = fileOf("locked.orrery");
    const db = await open(file);
    await assert.rejects(open(file), (error) => code("55006")(error) && error.message.includes(`process ${process.pid}`));
    assert.throws(() => native(file, "select 1"), /in use by process/);
    await db.close();
    assert.strictEqual(native(file, "select 1 as a").trim(), "a\n1");
    const holder = spawn(shell, [file], { stdio: ["pipe", "pipe", "ignore"] });
    holder.stdin.write("create table held (a integer);\n");
    while (!fs.existsSync(`${file}-log/owner`)) await new Promise((resolve) => setTimeout(resolve, 10));
    await assert.rejects(open(file), code("55006"));
    holder.stdin.end();
    await new Promise((resolve) => holder.on("exit", resolve));
    await (await open(file)).close();
  },

  async "Ctrl-C does not take the lock from a program that lives on"() {
    const file = fileOf("interrupted.orrery");
    const holder = `
      import { open } from "orrerydb";
      process.on("SIGINT", () => process.stdout.write("interrupted\\n"));
      const db = await open(process.argv[1]);
      process.stdout.write("open\\n");
      setInterval(() => {}, 1000);`;
    const here = path.dirname(fileURLToPath(import.meta.url));
    // As a terminal does it: to the whole process group.
    const child = spawn(process.execPath, ["--input-type=module", "-e", holder, file], { cwd: here, stdio: ["ignore", "pipe", "inherit"], detached: true });
    const says = (word) => new Promise((resolve) => child.stdout.on("data", (text) => String(text).includes(word) && resolve()));
    await says("open");
    const interrupted = says("interrupted");
    process.kill(-child.pid, "SIGINT");
    await interrupted;
    await new Promise((resolve) => setTimeout(resolve, 100));
    await assert.rejects(open(file), code("55006"));
    const gone = new Promise((resolve) => child.on("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    await (await open(file)).close();
  },

  async "what is no database is not imported, and the name stays free"() {
    const file = fileOf("imported.orrery");
    const garbage = new TextEncoder().encode("not a database at all\n".repeat(2000));
    await assert.rejects(open(file, { import: garbage }), (error) => error instanceof OrreryError);
    await assert.rejects(open("memory", { import: garbage }), (error) => error instanceof OrreryError);
    let db = await open(file);
    await db.exec("create table t (a integer)");
    await assert.rejects(open("memory", { import: await db.export(), nonsense: 1 }), code("22023"));
    const bytes = await db.export();
    await db.close();
    await db.close();
    await assert.rejects(open(file, { import: bytes }), code("42P04"));
    db = await open(file);
    assert.deepStrictEqual(await db.query("select count(*) from t"), [{ count: 0 }]);
    await db.close();
  },

  async "a killed process loses nothing that it was told of"() {
    const file = fileOf("killed.orrery");
    const writer = `
      import { open } from "orrerydb";
      const db = await open(process.argv[1], { memtable: 65536 });
      await db.exec("create table if not exists t (id serial primary key, a text); create table if not exists u (a integer)");
      let [{ count }] = await db.query("select count(*) from t");
      for (;;) {
        await db.transaction(async (transaction) => {
          await transaction.execute("insert into t (a) values ($1)", ["x".repeat(500)]);
          await transaction.execute("insert into u values (1)");
        });
        process.stdout.write(String(++count) + "\\n");
      }`;
    const here = path.dirname(fileURLToPath(import.meta.url));
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ["--input-type=module", "-e", writer, file], { cwd: here, stdio: ["ignore", "pipe", "inherit"] });
      let told = 0;
      await new Promise((resolve) => {
        let start = 0;
        child.stdout.on("data", (text) => {
          told = Number(String(text).trim().split("\n").at(-1));
          start ||= told;
          if (told - start > 300 + round * 70) child.kill("SIGKILL");
        });
        child.on("exit", resolve);
      });
      const db = await open(file);
      const [{ t, u }] = await db.query("select (select count(*) from t) as t, (select count(*) from u) as u");
      assert.ok(t === u && t >= told, `told of ${told}, found ${t} and ${u}`);
      assert.deepStrictEqual(await db.check(), []);
      await db.close();
    }
    assert.strictEqual(native(file, "select count(*) > 900 as ok from t").trim().split("\n").length, 2);
  },

  async "memory follows the buffer pool, not the file"() {
    const db = await open(fileOf("large.orrery"), { memory: 32 << 20, durability: "none" });
    await db.exec("create table t (id integer primary key, a text)");
    for (let part = 0; part < 40; part++) {
      await db.execute("insert into t select n, repeat(n::text, 250) from generate_series($1::integer, $1::integer + 1999) as s(n)", [part * 2000]);
    }
    const before = process.memoryUsage();
    const [row] = await db.query("select count(*) as rows, sum(length(a)) as bytes from t");
    const sorted = await db.query("select id from t order by a desc, id limit 1");
    await db.checkpoint();
    const size = fs.statSync(fileOf("large.orrery")).size;
    await db.close();
    assert.ok(row.rows === 80000 && sorted.length === 1 && size > 80e6, `${row.rows} rows, ${size} bytes`);
    const used = process.memoryUsage().arrayBuffers + process.memoryUsage().external;
    console.log(`  file ${(size / 1e6).toFixed(0)} MB, memory of all databases of this run ${(used / 1e6).toFixed(0)} MB, resident ${(before.rss / 1e6).toFixed(0)} MB`);
  },

  async "durability by interval syncs without another statement"() {
    const file = fileOf("interval.orrery");
    const db = await open(file, { durability: "interval:20" });
    await db.exec("create table t (a integer); insert into t values (1)");
    await new Promise((resolve) => setTimeout(resolve, 100));
    await db.close();
    assert.strictEqual(native(file, "select a from t").trim(), "a\n1");
  },
};

try {
  for (const [name, test] of Object.entries(tests)) {
    const start = performance.now();
    await test();
    console.log(`ok: ${name} (${(performance.now() - start).toFixed(0)} ms)`);
  }
} finally {
  fs.rmSync(folder, { recursive: true });
}
