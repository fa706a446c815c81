//! Sessions beside each other, over SQL: what waits, what fails, what is undone. The tests wait for states (`lock_wait_count`),
//! never for a time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Connection, Database, Error, SqlState};
use std::thread::{JoinHandle, yield_now};

/// Rows of the large tables: several batches.
const ROW_COUNT: i64 = 10_000;

fn database(setup: &str) -> Database {
    let db = Database::in_memory().unwrap();
    db.connect().run(setup).unwrap();
    db
}

fn number(connection: &mut Connection, sql: &str) -> i64 {
    let row = connection.query(sql, &[]).unwrap().next().unwrap().unwrap();
    row.text(0).unwrap().unwrap().parse().unwrap()
}

/// Until `count` sessions wait for a lock.
fn until_waiting(db: &Database, count: u64) {
    while db.stats().lock_wait_count < count {
        yield_now();
    }
}

/// Runs statements on a thread of their own; gives the connection back with the first error.
fn start(mut connection: Connection, sql: &'static str) -> JoinHandle<(Connection, Result<(), Error>)> {
    std::thread::spawn(move || {
        let outcome = connection.run(sql);
        (connection, outcome)
    })
}

fn code(outcome: Result<(), Error>) -> SqlState {
    outcome.unwrap_err().code()
}

fn large_table() -> Database {
    database(&format!(
        "create table t (id integer primary key, n integer not null, u integer unique);
         insert into t select g, 0, g from generate_series(1, {ROW_COUNT}) g;
         create table k (id integer primary key);
         insert into k select id from t;
         create table note (a integer)"
    ))
}

#[test]
fn a_statement_that_starts_again_changes_each_row_once() {
    // With a subquery the statement starts again on a fresh snapshot; without one the changed row is looked at again.
    for sql in [
        "begin; insert into note values (1); update t set n = n + 1, u = -u where id in (select id from k); commit",
        "begin; insert into note values (1); update t set n = n + 1, u = -u; commit",
    ] {
        let db = large_table();
        let mut holder = db.connect();
        holder.run("begin; update t set n = n + 100 where id = 9990").unwrap();
        let updater = start(db.connect(), sql);
        until_waiting(&db, 1);
        holder.run("commit").unwrap();
        updater.join().unwrap().1.unwrap();
        assert_eq!(number(&mut holder, "select count(*) from t where n = 1"), ROW_COUNT - 1, "{sql}");
        assert_eq!(number(&mut holder, "select n from t where id = 9990"), 101);
        assert_eq!(number(&mut holder, "select count(*) from t where u < 0"), ROW_COUNT);
        assert_eq!(
            number(&mut holder, "select count(*) from note"),
            1,
            "what came before the statement stays"
        );
        assert_eq!(db.check().unwrap().1, []);
    }
}

#[test]
fn a_row_that_no_longer_qualifies_is_left_alone() {
    for condition in ["n = 0", "n = 0 and id in (select id from k)"] {
        let db = large_table();
        let mut holder = db.connect();
        holder.run("begin; update t set n = 7 where id = 9990; delete from t where id = 9991").unwrap();
        let mut deleter = db.connect();
        let sql = format!("delete from t where {condition} returning id");
        let rows = std::thread::scope(|scope| {
            let rows = scope.spawn(|| deleter.execute(&sql, &[]));
            until_waiting(&db, 1);
            holder.run("commit").unwrap();
            rows.join().unwrap().unwrap()
        });
        assert_eq!(rows as i64, ROW_COUNT - 2, "{condition}");
        assert_eq!(number(&mut holder, "select count(*) from t"), 1);
        assert_eq!(number(&mut holder, "select id from t"), 9990);
    }
}

#[test]
fn a_row_that_moved_is_found_again() {
    let db = large_table();
    let mut holder = db.connect();
    holder.run("begin; update t set id = -1 where id = 9990; delete from t where id = 9991").unwrap();
    let updater = start(db.connect(), "update t set n = n + 1");
    until_waiting(&db, 1);
    holder.run("commit").unwrap();
    updater.join().unwrap().1.unwrap();
    assert_eq!(number(&mut holder, "select count(*) from t where n = 1"), ROW_COUNT - 1);
    assert_eq!(number(&mut holder, "select n from t where id = -1"), 1);
}

#[test]
fn a_timeout_ends_a_wait_for_a_lock() {
    let db = database("create table t (id integer primary key, n integer); insert into t values (1, 0)");
    let mut holder = db.connect();
    holder.run("begin; update t set n = 1").unwrap();
    let mut two = db.connect();
    two.run("set statement_timeout = '20ms'").unwrap();
    assert_eq!(code(two.run("update t set n = 2")), SqlState::QUERY_CANCELED);
    assert_eq!(code(two.run("drop table t")), SqlState::QUERY_CANCELED);
    holder.run("commit").unwrap();
    two.run("set statement_timeout = 0; update t set n = 2").unwrap();
    assert_eq!(db.stats().row_lock_count, 0);
}

#[test]
fn an_index_made_above_read_committed_fits_its_snapshot() {
    let setup = "create table t (id integer primary key, n integer); insert into t values (1, 1), (2, 2);
        create table other (a integer)";
    for change in [
        "update t set n = 3 where id = 1",
        "delete from t where id = 1",
        "insert into t values (3, 3)",
        "create index elsewhere on other (a)",
    ] {
        let db = database(setup);
        let (mut one, mut two) = (db.connect(), db.connect());
        one.run("begin isolation level repeatable read; select * from t").unwrap();
        two.run(change).unwrap();
        assert_eq!(code(one.run("create index by_n on t (n)")), SqlState::SERIALIZATION_FAILURE, "{change}");
        one.run("rollback; create index by_n on t (n)").unwrap();
    }
    let db = database(setup);
    let (mut one, mut two) = (db.connect(), db.connect());
    one.run("begin isolation level repeatable read; insert into t values (4, 4); create index by_n on t (n)")
        .unwrap();
    two.run("insert into other values (1)").unwrap();
    assert_eq!(number(&mut one, "select id from t where n = 4"), 4);
    one.run("commit").unwrap();
    assert_eq!(number(&mut two, "select id from t where n = 1"), 1);
    assert_eq!(db.check().unwrap().1, []);
}

#[test]
fn increments_are_never_lost_under_read_committed() {
    let db = database(
        "create table c (id integer primary key, n integer not null); insert into c values (1, 0), (2, 0)",
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut connection = db.connect();
            scope.spawn(move || {
                for round in 0..50 {
                    let id = 1 + round % 2;
                    let sql = match round % 3 {
                        0 => format!("update c set n = n + 1 where id = {id}"),
                        1 => format!("update c set n = n + 1 where id = (select {id})"),
                        _ => format!("update c set n = n + 1 where n >= 0 and id = {id}"),
                    };
                    connection.execute(&sql, &[]).unwrap();
                }
            });
        }
    });
    assert_eq!(number(&mut db.connect(), "select sum(n) from c"), 200);
}

#[test]
fn a_failed_statement_leaves_nothing() {
    let db = database(
        "create table t (id bigint generated always as identity primary key, k integer unique);
         insert into t (k) values (9000)",
    );
    let mut one = db.connect();
    let failing = "insert into t (k) select g from generate_series(1, 10000) g";
    // Alone.
    assert_eq!(code(one.run(failing)), SqlState::UNIQUE_VIOLATION);
    assert_eq!(number(&mut one, "select count(*) from t"), 1);
    // In a block: nothing is taken until it ends.
    one.run("begin; insert into t (k) values (-1)").unwrap();
    assert_eq!(code(one.run(failing)), SqlState::UNIQUE_VIOLATION);
    assert_eq!(one.transaction_status(), Some(true));
    assert_eq!(code(one.run("select 1")), SqlState::IN_FAILED_SQL_TRANSACTION);
    assert_eq!(code(one.run("savepoint s")), SqlState::IN_FAILED_SQL_TRANSACTION);
    // Its locks are gone already: nobody waits for a client that may never come back.
    db.connect().run("insert into t (k) values (-1); delete from t where k = -1").unwrap();
    one.run("commit").unwrap();
    assert_eq!(one.transaction_status(), None);
    assert_eq!(number(&mut one, "select count(*) from t"), 1);
    // Behind a savepoint: what came before it stays.
    one.run("begin; insert into t (k) values (-1); savepoint s; insert into t (k) values (-2)").unwrap();
    assert_eq!(code(one.run(failing)), SqlState::UNIQUE_VIOLATION);
    one.run("rollback to s; insert into t (k) values (-3); commit").unwrap();
    assert_eq!(number(&mut one, "select count(*) from t where k < 0"), 2);
    assert_eq!(number(&mut one, "select count(*) from t where k = -2"), 0);
    assert!(
        number(&mut one, "select max(id) from t") > 10_000,
        "identity values of what failed are not used again"
    );
    assert_eq!(db.check().unwrap().1, []);
    assert_eq!(db.stats().row_lock_count, 0);
}

#[test]
fn a_deadlock_has_one_victim() {
    let db =
        database("create table t (id integer primary key, n integer); insert into t values (1, 0), (2, 0)");
    let (mut one, mut two) = (db.connect(), db.connect());
    one.run("begin; update t set n = n + 1 where id = 1").unwrap();
    two.run("begin; update t set n = n + 1 where id = 2").unwrap();
    let waiting = start(one, "update t set n = n + 10 where id = 2");
    until_waiting(&db, 1);
    // This closes the cycle. The youngest is the victim: this one; the other goes on without its ROLLBACK.
    let second = two.run("update t set n = n + 10 where id = 1");
    let (mut one, first) = waiting.join().unwrap();
    first.unwrap();
    assert_eq!(code(second), SqlState::DEADLOCK_DETECTED);
    assert_eq!(code(two.run("select 1")), SqlState::IN_FAILED_SQL_TRANSACTION);
    two.run("rollback").unwrap();
    one.run("commit").unwrap();
    assert_eq!(number(&mut two, "select n from t where id = 1"), 1);
    assert_eq!(number(&mut two, "select n from t where id = 2"), 10);
}

#[test]
fn serializable_refuses_write_skew_and_the_weaker_levels_do_not() {
    for (level, refused) in [("serializable", true), ("repeatable read", false)] {
        let db = database(
            "create table duty (who text primary key, on_call boolean); insert into duty values ('a', true), ('b', true)",
        );
        let (mut one, mut two) = (db.connect(), db.connect());
        for connection in [&mut one, &mut two] {
            connection.run(&format!("begin isolation level {level}")).unwrap();
            assert_eq!(number(connection, "select count(*) from duty where on_call"), 2);
        }
        one.run("update duty set on_call = false where who = 'a'; commit").unwrap();
        let outcome = two.run("update duty set on_call = false where who = 'b'; commit");
        if refused {
            assert_eq!(code(outcome), SqlState::SERIALIZATION_FAILURE);
            two.run("rollback").unwrap();
        } else {
            outcome.unwrap();
        }
        let left = number(&mut one, "select count(*) from duty where on_call");
        assert_eq!(left, i64::from(refused), "{level}");
    }
}

#[test]
fn serializable_sees_phantoms() {
    let db =
        database("create table t (a integer primary key, class integer); create index by_class on t (class)");
    let (mut one, mut two) = (db.connect(), db.connect());
    for connection in [&mut one, &mut two] {
        connection.run("begin isolation level serializable").unwrap();
        assert_eq!(number(connection, "select count(*) from t where class = 1"), 0);
    }
    one.run("insert into t values (1, 1); commit").unwrap();
    assert_eq!(code(two.run("insert into t values (2, 1); commit")), SqlState::SERIALIZATION_FAILURE);
}

#[test]
fn repeatable_read_refuses_to_change_what_changed() {
    for (change, sql) in [
        ("update t set n = 1 where id = 1", "update t set n = n + 1 where id = 1"),
        ("update t set n = 1 where id = 1", "delete from t"),
        ("delete from t where id = 1", "update t set n = n + 1"),
        ("insert into t values (3, 0)", "insert into t values (3, 1) on conflict do nothing"),
    ] {
        let db = database(
            "create table t (id integer primary key, n integer); insert into t values (1, 0), (2, 0)",
        );
        let (mut one, mut two) = (db.connect(), db.connect());
        two.run("begin isolation level repeatable read; select * from t").unwrap();
        one.run(change).unwrap();
        assert_eq!(number(&mut two, "select sum(id) from t"), 3, "the snapshot stays");
        assert_eq!(code(two.run(sql)), SqlState::SERIALIZATION_FAILURE, "{change}; {sql}");
        two.run("rollback").unwrap();
    }
}

#[test]
fn a_select_that_locks_waits_for_the_row_and_sees_it_as_it_became() {
    let db = database(
        "create table t (id integer primary key, n integer not null); insert into t values (1, 0), (2, 0)",
    );
    let mut holder = db.connect();
    holder.run("begin; select * from t where id = 1 for update").unwrap();
    let mut other = db.connect();
    let nowait = "select id from t order by id for share nowait";
    assert_eq!(code(other.run(nowait)), SqlState::LOCK_NOT_AVAILABLE);
    assert_eq!(number(&mut other, "select id from t order by id for update skip locked"), 2);
    let waiting = start(other, "begin; update t set n = n + 10 where id = 1; commit");
    until_waiting(&db, 1);
    holder.run("update t set n = 1 where id = 1; commit").unwrap();
    let (mut other, outcome) = waiting.join().unwrap();
    outcome.unwrap();
    assert_eq!(number(&mut other, "select n from t where id = 1 for update"), 11);
}

#[test]
fn of_two_equal_inserts_one_gets_in() {
    for (setup, first, second) in [
        ("create table t (a integer primary key)", "commit", true),
        ("create table t (a integer primary key)", "rollback", false),
        ("create table t (a integer unique, b text)", "commit", true),
        ("create table t (a integer unique, b text)", "rollback", false),
    ] {
        let db = database(setup);
        let mut one = db.connect();
        one.run("begin; insert into t values (1)").unwrap();
        let two = start(db.connect(), "insert into t values (1)");
        until_waiting(&db, 1);
        one.run(first).unwrap();
        let outcome = two.join().unwrap().1;
        if second {
            assert_eq!(code(outcome), SqlState::UNIQUE_VIOLATION, "{setup}");
        } else {
            outcome.unwrap();
        }
        assert_eq!(number(&mut one, "select count(*) from t"), 1);
    }
}

#[test]
fn many_inserters_of_the_same_keys() {
    let db = database("create table t (a integer unique, who integer)");
    let inserted: u64 = std::thread::scope(|scope| {
        let start = |who: i32| {
            let mut connection = db.connect();
            scope.spawn(move || {
                let one = |key: i32| match connection
                    .execute(&format!("insert into t values ({key}, {who})"), &[])
                {
                    Ok(count) => count,
                    Err(error) => {
                        assert_eq!(error.code(), SqlState::UNIQUE_VIOLATION);
                        0
                    }
                };
                (0..100).map(one).sum::<u64>()
            })
        };
        let threads: Vec<_> = (0..4).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(inserted, 100);
    assert_eq!(number(&mut db.connect(), "select count(distinct a) from t"), 100);
}

#[test]
fn on_conflict_waits_and_then_skips() {
    let db = database("create table t (a integer primary key, b integer unique)");
    let mut one = db.connect();
    one.run("begin; insert into t values (1, 1)").unwrap();
    let two = start(db.connect(), "insert into t values (2, 1), (3, 3) on conflict (b) do nothing");
    until_waiting(&db, 1);
    one.run("commit").unwrap();
    two.join().unwrap().1.unwrap();
    assert_eq!(number(&mut one, "select sum(a) from t"), 4);
}

#[test]
fn an_interrupt_leaves_the_connection_usable() {
    let db = database("create table t (id integer primary key, n integer); insert into t values (1, 0)");
    let mut holder = db.connect();
    holder.run("begin; update t set n = 1").unwrap();
    for block in [false, true] {
        let mut two = db.connect();
        let interrupt = two.interrupt_handle();
        if block {
            two.run("begin; insert into t values (2, 0)").unwrap();
        }
        let waiting = start(two, "update t set n = 2 where id = 1");
        until_waiting(&db, 1);
        interrupt.interrupt();
        let (mut two, outcome) = waiting.join().unwrap();
        assert_eq!(code(outcome), SqlState::QUERY_CANCELED);
        assert_eq!(db.stats().lock_wait_count, 0);
        if block {
            assert_eq!(code(two.run("select 1")), SqlState::IN_FAILED_SQL_TRANSACTION);
            two.run("rollback").unwrap();
        }
        assert_eq!(number(&mut two, "select count(*) from t"), 1);
    }
    holder.run("rollback").unwrap();
}

#[test]
fn an_interrupt_ends_a_query_that_computes() {
    let db = database("create table t (a integer)");
    for sql in [
        "select count(*) from generate_series(1, 1000000000000)",
        "insert into t select 1 from generate_series(1, 1000000000000) g where g < 0",
        "select * from generate_series(1, 1000000000000) g order by g desc",
    ] {
        let mut connection = db.connect();
        connection.run("set work_mem = '1MB'").unwrap();
        let interrupt = connection.interrupt_handle();
        let running = start(connection, sql);
        while !running.is_finished() {
            interrupt.interrupt();
            yield_now();
        }
        let (mut connection, outcome) = running.join().unwrap();
        assert_eq!(code(outcome), SqlState::QUERY_CANCELED, "{sql}");
        assert_eq!(number(&mut connection, "select count(*) from t"), 0);
    }
}

#[test]
fn dropped_rows_release_everything() {
    use orrery_base::disk::FileId;
    use orrerydb::{MemoryDriver, Options};
    use std::sync::Arc;
    let driver = Arc::new(MemoryDriver::new());
    let db = Database::with_driver(driver.clone(), &Options::default()).unwrap();
    let temp_count = || driver.files().keys().filter(|file| matches!(file, FileId::Temp(_))).count();
    let mut connection = db.connect();
    connection.run("set work_mem = '64kB'; create table t (a integer primary key, b text)").unwrap();
    connection.run("insert into t select g, repeat('x', 100) from generate_series(1, 20000) g").unwrap();
    let snapshot_count = db.stats().snapshot_count;
    let spilling = "select x.a, y.b from t x join t y on x.a = -y.a + 20001 order by y.b, x.a desc";
    for block in [false, true] {
        if block {
            connection.run("begin; insert into t values (0, 'mine')").unwrap();
        }
        for taken in [1, 10_000] {
            let mut rows = connection.query(spilling, &[]).unwrap();
            assert_eq!(rows.by_ref().take(taken).count(), taken);
            assert!(temp_count() > 0, "the sort spilled");
            drop(rows);
            assert_eq!(temp_count(), 0, "block: {block}, rows taken: {taken}");
        }
        // The next statement of the same transaction runs at once.
        assert_eq!(number(&mut connection, "select count(*) from t"), 20_000 + i64::from(block));
        if block {
            connection.run("commit").unwrap();
        }
        assert_eq!(db.stats().snapshot_count, snapshot_count);
        assert_eq!(db.stats().row_lock_count, 0);
    }
    // Read to its end, and ended by an error, it leaves nothing either.
    assert_eq!(connection.query(spilling, &[]).unwrap().count(), 20_000);
    assert_eq!(temp_count(), 0);
    let failing = "select 1 / (a - 15000) from t order by b, a";
    assert!(connection.query(failing, &[]).unwrap().any(|row| row.is_err()));
    assert_eq!(temp_count(), 0);
}

#[test]
fn settings_follow_the_transaction() {
    let db = Database::in_memory().unwrap();
    let mut one = db.connect();
    let zone = |one: &mut Connection| {
        one.query("show timezone", &[]).unwrap().next().unwrap().unwrap().text(0).unwrap().unwrap()
    };
    one.run("set timezone = '+01'; begin; set timezone = '+02'; rollback").unwrap();
    assert_eq!(zone(&mut one), "<+01>-01");
    one.run("begin; set timezone = '+02'; set local timezone = '+03'").unwrap();
    assert_eq!(zone(&mut one), "<+03>-03");
    one.run("commit").unwrap();
    assert_eq!(zone(&mut one), "<+02>-02");
    one.run("begin; set local timezone = '+03'; set timezone = '+04'; commit").unwrap();
    assert_eq!(zone(&mut one), "<+04>-04");
}

const COUNT_UP: &str = "insert into t values (1, 1, 1) on conflict (id) do update set n = t.n + excluded.n";

#[test]
fn two_that_insert_the_same_key_become_one_insert_and_one_update() {
    for sql in [COUNT_UP, "insert into t values (2, 1, 1) on conflict (u) do update set n = t.n + excluded.n"]
    {
        let db = database("create table t (id integer primary key, n integer not null, u integer unique)");
        let mut holder = db.connect();
        holder.run("begin; insert into t values (1, 10, 1)").unwrap();
        let other = start(db.connect(), sql);
        until_waiting(&db, 1);
        holder.run("commit").unwrap();
        other.join().unwrap().1.unwrap();
        assert_eq!(number(&mut holder, "select n from t"), 11, "{sql}");
        holder.run("begin; delete from t").unwrap();
        let other = start(db.connect(), sql);
        until_waiting(&db, 1);
        holder.run("commit").unwrap();
        other.join().unwrap().1.unwrap();
        assert_eq!(number(&mut holder, "select n from t"), 1, "the row was gone: this one went in");
        assert_eq!(db.check().unwrap().1, []);
    }
}

#[test]
fn do_update_looks_at_the_newest_version() {
    let db = database(
        "create table t (id integer primary key, n integer not null, u integer unique);
         insert into t values (1, 0, 1)",
    );
    let mut holder = db.connect();
    holder.run("begin; update t set n = 100").unwrap();
    let sql = "insert into t values (1, 1, 1) on conflict (id) do update set n = -1 where t.n = 0";
    let other = start(db.connect(), sql);
    until_waiting(&db, 1);
    holder.run("commit").unwrap();
    other.join().unwrap().1.unwrap();
    assert_eq!(number(&mut holder, "select n from t"), 100);
    let mut reader = db.connect();
    reader.run("begin isolation level repeatable read; select * from t").unwrap();
    holder.run("update t set n = 101").unwrap();
    assert_eq!(code(reader.run(COUNT_UP)), SqlState::SERIALIZATION_FAILURE);
}

#[test]
fn many_that_count_up_lose_nothing() {
    let db = database("create table t (id integer primary key, n integer not null, u integer unique)");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = db.connect();
                for _ in 0..200 {
                    connection.run(COUNT_UP).unwrap();
                }
            });
        }
    });
    assert_eq!(number(&mut db.connect(), "select n from t"), 800);
}

const FAMILY: &str = "create table p (id integer primary key, n integer default 0, u integer unique);
     create table c (id integer primary key, p integer references p, pu integer references p (u) on delete cascade);
     insert into p values (1, 0, 10), (2, 0, 20)";

#[test]
fn a_reference_and_the_row_it_needs_wait_for_each_other() {
    // The referencing row first: whoever deletes what it needs waits, and is refused.
    let db = database(FAMILY);
    let mut holder = db.connect();
    holder.run("begin; insert into c values (1, 1, null)").unwrap();
    let deleter = start(db.connect(), "delete from p where id = 1");
    until_waiting(&db, 1);
    holder.run("commit").unwrap();
    assert_eq!(code(deleter.join().unwrap().1), SqlState::FOREIGN_KEY_VIOLATION);
    // The deletion first: whoever needs the row waits, and is refused.
    holder.run("begin; delete from p where id = 2").unwrap();
    let inserter = start(db.connect(), "insert into c values (2, 2, null)");
    until_waiting(&db, 1);
    holder.run("commit").unwrap();
    assert_eq!(code(inserter.join().unwrap().1), SqlState::FOREIGN_KEY_VIOLATION);
    // Undone, it is there after all.
    holder.run("insert into p values (2, 0, 20); begin; delete from p where id = 2").unwrap();
    let inserter = start(db.connect(), "insert into c values (2, 2, null)");
    until_waiting(&db, 1);
    holder.run("rollback").unwrap();
    inserter.join().unwrap().1.unwrap();
    assert_eq!(number(&mut holder, "select count(*) from c"), 2);
}

#[test]
fn a_change_that_leaves_the_key_alone_does_not_wait() {
    let db = database(FAMILY);
    let mut holder = db.connect();
    holder.run("begin; update p set n = n + 1 where id = 1").unwrap();
    db.connect().run("insert into c values (1, 1, 10); insert into c values (2, 1, null)").unwrap();
    holder.run("commit; begin; insert into c values (3, 2, 20)").unwrap();
    db.connect().run("update p set n = 7 where id = 2").unwrap();
    holder.run("commit").unwrap();
    assert_eq!(number(&mut holder, "select count(*) from c"), 3);
    assert_eq!(number(&mut holder, "select sum(n) from p"), 8);
}

#[test]
fn a_cascade_takes_the_rows_that_came_meanwhile() {
    let db = database(FAMILY);
    let mut holder = db.connect();
    holder.run("begin; insert into c values (1, null, 10)").unwrap();
    let deleter = start(db.connect(), "delete from p where id = 1");
    until_waiting(&db, 1);
    holder.run("commit").unwrap();
    deleter.join().unwrap().1.unwrap();
    assert_eq!(number(&mut holder, "select count(*) from c"), 0);
    // A row that is moved away meanwhile stays.
    holder.run("insert into c values (2, null, 20); insert into p values (3, 0, 30)").unwrap();
    holder.run("begin; update c set pu = 30").unwrap();
    let deleter = start(db.connect(), "delete from p where id = 2");
    until_waiting(&db, 1);
    holder.run("commit").unwrap();
    deleter.join().unwrap().1.unwrap();
    assert_eq!(number(&mut holder, "select count(*) from c where pu = 30"), 1);
    assert_eq!(db.check().unwrap().1, []);
}

#[test]
fn many_sessions_take_each_value_of_a_sequence_once() {
    let db = database("create sequence s; create table t (n bigint primary key, id serial unique)");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = db.connect();
                for _ in 0..100 {
                    connection.run("insert into t (n) values (nextval('s'))").unwrap();
                }
            });
        }
    });
    let mut reader = db.connect();
    assert_eq!(number(&mut reader, "select count(*) from t"), 400);
    assert_eq!(number(&mut reader, "select max(n) from t"), 400);
    assert_eq!(number(&mut reader, "select max(id) from t"), 400);
}

#[test]
fn merge_looks_at_the_newest_version() {
    let db = database(
        "create table t (id integer primary key, n integer not null);
         insert into t values (1, 0), (2, 0);
         create table source (id integer);
         insert into source values (1), (2), (3)",
    );
    let mut holder = db.connect();
    holder.run("begin; update t set n = 100 where id = 1; delete from t where id = 2").unwrap();
    let sql = "merge into t using source s on t.id = s.id
        when matched and n >= 100 then delete when matched then update set n = n + 1
        when not matched then insert values (s.id, -1)";
    let other = start(db.connect(), sql);
    until_waiting(&db, 1);
    holder.run("commit").unwrap();
    other.join().unwrap().1.unwrap();
    // What was 1 is gone, as its new value asks; 2 was gone and came anew.
    assert_eq!(number(&mut holder, "select sum(id * n) from t"), -5);
    let mut reader = db.connect();
    reader.run("begin isolation level repeatable read; select * from t").unwrap();
    holder.run("update t set n = 7").unwrap();
    assert_eq!(code(reader.run(sql)), SqlState::SERIALIZATION_FAILURE);
}
