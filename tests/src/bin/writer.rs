//! The child of the crash tests: opens the database at the path given, and writes the histories of several writers until
//! it is killed. After each acknowledged transaction it prints `writer n`.
//!
//! `writer PATH open` opens, prints `open`, and waits to be killed. `writer PATH try` opens and prints `ok` or the
//! SQLSTATE. `writer PATH write COUNT` is the first form with COUNT writers.

use orrery_tests::history::{self, Verdict};
use orrerydb::{Database, Error};
use std::io::Write;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let answer = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [path, "open"] => open(path),
        [path, "try"] => attempt(path),
        [path, "write", count] => write(path, count.parse().expect("COUNT is a number")),
        _ => panic!("usage: writer PATH open | try | write COUNT"),
    };
    if let Err(error) = answer {
        say(&format!("error {}: {error}", error.code()));
        std::process::exit(1);
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone: then there is nobody to tell.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

fn open(path: &str) -> Result<(), Error> {
    let database = Database::open(path)?;
    say("open");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let _ = database.stats();
    }
}

fn attempt(path: &str) -> Result<(), Error> {
    let database = Database::open(path)?;
    database
        .connect()
        .run("create table if not exists attempt (x integer); insert into attempt values (1)")?;
    database.close()?;
    say("ok");
    Ok(())
}

fn write(path: &str, writer_count: i32) -> Result<(), Error> {
    let database = Database::open(path)?;
    if database.connect().query("select 1 from history limit 1", &[]).is_err() {
        history::create(&mut database.connect())?;
    }
    say("open");
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..writer_count)
            .map(|writer| {
                scope.spawn({
                    let database = &database;
                    move || run(database, writer)
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("no writer panics"))
    })
}

fn run(database: &Database, writer: i32) -> Result<(), Error> {
    let mut n = match history::read(database, writer) {
        Ok(n) => n,
        Err(Verdict::Refused(error)) => return Err(error),
        Err(Verdict::Wrong(what)) => panic!("{what}"),
    };
    let mut connection = database.connect();
    loop {
        n += 1;
        history::write(&mut connection, writer, n)?;
        say(&format!("{writer} {n}"));
    }
}
