//! `AS OF SYSTEM TIME` through SQL: statements see data and schema as they were, whatever checkpoints, schema changes and
//! reopening came between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Connection, Database, Options, SqlState};

fn open(path: &std::path::Path) -> Database {
    Database::open_with(path.to_str().unwrap(), &Options { memory_bytes: 256 << 20, ..Options::default() })
        .unwrap()
}

fn rows(connection: &mut Connection, sql: &str) -> Result<Vec<String>, SqlState> {
    let rows = connection.query(sql, &[]).map_err(|error| error.code())?;
    let line = |row: orrerydb::Row| {
        let values = (0..row.len()).map(|column| row.text(column).unwrap().unwrap_or_else(|| "NULL".into()));
        values.collect::<Vec<_>>().join(" ")
    };
    rows.map(|row| row.map(line).map_err(|error| error.code())).collect()
}

fn one(connection: &mut Connection, sql: &str) -> Result<String, SqlState> {
    rows(connection, sql).map(|mut rows| rows.pop().unwrap())
}

/// A moment as a literal; nothing is committed within its microsecond afterwards.
fn moment(connection: &mut Connection) -> String {
    std::thread::sleep(std::time::Duration::from_millis(2));
    let moment = one(connection, "select now()").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    format!("'{moment}'")
}

#[test]
fn statements_see_data_and_schema_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("past.orrery");
    let mut moments = Vec::new();
    {
        let database = open(&path);
        let mut c = database.connect();
        let before = moment(&mut c);
        assert_eq!(
            one(&mut c, &format!("select 1 from t as of system time {before}")),
            Err(SqlState::UNDEFINED_TABLE)
        );
        c.run("create table t (id integer primary key, v text); insert into t select g, 'old ' || g from generate_series(1, 500) g").unwrap();
        moments.push((moment(&mut c), "500 old 7"));
        c.run("update t set v = 'new ' || id").unwrap();
        moments.push((moment(&mut c), "500 new 7"));
        database.checkpoint().unwrap();
        moments.push((moment(&mut c), "500 new 7"));
        c.run("delete from t where id % 2 = 0; create index t_v on t (v); update t set v = 'third' where id = 7").unwrap();
        database.checkpoint().unwrap();
        moments.push((moment(&mut c), "250 third"));
        c.run("alter table t rename column v to w; insert into t values (2, 'back')").unwrap();
        assert_eq!(
            one(&mut c, "select count(*) || ' ' || max(w) filter (where id = 7) from t").unwrap(),
            "251 third"
        );
    }
    let database = open(&path);
    let mut c = database.connect();
    for (moment, expected) in &moments {
        let sql = format!(
            "select count(*) || ' ' || max(v) filter (where id = 7) from t as of system time {moment}"
        );
        assert_eq!(one(&mut c, &sql).unwrap(), *expected, "{moment}");
        let by_key = format!("select v from t as of system time {moment} where id = 7");
        assert!(expected.ends_with(&one(&mut c, &by_key).unwrap()), "{moment}");
        let joined = format!("select count(*) from t a join t b using (v) as of system time {moment}");
        assert_eq!(one(&mut c, &joined).unwrap(), expected.split(' ').next().unwrap(), "{moment}");
    }
    // Through the index, where there was one already.
    let (late, _) = &moments[3];
    assert_eq!(
        one(&mut c, &format!("select id from t as of system time {late} where v = 'third'")).unwrap(),
        "7"
    );
    assert_eq!(
        rows(&mut c, &format!("select id from t as of system time {late} where v = 'new 8'")).unwrap().len(),
        0
    );
    // In a block, beside the present; in EXPLAIN; prepared.
    let early = &moments[0].0;
    c.run("begin; delete from t").unwrap();
    assert_eq!(one(&mut c, "select count(*) from t").unwrap(), "0");
    assert_eq!(one(&mut c, &format!("select count(*) from t as of system time {early}")).unwrap(), "500");
    c.run("rollback").unwrap();
    assert!(
        rows(&mut c, &format!("explain analyze select v from t as of system time {early}")).unwrap().len()
            > 1
    );
    c.run(&format!("prepare p as select count(*) from t as of system time {early}")).unwrap();
    assert_eq!(one(&mut c, "execute p").unwrap(), "500");
    // A long result is read on while others write and checkpoint.
    let mut reader = database.connect();
    let mut result =
        reader.query(&format!("select v from t as of system time {early} order by id"), &[]).unwrap();
    assert_eq!(result.next().unwrap().unwrap().text(0).unwrap().unwrap(), "old 1");
    c.run("drop table t; checkpoint").unwrap();
    assert_eq!(result.count(), 499);
    // A table that was dropped since is said to be unknown, never shown empty.
    assert_eq!(
        one(&mut c, &format!("select count(*) from t as of system time {early}")),
        Err(SqlState::SNAPSHOT_TOO_OLD)
    );
}

#[test]
fn times_that_cannot_be_read() {
    let database = Database::in_memory().unwrap();
    let mut c = database.connect();
    c.run("create table t (id integer primary key); insert into t values (1)").unwrap();
    let mut code = |sql: &str| rows(&mut c, sql).map(|rows| rows.len()).map_err(|error| error.to_string());
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(code("select * from t as of system time '-10ms'"), Ok(1));
    assert_eq!(code("select * from t as of system time interval '-10 ms'"), Ok(1));
    assert_eq!(code("select * from t as of system time now() - interval '10 ms'"), Ok(1));
    assert_eq!(code("select x.id from t as x as of system time '-10ms' where id = 1"), Ok(1));
    assert_eq!(code("select * from t as of system time '2100-01-01'"), Err("22023".into()));
    assert_eq!(code("select * from t as of system time 'yesterday noon o''clock'"), Err("22007".into()));
    assert_eq!(code("select * from t as of system time '1960-01-01'"), Err("22023".into()));
    assert_eq!(code("select * from t as of system time $1"), Err("0A000".into()));
    assert_eq!(code("select * from t as of system time (select now() from t)"), Err("0A000".into()));
    assert_eq!(code("select * from (select * from t as of system time '-1s') x"), Err("42601".into()));
    assert_eq!(code("insert into t select id + 1 from t as of system time '-1s'"), Err("42601".into()));
    assert_eq!(code("create view v as select * from t as of system time '-1s'"), Err("42601".into()));
    let none = Database::open_with(":memory:", &"history=0".parse().unwrap()).unwrap();
    let mut c = none.connect();
    c.run("create table t (id integer)").unwrap();
    assert_eq!(one(&mut c, "select 1 from t as of system time '-1s'"), Err(SqlState::FEATURE_NOT_SUPPORTED));
}
