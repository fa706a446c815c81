// That the types say what the package does: compiled, never run.

import { OrreryError, open, type Database, type Row } from "orrerydb";

const db: Database = await open("opfs:shop.orrery", { seed: 7, durability: "interval:10" });
const rows: Row[] = await db.query("select 1", [1, 2n, "a", null, new Date(), new Uint8Array(1)]);
const typed: { id: number; name: string }[] = await db.query<{ id: number; name: string }>("select id, name from t");
const count: number = await db.transaction(async (transaction) => {
  const statement = await transaction.prepare("insert into t values ($1)");
  return statement.executeMany([[1], [2]]);
});
for await (const row of await db.cursor("select id from t")) console.log(row.id, count, rows, typed);
const bytes: Uint8Array = await db.queryArrow("select 1");
const found: Uint8Array | null = await db.keyValue.get("a");
try {
  await db.exec("selec");
} catch (error) {
  if (error instanceof OrreryError) console.log(error.code, error.position?.toFixed(), bytes, found);
}
// @ts-expect-error: an object is no parameter.
await db.query("select $1", [{}]);
// @ts-expect-error: there is no such option.
await open("memory", { durable: true });
