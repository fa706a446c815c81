/** What may be a parameter. Integers go as `bigint`, other numbers as `double precision`, a `Date` as `timestamptz`. */
export type Param = null | undefined | boolean | number | bigint | string | Uint8Array | Date;

/**
 * What may come back: `smallint`, `integer`, `real`, `double precision` as number; `bigint` as number where that is exact, else
 * as bigint; `bytea` as Uint8Array; `timestamptz` as Date (whole milliseconds); all else, `numeric` too, as PostgreSQL's text.
 */
export type Value = null | boolean | number | bigint | string | Uint8Array | Date;

export type Row = Record<string, Value>;

export interface Column {
  name: string;
  /** As SQL writes it: "integer", "numeric(8,2)". */
  type: string;
}

export interface Result<R> {
  /** `null` for a command that gives no rows. */
  columns: Column[] | null;
  rows: R[];
  /** Rows changed; `null` where that is not counted. */
  changed: number | null;
}

export interface OpenOptions {
  /** Seed of all that is drawn. */
  seed?: number;
  /** A clock that stands still, in microseconds since 1970. */
  now?: number;
  /** Whether an absent database is made. Default: true. */
  create?: boolean;
  /** When a commit answers. Default: "full". */
  durability?: "full" | "none" | "interval" | `interval:${number}`;
  /** Bytes of memory to count on. Default: 256 MiB. */
  memory?: number;
  /** Bytes of the buffer pool. Default: a quarter of `memory`. */
  pool?: number;
  /** Bytes of changes held in memory before a checkpoint. */
  memtable?: number;
  /** The bytes of a database file, for a new database. */
  import?: Uint8Array;
  /** `false`: no worker where a page would start one. For databases in memory. */
  worker?: boolean;
}

/** What the database says. */
export class OrreryError extends Error {
  readonly name: "OrreryError";
  /** SQLSTATE. */
  readonly code: string;
  /** In characters of the statement, from 1. */
  readonly position?: number;
  readonly detail?: string;
  readonly hint?: string;
}

/** Opens a database: "memory"; "opfs:NAME" in a browser; a path in Node. */
export function open(target: string, options?: OpenOptions): Promise<Database>;

interface Session {
  query<R = Row>(sql: string, params?: readonly Param[]): Promise<R[]>;
  query(sql: string, params: readonly Param[], options: { rows: "array" }): Promise<Value[][]>;
  run<R = Row>(sql: string, params?: readonly Param[]): Promise<Result<R>>;
  run(sql: string, params: readonly Param[], options: { rows: "array" }): Promise<Result<Value[]>>;
  execute(sql: string, params?: readonly Param[]): Promise<number | null>;
  /** All rows or none. */
  executeMany(sql: string, rows: readonly (readonly Param[])[]): Promise<number>;
  exec(script: string): Promise<void>;
  queryArrow(sql: string, params?: readonly Param[]): Promise<Uint8Array>;
  /** `COPY … FROM STDIN`. */
  copy(
    sql: string,
    data: string | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<number>;
  prepare(sql: string): Promise<Statement>;
  cursor<R = Row>(sql: string, params?: readonly Param[]): Promise<Cursor<R>>;
}

export interface Database extends Session {
  /** Committed when `body` answers, rolled back when it throws. Transactions take turns: do not begin one inside another. */
  transaction<T>(body: (transaction: Transaction) => Promise<T>): Promise<T>;
  begin(): Promise<Transaction>;
  readonly keyValue: KeyValue;
  stateHash(): Promise<string>;
  checkpoint(): Promise<void>;
  check(): Promise<string[]>;
  export(): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface Transaction extends Session {
  readonly isOpen: boolean;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

export interface Statement {
  readonly sql: string;
  query<R = Row>(params?: readonly Param[]): Promise<R[]>;
  query(params: readonly Param[], options: { rows: "array" }): Promise<Value[][]>;
  execute(params?: readonly Param[]): Promise<number | null>;
  executeMany(rows: readonly (readonly Param[])[]): Promise<number>;
  queryArrow(params?: readonly Param[]): Promise<Uint8Array>;
}

export interface Cursor<R> extends AsyncIterable<R> {
  readonly columns: Column[];
  /** Fewer rows than asked for only at the end. */
  fetch(count: number): Promise<R[]>;
  fetch(count: number, options: { rows: "array" }): Promise<Value[][]>;
  close(): Promise<void>;
}

export interface KeyValue {
  get(key: string | Uint8Array): Promise<Uint8Array | null>;
  set(key: string | Uint8Array, value: string | Uint8Array): Promise<void>;
  delete(key: string | Uint8Array): Promise<boolean>;
  list(prefix: string | Uint8Array, limit?: number): Promise<[Uint8Array, Uint8Array][]>;
}
