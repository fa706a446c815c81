//! What the other languages' doors stand on: streams, Arrow both ways, many rows of parameters, interrupts, fixed worlds.

#![allow(clippy::unwrap_used, reason = "a test panics on the unexpected")]

use orrerydb::{Answer, Database, Options, RowStream, Value};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

fn stream(connection: &mut orrerydb::Connection, sql: &str) -> RowStream {
    let statement = connection.prepare(sql).unwrap();
    match connection.answer(&statement, &[]).unwrap() {
        Answer::Rows(rows) => rows,
        Answer::Done(tag) => panic!("{tag} gives no rows"),
    }
}

fn filled() -> (Database, orrerydb::Connection) {
    let db = Database::in_memory().unwrap();
    let mut connection = db.connect();
    connection.run("create table t (id integer primary key, a smallint, b text)").unwrap();
    connection
        .run("insert into t select n, n % 7, 'row ' || n from generate_series(1, 10000) as s(n)")
        .unwrap();
    (db, connection)
}

#[test]
fn a_stream_outside_a_block_lives_beside_other_statements() {
    let (_db, mut connection) = filled();
    let mut rows = stream(&mut connection, "select id from t order by id");
    let first: i64 = rows.next().unwrap().unwrap().get(0).unwrap();
    connection.run("delete from t").unwrap();
    let rest: Vec<i64> = rows.map(|row| row.unwrap().get(0).unwrap()).collect();
    assert_eq!((first, rest.len(), rest[9998]), (1, 9999, 10000), "it has a snapshot of its own");
}

#[test]
fn a_stream_of_a_block_is_read_ahead_and_ends_with_a_rollback() {
    let (_db, mut connection) = filled();
    connection.set_autocommit(false);
    let mut rows = stream(&mut connection, "select id from t");
    rows.next().unwrap().unwrap();
    connection.run("delete from t where id > 5").unwrap();
    assert_eq!(rows.count(), 9999);
    let rows = stream(&mut connection, "select id from t");
    connection.run("commit").unwrap();
    assert_eq!(rows.count(), 5);
    let mut rows = stream(&mut connection, "select n from generate_series(1, 100000) as s(n)");
    rows.next().unwrap().unwrap();
    connection.run("rollback").unwrap();
    let error = rows.find_map(Result::err).unwrap();
    assert_eq!(error.code().as_str(), "24000");
    assert_eq!(connection.transaction_status(), None);
}

#[test]
fn batches_take_over_where_rows_stopped() {
    let (_db, mut connection) = filled();
    let mut rows = stream(&mut connection, "select id from t");
    for _ in 0..3 {
        rows.next().unwrap().unwrap();
    }
    let mut row_count = 0;
    while let Some(batch) = rows.next_batch().unwrap() {
        row_count += batch.row_count;
    }
    assert_eq!(row_count, 9997);
}

#[test]
fn every_type_goes_out_as_arrow_and_comes_back() {
    let db = Database::in_memory().unwrap();
    let mut connection = db.connect();
    connection
        .run(
            "create table every (a boolean, b smallint, c integer, d bigint, e real, f double precision, g numeric(9,3),
             h text, i varchar(5), j bytea, k date, l timestamp, m timestamptz, n interval, o uuid);
             insert into every values (true, 1, 2, 3, 1.5, 2.5, 12.345, 'häh', 'abc', '\\x00ff', '2024-02-29',
             '2024-02-29 12:00:00.5', '2024-02-29 12:00:00+02', '1 mon 2 days 00:00:03.5',
             '00112233-4455-6677-8899-aabbccddeeff');
             insert into every (c) values (null)",
        )
        .unwrap();
    let reader = stream(&mut connection, "select * from every").into_arrow();
    assert_eq!(connection.create_from_arrow("copy", reader).unwrap(), 2);
    let text = |connection: &mut orrerydb::Connection, table: &str| -> Vec<Vec<Option<String>>> {
        let rows = stream(connection, &format!("select * from {table}"));
        rows.map(|row| {
            let row = row.unwrap();
            (0..row.len()).map(|column| row.text(column).unwrap()).collect()
        })
        .collect()
    };
    let before = text(&mut connection, "every");
    assert_eq!(before, text(&mut connection, "copy"));
    assert!(before[0].iter().all(Option::is_some) && before[1].iter().all(Option::is_none));
    let reader = stream(&mut connection, "select c, h from every").into_arrow();
    connection.run("create table part (h text, c bigint, z integer default 7)").unwrap();
    connection.insert_arrow("part", reader).unwrap();
    assert_eq!(text(&mut connection, "part")[0], ["häh", "2", "7"].map(|it| Some(it.to_owned())));
}

#[test]
fn a_wide_numeric_goes_out_as_its_digits() {
    let db = Database::in_memory().unwrap();
    let mut connection = db.connect();
    let sql = "select 1.10::numeric as a, 12345678901234567890123456789012345678901234567890::numeric, null";
    let batch = stream(&mut connection, sql).into_arrow().next_batch().unwrap().unwrap();
    let text = |column: usize| {
        let column = batch.column(column).as_any().downcast_ref::<arrow_array::StringArray>().unwrap();
        column.iter().next().unwrap().map(str::to_owned)
    };
    assert_eq!(text(0).as_deref(), Some("1.10"));
    assert_eq!(text(1).as_deref(), Some("12345678901234567890123456789012345678901234567890"));
    assert_eq!(text(2), None);
}

#[test]
fn a_nan_is_not_passed_off_as_a_number() {
    let db = Database::in_memory().unwrap();
    let mut connection = db.connect();
    connection.run("create table d (x numeric(9,3)); insert into d values ('NaN')").unwrap();
    let error = stream(&mut connection, "select x from d").into_arrow().next_batch().unwrap_err();
    assert_eq!(error.code().as_str(), "22003");
}

#[test]
fn committing_a_failed_transaction_says_so() {
    let (_db, mut connection) = filled();
    let mut transaction = connection.begin().unwrap();
    transaction.execute("delete from t", &[]).unwrap();
    transaction.execute("select 1 / 0", &[]).unwrap_err();
    assert_eq!(transaction.commit().unwrap_err().code().as_str(), "25P02");
    assert_eq!(count(&mut connection, "select count(*) from t"), 10_000);
}

fn many(connection: &mut orrerydb::Connection, sql: &str, rows: Vec<Vec<Value>>) -> orrerydb::Result<u64> {
    let statement = connection.prepare(sql)?;
    let mut rows = rows.into_iter();
    connection.execute_many(&statement, &mut |row| {
        let next = rows.next();
        row.extend(next.iter().flatten().cloned());
        Ok(next.is_some())
    })
}

fn count(connection: &mut orrerydb::Connection, sql: &str) -> i64 {
    stream(connection, sql).next().unwrap().unwrap().get(0).unwrap()
}

#[test]
fn many_rows_of_parameters_are_one_transaction() {
    let (_db, mut connection) = filled();
    let row = |id: i64| vec![Value::Int8(id), Value::Int8(id % 5), Value::from("x")];
    let insert = "insert into t values (?, ?, ?)";
    assert_eq!(many(&mut connection, insert, (20_000..25_000).map(row).collect()).unwrap(), 5000);
    // The last row repeats a key: none is there afterwards.
    let repeated = (30_000..33_000).chain([30_000]).map(row).collect();
    assert_eq!(many(&mut connection, insert, repeated).unwrap_err().code().as_str(), "23505");
    assert_eq!(count(&mut connection, "select count(*) from t where id >= 30000"), 0);
    assert_eq!(connection.transaction_status(), None);
    // Not a point statement: through an index, with a default and an expression.
    connection.run("create table u (id integer primary key, a integer unique, b integer default 3)").unwrap();
    let rows = (0..5000i64).map(|n| vec![Value::Int8(n)]).collect();
    assert_eq!(many(&mut connection, "insert into u (id, a) values ($1, $1 * 2)", rows).unwrap(), 5000);
    assert_eq!(count(&mut connection, "select sum(a + b) from u where id < 100"), 99 * 100 + 300);
    // Later rows see what earlier ones did.
    let rows = vec![vec![Value::Int8(5)]; 3];
    assert_eq!(many(&mut connection, "update u set b = b + 1 where id = $1", rows).unwrap(), 3);
    assert_eq!(count(&mut connection, "select b from u where id = 5"), 6);
    // Values of several types in a column.
    let mixed = vec![vec![Value::Int8(90_000), Value::Int8(1)], vec![Value::from("90001"), Value::Null]];
    assert_eq!(many(&mut connection, "insert into t (id, a) values (?, ?)", mixed).unwrap(), 2);
    let error = many(&mut connection, "select ?", vec![vec![Value::from("x")]]).unwrap_err();
    assert_eq!(error.code().as_str(), "42601");
    let error = many(&mut connection, insert, vec![row(50_000), vec![Value::Int8(1)]]).unwrap_err();
    assert_eq!(error.code().as_str(), "42P02");
    assert_eq!(count(&mut connection, "select count(*) from t where id >= 30000"), 2);
}

#[test]
fn an_interrupt_from_another_thread_and_progress() {
    let (_db, mut connection) = filled();
    let interrupt = connection.interrupt_handle();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        interrupt.interrupt();
    });
    let sql = "select count(*) from generate_series(1, 10000000000)";
    assert_eq!(connection.execute(sql, &[]).unwrap_err().code().as_str(), "57014");
    other.join().unwrap();
    // Progress is told while a statement waits for a lock, too.
    let (db, mut holder) = filled();
    let mut waiter = db.connect();
    let start = Instant::now();
    let watch = move |progress: orrerydb::Progress| progress.elapsed < Duration::from_millis(30);
    waiter.on_progress(Duration::from_millis(5), Some(Arc::new(watch)));
    holder.run("begin; update t set a = 0 where id = 1").unwrap();
    let error = waiter.execute("update t set a = 1 where id = 1", &[]).unwrap_err();
    assert_eq!(error.code().as_str(), "57014");
    assert!(start.elapsed() < Duration::from_secs(20));
    holder.run("rollback").unwrap();
    waiter.on_progress(Duration::ZERO, None);
    assert_eq!(waiter.execute("update t set a = 1 where id = 1", &[]).unwrap(), 1);
}

#[test]
fn the_same_seed_clock_and_statements_have_one_state() {
    let options = Options { seed: Some(7), now: Some(1_700_000_000_000_000), ..Options::default() };
    let made = |value: &str| {
        let db = Database::open_with(":memory:", &options).unwrap();
        let mut connection = db.connect();
        connection
            .run("create table t (id serial primary key, at timestamptz default now(), v text)")
            .unwrap();
        connection.execute("insert into t (v) values ($1)", &[value.into()]).unwrap();
        let at: String =
            stream(&mut connection, "select at::text from t").next().unwrap().unwrap().get(0).unwrap();
        assert_eq!(at, "2023-11-14 22:13:20+00");
        db.state_hash().unwrap()
    };
    assert_eq!(made("a"), made("a"));
    assert_ne!(made("a"), made("b"));
}

#[test]
fn settings_are_set_and_shown() {
    let (_db, mut connection) = filled();
    connection.set("application_name", "it's").unwrap();
    assert_eq!(connection.show("application_name").unwrap(), "it's");
    assert_eq!(connection.set("no_such", "1").unwrap_err().code().as_str(), "42704");
}

#[test]
fn without_threads_housekeeping_is_done_by_the_statements() {
    let disk = Arc::new(orrerydb::MemoryDriver::new());
    let options = Options { threads: false, memtable_bytes: Some(1 << 20), ..Options::default() };
    let db = Database::with_driver(disk.clone(), &options).unwrap();
    let mut first = db.connect();
    first.run("create table t (id integer primary key, a text)").unwrap();
    for part in 0..20 {
        let insert = "insert into t select n, repeat('x', 200) from generate_series($1, $1 + 999) as s(n)";
        first.execute(insert, &[Value::Int4(part * 1000)]).unwrap();
    }
    assert!(db.stats().checkpoint_count > 0, "four megabytes went through a memtable of one");
    // A lock of another connection: nobody could give it while this statement waits.
    let mut second = db.connect();
    first.run("begin; update t set a = 'first' where id = 1").unwrap();
    let error = second.execute("update t set a = 'second' where id = 1", &[]).unwrap_err();
    assert_eq!(error.code().as_str(), "55P03");
    first.run("commit").unwrap();
    assert_eq!(second.execute("update t set a = 'second' where id = 1", &[]).unwrap(), 1);
    // A timeout is still a timeout.
    second.run("set statement_timeout = '20ms'").unwrap();
    let error = second.execute("select count(*) from generate_series(1, 100000000000)", &[]).unwrap_err();
    assert_eq!(error.code().as_str(), "57014");
    assert_eq!(db.check().unwrap().1.len(), 0);
    db.close().unwrap();
    let db = Database::with_driver(disk.clone(), &options).unwrap();
    let a: String = db
        .connect()
        .query("select a from t where id = 1", &[])
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .get(0)
        .unwrap();
    assert_eq!(a, "second");
}

#[test]
fn statements_read_the_past() {
    let db = Database::in_memory().unwrap();
    let mut connection = db.connect();
    let moment = || {
        std::thread::sleep(Duration::from_millis(2));
        let moment = SystemTime::now();
        std::thread::sleep(Duration::from_millis(2));
        moment
    };
    let empty = moment();
    connection
        .run("create table t (id integer primary key, a text); insert into t values (1, 'one')")
        .unwrap();
    let first = moment();
    connection.run("update t set a = 'two'; alter table t rename column a to b").unwrap();
    db.checkpoint().unwrap();
    let select = connection.prepare("select * from t where id = ?").unwrap();
    let mut read = |statement: &orrerydb::Statement| {
        let rows = connection.query_prepared(statement, &[1.into()]).map_err(|error| error.code())?;
        let name = rows.fields()[1].name.to_string();
        let values = rows.map(|row| row.unwrap().get::<String>(1).unwrap());
        Ok::<_, orrerydb::SqlState>((name, values.collect::<Vec<_>>().join(" ")))
    };
    let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
    assert_eq!(read(&select), pair("b", "two"));
    let then = select.as_of(first).unwrap();
    // Planned under the catalog of then, each time.
    for _ in 0..2 {
        assert_eq!(read(&then), pair("a", "one"));
        assert_eq!(read(&select), pair("b", "two"));
    }
    assert_eq!(read(&select.as_of(empty).unwrap()).unwrap_err().as_str(), "42P01");
    let future = SystemTime::now() + Duration::from_secs(1000);
    assert_eq!(read(&select.as_of(future).unwrap()).unwrap_err().as_str(), "22023");
    // Beside an open block, which it is no part of.
    let mut transaction = connection.begin().unwrap();
    transaction.execute("delete from t", &[]).unwrap();
    assert_eq!(transaction.query_prepared(&then, &[1.into()]).unwrap().count(), 1);
    transaction.rollback().unwrap();
    // A dropped table is seen until a checkpoint takes its pages, then said to be unknown.
    connection.run("drop table t").unwrap();
    assert_eq!(connection.query_prepared(&then, &[1.into()]).unwrap().count(), 1);
    db.checkpoint().unwrap();
    let mut rows = connection.query_prepared(&then, &[1.into()]).unwrap();
    let error = rows.next().unwrap().err().unwrap();
    drop(rows);
    assert_eq!(error.code().as_str(), "72000");
    let insert = connection.prepare("insert into t values (2, 'x')").unwrap();
    for refused in [insert.as_of(first), then.as_of(first)] {
        assert_eq!(refused.err().unwrap().code().as_str(), "42601");
    }
    assert_eq!(
        select.as_of(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).err().unwrap().code().as_str(),
        "22023"
    );
}

#[test]
fn copies_out_in_pieces_and_back_in() {
    let (_db, mut connection) = filled();
    connection.run("create table again (id integer, a smallint, b text)").unwrap();
    let mut pieces = Vec::new();
    let mut copy = connection.copy_out("copy t to stdout with (format csv, header)").unwrap();
    while let Some(piece) = copy.read().unwrap() {
        pieces.push(piece);
    }
    assert_eq!(copy.tag().to_string(), "COPY 10000");
    assert!(copy.read().unwrap().is_none());
    assert!(pieces.len() > 1 && pieces[0].starts_with(b"id,a,b\n1,1,row 1\n"), "{} pieces", pieces.len());
    let mut back = connection.copy_in("copy again from stdin with (format csv, header)").unwrap();
    pieces.iter().for_each(|piece| back.write(piece).unwrap());
    assert_eq!(back.finish().unwrap(), 10000);
    let mut rows = stream(&mut connection, "select count(*) from t natural join again");
    assert_eq!(rows.next().unwrap().unwrap().get::<i64>(0).unwrap(), 10000);
    drop(rows);
    // A change commits with its last row; one that is dropped did commit, too: its rows were all there before the first byte.
    drop(connection.copy_out("copy (delete from again where id > 10 returning id) to stdout").unwrap());
    let error = connection.copy_out("copy (select 1 / (id - 5) from again) to stdout").unwrap().read();
    assert_eq!(error.unwrap_err().code().to_string(), "22012");
    let others = ["select 1", "copy again from stdin", "commit", "copy t to 'file'"];
    for other in others {
        assert_eq!(connection.copy_out(other).err().unwrap().code().to_string(), "42601", "{other}");
    }
    let statement = connection.prepare("copy again to stdout").unwrap();
    assert!(statement.is_copy_out());
    let refused = connection.answer(&statement, &[]).err().unwrap();
    assert_eq!(refused.code().to_string(), "0A000");
    let mut copy = connection.copy_statement_out(&statement).unwrap();
    let text = String::from_utf8(copy.read().unwrap().unwrap()).unwrap();
    assert_eq!(text.lines().count(), 10);
}
