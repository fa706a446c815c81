// A page of static files: the flights of a month in a database of this origin, and SQL over them.

import { OrreryError, open } from "./orrerydb/index.js";

const NAME = "flights.orrery";
const ROWS_SHOWN = 500;
const TABLES = `
  create table airlines (carrier text primary key, name text not null);
  create table flights (
    year integer, month integer, day integer, dep_time integer, sched_dep_time integer, dep_delay integer,
    arr_time integer, sched_arr_time integer, arr_delay integer, carrier text, flight integer, tailnum text,
    origin text, dest text, air_time integer, distance integer, hour integer, minute integer, time_hour timestamptz)`;
const EXAMPLES = {
  "Punctual airlines": `select a.name, count(*) as flights, round(avg(f.arr_delay), 1) as delay
from flights f join airlines a using (carrier)
where f.arr_delay is not null
group by a.name
order by delay`,
  "Busiest days": `select day, count(*) as flights, sum((dep_delay > 60)::int) as over_an_hour_late
from flights
group by day
order by flights desc
limit 10`,
  "Longest by airport": `select origin, dest, distance, air_time, time_hour
from (select *, row_number() over (partition by origin order by distance desc, air_time desc) as place
      from flights where air_time is not null) as ranked
where place <= 3
order by origin, place`,
  "An error": `select carier from flights`,
};

const at = (id) => document.getElementById(id);
let db;

function seconds(start) {
  const millis = performance.now() - start;
  return millis < 1000 ? `${millis.toFixed(1)} ms` : `${(millis / 1000).toFixed(2)} s`;
}

async function fetched(name) {
  const answer = await fetch(`data/${name}`);
  if (!answer.ok) throw new Error(`data/${name}: ${answer.status}`);
  if (!name.endsWith(".gz")) return answer.body;
  // A server that unpacks it on the way says so.
  const isPacked = answer.headers.get("content-encoding") !== "gzip";
  return isPacked ? answer.body.pipeThrough(new DecompressionStream("gzip")) : answer.body;
}

/** Loads the tables in one transaction, so that a reload in the midst of it finds none of them. */
async function load() {
  const start = performance.now();
  at("status").textContent = "Loading the flights…";
  const [airlines, flights] = await Promise.all([fetched("airlines.csv"), fetched("flights-2013-01.csv.gz")]);
  const count = await db.transaction(async (transaction) => {
    await transaction.exec(`drop table if exists flights; drop table if exists airlines; ${TABLES}`);
    await transaction.copy("copy airlines from stdin with (format csv, header true)", airlines);
    return transaction.copy("copy flights from stdin with (format csv, header true, null 'NA')", flights);
  });
  await db.exec("analyze");
  await showStatus(`loaded in ${seconds(start)}`);
  return count;
}

async function isLoaded() {
  try {
    await db.query("select 1 from flights limit 1");
    return true;
  } catch (error) {
    if (error.code === "42P01") return false;
    throw error;
  }
}

async function showStatus(note) {
  const [{ count }] = await db.query("select count(*) from flights");
  at("status").textContent = `${count.toLocaleString("en")} flights in opfs:${NAME}, ${note}`;
}

function tableOf(columns, rows) {
  const table = document.createElement("table");
  const isNumber = columns.map(({ type }) => /int|real|double|numeric/.test(type));
  const head = table.createTHead().insertRow();
  columns.forEach(({ name, type }, column) => {
    const cell = document.createElement("th");
    const small = document.createElement("small");
    small.textContent = type;
    cell.append(name, small);
    if (isNumber[column]) cell.className = "number";
    head.append(cell);
  });
  const body = table.createTBody();
  for (const row of rows.slice(0, ROWS_SHOWN)) {
    const line = body.insertRow();
    row.forEach((value, column) => {
      const cell = line.insertCell();
      cell.textContent = value === null ? "null" : value instanceof Date ? value.toISOString() : String(value);
      cell.className = value === null ? "null" : isNumber[column] ? "number" : "";
    });
  }
  return table;
}

function showError(error) {
  if (!(error instanceof OrreryError)) throw error;
  const place = error.position === undefined ? "" : ` (at character ${error.position})`;
  at("error").textContent = [`${error.code}: ${error.message}${place}`, error.detail, error.hint].filter(Boolean).join("\n");
  at("error").hidden = false;
}

async function run() {
  const sql = at("sql").value.trim().replace(/;$/, "");
  at("error").hidden = true;
  at("table").replaceChildren();
  at("plan").textContent = "";
  at("timing").textContent = "Running…";
  at("run").disabled = true;
  const start = performance.now();
  try {
    const { columns, rows, changed } = await db.run(sql, [], { rows: "array" });
    const took = seconds(start);
    if (columns === null) {
      at("timing").textContent = `${changed === null ? "Done" : `${changed} rows changed`} in ${took}`;
      return;
    }
    const cut = rows.length > ROWS_SHOWN ? `, the first ${ROWS_SHOWN} shown` : "";
    at("timing").textContent = `${rows.length.toLocaleString("en")} rows in ${took}${cut}`;
    at("table").replaceChildren(tableOf(columns, rows));
    if (/^(select|with|values)/i.test(sql)) {
      const plan = await db.query(`explain analyze ${sql}`, [], { rows: "array" });
      at("plan").textContent = plan.map((line) => line.join(" ")).join("\n");
    }
  } catch (error) {
    at("timing").textContent = "";
    showError(error);
  } finally {
    at("run").disabled = false;
  }
}

async function save() {
  const bytes = await db.export();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes]));
  link.download = NAME;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function start() {
  const began = performance.now();
  try {
    db = await open(`opfs:${NAME}`);
    if (await isLoaded()) await showStatus(`opened in ${seconds(began)}`);
    else await load();
  } catch (error) {
    at("status").textContent = error.code === "55006" ? "Another tab has the database open." : "It did not open.";
    showError(error);
    return;
  }
  for (const id of ["run", "export", "reset"]) at(id).disabled = false;
  await run();
  document.body.dataset.ready = "yes";
}

for (const [title, sql] of Object.entries(EXAMPLES)) {
  const button = document.createElement("button");
  button.textContent = title;
  button.onclick = () => {
    at("sql").value = sql;
    if (!at("run").disabled) run();
  };
  at("examples").append(button);
}
at("sql").value = Object.values(EXAMPLES)[0];
at("run").onclick = run;
at("export").onclick = save;
at("reset").onclick = () => load().then(run, showError);
at("sql").onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !at("run").disabled) run();
};
start();
