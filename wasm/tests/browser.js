// The package in headless Chromium: `browser.js PART SITE CHROMIUM [ARGUMENTS]`. SITE is a folder of static files: the package in
// `orrerydb/`, Arrow in `arrow.js`, this folder in `tests/`, the demo page in `demo/`. Parts: `conformance STEPS` prints the transcript;
// `walk SHELL PYTHON FILES_PY SCREENSHOT` tries what only a browser has; SHELL is the native `orrery`, PYTHON an interpreter with the
// module, or "".

import assert from "node:assert";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";

const [part, site, chromium, ...more] = process.argv.slice(2);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };
const WAIT_MILLIS = 120_000;

/** A server of the site's files; it sets no header that a plain static host would not. */
function serve() {
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const file = path.join(site, name.endsWith("/") ? `${name}index.html` : name);
    if (!path.resolve(file).startsWith(path.resolve(site)) || !fs.existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "application/octet-stream" });
    fs.createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

async function launch(profile) {
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
  const args = [...quiet, "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];
  const browser = await puppeteer.launch({
    executablePath: chromium, headless: true, userDataDir: profile, args, protocolTimeout: WAIT_MILLIS,
  });
  return browser;
}

/** A page of ours whose errors end the run. */
async function newPage(browser, url) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error("page error:", error.message));
  page.on("console", (message) => message.type() === "error" && console.error("page:", message.text()));
  await page.goto(url, { waitUntil: "load" });
  return page;
}

async function conformance(page) {
  const steps = fs.readFileSync(more[0], "utf8");
  const found = await page.evaluate(async (steps) => {
    const { OrreryError, open } = await import("/orrerydb/index.js");
    const { transcript } = await import("/tests/runner.js");
    const { tableFromIPC } = window.Arrow;
    const counts = (bytes) => {
      const table = tableFromIPC(bytes);
      return [table.numCols, table.numRows];
    };
    return transcript(steps, (name, options) => open(`opfs:${name}`, options), OrreryError, counts);
  }, steps);
  process.stdout.write(found);
}

/** A second page with the same name gets a clear error, and the name is free once the first one closed. */
async function secondTab(browser, page, url) {
  await page.evaluate(async () => {
    const { open } = await import("/orrerydb/index.js");
    window.db = await open("opfs:tabs.orrery");
    await window.db.exec("create table t (a integer)");
  });
  const other = await newPage(browser, url);
  const attempt = () =>
    other.evaluate(async () => {
      const { open } = await import("/orrerydb/index.js");
      try {
        const db = await open("opfs:tabs.orrery");
        const rows = await db.query("select count(*) from t");
        await db.close();
        return rows;
      } catch (error) {
        return `${error.name} ${error.code}: ${error.message}`;
      }
    });
  assert.strictEqual(await attempt(), "OrreryError 55006: database tabs.orrery is in use by another tab or worker");
  await page.evaluate(() => window.db.close());
  assert.deepStrictEqual(await attempt(), [{ count: 0 }]);
  await other.close();
  console.log("second tab: a clear error while the first has it open, and none after");
}

/** The page commits row after row; its renderer is killed in the midst of it. What it was told of must be there. */
async function killedTab(browser, url, round) {
  const page = await newPage(browser, url);
  let told = 0;
  const enough = new Promise((resolve) => {
    page.exposeFunction("tell", (count) => {
      told = count;
      if (count >= 150 + round * 61) resolve();
    });
  });
  await page.evaluate(async () => {
    const { open } = await import("/orrerydb/index.js");
    const db = await open("opfs:killed.orrery", { memtable: 65536 });
    await db.exec("create table if not exists t (id serial primary key, a text); create table if not exists u (id integer)");
    window.insert = (async () => {
      let [{ count }] = await db.query("select count(*) from t");
      for (;;) {
        await db.transaction(async (transaction) => {
          await transaction.execute("insert into t (a) values ($1)", ["x".repeat(1000)]);
          await transaction.execute("insert into u values ($1)", [count]);
        });
        window.tell(++count);
      }
    })();
  });
  await enough;
  // `kill -9` of the process that runs page and worker, as the system does to a tab that takes too much memory.
  const session = await page.createCDPSession();
  const gone = new Promise((resolve) => page.once("error", resolve));
  session.send("Page.crash").catch(() => {});
  await gone;
  await page.close({ runBeforeUnload: false }).catch(() => {});
  const again = await newPage(browser, url);
  const found = await again.evaluate(async () => {
    const { open } = await import("/orrerydb/index.js");
    const db = await open("opfs:killed.orrery");
    const counts = await db.query("select (select count(*) from t) as t, (select count(*) from u) as u");
    const findings = await db.check();
    await db.close();
    return { ...counts[0], findings };
  });
  await again.close();
  assert.deepStrictEqual(found.findings, []);
  assert.strictEqual(found.t, found.u, "a transaction is whole");
  assert.ok(found.t >= told, `the page was told of ${told} commits, ${found.t} are there`);
  console.log(`killed tab: told of ${told} commits, ${found.t} found, the file is sound`);
  return found.t;
}

/** The page is loaded anew while the database is open: what was committed is there, what was not is gone, and the name is free. */
async function reload(page) {
  await page.evaluate(async () => {
    const { open } = await import("/orrerydb/index.js");
    window.db = await open("opfs:reload.orrery");
    await db.exec("create table t (id integer primary key, a text)");
    await db.executeMany("insert into t values ($1, $2)", Array.from({ length: 500 }, (_, n) => [n, "committed"]));
    const transaction = await db.begin();
    await transaction.execute("insert into t values (1000, 'not committed')");
    await transaction.execute("delete from t where id < 100");
  });
  await page.reload({ waitUntil: "load" });
  const found = await page.evaluate(async () => {
    const { open } = await import("/orrerydb/index.js");
    const db = await open("opfs:reload.orrery", { create: false });
    const [row] = await db.query("select count(*) as rows, min(id) as low, max(id) as high from t");
    const findings = await db.check();
    await db.close();
    return { ...row, findings };
  });
  assert.deepStrictEqual(found, { rows: 500, low: 0, high: 499, findings: [] });
  console.log("reload: what was committed is there, and nothing else");
}

/** A file goes into the browser as bytes and comes out as it went in; changed there, it comes out for the others. */
async function moved(page, name, file) {
  const native = fs.readFileSync(file).toString("base64");
  const found = await page.evaluate(async (name, text) => {
    const { open } = await import("/orrerydb/index.js");
    const pack = (bytes) => {
      let packed = "";
      for (const byte of bytes) packed += String.fromCharCode(byte);
      return btoa(packed);
    };
    const bytes = Uint8Array.from(atob(text), (it) => it.charCodeAt(0));
    let db = await open(`opfs:${name}`, { import: bytes });
    const before = await db.stateHash();
    await db.execute("insert into stock (id, name) values (77, 'from a browser')");
    // It is the browser's now, and stays.
    await db.close();
    db = await open(`opfs:${name}`);
    const after = await db.stateHash();
    const out = await db.export();
    // It goes on after an export.
    await db.execute("insert into stock (id, name) values (78, 'after the export')");
    await db.close();
    return { before, after, changed: pack(out) };
  }, name, native);
  const changed = file.replace(".orrery", "-changed.orrery");
  fs.writeFileSync(changed, Buffer.from(found.changed, "base64"));
  return { ...found, changed };
}

async function files(page, folder) {
  const [shell, python, script] = more;
  const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const file = path.join(folder, "shell.orrery");
  run(shell, file, "-c", "create table stock (id integer primary key, name text not null); insert into stock values (1, 'lamp')");
  const { changed } = await moved(page, "moved.orrery", file);
  const rows = run(shell, changed, "--format", "csv", "-c", "select id, name from stock order by id");
  assert.match(rows, /1,lamp\n77,from a browser\n$/);
  run(shell, "check", changed);
  console.log("files: one of the shell's came in, was changed, and went back");
  if (python === "") {
    console.log("files: skipped Python's, which is not here");
    return;
  }
  const made = path.join(folder, "python.orrery");
  const state = run(python, script, "make", made).trim();
  const found = await moved(page, "python.orrery", made);
  assert.strictEqual(found.before, state, "the browser sees the state that Python left");
  const looked = run(python, script, "look", found.changed);
  assert.strictEqual(looked, `${found.after}\n1 lamp 19.90\n2 häß ✓ None\n77 from a browser None\n4903 Ada\n`);
  run(shell, "check", found.changed);
  console.log(`files: one of Python's came in (state ${state}), was changed, and went back (state ${found.after})`);
}

/** An origin without room: a typed error, what was committed stays, and after a delete or with more room it goes on. */
async function fullDisk(page, url) {
  const session = await page.createCDPSession();
  const origin = new URL(url).origin;
  const { usage } = await session.send("Storage.getUsageAndQuota", { origin });
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: Math.round(usage) + (24 << 20) });
  const found = await page.evaluate(async () => {
    const { open } = await import("/orrerydb/index.js");
    window.full = await open("opfs:full.orrery", { memtable: 1 << 20 });
    await full.exec("create table t (id integer primary key, a text)");
    let told = 0;
    let code = null;
    while (code === null && told < 40_000) {
      const rows = Array.from({ length: 50 }, (_, n) => [told + n, String(told + n).repeat(1000)]);
      try {
        await full.executeMany("insert into t values ($1, $2)", rows);
        told += 50;
      } catch (error) {
        code = error.code ?? String(error);
      }
    }
    const [{ count }] = await full.query("select count(*) from t");
    return { code, told, count, findings: await full.check() };
  });
  assert.strictEqual(found.code, "53100", JSON.stringify(found));
  assert.strictEqual(found.count, found.told, "what was committed is there, and nothing else");
  assert.deepStrictEqual(found.findings, []);
  const deleted = await page.evaluate(async () => {
    const gone = await full.execute("delete from t where id % 2 = 0");
    await full.execute("insert into t values (-1, 'after the delete')");
    return gone;
  });
  assert.strictEqual(deleted, found.told / 2);
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  const after = await page.evaluate(async () => {
    await full.execute("insert into t values (-2, repeat('x', 5000000))");
    await full.close();
    const { open } = await import("/orrerydb/index.js");
    const db = await open("opfs:full.orrery");
    const [{ count }] = await db.query("select count(*) from t");
    const findings = await db.check();
    await db.close();
    return { count, findings };
  });
  assert.deepStrictEqual(after, { count: found.told / 2 + 2, findings: [] });
  console.log(`full disk: 53100 after ${found.told} rows, then a delete makes room, and all is sound`);
}

/** A sort beyond its memory goes through scratch files, a load through the ring of log files. */
async function spill(page) {
  const found = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const worker = new Worker("/tests/spill-worker.js", { type: "module" });
        worker.onmessage = ({ data }) => {
          worker.terminate();
          resolve(data);
        };
        worker.postMessage(null);
      }),
  );
  assert.strictEqual(found.error, undefined);
  assert.ok(found.count === 200_000 && found.isSorted && found.findings.length === 0, JSON.stringify(found));
  assert.ok(found.written.temp > 5e6, `the sort wrote ${found.written.temp} bytes of scratch`);
  const slots = Object.keys(found.written).filter((name) => name.startsWith("slot-"));
  console.log(`spill: ${found.count} rows sorted through ${found.written.temp} bytes of scratch, ${slots.length} log slots used`);
}

/** The demo page: loads the flights, answers, shows an error, survives a reload. */
async function demo(browser, url) {
  const page = await newPage(browser, `${url}demo/`);
  await page.setViewport({ width: 1360, height: 860 });
  const ready = () => page.waitForFunction(() => document.body.dataset.ready === "yes", { timeout: WAIT_MILLIS });
  await ready();
  const text = (id) => page.$eval(`#${id}`, (element) => element.textContent);
  assert.match(await text("status"), /^27,004 flights in opfs:flights.orrery, loaded in /);
  assert.match(await text("timing"), /^16 rows in /);
  assert.match(await text("plan"), /flights/);
  await page.screenshot({ path: more[3] });
  console.log(`demo: ${await text("status")}; ${await text("timing")}`);
  await page.$eval("#sql", (element) => (element.value = "select carier from flights"));
  await page.click("#run");
  await page.waitForFunction(() => !document.getElementById("error").hidden, { timeout: WAIT_MILLIS });
  assert.match(await text("error"), /^42703: column "carier" does not exist \(at character 8\)/);
  await page.reload({ waitUntil: "load" });
  await ready();
  assert.match(await text("status"), /^27,004 flights in opfs:flights.orrery, opened in /);
  console.log(`demo after a reload: ${await text("status")}; ${await text("timing")}`);
  const second = await newPage(browser, `${url}demo/`);
  await second.waitForFunction(() => !document.getElementById("error").hidden, { timeout: WAIT_MILLIS });
  assert.match(await second.$eval("#status", (element) => element.textContent), /Another tab/);
  await second.close();
  await page.close();
}

const server = await serve();
const url = `http://127.0.0.1:${server.address().port}/`;
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "orrery-chromium-"));
const browser = await launch(profile);
try {
  const page = await newPage(browser, `${url}tests/blank.html`);
  if (part === "conformance") {
    await conformance(page);
  } else {
    await secondTab(browser, page, `${url}tests/blank.html`);
    await reload(page);
    await files(page, profile);
    await spill(page);
    await fullDisk(page, url);
    for (let round = 0; round < 3; round++) await killedTab(browser, `${url}tests/blank.html`, round);
    await demo(browser, url);
  }
} finally {
  await browser.close();
  server.close();
  fs.rmSync(profile, { recursive: true, force: true });
}
