//! The shell as a program meets it: arguments, scripts, formats, exit statuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{orrery, run};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

const TABLE: &str = "CREATE TABLE t (id integer PRIMARY KEY, name text, ok boolean, n numeric(6,2) DEFAULT 1.5 CHECK (n > 0));
    CREATE UNIQUE INDEX t_by_name ON t (name DESC, id);
    INSERT INTO t VALUES (1, 'a,\"b\"', true, 2.50), (2, '', false, NULL), (3, NULL, NULL, 0.10);";

#[test]
fn commands_and_files_run_in_the_order_given() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("two.sql"), "SELECT 2 AS two;\n-- the end\nSELECT 22 AS two").unwrap();
    let arguments = [
        "a.db",
        "--format",
        "csv",
        "-c",
        "SELECT 1 AS one",
        "-f",
        "two.sql",
        "-c",
        "SELECT 3 AS three; SELECT 4",
    ];
    let out = run(home.path(), &arguments, "SELECT 'standard input is not read';").ok();
    assert_eq!(out, "one\n1\ntwo\n2\ntwo\n22\nthree\n3\n?column?\n4\n");
    assert!(home.path().join("a.db").exists());
}

#[test]
fn what_is_written_is_there_the_next_time() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), &["a.db"], TABLE).ok();
    assert!(!home.path().join("a.db-log").exists(), "a small closed database is one file");
    let out = run(home.path(), &["a.db", "--format", "csv", "-c", "SELECT count(*) FROM t"], "").ok();
    assert_eq!(out, "count\n3\n");
    let out = run(home.path(), &[":memory:", "--format", "csv", "-c", "SELECT 1 AS x"], "").ok();
    assert_eq!(out, "x\n1\n");
    assert!(!home.path().join(":memory:").exists());
}

#[test]
fn the_first_error_ends_a_script_with_status_one() {
    let home = tempfile::tempdir().unwrap();
    let script = "SELECT 1 AS a;\nSELECT 1/0;\nSELECT 2 AS b;";
    std::fs::write(home.path().join("s.sql"), script).unwrap();
    let by_c = ["--format", "csv", "-c", "SELECT 1 AS a", "-c", "SELECT 1/0", "-c", "SELECT 2 AS b"];
    for (arguments, input) in
        [(&["--format", "csv"][..], script), (&["--format", "csv", "-f", "s.sql"], ""), (&by_c, "")]
    {
        let arguments = [&[":memory:"], arguments].concat();
        let run = run(home.path(), &arguments, input);
        assert_eq!((run.status, run.out.as_str()), (1, "a\n1\n"), "{arguments:?}: {run:?}");
        assert_eq!(run.err.lines().next(), Some("ERROR:  division by zero (22012)"), "{arguments:?}");
    }
}

#[test]
fn errors_have_their_place_and_the_session_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let check = |sql: &str, expected: &str| {
        let run = run(home.path(), &[":memory:", "-c", sql], "");
        assert_eq!(run.status, 1, "{sql}");
        assert!(run.err.starts_with(expected), "{sql}: {}", run.err);
    };
    check(
        "SELECT a\nFROM nosuch",
        "ERROR:  relation \"nosuch\" does not exist (42P01)\nLINE 2: FROM nosuch\n             ^\n",
    );
    check("SELEC 1", "ERROR:  syntax error at or near \"SELEC\" (42601)\nLINE 1: SELEC 1\n        ^\n");
    check("SELECT 2147483647 + 1", "ERROR:  integer out of range (22003)\n");
    let missing = run(home.path(), &[":memory:", "-f", "nosuch.sql"], "");
    assert!(missing.status == 1 && missing.err.starts_with("ERROR:  nosuch.sql: "), "{missing:?}");
    let no_database = run(home.path(), &["no/such/folder.db", "-c", "SELECT 1"], "");
    assert!(no_database.status == 1 && no_database.err.contains("(58P01)"), "{no_database:?}");
    assert_eq!(run(home.path(), &[], "").status, 2);
    assert_eq!(run(home.path(), &["a.db", "--format", "xml"], "").status, 2);
}

/// I7: what a transaction changes may be many times its memory.
#[test]
fn a_transaction_larger_than_memory() {
    let home = tempfile::tempdir().unwrap();
    let script = "CREATE TABLE t (id integer PRIMARY KEY, k integer, x text);
        BEGIN;
        INSERT INTO t SELECT i, i % 1000, 'row ' || i FROM generate_series(1, 60000) AS i;
        SAVEPOINT s;
        UPDATE t SET x = 'gone';
        ROLLBACK TO s;
        UPDATE t SET k = k + 1 WHERE id % 2 = 0;
        DELETE FROM t WHERE id % 10 = 0;
        CREATE INDEX t_by_k ON t (k, x);
        SELECT count(*), sum(k), count(DISTINCT x) FROM t;
        COMMIT;
        SELECT count(*), sum(k), count(DISTINCT x) FROM t;
        SELECT count(*) FROM t WHERE k = 7;";
    let told = ["a.db", "-o", "memory=8MB", "-o", "durability=none", "--format", "csv"];
    let out = run(home.path(), &told, script).ok();
    let sums = "count,sum,count\n54000,27024000,54000\n";
    assert_eq!(out, format!("{sums}{sums}count\n120\n"));
    let checked = run(home.path(), &["check", "a.db"], "");
    assert_eq!(checked.status, 0, "{checked:?}");
    let wrong = run(home.path(), &["a.db", "-o", "memory=8XB", "-c", "SELECT 1"], "");
    assert!(
        wrong.status != 0 && wrong.err.contains("\"memory=8XB\" is no option of a database"),
        "{wrong:?}"
    );
}

#[test]
fn formats() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), &["a.db"], TABLE).ok();
    let all = "SELECT id, name, ok, n, 'NaN'::double precision AS x, 1e300::double precision AS big, \
        'tab\there' || chr(10) || '\\ é' AS odd, date '2013-01-02' AS d FROM t ORDER BY id";
    let write = |format: &str| run(home.path(), &["a.db", "--format", format, "-c", all], "").ok();
    let csv = write("csv");
    assert_eq!(
        csv,
        "id,name,ok,n,x,big,odd,d\n\
         1,\"a,\"\"b\"\"\",t,2.50,NaN,1e+300,\"tab\there\n\\ é\",2013-01-02\n\
         2,\"\",f,,NaN,1e+300,\"tab\there\n\\ é\",2013-01-02\n\
         3,,,0.10,NaN,1e+300,\"tab\there\n\\ é\",2013-01-02\n"
    );
    let parsed: Vec<serde_json::Value> = serde_json::from_str(&write("json")).unwrap();
    let lines: Vec<serde_json::Value> =
        write("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed, lines);
    let first = serde_json::json!({
        "id": 1, "name": "a,\"b\"", "ok": true, "n": 2.50, "x": "NaN", "big": 1e300,
        "odd": "tab\there\n\\ é", "d": "2013-01-02"
    });
    assert_eq!(parsed[0], first);
    assert_eq!(parsed[1]["name"], "");
    assert_eq!((&parsed[1]["ok"], &parsed[2]["name"]), (&serde_json::json!(false), &serde_json::Value::Null));
    // What CSV writes, COPY's own reading takes back.
    assert_eq!(
        run(home.path(), &["a.db", "--format", "json", "-c", "SELECT id FROM t WHERE false"], "").ok(),
        "[]\n"
    );
    // Numbers keep all their digits.
    let digits = "SELECT 12345678901234567890.123456789 AS n, 9223372036854775807 AS i";
    let line = run(home.path(), &[":memory:", "--format", "jsonl", "-c", digits], "").ok();
    assert_eq!(line, "{\"n\":12345678901234567890.123456789,\"i\":9223372036854775807}\n");
    let table = write("table");
    assert!(table.contains("│  1 ┆ a,\"b\"") && table.ends_with("(3 rows)\n"), "{table}");
}

#[test]
fn tables_are_described() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), &["a.db"], TABLE).ok();
    let say = |script: &str| run(home.path(), &["a.db"], script);
    let listed = run(home.path(), &["a.db", "--format", "csv"], "\\d\n").ok();
    assert!(listed.starts_with("table,columns,indexes,rows_about,size_about\nt,4,2,3,"), "{listed}");
    assert_eq!(listed, run(home.path(), &["a.db", "--format", "csv"], "\\dt\n").ok());
    let indexes = run(home.path(), &["a.db", "--format", "csv"], "\\di t\n").ok();
    assert!(
        indexes.contains("t,t_pkey,id,PRIMARY KEY,")
            && indexes.contains("t,t_by_name,\"name DESC, id\",UNIQUE,"),
        "{indexes}"
    );
    assert_eq!(indexes, run(home.path(), &["a.db", "--format", "csv"], "\\di\n").ok());
    let described = say("\\d T\n").ok();
    for part in [
        "Table \"t\"",
        "│ id     ┆ integer      ┆ not null ┆         │",
        "│ n      ┆ numeric(6,2) ┆          ┆ 1.5     │",
        "    \"t_pkey\" PRIMARY KEY (id)",
        "    \"t_by_name\" UNIQUE (name DESC, id)",
        "CHECK (n > 0)",
        "About 3 rows (never analysed)",
    ] {
        assert!(described.contains(part), "no {part} in\n{described}");
    }
    // What this transaction made is seen too, and the transaction goes on.
    let inside = say("BEGIN; CREATE TABLE u (a integer);\n\\d u\nROLLBACK;\n").ok();
    assert!(inside.contains("Table \"u\""), "{inside}");
    let unknown = say("\\d nosuch\nSELECT 1;\n");
    assert_eq!(
        (unknown.status, unknown.err.as_str()),
        (1, "ERROR:  relation \"nosuch\" does not exist (42P01)\n")
    );
}

#[test]
fn commands_of_the_shell() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("in clude.sql"), "SELECT 'included' AS a;\n").unwrap();
    let script = "\\timing on\n\\format csv\n\\i 'in clude.sql'\n\\timing\n\\format jsonl\nSELECT 1 AS b;\n\\?\n\\q\nSELECT 1/0;\n";
    let run = run(home.path(), &[":memory:"], script);
    assert_eq!((run.status, run.out.as_str()), (0, "a\nincluded\n{\"b\":1}\n"), "{run:?}");
    assert_eq!(run.err.matches("Time: ").count(), 1, "{}", run.err);
    assert!(run.err.contains("Timing is off.") && run.err.contains("\\format NAME"), "{}", run.err);
}

fn spawn(home: &std::path::Path, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut command = orrery(home);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn line(out: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line
}

#[test]
fn each_result_is_flushed_before_the_next_statement_runs() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = spawn(home.path(), &[":memory:", "--format", "csv"]);
    let mut input = child.stdin.take().unwrap();
    for n in 0..3 {
        // The second statement is not there yet: only a flushed result can be read.
        writeln!(input, "SELECT {n} AS n;").unwrap();
        input.flush().unwrap();
        assert_eq!((line(&mut out), line(&mut out)), ("n\n".into(), format!("{n}\n")));
    }
    // A result before a statement that never ends.
    writeln!(input, "SELECT 'before' AS a; SELECT count(*) FROM generate_series(1, 1000000000000);").unwrap();
    assert_eq!((line(&mut out), line(&mut out)), ("a\n".into(), "before\n".into()));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_interrupt_cancels_the_statement() {
    let home = tempfile::tempdir().unwrap();
    for sql in [
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b WHERE a = b + 1",
    ] {
        let start = Instant::now();
        let (mut child, mut out) =
            spawn(home.path(), &[":memory:", "--format", "csv", "-c", "SELECT 1 AS a", "-c", sql]);
        assert_eq!((line(&mut out), line(&mut out)), ("a\n".into(), "1\n".into()));
        std::thread::sleep(Duration::from_millis(300));
        interrupt(&child);
        let status = child.wait().unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(status.code(), Some(1), "{err}");
        assert!(err.contains("(57014)"), "{err}");
        assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    }
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn a_reader_that_goes_away_is_a_quiet_end() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = spawn(
        home.path(),
        &[":memory:", "--format", "csv", "-c", "SELECT * FROM generate_series(1, 3000000)"],
    );
    line(&mut out);
    drop(out);
    let status = child.wait().unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_second_process_is_told_who_has_the_file() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = spawn(home.path(), &["a.db", "--format", "csv"]);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "CREATE TABLE t (a integer);\nSELECT 1 AS a;").unwrap();
    line(&mut out);
    for arguments in [&["a.db", "-c", "SELECT 1"][..], &["check", "a.db"], &["kv", "a.db", "get", "x"]] {
        let second = run(home.path(), arguments, "");
        assert_eq!(second.status, 1, "{second:?}");
        let names_owner = second.err.contains(&child.id().to_string());
        assert!(second.err.contains("(55006)") && names_owner, "{arguments:?}: {}", second.err);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    run(home.path(), &["a.db", "-c", "INSERT INTO t VALUES (1)"], "").ok();
}

#[test]
fn copy_to_stdout_gives_its_bytes_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), &["a.db"], TABLE).ok();
    let out = run(
        home.path(),
        &["a.db"],
        "COPY t TO stdout; COPY (SELECT id, name FROM t ORDER BY id) TO STDOUT CSV HEADER;",
    )
    .ok();
    assert_eq!(
        out,
        "1\ta,\"b\"\tt\t2.50\n2\t\tf\t\\N\n3\t\\N\t\\N\t0.10\nid,name\n1,\"a,\"\"b\"\"\"\n2,\"\"\n3,\n"
    );
    run(home.path(), &["a.db"], "COPY t TO 't.csv' WITH (FORMAT csv)").ok();
    let file = std::fs::read_to_string(home.path().join("t.csv")).unwrap();
    assert_eq!(file, "1,\"a,\"\"b\"\"\",t,2.50\n2,\"\",f,\n3,,,0.10\n");
}
