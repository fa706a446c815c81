//! `orrery export`: what it writes makes the same database anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{data, run};
use std::path::Path;

/// Every type of column, every kind of thing that a schema holds, and names and texts that need quoting.
const EVERYTHING: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'Happy');
    CREATE DOMAIN positive AS integer DEFAULT 7 NOT NULL CHECK (value > 0) CONSTRAINT small CHECK (value < 1000);
    CREATE TYPE "Point in time" AS (x integer, "Y y" numeric(6,2), label text);
    CREATE TYPE with_domain AS (p positive, m mood[]);
    CREATE SEQUENCE "Odd ones" AS integer INCREMENT BY 2 MINVALUE -5 MAXVALUE 1001 START WITH 3 CYCLE;
    CREATE SEQUENCE down INCREMENT BY -3;
    CREATE SEQUENCE untouched START WITH 40;
    CREATE TABLE every_type (
        id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5),
        b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision,
        n numeric, n2 numeric(8,3), n3 numeric(5,-2), n4 numeric(60,20),
        t text, v varchar(9), vv varchar, c char(5), bp bpchar, na name, by bytea, u uuid,
        d date, ti time, ti2 time(2), ts timestamp, ts3 timestamp(3), tz timestamptz, iv interval, iv0 interval(0),
        j json, jb jsonb, m mood, po positive, pt "Point in time",
        ia integer[], ta text[], na2 numeric(8,3)[], ma mood[], pa "Point in time"[], da date[],
        CONSTRAINT "the key" PRIMARY KEY (id)
    );
    INSERT INTO every_type (b, i2, i4, i8, f4, f8, n, n2, n3, n4, t, v, vv, c, bp, na, by, u, d, ti, ti2, ts, ts3, tz, iv, iv0,
            j, jb, m, po, pt, ia, ta, na2, ma, pa, da) VALUES
        (true, -32768, -2147483648, -9223372036854775808, 1.1e-30, 0.1, 'NaN', 1.5, 12345, 1234567890123456789012345.00000000000000000001,
         E'tab\tline\nreturn\rback\\slash \\N \\.', 'é,"q"''s', '', 'ab', 'ab  ', 'name', '\x00ff5c0a', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
         '2024-02-29', '23:59:59.999999', '01:02:03.456', '0044-03-15 12:00:00 BC', '2020-01-01 00:00:00.1239', '2020-06-01 12:00:00+05:30',
         '1 year -2 mons 3 days -04:05:06.7', '1 day 00:00:01.6', '{ "a" : [1, null] , "a":"\u00e9"}', '{"b": 1.50, "a": {"c": []}}', 'it''s ok', 999,
         ROW(1, 2.5, 'a,"b"\c'), '{{1,NULL},{3,4}}', ARRAY['', NULL, 'NULL', 'a"b\c', E'x\ny'], '{1.5,NULL}', '{sad,"it''s ok"}',
         NULL, '[3:4]={2020-01-01,infinity}'),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (false, 0, 0, 0, 'Infinity', '-0', 'Infinity', 0, 0, 0, '', '', '', '', '', '', '', '00000000-0000-0000-0000-000000000000',
         '-infinity', '00:00', '00:00', 'infinity', '-infinity', 'infinity', '0', '0', 'null', 'null', 'Happy', 2, ROW(1, 1, NULL), '{}', '{}',
         '{}', '{}', NULL, '{}');
    CREATE TABLE "Quoted ""Table""" (
        "select" serial, "B b" text DEFAULT 'it''s -- no comment', odd integer DEFAULT nextval('"Odd ones"') CHECK (odd <> 4),
        doubled integer GENERATED ALWAYS AS ("select" * 2) STORED, loose positive,
        CONSTRAINT "c/heck" CHECK ("B b" <> 'never; ' OR "B b" IS NULL), UNIQUE ("select"), CONSTRAINT both_u UNIQUE (odd, "B b")
    );
    ALTER TABLE "Quoted ""Table""" ALTER COLUMN loose DROP NOT NULL;
    ALTER TABLE "Quoted ""Table""" ALTER COLUMN loose DROP DEFAULT;
    INSERT INTO "Quoted ""Table""" ("B b") VALUES ('x'), (NULL), (''), ('\.');
    SELECT nextval('"Odd ones"'), nextval('down');
    CREATE UNIQUE INDEX by_lower ON "Quoted ""Table""" (lower("B b") DESC, odd) WHERE odd > 3;
    CREATE INDEX plain ON "Quoted ""Table""" (odd DESC) INCLUDE ("B b");
    CREATE TABLE a (id integer PRIMARY KEY, b integer, gone integer, late integer DEFAULT 1);
    CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a ON DELETE CASCADE ON UPDATE SET NULL, x integer, y integer,
        UNIQUE (x, y));
    CREATE TABLE c (x integer, y integer, boss integer UNIQUE REFERENCES c (boss), FOREIGN KEY (x, y) REFERENCES b (x, y) MATCH FULL
        ON DELETE SET NULL (x));
    ALTER TABLE a DROP COLUMN gone;
    INSERT INTO a VALUES (1, 1), (2, NULL);
    INSERT INTO b VALUES (1, 2, 5, 6), (2, 1, 7, NULL);
    ALTER TABLE a ADD CONSTRAINT round FOREIGN KEY (b) REFERENCES b;
    INSERT INTO c VALUES (5, 6, 1), (NULL, NULL, NULL);
    UPDATE c SET boss = 1 WHERE x = 5;
    CREATE VIEW z_first AS SELECT * FROM a WHERE id > 0;
    ALTER TABLE a ADD COLUMN more text DEFAULT 'more';
    CREATE MATERIALIZED VIEW kept AS SELECT id, count(*) FROM z_first GROUP BY id;
    CREATE UNIQUE INDEX kept_id ON kept (id DESC);
    CREATE VIEW of_kept AS SELECT id FROM kept;
    CREATE MATERIALIZED VIEW a_empty (n) AS SELECT count(*) FROM of_kept WITH NO DATA;
    CREATE VIEW b_second (one, "Two") AS SELECT count(*), max(id) FROM z_first;
    CREATE TABLE nothing ();
    INSERT INTO nothing DEFAULT VALUES;
    INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE one_text (t text);
    INSERT INTO one_text VALUES (''), (NULL), ('\.'), ('');
    CREATE TABLE taken_id_seq (id integer);
    CREATE TABLE taken (id integer GENERATED BY DEFAULT AS IDENTITY, other smallint);
    CREATE TABLE renamed (id integer GENERATED BY DEFAULT AS IDENTITY);
    ALTER SEQUENCE renamed_id_seq RENAME TO "Another";
    INSERT INTO taken (other) VALUES (1), (2);
    SELECT setval('taken_id_seq1', 100, false);
    ANALYZE a;
"#;

const TABLES: [&str; 10] = [
    "every_type",
    "\"Quoted \"\"Table\"\"\"",
    "a",
    "b",
    "c",
    "z_first",
    "b_second",
    "one_text",
    "taken",
    "renamed",
];

fn rows(home: &Path, database: &str, table: &str) -> String {
    let query = format!("SELECT * FROM {table} ORDER BY 1");
    run(home, &[database, "--format", "jsonl", "-c", &query], "").ok()
}

/// The rows of all tables are the same, and so is what the schema does.
fn check_same(home: &Path, copy: &str) {
    for table in TABLES {
        assert_eq!(rows(home, "a.db", table), rows(home, copy, table), "{table}");
    }
    for (sql, code) in [
        ("INSERT INTO every_type (po) VALUES (1000)", "23514"),
        ("INSERT INTO every_type (po) VALUES (NULL)", "23502"),
        ("INSERT INTO every_type (id) VALUES (1)", "428C9"),
        ("INSERT INTO \"Quoted \"\"Table\"\"\" (\"B b\") VALUES ('never; ')", "23514"),
        ("INSERT INTO \"Quoted \"\"Table\"\"\" (odd) VALUES (4)", "23514"),
        ("INSERT INTO \"Quoted \"\"Table\"\"\" (\"B b\", odd) VALUES ('A', 5), ('a', 5)", "23505"),
        ("UPDATE a SET b = 9", "23503"),
        ("DELETE FROM b WHERE id = 1", "23503"),
        ("INSERT INTO c VALUES (5, NULL, 2)", "23503"),
        ("CREATE INDEX plain ON a (id)", "42P07"),
        ("DROP SEQUENCE \"Odd ones\"", "2BP01"),
    ] {
        for database in ["a.db", copy] {
            let refused = run(home, &[database, "-c", sql], "");
            assert!(refused.status == 1 && refused.err.contains(&format!("({code})")), "{sql}: {refused:?}");
        }
    }
    // What comes next, everywhere.
    let next = "INSERT INTO every_type (po) VALUES (DEFAULT) RETURNING id, po;
        INSERT INTO \"Quoted \"\"Table\"\"\" (\"B b\") VALUES ('next') RETURNING *;
        INSERT INTO taken (other) VALUES (3) RETURNING id;
        INSERT INTO renamed DEFAULT VALUES RETURNING id;
        SELECT nextval('\"Odd ones\"'), nextval('down'), nextval('untouched'), nextval('\"Another\"');
        SELECT 'sad'::mood < 'Happy', (pt).\"Y y\" FROM every_type ORDER BY id";
    let given = |database| run(home, &[database, "--format", "csv"], next).ok();
    assert_eq!(given("a.db"), given(copy));
    let check = run(home, &["check", copy], "").ok();
    assert!(check.ends_with(": 0 findings\n"), "{check}");
}

#[test]
fn a_script_makes_the_same_database_anew() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let made = run(home, &["a.db"], EVERYTHING);
    assert_eq!(made.status, 0, "{made:?}");
    let script = run(home, &["export", "a.db"], "").ok();
    let loaded = run(home, &["b.db"], &script);
    assert!(loaded.status == 0 && loaded.err.is_empty(), "{loaded:?}\n{script}");
    // The copy's script is the same, so nothing was lost that a script says.
    assert_eq!(script, run(home, &["export", "b.db"], "").ok());
    check_same(home, "b.db");
}

#[test]
fn a_folder_makes_the_same_database_anew() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert_eq!(run(home, &["a.db"], EVERYTHING).status, 0);
    run(home, &["export", "a.db", "--to", "copy"], "").ok();
    let loaded = run(&home.join("copy"), &["../b.db", "-f", "schema.sql"], "");
    assert!(loaded.status == 0 && loaded.err.is_empty(), "{loaded:?}");
    assert_eq!(run(home, &["export", "a.db"], "").ok(), run(home, &["export", "b.db"], "").ok());
    check_same(home, "b.db");
    // Nothing is overwritten.
    let again = run(home, &["export", "a.db", "--to", "copy"], "");
    assert!(again.status == 1 && again.err.contains("schema.sql"), "{again:?}");
}

#[test]
fn what_is_no_table_is_said() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(home, &["kv", "a.db", "set", "k", "v"], "").ok();
    let exported = run(home, &["export", "a.db"], "");
    assert!(exported.status == 0 && exported.out.is_empty(), "{exported:?}");
    assert!(exported.err.contains("key-value"), "{exported:?}");
    assert!(run(home, &["export", "nosuch.db"], "").err.contains("(58P01)"));
}

#[test]
fn a_month_of_flights_goes_and_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(
        home,
        &["import", "a.db", "flights", &data("flights-2013-01.csv.gz"), "--null", "NA", "--create"],
        "",
    )
    .ok();
    let script = run(home, &["export", "a.db"], "").ok();
    run(home, &["b.db", "-c", "SELECT 1"], "").ok();
    assert_eq!(run(home, &["b.db"], &script).status, 0);
    let sum = "SELECT count(*), sum(dep_delay), min(time_hour), count(distinct tailnum) FROM flights";
    let summed = |database| run(home, &[database, "--format", "csv", "-c", sum], "").ok();
    assert_eq!(summed("a.db"), summed("b.db"));
}

/// Better no script than one that makes another database.
#[test]
fn several_schemas_are_refused() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), &["a.db", "-c", "CREATE SCHEMA s; CREATE TABLE s.t (a integer)"], "").ok();
    let refused = run(home.path(), &["export", "a.db"], "");
    assert!(refused.status != 0 && refused.out.is_empty(), "{refused:?}");
    assert!(refused.err.contains("0A000") && refused.err.contains("there is \"s\""), "{refused:?}");
}

/// On everything that may have one.
#[test]
fn comments_go_and_come_back() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let made = "CREATE TYPE e AS ENUM ('a'); CREATE TYPE c AS (x integer, \"Y\" text); CREATE DOMAIN d AS integer CHECK (value > 0);
        CREATE SEQUENCE s; CREATE TABLE \"T t\" (id integer PRIMARY KEY, n d, CONSTRAINT positive CHECK (id > 0));
        CREATE INDEX by_n ON \"T t\" (n); CREATE VIEW v AS SELECT id FROM \"T t\";
        CREATE TEMP TABLE passing (a integer); COMMENT ON TABLE passing IS 'not exported';";
    let mut comments: Vec<String> = [
        "TYPE e",
        "TYPE c",
        "COLUMN c.\"Y\"",
        "DOMAIN d",
        "SEQUENCE s",
        "TABLE \"T t\"",
        "COLUMN \"T t\".n",
        "CONSTRAINT positive ON \"T t\"",
        "INDEX by_n",
        "INDEX \"T t_pkey\"",
        "VIEW v",
        "COLUMN v.id",
        "SCHEMA public",
    ]
    .iter()
    .map(|on| format!("COMMENT ON {on} IS 'it''s on {}';", on.replace('\'', "''")))
    .collect();
    run(home, &["a.db"], &format!("{made}\n{}", comments.join("\n"))).ok();
    let script = run(home, &["export", "a.db"], "").ok();
    let mut found: Vec<&str> = script.lines().filter(|line| line.starts_with("COMMENT")).collect();
    found.sort_unstable();
    comments.sort();
    assert_eq!(found, comments);
    run(home, &["b.db"], &script).ok();
    assert_eq!(run(home, &["export", "b.db"], "").ok(), script);
}
