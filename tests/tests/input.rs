//! Bad and outsized input: typed errors with position; the session goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Connection, Database, Error};

fn connection() -> Connection {
    let database = Database::in_memory().expect("a database in memory");
    let mut connection = database.connect();
    connection
        .run("create table t (id integer primary key, a integer); insert into t values (1, 10), (2, 20)")
        .expect("ok");
    connection
}

fn error(connection: &mut Connection, sql: &str) -> Error {
    let shown: String = sql.chars().take(80).collect();
    let error = connection.execute(sql, &[]).err().unwrap_or_else(|| panic!("no error: {shown}"));
    assert_eq!(one(connection, "select count(*) from t"), "2", "after {shown}");
    error
}

fn one(connection: &mut Connection, sql: &str) -> String {
    let mut rows = connection.query(sql, &[]).unwrap_or_else(|error| panic!("{error}"));
    let row = rows.next().expect("a row").unwrap_or_else(|error| panic!("{error}"));
    row.text(0).expect("a column").expect("not NULL")
}

#[test]
fn ten_megabytes_of_statement() {
    let mut connection = connection();
    // One literal.
    let text = "x".repeat(10 << 20);
    assert_eq!(one(&mut connection, &format!("select length('{text}')")), (10 << 20).to_string());
    // Many rows.
    let rows: Vec<String> = (0..300_000).map(|n| format!("({n}, 'row number {n} of many')")).collect();
    connection.run("create table wide (id integer primary key, b text)").unwrap();
    let sql = format!("insert into wide values {}", rows.join(", "));
    assert!(sql.len() > 10 << 20);
    assert_eq!(connection.execute(&sql, &[]).unwrap(), 300_000);
    assert_eq!(one(&mut connection, "select count(*) from wide where b like '%9 of many'"), "30000");
    // An error at its end, with its position.
    let sql = format!("select '{text}', nosuch from t");
    let found = error(&mut connection, &sql);
    assert_eq!((found.code().as_str(), found.position()), ("42703", Some((10 << 20) + 12)));
    // Nonsense, a text without end.
    assert_eq!(error(&mut connection, &text).code().as_str(), "42601");
    assert_eq!(error(&mut connection, &format!("select '{text}")).code().as_str(), "42601");
    let huge = " ".repeat(65 << 20);
    assert_eq!(error(&mut connection, &format!("select {huge} 1")).code().as_str(), "54000");
}

#[test]
fn depth_is_an_error_and_never_a_stack_overflow() {
    let mut connection = connection();
    for depth in [SHALLOW, 1_000, 10_000, 100_000, 1_000_000] {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        deep(&mut connection, depth, &format!("select {open}1{close}"));
        deep(&mut connection, depth, &format!("select {}1", "- ".repeat(depth)));
        deep(&mut connection, depth, &format!("select {}true", "not ".repeat(depth)));
        if depth <= 100_000 {
            deep(&mut connection, depth, &format!("select {}1{close}", "abs(".repeat(depth)));
            deep(&mut connection, depth, &format!("select {}1{close}", "(select ".repeat(depth)));
            let (from, alias) = ("(select * from ".repeat(depth), ") s".repeat(depth));
            deep(&mut connection, depth, &format!("select * from {from}t{alias}"));
            let cases = "case when true then ".repeat(depth);
            deep(&mut connection, depth, &format!("select {cases}1{}", " end".repeat(depth)));
            deep(&mut connection, depth, &format!("select '1'{}", "::text".repeat(depth)));
        }
    }
}

/// What must work: the limit is 200 levels, and some of these forms take more than one each.
const SHALLOW: usize = 50;

/// Shallow ones work; a deep one is 54001.
fn deep(connection: &mut Connection, depth: usize, sql: &str) {
    match connection.execute(sql, &[]) {
        Ok(_) => {}
        Err(error) => {
            let shown: String = sql.chars().take(40).collect();
            assert_eq!(error.code().as_str(), "54001", "{depth} of {shown}: {error}");
            assert!(depth > SHALLOW, "{depth} of {shown} is not deep");
        }
    }
    assert_eq!(one(connection, "select 1"), "1");
}

#[test]
fn long_chains_are_not_deep() {
    let mut connection = connection();
    // Chains of one operator come as deep trees from a parser; they must work or be refused, not overflow the stack.
    for length in [100, 10_000, 200_000] {
        for (part, sql) in
            [(" + 1", "select 1"), (" or id = 1", "select id from t where id = 2"), (" || 'x'", "select 'x'")]
        {
            let sql = format!("{sql}{}", part.repeat(length));
            if let Err(error) = connection.execute(&sql, &[]) {
                assert_eq!(error.code().as_str(), "54001", "{length} of {part}: {error}");
                assert!(length > 100, "{length} of {part} is not long");
            }
        }
    }
    let list: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    assert_eq!(
        one(&mut connection, &format!("select count(*) from t where id in ({})", list.join(","))),
        "2"
    );
    let columns: Vec<String> = (0..1600).map(|n| format!("c{n} integer")).collect();
    connection.run(&format!("create table most ({})", columns.join(", "))).unwrap();
    connection.run("insert into most (c0, c1599) values (1, 2)").unwrap();
    assert_eq!(one(&mut connection, "select c1599 from most"), "2");
    let sql = format!("create table more ({}, x integer)", columns.join(", "));
    assert_eq!(error(&mut connection, &sql).code().as_str(), "54011");
}

#[test]
fn any_cut_or_garbled_statement_is_an_error_or_a_statement() {
    let mut connection = connection();
    let statements = [
        "select t.id, count(*) as n, sum(a * 2.5) from t left join (select 1 as id) s on s.id = t.id where a in (1, 2, null) \
         or a between 3 and 40 and not exists (select 1 from t where id = 7) group by t.id having count(*) > 0 order by n desc \
         nulls last, 1 limit 5 offset 0",
        "insert into t (id, a) values (99, 1), (98, case when true then 2 end) on conflict (id) do nothing returning id, a || 'é'",
        "create table x (id integer generated always as identity primary key, n numeric(10, 2) default 1.5 check (n > 0), \
         t varchar(20) not null unique)",
        "update t set a = coalesce(a, 0) + 1 where id = any_column and a::text like '1%' escape '!'",
    ];
    let mut seen = std::collections::BTreeSet::new();
    for statement in statements {
        let chars: Vec<char> = statement.chars().collect();
        for cut in 0..chars.len() {
            let prefix: String = chars[..cut].iter().collect();
            let suffix: String = chars[cut..].iter().collect();
            let without: String = chars[..cut].iter().chain(&chars[cut + 1..]).collect();
            let garbled: String = chars[..cut].iter().chain(&['\u{0}']).chain(&chars[cut..]).collect();
            for sql in [prefix, suffix, without, garbled] {
                connection.run("begin").unwrap();
                if let Err(error) = connection.execute(&sql, &[]) {
                    let code = error.code().as_str().to_owned();
                    assert!(!code.starts_with("XX"), "{error}: {sql}");
                    let length = sql.chars().count() as u32;
                    assert!(
                        error.position().is_none_or(|at| at >= 1 && at <= length + 1),
                        "{error} at {:?}: {sql}",
                        error.position()
                    );
                    seen.insert(code);
                }
                connection.run("rollback").unwrap();
            }
        }
    }
    assert!(seen.contains("42601") && seen.contains("42703") && seen.contains("42P01"), "{seen:?}");
    assert_eq!(one(&mut connection, "select count(*) from t"), "2");
}

#[test]
fn parameters_of_the_wrong_number_and_type() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect();
    connection.run("create table t (id integer primary key, b text)").unwrap();
    let insert = connection.prepare("insert into t values ($1, $2)").unwrap();
    assert_eq!(insert.param_count(), 2);
    use orrerydb::Value;
    let good = [Value::Int4(1), Value::Text("x".into())];
    assert_eq!(connection.execute_prepared(&insert, &good).unwrap(), 1);
    for params in [&good[..1], &[Value::Int4(2), Value::Text("y".into()), Value::Null]] {
        let error = connection.execute_prepared(&insert, params).unwrap_err();
        assert_eq!(error.duty(), orrerydb::Duty::User, "{error}");
    }
    let error = connection.execute_prepared(&insert, &[Value::Text("abc".into()), Value::Null]).unwrap_err();
    assert_eq!(error.duty(), orrerydb::Duty::User, "{error}");
    let error = connection.execute_prepared(&insert, &[Value::Int8(3_000_000_000), Value::Null]).unwrap_err();
    assert_eq!(error.duty(), orrerydb::Duty::User, "{error}");
    assert_eq!(connection.execute_prepared(&insert, &[Value::Int4(2), Value::Null]).unwrap(), 1);
    assert_eq!(one(&mut connection, "select count(*) from t"), "2");
}
