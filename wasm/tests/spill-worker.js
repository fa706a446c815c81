// A sort beyond its memory, in a worker of our own, where what reaches the browser's files can be counted.

const written = {};
const names = new WeakMap();
const create = FileSystemFileHandle.prototype.createSyncAccessHandle;
FileSystemFileHandle.prototype.createSyncAccessHandle = async function () {
  const handle = await create.call(this);
  names.set(handle, this.name);
  return handle;
};
const write = FileSystemSyncAccessHandle.prototype.write;
FileSystemSyncAccessHandle.prototype.write = function (data, options) {
  const name = names.get(this);
  written[name] = (written[name] ?? 0) + data.byteLength;
  return write.call(this, data, options);
};

self.onmessage = async () => {
  try {
    const { open } = await import("/orrerydb/index.js");
    const db = await open("opfs:large.orrery", { memory: 32 << 20, memtable: 1 << 20 });
    await db.exec("set work_mem = '1MB'; create table t (id integer primary key, a text)");
    for (let part = 0; part < 20; part++) {
      const insert = "insert into t select n, repeat(n::text, 4) from generate_series($1::integer, $1::integer + 9999) as s(n)";
      await db.execute(insert, [part * 10000]);
    }
    const rows = await db.query("select id, a from t order by a desc, id");
    const isSorted = rows.every((row, index) => index === 0 || rows[index - 1].a > row.a || (rows[index - 1].a === row.a && rows[index - 1].id < row.id));
    const findings = await db.check();
    await db.close();
    self.postMessage({ count: rows.length, isSorted, findings, written });
  } catch (error) {
    self.postMessage({ error: String(error?.stack ?? error) });
  }
};
