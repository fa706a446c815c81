//! The relations of the running database: `orrery.*` and `pg_settings`, and the budgets that can be changed while it runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Connection, Database, SqlState};
use std::thread::{spawn, yield_now};

fn lines(connection: &mut Connection, sql: &str) -> Vec<String> {
    let rows = connection.query(sql, &[]).unwrap();
    rows.map(|row| {
        let row = row.unwrap();
        let texts = (0..row.len()).map(|at| row.text(at).unwrap().unwrap_or_else(|| "-".to_owned()));
        texts.collect::<Vec<_>>().join("|")
    })
    .collect()
}

fn value(connection: &mut Connection, sql: &str) -> String {
    lines(connection, sql).concat()
}

fn code(connection: &mut Connection, sql: &str) -> SqlState {
    connection.run(sql).unwrap_err().code()
}

fn filled() -> (Database, Connection) {
    let db = Database::in_memory().unwrap();
    let mut connection = db.connect();
    connection
        .run(
            "create table t (id integer primary key, a integer, b text); create index ta on t (a);
              insert into t select n, n % 7, repeat('x', 20) from generate_series(1, 5000) as s(n)",
        )
        .unwrap();
    (db, connection)
}

#[test]
fn a_kept_plan_shows_what_is_there_now() {
    let (_db, mut connection) = filled();
    connection
        .run("prepare c as select count(*) from orrery.checkpoints where reason = 'requested'")
        .unwrap();
    assert_eq!(value(&mut connection, "execute c"), "0");
    connection.run("checkpoint").unwrap();
    assert_eq!(value(&mut connection, "execute c"), "1");
    connection.run("insert into t values (0, 0, ''); checkpoint").unwrap();
    assert_eq!(value(&mut connection, "execute c"), "2");
    let sql = "select rows > 0, leaves > 0, bytes_written > 8000, begun <= ended, error is null
        from orrery.checkpoints order by number limit 1";
    assert_eq!(value(&mut connection, sql), "t|t|t|t|t");
}

#[test]
fn the_shape_of_trees() {
    let (_db, mut connection) = filled();
    let sql = "select relation, index, rows, levels, leaves > 10, inner_pages, long_values, bytes > 100000,
        fill between 0.4 and 1 from orrery.tree_statistics order by index nulls first";
    assert_eq!(
        lines(&mut connection, sql),
        ["t|-|0|0|f|0|0|f|-", "t|ta|0|0|f|0|0|f|-"],
        "nothing is folded yet"
    );
    connection.run("insert into t values (-1, 0, repeat('y', 100000)); checkpoint").unwrap();
    assert_eq!(lines(&mut connection, sql), ["t|-|5001|2|t|1|1|t|t", "t|ta|5001|2|t|1|0|t|t"]);
    let joined =
        "select c.relname, s.rows from orrery.tree_statistics s join pg_class c on c.relname = s.relation
        where s.index is null";
    assert_eq!(lines(&mut connection, joined), ["t|5001"]);
    let lateral =
        "select n, (select max(rows) + n from orrery.tree_statistics) from generate_series(1, 2) as s(n)";
    assert_eq!(lines(&mut connection, lateral), ["1|5002", "2|5003"]);
}

#[test]
fn locks_of_others() {
    let (db, mut connection) = filled();
    let mut holder = db.connect();
    holder.run("begin; select pg_advisory_lock(7); update t set a = 1 where id in (1, 2)").unwrap();
    let held = "select kind, relation, mode, granted, count(*) from orrery.locks
        where kind <> 'relation' or relation = 't' and mode <> 'AccessShareLock'
        group by 1, 2, 3, 4 order by 1, 3";
    let expected =
        ["advisory|-|ExclusiveLock|t|1", "relation|t|RowExclusiveLock|t|1", "row|-|NoKeyUpdate|t|2"];
    assert_eq!(lines(&mut connection, held), expected);
    let one_session = "select count(distinct session), count(*) = count(session), min(since) <= now()
        from orrery.locks where kind <> 'relation' or mode = 'RowExclusiveLock'";
    assert_eq!(value(&mut connection, one_session), "1|t|t");
    let mut waiter = db.connect();
    let waiting = spawn(move || waiter.run("update t set a = 2 where id = 2"));
    while db.stats().lock_wait_count == 0 {
        yield_now();
    }
    let waited = "select relation, row, mode, granted, waiters from orrery.locks
        where kind = 'row' and relation is not null order by granted";
    let key = "\\x00";
    let rows = lines(&mut connection, waited);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows[0].starts_with(&format!("t|{}", &key[..2])) && rows[0].ends_with("|NoKeyUpdate|f|0"),
        "{rows:?}"
    );
    assert!(rows[1].ends_with("|NoKeyUpdate|t|1"), "{rows:?}");
    holder.run("rollback").unwrap();
    waiting.join().unwrap().unwrap();
    assert_eq!(value(&mut connection, "select count(*) from orrery.locks where kind = 'row'"), "0");
}

#[test]
fn a_load_that_keeps_its_locks_to_itself_shows_them() {
    let (db, mut connection) = filled();
    let mut holder = db.connect();
    holder.run("begin; update t set a = 1").unwrap();
    assert_eq!(value(&mut connection, "select count(*) from orrery.locks where kind = 'row'"), "5000");
    holder.run("commit").unwrap();
}

#[test]
fn statements_by_their_text_without_literals() {
    let (db, mut connection) = filled();
    for number in 0..5 {
        lines(&mut connection, &format!("SELECT a FROM t WHERE id  = {number} -- {number}"));
    }
    assert_eq!(code(&mut connection, "select 1 / 0"), SqlState::DIVISION_BY_ZERO);
    let of = |text: &str| {
        format!(
            "select calls, errors, rows, timed_calls, total_ms >= max_ms, max_ms >= min_ms, spilled_bytes
            from orrery.statements where statement = '{text}'"
        )
    };
    assert_eq!(value(&mut connection, &of("select a from t where id = ?")), "5|0|4|5|t|t|0");
    assert_eq!(value(&mut connection, &of("select ? / ?")), "1|1|0|1|t|t|0");
    // By its whole key, on the caller's stack: counted by the session first.
    let mut other = db.connect();
    let point = other.prepare("select b from t where id = $1").unwrap();
    for number in 1..=10_i64 {
        assert_eq!(other.query_row(&point, &[number.into()], |row| row.text(0).len()).unwrap(), Some(20));
    }
    other.run("select 2").unwrap();
    let calls = "select calls, rows from orrery.statements where statement = 'select b from t where id = $1'";
    assert_eq!(value(&mut connection, calls), "10|10");
    connection.run("set work_mem = '64kB'").unwrap();
    lines(
        &mut connection,
        "select repeat('z', 100) || n from generate_series(1, 20000) as s(n) order by 1 desc",
    );
    let spilled = "select spilled_bytes > 1000000, max_ms > 0 from orrery.statements where statement like '%order by ? desc'";
    assert_eq!(value(&mut connection, spilled), "t|t");
    let peak =
        "select limit_bytes, used_bytes >= 0, peak_bytes > 60000 from orrery.memory where name like 'sorts%'";
    assert_eq!(value(&mut connection, peak), "65536|t|t");
}

#[test]
fn memory_and_its_budgets_while_it_runs() {
    let (db, mut connection) = filled();
    let names = lines(&mut connection, "select name from orrery.memory");
    assert_eq!(
        names,
        ["pool", "memtables", "write sets", "locks", "sorts and hash tables", "statement figures"]
    );
    assert_eq!(lines(&mut connection, "show memory").len(), names.len());
    let memtables =
        "select used_bytes > 100000, peak_bytes >= used_bytes from orrery.memory where name = 'memtables'";
    assert_eq!(value(&mut connection, memtables), "t|t");
    connection.run("begin; update t set b = repeat('w', 200)").unwrap();
    let writes = "select used_bytes > 500000 from orrery.memory where name = 'write sets'";
    assert_eq!(value(&mut connection, writes), "t");
    connection.run("rollback").unwrap();
    let writes = "select used_bytes, peak_bytes > 500000 from orrery.memory where name = 'write sets'";
    assert_eq!(value(&mut connection, writes), "0|t");

    let pool_bytes = db.stats().pool.budget_bytes;
    connection.run("alter system set memory.pool = '2MB'").unwrap();
    assert_eq!(value(&mut connection, "show memory.pool"), "2MB");
    assert_eq!(db.stats().pool.budget_bytes, 2 << 20);
    connection.run("alter system reset memory.pool; alter system set memory.memtables to '128kB'").unwrap();
    assert_eq!(db.stats().pool.budget_bytes, pool_bytes);
    // A checkpoint is due at once.
    while value(&mut connection, "select count(*) from orrery.checkpoints where reason = 'memtable'") == "0" {
        yield_now();
    }
    assert_eq!(code(&mut connection, "set memory.pool = '1MB'"), SqlState::CANT_CHANGE_RUNTIME_PARAM);
    assert_eq!(
        code(&mut connection, "alter system set work_mem = '1MB'"),
        SqlState::CANT_CHANGE_RUNTIME_PARAM
    );
    assert_eq!(code(&mut connection, "alter system set nonsense = '1MB'"), SqlState::UNDEFINED_OBJECT);
    assert_eq!(
        code(&mut connection, "alter system set memory.pool = 'cat'"),
        SqlState::INVALID_PARAMETER_VALUE
    );
    connection.run("begin").unwrap();
    assert_eq!(code(&mut connection, "alter system reset memory.pool"), SqlState::ACTIVE_SQL_TRANSACTION);
}

#[test]
fn settings() {
    let (_db, mut connection) = filled();
    let sql = "select name, setting, unit, vartype, source from pg_settings
        where name in ('work_mem', 'timezone', 'enable_sort', 'statement_timeout') order by name";
    let expected = [
        "enable_sort|on|-|bool|default",
        "statement_timeout|0|ms|integer|default",
        "timezone|UTC|-|string|default",
        "work_mem|65536|kB|integer|default",
    ];
    assert_eq!(lines(&mut connection, sql), expected);
    connection.run("set statement_timeout = '2s'").unwrap();
    let sql = "select setting, source from orrery.settings where name = 'statement_timeout'";
    assert_eq!(value(&mut connection, sql), "2000|session");
    let differing = "select count(*) from pg_settings a full join orrery.settings b using (name)
        where a.setting is distinct from b.setting";
    assert_eq!(value(&mut connection, differing), "0");
}

#[test]
fn they_are_read_only_relations_of_a_schema() {
    let (_db, mut connection) = filled();
    assert_eq!(code(&mut connection, "create schema orrery"), SqlState::DUPLICATE_SCHEMA);
    assert_eq!(code(&mut connection, "create table orrery.x (a integer)"), SqlState::INSUFFICIENT_PRIVILEGE);
    for sql in ["insert into orrery.locks values (1)", "delete from orrery.locks", "drop table orrery.locks"]
    {
        assert_eq!(code(&mut connection, sql), SqlState::UNDEFINED_TABLE, "{sql}");
    }
    assert_eq!(code(&mut connection, "select * from orrery.nothing"), SqlState::UNDEFINED_TABLE);
    let past = "select * from orrery.locks as of system time '-0s'";
    assert_eq!(code(&mut connection, past), SqlState::FEATURE_NOT_SUPPORTED);
    let plan =
        lines(&mut connection, "explain (costs off) select name from orrery.memory where used_bytes > 5");
    assert_eq!(plan, ["Live Scan on orrery.memory", "  Filter: (used_bytes > '5'::bigint)"]);
    assert_eq!(value(&mut connection, "select 'orrery.memory'::regclass::text"), "orrery.memory");
    connection.run("create view busy as select name from orrery.memory where used_bytes > 0").unwrap();
    assert!(!lines(&mut connection, "select * from busy").is_empty());
    assert_eq!(orrerydb::live_relations().len(), 6);
}
