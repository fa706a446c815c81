//! Many sessions at once, schema changes among them: nobody hangs, nobody panics, money is neither made nor lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_tests::databases::ALL;
use orrerydb::{Connection, Database, Error, SqlState};

const ACCOUNT_COUNT: u64 = 40;
const TOTAL: i64 = 40 * 100;

/// A sequence of numbers that looks random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Errors that tell a client to try again.
fn is_retry(error: &Error) -> bool {
    [SqlState::SERIALIZATION_FAILURE, SqlState::DEADLOCK_DETECTED].contains(&error.code())
}

fn number(connection: &mut Connection, sql: &str) -> Result<i64, Error> {
    let row = connection.query(sql, &[])?.next().expect("one row")?;
    Ok(row.text(0)?.expect("a number").parse().expect("a number"))
}

/// Moves money between accounts, in blocks of every level, again and again until each got through.
fn transfer(connection: &mut Connection, dice: &mut Dice) {
    let level = ["read committed", "repeatable read", "serializable"][dice.below(3) as usize];
    let (from, to, amount) = (dice.below(ACCOUNT_COUNT), dice.below(ACCOUNT_COUNT), dice.below(10));
    let sql = format!(
        "begin isolation level {level};
         update account set balance = balance - {amount} where id = {from};
         update account set balance = balance + {amount} where id in (select {to});
         insert into move (source, target, amount) values ({from}, {to}, {amount});
         commit"
    );
    while let Err(error) = connection.run(&sql) {
        assert!(is_retry(&error), "{error:?}");
        if connection.transaction_status().is_some() {
            connection.run("rollback").unwrap();
        }
    }
}

/// Whatever is written meanwhile, one statement sees one state of the accounts, through every path.
fn audit(connection: &mut Connection, dice: &mut Dice) {
    let sql = match dice.below(3) {
        0 => "select sum(balance) from account",
        1 => "select sum(balance) from (select balance from account order by balance limit 1000) x",
        _ => "select sum(a.balance) from account a join account b on a.id = b.id",
    };
    match number(connection, sql) {
        Ok(sum) => assert_eq!(sum, TOTAL, "{sql}"),
        Err(error) => assert!(is_retry(&error), "{error:?}"),
    }
}

/// Indexes come and go under the writers.
fn reindex(connection: &mut Connection, round: u64) {
    let steps = ["create index by_balance on account (balance)", "analyze account", "drop index by_balance"];
    for sql in steps {
        while let Err(error) = connection.run(sql) {
            assert!(is_retry(&error), "{sql}: {error:?}");
        }
    }
    if round.is_multiple_of(4) {
        connection.run("checkpoint").unwrap();
    }
}

/// A table that comes and goes under its readers and writers.
fn remake(connection: &mut Connection) {
    for sql in [
        "create table scratch (a integer primary key, b text unique)",
        "insert into scratch select g, 'b' || g::text from generate_series(1, 500) g on conflict do nothing",
        "begin; truncate scratch; insert into scratch values (-1, 'first'); commit",
        "drop table scratch",
    ] {
        while let Err(error) = connection.run(sql) {
            assert!(is_retry(&error), "{sql}: {error:?}");
            if connection.transaction_status().is_some() {
                connection.run("rollback").unwrap();
            }
        }
    }
}

fn use_scratch(connection: &mut Connection, dice: &mut Dice) {
    let key = 1000 + dice.below(1000);
    let sql = match dice.below(3) {
        0 => "select count(*) from scratch where a > 0 and b like 'b%'".to_owned(),
        1 => format!("insert into scratch values ({key}, 'u{key}') on conflict do nothing"),
        _ => format!("delete from scratch where a = {key}"),
    };
    if let Err(error) = connection.run(&sql) {
        let is_expected = is_retry(&error) || error.code() == SqlState::UNDEFINED_TABLE;
        assert!(is_expected, "{sql}: {error:?}");
    }
}

#[test]
fn sessions_beside_each_other() {
    for under in ALL {
        let dir = tempfile::tempdir().unwrap();
        mix(under.open(dir.path()).unwrap());
    }
}

fn mix(db: Database) {
    db.connect()
        .run(
            "create table account (id integer primary key, balance integer not null);
             insert into account select g, 100 from generate_series(0, 39) g;
             create table move (id bigint generated always as identity primary key, source integer, target integer, amount integer)",
        )
        .unwrap();
    let round_count = 60;
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let mut connection = db.connect();
            scope.spawn(move || {
                let mut dice = Dice(seed);
                (0..round_count).for_each(|_| transfer(&mut connection, &mut dice));
            });
        }
        for seed in 10..12 {
            let mut connection = db.connect();
            scope.spawn(move || {
                let mut dice = Dice(seed);
                (0..round_count).for_each(|_| audit(&mut connection, &mut dice));
            });
        }
        for seed in 20..22 {
            let mut connection = db.connect();
            scope.spawn(move || {
                let mut dice = Dice(seed);
                (0..round_count * 2).for_each(|_| use_scratch(&mut connection, &mut dice));
            });
        }
        let mut connection = db.connect();
        scope.spawn(move || (0..round_count / 6).for_each(|round| reindex(&mut connection, round)));
        let mut connection = db.connect();
        scope.spawn(move || (0..round_count / 6).for_each(|_| remake(&mut connection)));
    });
    let mut connection = db.connect();
    assert_eq!(number(&mut connection, "select sum(balance) from account").unwrap(), TOTAL);
    assert_eq!(number(&mut connection, "select count(*) from move").unwrap(), 3 * round_count as i64);
    let by_moves = "select count(*) from account a where a.balance <> 100
        + (select coalesce(sum(amount), 0) from move where target = a.id)
        - (select coalesce(sum(amount), 0) from move where source = a.id)";
    match number(&mut connection, by_moves) {
        Ok(wrong) => assert_eq!(wrong, 0, "an account does not add up"),
        // Correlated subqueries may not be built yet.
        Err(error) => assert_eq!(error.code(), SqlState::FEATURE_NOT_SUPPORTED),
    }
    let stats = db.stats();
    assert_eq!((stats.row_lock_count, stats.lock_wait_count), (0, 0));
    assert_eq!(db.check().unwrap().1, []);
    db.close().unwrap();
}
