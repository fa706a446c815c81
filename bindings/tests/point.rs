//! The point path gives what the general path gives: rows, counts, errors, visibility. Each statement runs in two databases:
//! prepared (which takes the point path where it can) and in a form of the same meaning that is no point statement.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Connection, Database, Error, Outcome, Value};

const TABLE: &str = "create table t (id bigint primary key, a integer not null, b text, c varchar(3))";

fn open() -> (Database, Connection) {
    let db = Database::in_memory().unwrap();
    let mut connection = db.connect();
    connection.run(TABLE).unwrap();
    (db, connection)
}

fn code(error: Error) -> String {
    error.code().to_string()
}

/// Runs a statement through the public call that tries the point path first.
fn short(connection: &mut Connection, sql: &str, params: &[Value]) -> Result<u64, String> {
    let statement = connection.prepare(sql).unwrap();
    connection.execute_prepared(&statement, params).map_err(code)
}

/// Runs it through the call that never does for reads, with a source that is no VALUES of constants for writes.
fn long(connection: &mut Connection, sql: &str, params: &[Value]) -> Result<u64, String> {
    let statement = connection.prepare(sql).unwrap();
    match connection.execute_statement(&statement, params).map_err(code)? {
        Outcome::Done(tag) => Ok(tag.row_count.unwrap_or(0)),
        Outcome::Rows(rows) => Ok(rows.count() as u64),
    }
}

fn rows(connection: &mut Connection) -> Vec<Vec<Option<String>>> {
    let rows = connection.query("select * from t order by id", &[]).unwrap();
    rows.map(|row| row.map(|row| (0..row.len()).map(|column| row.text(column).unwrap()).collect()).unwrap())
        .collect()
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

#[test]
fn both_paths_agree_on_results_and_errors() {
    let insert = (
        "insert into t values ($1, $2, $3, 'x')",
        "insert into t select $1::bigint, $2::integer, $3::text, 'x' from generate_series(1, 1)",
    );
    let set = ("update t set b = $2 where id = $1", "update t set b = $2 where id + 0 = $1");
    let null_out = ("update t set a = $2 where id = $1", "update t set a = $2::integer where id + 0 = $1");
    let delete = ("delete from t where id = $1", "delete from t where id + 0 = $1");
    let select = ("select b, id from t where id = $1", "select b, id from t where id + 0 = $1");
    let (one, two) = (Value::Int8(1), Value::Int8(2));
    let steps: Vec<((&str, &str), Vec<Value>)> = vec![
        (insert, vec![one.clone(), Value::Int4(10), text("one")]),
        (insert, vec![one.clone(), Value::Int4(11), text("again")]),
        (insert, vec![two.clone(), Value::Null, text("no a")]),
        (insert, vec![Value::Null, Value::Int4(1), text("no key")]),
        (insert, vec![two.clone(), Value::Int4(20), Value::Null]),
        (insert, vec![Value::Int4(3), Value::Int2(30), text("widened")]),
        (insert, vec![text("4"), text("40"), text("parsed")]),
        (insert, vec![text("x"), text("40"), text("no number")]),
        (insert, vec![Value::Int8(5), Value::Int8(1 << 40), text("overflow")]),
        (insert, vec![Value::Int8(5)]),
        (select, vec![one.clone()]),
        (select, vec![Value::Int4(2)]),
        (select, vec![Value::Int8(99)]),
        (select, vec![Value::Null]),
        (select, vec![]),
        (set, vec![one.clone(), text("ONE")]),
        (set, vec![Value::Int8(99), text("nobody")]),
        (set, vec![Value::Null, text("nobody")]),
        (null_out, vec![one.clone(), Value::Null]),
        (null_out, vec![one.clone(), Value::Int4(-5)]),
        (delete, vec![Value::Int4(3)]),
        (delete, vec![Value::Int4(3)]),
        (delete, vec![Value::Null]),
    ];
    for in_transaction in [false, true] {
        let ((_a, mut one), (_b, mut other)) = (open(), open());
        for ((short_sql, long_sql), params) in &steps {
            if in_transaction {
                one.run("begin; savepoint s").unwrap();
                other.run("begin; savepoint s").unwrap();
            }
            let got = short(&mut one, short_sql, params);
            let expected = long(&mut other, long_sql, params);
            assert_eq!(got, expected, "{short_sql} {params:?}");
            if in_transaction {
                assert_eq!(one.transaction_status(), other.transaction_status(), "{short_sql} {params:?}");
                let end = if got.is_err() { "rollback to s; commit" } else { "commit" };
                one.run(end).unwrap();
                other.run(end).unwrap();
            }
            assert_eq!(rows(&mut one), rows(&mut other), "{short_sql} {params:?}");
        }
        assert_eq!(rows(&mut one).len(), 3);
    }
}

#[test]
fn the_error_codes() {
    let (_db, mut connection) = open();
    let insert = "insert into t values ($1, $2, $3, $4)";
    let mut run = |values: [Value; 4]| short(&mut connection, insert, &values);
    assert_eq!(run([Value::Int4(1), Value::Int4(1), Value::Null, Value::Null]), Ok(1));
    assert_eq!(run([Value::Int4(1), Value::Int4(1), Value::Null, Value::Null]), Err("23505".into()));
    assert_eq!(run([Value::Int4(2), Value::Null, Value::Null, Value::Null]), Err("23502".into()));
    assert_eq!(run([Value::Null, Value::Int4(1), Value::Null, Value::Null]), Err("23502".into()));
    assert_eq!(run([Value::Int4(2), Value::Int8(1 << 40), Value::Null, Value::Null]), Err("22003".into()));
    assert_eq!(run([Value::Int4(2), Value::Int4(1), Value::Null, text("long")]), Err("22001".into()));
    assert_eq!(rows(&mut connection).len(), 1);
}

#[test]
fn rows_are_read_in_place() {
    let (_db, mut connection) = open();
    connection.run("insert into t values (1, 7, 'seven', null)").unwrap();
    for sql in ["select id, a, b, c from t where id = $1", "select id, a, b, c from t where id + 0 = $1"] {
        let get = connection.prepare(sql).unwrap();
        let row = connection.query_row(&get, &[Value::Int4(1)], |row| {
            assert_eq!((row.len(), row.is_null(2), row.is_null(3)), (4, false, true));
            assert_eq!(row.get::<Option<String>>(3).unwrap(), None);
            (row.i64(0), row.i32(1), row.text(2).to_owned(), row.bytes(2).len())
        });
        assert_eq!(row.unwrap(), Some((1, 7, "seven".to_owned(), 5)));
        assert_eq!(connection.query_row(&get, &[Value::Int4(2)], |row| row.i64(0)).unwrap(), None);
        let error = |found: orrerydb::Result<Option<i64>>| code(found.unwrap_err());
        assert_eq!(error(connection.query_row(&get, &[Value::Int4(1)], |row| row.i64(2))), "42804");
        assert_eq!(error(connection.query_row(&get, &[Value::Int4(1)], |row| row.i64(3))), "22004");
        assert_eq!(error(connection.query_row(&get, &[Value::Int4(1)], |row| row.i64(9))), "42703");
    }
    let insert = connection.prepare("insert into t values (3, 1, 'x', 'y')").unwrap();
    assert_eq!(code(connection.query_row(&insert, &[], |_| ()).unwrap_err()), "42601");
}

fn a_of(connection: &mut Connection, id: i64) -> Option<i64> {
    let get = connection.prepare("select a from t where id = $1").unwrap();
    connection.query_row(&get, &[Value::Int8(id)], |row| row.i64(0)).unwrap()
}

#[test]
fn reads_see_own_writes_and_the_level_s_snapshot() {
    let (db, mut one) = open();
    let mut two = db.connect();
    one.run("insert into t values (1, 1, null, null)").unwrap();
    for (level, sees) in [("read committed", 3), ("repeatable read", 2), ("serializable", 2)] {
        one.run("update t set a = 2 where id = 1").unwrap();
        one.run(&format!("begin isolation level {level}")).unwrap();
        assert_eq!(a_of(&mut one, 1), Some(2));
        assert_eq!(short(&mut two, "update t set a = 3 where id = 1", &[]), Ok(1));
        assert_eq!(a_of(&mut one, 1), Some(sees), "{level}");
        assert_eq!(a_of(&mut two, 1), Some(3), "{level}");
        assert_eq!(short(&mut one, "insert into t values ($1, 5, null, null)", &[Value::Int4(5)]), Ok(1));
        assert_eq!(a_of(&mut one, 5), Some(5), "{level}");
        assert_eq!(a_of(&mut two, 5), None, "{level}");
        let update = short(&mut one, "update t set a = $1 where id = 1", &[Value::Int4(4)]);
        let expected = if sees == 3 { Ok(1) } else { Err("40001".into()) };
        assert_eq!(update, expected, "{level}");
        assert_eq!(one.transaction_status(), Some(update.is_err()));
        one.run("rollback").unwrap();
        assert_eq!(a_of(&mut one, 5), None);
    }
}

#[test]
fn a_changed_schema_makes_a_new_plan() {
    let (db, mut one) = open();
    let mut two = db.connect();
    let get = one.prepare("select a from t where id = $1").unwrap();
    let put = one.prepare("insert into t values ($1, $2, 'b', 'c')").unwrap();
    let read = |connection: &mut Connection, id: i32| {
        connection.query_row(&get, &[Value::Int4(id)], |row| row.i64(0)).map_err(code)
    };
    assert_eq!(one.execute_prepared(&put, &[Value::Int4(1), Value::Int4(10)]).unwrap(), 1);
    assert_eq!(read(&mut one, 1), Ok(Some(10)));
    two.run("create unique index by_a on t (a)").unwrap();
    assert_eq!(
        one.execute_prepared(&put, &[Value::Int4(2), Value::Int4(10)]).map_err(code),
        Err("23505".into())
    );
    assert_eq!(read(&mut one, 2), Ok(None));
    two.run("drop table t").unwrap();
    assert_eq!(read(&mut one, 1), Err("42P01".into()));
    two.run("create table t (a bigint, id bigint primary key)").unwrap();
    assert_eq!(read(&mut one, 1), Ok(None));
    two.run("insert into t values (77, 1)").unwrap();
    assert_eq!(read(&mut one, 1), Ok(Some(77)));
    one.run("begin; truncate t").unwrap();
    assert_eq!(read(&mut one, 1), Ok(None), "own DDL");
    one.run("rollback").unwrap();
    assert_eq!(read(&mut one, 1), Ok(Some(77)));
}

#[test]
fn a_failed_block_and_a_read_only_one_refuse() {
    let (_db, mut connection) = open();
    assert_eq!(a_of(&mut connection, 1), None);
    connection.run("begin").unwrap();
    assert!(connection.run("select 1 / 0").is_err());
    assert_eq!(short(&mut connection, "select a from t where id = 1", &[]), Err("25P02".into()));
    connection.run("rollback; begin read only").unwrap();
    assert_eq!(short(&mut connection, "delete from t where id = 1", &[]), Err("25006".into()));
    connection.run("rollback; set default_transaction_read_only = on").unwrap();
    assert_eq!(short(&mut connection, "delete from t where id = 1", &[]), Err("25006".into()));
}
