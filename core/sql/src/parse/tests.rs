//! Accepted and refused texts, with codes and positions.

use super::ast::*;
use super::*;

fn refuse(text: &str, code: &str, position: u32) {
    match statements(text) {
        Ok(parsed) => panic!("{text}: accepted as {parsed:?}"),
        Err(error) => {
            assert_eq!((error.code().as_str(), error.position()), (code, Some(position)), "{text}: {error}");
        }
    }
}

fn one(text: &str) -> Parsed {
    let mut all =
        statements(text).unwrap_or_else(|error| panic!("{text}: {error} at {:?}", error.position()));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

#[test]
fn accepted() {
    for text in [
        "select",
        "select 1 as a, t.*, x from t, u as v (a, b) where a = 1 and b <> 'x''y' or not c is null",
        "select count(*) filter (where a > 1), sum(distinct b) from t group by 1, a having count(*) > 2 order by 1 desc nulls last limit 3 offset 4",
        "with a as (select 1), b (x, y) as materialized (values (1, 2)) select * from a left outer join b on a.x = b.x natural join c cross join d join e using (x, y)",
        "select case when a then b else c end, case x when 1 then 2 end, cast(a as numeric(10,2)), b::varchar(3)::text",
        "select * from (select 1 union all (select 2 order by 1) except select 3) as s where x in (1, 2) and y not in (select 1) and exists (select 1)",
        "select ((select 1) union select 2), date '2020-01-01', timestamp with time zone '2020-01-01', interval '1 day', -5, - x, a between 1 and 2 and b",
        "select extract(year from d), substring(a from 1 for 2), trim(both 'x' from y), position('a' in b), left(a, 2), d at time zone 'UTC'",
        "select * from generate_series(1, 10) as g(i) where i is distinct from 3 and i is not true",
        "insert into t (a, b) values (1, default), ($2, 'x') on conflict do nothing returning *, a + 1 as x",
        "select ?+?, a from t where b=?",
        "insert into t default values",
        "insert into t select * from u",
        "insert into t (select * from u)",
        "update t set a = a + 1, b = default where a = 1 returning b",
        "update t as x set a = u.a from u where u.b = x.b",
        "delete from t using u where t.a = u.a returning t.*",
        "create table if not exists t (id bigint primary key generated always as identity (start with 5 increment by 2), a int not null default 1 check (a > 0), b text unique, c serial, constraint u unique (a, b), check (a < c), primary key (a))",
        "create unique index if not exists i on t using btree (a desc nulls first, b)",
        "drop table if exists a, b",
        "copy t (a, b) from 'f.csv' with (format csv, header, delimiter '|', null 'NA')",
        "copy t from stdin csv header",
        "begin isolation level repeatable read, read only",
        "rollback to savepoint a",
        "set local work_mem = '4MB'",
        "set time zone 'UTC'",
        "set transaction isolation level serializable",
        "show all",
        "prepare p (int, text) as select $1, $2",
        "execute p (1, 'a')",
        "explain (analyze, format text) select 1",
        "explain analyze execute p(1)",
        "analyze t",
        "checkpoint",
        "values (1, 2), (3, 4)",
        "table t",
        "(select 1) union all (select 2) limit 1",
        "select 'a'\n 'b', E'\\n\\u00e4', $x$it's$x$, \"Quoted \"\"Name\"\"\" /* c /* nested */ */ -- end",
        "truncate t, u restart identity",
        "select a from t fetch first 3 rows only",
        "select x'",
    ] {
        if text.ends_with("x'") {
            refuse(text, "0A000", 8);
        } else {
            one(text);
        }
    }
}

#[test]
fn refused_with_position() {
    for (text, code, position) in [
        ("selct 1", "42601", 1),
        ("select 1 +", "42601", 11),
        ("select * from t where", "42601", 22),
        ("select 'abc", "42601", 8),
        ("select 1; select * frm t", "42601", 20),
        ("sélect 1", "42601", 1),
        ("select 'é', from t", "42601", 13),
        ("select 1 2", "42601", 10),
        ("select a < b < c", "42601", 14),
        ("select 12abc", "42601", 8),
        ("alter table t set schema a", "0A000", 15),
        ("select * from t for delete", "42601", 21),
        ("create table t (a numeric(2000))", "22023", 27),
        ("create table t (a int unique deferrable)", "0A000", 30),
        ("insert into t values (1) on conflict (a collate x) do nothing", "0A000", 41),
        ("select x'1f'", "0A000", 8),
        ("select 1::tsquery", "0A000", 11),
        ("explain select 1 +", "42601", 19),
        ("select $0", "42P02", 8),
        ("select ?, $1", "42601", 11),
        ("select $1 + ?", "42601", 13),
    ] {
        refuse(text, code, position);
    }
}

#[test]
fn statements_have_their_own_text() {
    let all = statements("select 1 ;; -- é\n select 2;").unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((&*all[0].text, &*all[1].text), ("select 1", "select 2"));
    assert_eq!((all[1].offset_chars, all[1].offset_bytes), (18, 19));
    assert_eq!(first_statement_end("select ';' -- ;\n; x"), Some(17));
    assert_eq!(first_statement_end("select ';"), None);
}

#[test]
fn precedence() {
    let Statement::Query(query) = one("select 1 + 2 * 3 = 7 and not a or b").statement else { panic!() };
    let SetExpr::Select(select) = query.body else { panic!() };
    let SelectItem::Expr { expr, .. } = &select.items[0] else { panic!() };
    let ExprKind::Or(parts) = &expr.kind else { panic!("{expr:?}") };
    let ExprKind::And(parts) = &parts[0].kind else { panic!() };
    assert!(matches!(&parts[0].kind, ExprKind::Binary { op, .. } if op == "="));
    assert!(matches!(&parts[1].kind, ExprKind::Not(_)));
}

#[test]
fn nesting_is_an_error_not_an_overflow() {
    let deep = |open: &str, inner: &str, close: &str| {
        let text = format!("select {}{inner}{}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(statements(&text).unwrap_err().code().as_str(), "54001", "{open}");
    };
    deep("(", "1", ")");
    deep("(select ", "1", ")");
    deep("- ", "1", "");
    deep("not ", "true", "");
    deep("case when ", "true", " then 1 end");
    deep("f(", "1", ")");
    let chain = format!("select 1{}", " + 1".repeat(1_000_000));
    assert_eq!(statements(&chain).unwrap_err().code().as_str(), "54001");
    let union = format!("select 1{}", " union all select 1".repeat(100_000));
    assert_eq!(statements(&union).unwrap_err().code().as_str(), "54001");
    let joins = format!("select 1 from t{}", " cross join t".repeat(100_000));
    assert_eq!(statements(&joins).unwrap_err().code().as_str(), "54001");
}

#[test]
fn long_but_flat_is_fine() {
    one(&format!("select true{}", " and true".repeat(10_000)));
    let rows = vec!["(1, 'some text')"; 600_000].join(", ");
    assert!(rows.len() > 10_000_000);
    one(&format!("insert into t values {rows}"));
}
