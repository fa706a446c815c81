//! Locks of several sessions that wait for each other: table locks, advisory locks, shared row locks and their upgrades, time
//! limits, and cycles through all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Connection, Database, Error, SqlState};
use std::thread::{JoinHandle, yield_now};

fn database(setup: &str) -> Database {
    let db = Database::in_memory().unwrap();
    db.connect().run(setup).unwrap();
    db
}

fn value(connection: &mut Connection, sql: &str) -> String {
    let row = connection.query(sql, &[]).unwrap().next().unwrap().unwrap();
    row.text(0).unwrap().unwrap().to_owned()
}

fn until_waiting(db: &Database, count: u64) {
    while db.stats().lock_wait_count < count {
        yield_now();
    }
}

fn start(mut connection: Connection, sql: &'static str) -> JoinHandle<(Connection, Result<(), Error>)> {
    std::thread::spawn(move || {
        let outcome = connection.run(sql);
        (connection, outcome)
    })
}

fn code(outcome: Result<(), Error>) -> SqlState {
    outcome.unwrap_err().code()
}

const TABLE: &str = "create table t (id integer primary key, n integer);
    insert into t values (1, 0), (2, 0); create table other (a integer); create table third (a integer)";

#[test]
fn who_locks_a_table_sees_what_was_committed_while_it_waited() {
    for level in ["read committed", "repeatable read", "serializable"] {
        let db = database(TABLE);
        let mut holder = db.connect();
        holder.run("begin; update t set n = 7").unwrap();
        let mut locker = db.connect();
        locker.run(&format!("begin isolation level {level}")).unwrap();
        let locker = start(locker, "lock table t in share mode");
        until_waiting(&db, 1);
        holder.run("alter table t add column m integer default 5; commit").unwrap();
        let (mut locker, outcome) = locker.join().unwrap();
        outcome.unwrap();
        assert_eq!(value(&mut locker, "select sum(n + m) from t"), "24", "{level}");
        locker.run("commit").unwrap();
    }
}

#[test]
fn a_table_lock_holds_writers_up_and_lets_readers_through() {
    let db = database(TABLE);
    let mut holder = db.connect();
    holder.run("begin; lock t in share mode").unwrap();
    assert_eq!(value(&mut db.connect(), "select count(*) from t"), "2");
    let writer = start(db.connect(), "insert into t values (3, 0)");
    until_waiting(&db, 1);
    // Fair: who comes behind the writer waits for it, though the holder would not mind.
    let sharer = start(db.connect(), "begin; lock t in share mode; insert into other values (1); commit");
    until_waiting(&db, 2);
    assert_eq!(value(&mut holder, "select count(*) from t"), "2");
    holder.run("commit").unwrap();
    writer.join().unwrap().1.unwrap();
    sharer.join().unwrap().1.unwrap();
    assert_eq!(value(&mut holder, "select count(*) from t"), "3");
    assert_eq!(db.stats().row_lock_count, 0);
}

#[test]
fn cycles_over_every_kind_of_lock_have_one_victim() {
    let steps = [
        ("lock third in share mode", "lock other in share mode"),
        ("select pg_advisory_lock(1)", "select pg_advisory_lock(2)"),
        ("select pg_advisory_xact_lock(1)", "select pg_advisory_xact_lock(2)"),
        ("update t set n = n + 1 where id = 1", "update t set n = n + 1 where id = 2"),
        ("select * from t where id = 1 for share", "select * from t where id = 2 for update"),
    ];
    let conflicting = [
        ("insert into other values (1)", "insert into third values (1)"),
        ("select pg_advisory_lock_shared(2)", "select pg_advisory_xact_lock(1)"),
        ("select pg_advisory_lock(2)", "select pg_advisory_xact_lock_shared(1)"),
        ("update t set n = 5 where id = 2", "delete from t where id = 1"),
        ("select * from t where id = 2 for key share", "select * from t where id = 1 for no key update"),
    ];
    // Who holds a lock of one kind and waits for one of another.
    for (first, (hold_one, _)) in steps.iter().enumerate() {
        for (second, (_, hold_two)) in steps.iter().enumerate() {
            let db = database(TABLE);
            let (mut one, mut two) = (db.connect(), db.connect());
            one.run(&format!("begin; {hold_one}")).unwrap();
            two.run(&format!("begin; {hold_two}")).unwrap();
            let one = start(one, conflicting[second].0);
            until_waiting(&db, 1);
            // The younger one, whatever closed the cycle.
            assert_eq!(code(two.run(conflicting[first].1)), SqlState::DEADLOCK_DETECTED, "{first} {second}");
            two.run("rollback; select pg_advisory_unlock_all()").unwrap();
            let (mut one, outcome) = one.join().unwrap();
            outcome.unwrap_or_else(|error| panic!("{first} {second}: {error}"));
            one.run("rollback").unwrap();
            drop(one);
            assert_eq!(db.stats().lock_wait_count, 0);
            assert_eq!(value(&mut two, "select pg_try_advisory_lock(1) and pg_try_advisory_lock(2)"), "t");
        }
    }
}

#[test]
fn a_session_that_ends_gives_its_advisory_locks_back() {
    let db = database(TABLE);
    let mut holder = db.connect();
    holder
        .run("select pg_advisory_lock(1), pg_advisory_lock_shared(2); begin; select pg_advisory_xact_lock(3)")
        .unwrap();
    let waiters = [1, 2, 3].map(|count| {
        let sql = ["select pg_advisory_lock(1)", "select pg_advisory_lock(2)", "select pg_advisory_lock(3)"];
        let waiter = start(db.connect(), sql[count - 1]);
        until_waiting(&db, count as u64);
        waiter
    });
    drop(holder);
    for waiter in waiters {
        waiter.join().unwrap().1.unwrap();
    }
}

#[test]
fn advisory_locks_exclude_and_no_increment_is_lost() {
    let db = database(TABLE);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = &db;
            scope.spawn(move || {
                let mut connection = db.connect();
                for round in 0..25 {
                    let by_transaction = (thread + round) % 2 == 0;
                    if by_transaction {
                        connection.run("begin; select pg_advisory_xact_lock(7)").unwrap();
                    } else {
                        connection.run("select pg_advisory_lock(7); begin").unwrap();
                    }
                    // Read, then written without a look at what it is by now.
                    let n: i64 = value(&mut connection, "select n from t where id = 1").parse().unwrap();
                    connection.run(&format!("update t set n = {} where id = 1; commit", n + 1)).unwrap();
                    if !by_transaction {
                        assert_eq!(value(&mut connection, "select pg_advisory_unlock(7)"), "t");
                    }
                }
            });
        }
    });
    assert_eq!(value(&mut db.connect(), "select n from t where id = 1"), "100");
}

#[test]
fn a_wait_that_is_given_up_leaves_nothing() {
    let db = database(TABLE);
    let mut holder = db.connect();
    holder.run("select pg_advisory_lock(1); begin; update t set n = 1; lock other").unwrap();
    let mut two = db.connect();
    two.run("set lock_timeout = '15ms'").unwrap();
    for sql in [
        "select pg_advisory_lock(1)",
        "select pg_advisory_xact_lock_shared(1)",
        "update t set n = 2 where id = 1",
        "select * from t for share",
        "select * from other",
    ] {
        let error = two.run(sql).unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout"),
            "{sql}"
        );
        // The statement's own time limit counts, too, and says so.
        two.run("set lock_timeout = '1h'; set statement_timeout = '15ms'").unwrap();
        assert_eq!(code(two.run(sql)), SqlState::QUERY_CANCELED, "{sql}");
        two.run("set lock_timeout = '15ms'; set statement_timeout = 0").unwrap();
    }
    // It is the wait that is limited, not the statement.
    two.run("select count(*) from generate_series(1, 300000)").unwrap();
    holder.run("commit; select pg_advisory_unlock(1)").unwrap();
    two.run("select pg_advisory_lock(1); update t set n = 3; select * from other").unwrap();
    assert_eq!(value(&mut holder, "select pg_try_advisory_lock(1)"), "f");
    assert_eq!(db.stats().lock_wait_count, 0);
}

#[test]
fn shared_rows_are_shared_and_an_upgrade_waits_for_the_others() {
    let db = database(TABLE);
    let (mut one, mut two) = (db.connect(), db.connect());
    one.run("begin; select * from t where id = 1 for share").unwrap();
    two.run("begin; select * from t where id = 1 for share").unwrap();
    let newcomer = start(db.connect(), "update t set n = n + 10 where id = 1");
    until_waiting(&db, 1);
    // It holds the row already, so it goes before the newcomer.
    let upgrade = start(two, "update t set n = n + 1 where id = 1");
    until_waiting(&db, 2);
    one.run("commit").unwrap();
    let (mut two, outcome) = upgrade.join().unwrap();
    outcome.unwrap();
    assert_eq!(db.stats().lock_wait_count, 1);
    two.run("commit").unwrap();
    newcomer.join().unwrap().1.unwrap();
    assert_eq!(value(&mut one, "select n from t where id = 1"), "11");
}

#[test]
fn the_locks_of_a_key_let_references_through() {
    let db = database(
        "create table parent (id integer primary key, code integer unique, n integer);
         create table child (parent integer references parent, code integer references parent (code));
         insert into parent values (1, 10, 0), (2, 20, 0)",
    );
    let nowait = "set lock_timeout = '15ms'; ";
    for (held, refused) in [
        ("update parent set n = 1 where id = 1", false),
        ("select * from parent where id = 1 for no key update", false),
        ("select * from parent where id = 1 for share", false),
        ("select * from parent where id = 1 for update", true),
        ("update parent set id = 3 where id = 1", true),
        ("update parent set code = 30 where id = 1", true),
        ("delete from parent where id = 1", true),
    ] {
        let mut holder = db.connect();
        holder.run(&format!("begin; {held}")).unwrap();
        for insert in ["insert into child values (1, null)", "insert into child values (null, 10)"] {
            let outcome = db.connect().run(&format!("{nowait}begin; {insert}; rollback"));
            assert_eq!(outcome.is_err(), refused, "{held}; {insert}: {outcome:?}");
            if let Err(error) = outcome {
                assert_eq!(error.code(), SqlState::LOCK_NOT_AVAILABLE, "{held}; {insert}");
            }
        }
        holder.run("rollback").unwrap();
    }
    // The other way round: a reference keeps its row, and lets what leaves the key alone through.
    let mut child = db.connect();
    child.run("begin; insert into child values (1, null), (null, 20)").unwrap();
    for (sql, refused) in [
        ("update parent set n = 1", false),
        ("select * from parent for no key update", false),
        ("select * from parent for share", false),
        ("delete from parent where id = 1", true),
        ("delete from parent where id = 2", true),
        ("update parent set code = 11 where id = 1", true),
        ("update parent set code = 21 where id = 2", true),
        ("select * from parent where id = 1 for update", true),
        ("select * from parent where id = 2 for update", true),
    ] {
        let outcome = db.connect().run(&format!("{nowait}begin; {sql}; rollback"));
        assert_eq!(outcome.is_err(), refused, "{sql}: {outcome:?}");
    }
}

#[test]
fn indexes_made_and_columns_changed_beside_writers_hold_every_row() {
    let db = database(
        "create table t (id integer primary key, n integer not null, u integer not null);
         insert into t select g, g % 10, g from generate_series(1, 2000) g",
    );
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|thread| {
                let db = &db;
                scope.spawn(move || {
                    let mut connection = db.connect();
                    for round in 0..60 {
                        let id = 10_000 + thread * 1000 + round;
                        let sql = format!(
                            "begin; insert into t (id, n, u) values ({id}, {round}, {id});
                             update t set n = n + 1 where id = {}; delete from t where id = {}; commit",
                            1 + (round * 31 + thread) % 500,
                            1000 + thread * 300 + round
                        );
                        // A cycle with who takes the table is a deadlock, of which one survives.
                        while let Err(error) = connection.run(&sql) {
                            assert_eq!(error.code(), SqlState::DEADLOCK_DETECTED, "{error}");
                            connection.run("rollback").unwrap();
                        }
                    }
                })
            })
            .collect();
        let mut definer = db.connect();
        let mut round = 0;
        while !writers.iter().all(|writer| writer.is_finished()) {
            for sql in [
                "create index by_n on t (n)",
                "create unique index by_u on t (u)",
                "create index by_sum on t ((n + u))",
                "alter table t add column extra integer default 7",
                "drop index by_n",
                "drop index by_u",
                "drop index by_sum",
                "alter table t drop column extra",
            ] {
                while let Err(error) = definer.run(sql) {
                    assert_eq!(error.code(), SqlState::DEADLOCK_DETECTED, "{sql}: {error}");
                }
            }
            round += 1;
        }
        assert!(round > 0);
    });
    let mut connection = db.connect();
    connection.run("create index by_n on t (n); create unique index by_u on t (u)").unwrap();
    assert_eq!(value(&mut connection, "select count(*) from t"), "2000");
    assert_eq!(db.check().unwrap().1, []);
    assert_eq!(db.stats().row_lock_count, 0);
}
