//! Names, types and errors, table by table: `check(sql, what)` is the one door.

use super::*;
use crate::catalog::{Check, Column, Identity, Index, IndexColumn, Sequence};
use crate::parse;
use crate::plan::Statement;
use orrery_base::TreeId;

fn column(name: &str, ty: SqlType) -> Column {
    Column::new(name, ty)
}

/// t(id bigint key, a int, b text, c numeric(10,2), d timestamp, e boolean default true), u(id int identity, t_id bigint,
/// v varchar(5)), w(x int): no key.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog { version: 1, next_tree: 2000, ..Catalog::default() };
    let table = |id: u32, name: &str, columns: Vec<Column>, primary_key: Vec<usize>| Table {
        id: TreeId(id),
        tree: TreeId(id),
        name: name.into(),
        schema_version: 1,
        primary_key_name: (!primary_key.is_empty()).then(|| format!("{name}_pkey")),
        columns,
        row_id_sequence: primary_key.is_empty().then_some(1900),
        primary_key,
        indexes: Vec::new(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        statistics: None,
    };
    let mut t = table(
        1000,
        "t",
        vec![
            Column { not_null: true, ..column("id", SqlType::Int8) },
            column("a", SqlType::Int4),
            column("b", SqlType::Text),
            column("c", SqlType::Decimal { precision: 10, scale: 2 }),
            column("d", SqlType::Timestamp),
            Column { default: Some("true".into()), ..column("e", SqlType::Bool) },
        ],
        vec![0],
    );
    t.indexes.push(Index {
        tree: TreeId(1001),
        name: "t_a".into(),
        columns: vec![IndexColumn { ordinal: 1, descending: false }],
        unique: false,
        is_constraint: false,
        predicate: None,
        include: Vec::new(),
    });
    t.checks.push(Check { name: "positive".into(), expression: "a > 0".into() });
    let identity = Some(Identity { always: true, sequence: 1901 });
    let u = table(
        1010,
        "u",
        vec![
            Column { not_null: true, identity, ..column("id", SqlType::Int4) },
            column("t_id", SqlType::Int8),
            column("v", SqlType::Varchar(Some(5))),
        ],
        vec![0],
    );
    let w = table(1020, "w", vec![column("x", SqlType::Int4)], vec![]);
    for table in [t, u, w] {
        for index in &table.indexes {
            catalog.index_owner.insert(index.name.clone(), table.name.clone());
        }
        catalog.tables.insert(table.name.clone(), Arc::new(table));
    }
    for id in [1900, 1901] {
        catalog.sequences.insert(id, Sequence::new(id, 1, 1, 32));
    }
    catalog
}

pub(crate) fn bind_text(sql: &str) -> Result<Bound> {
    let parsed = parse::statements(sql)?.remove(0);
    bind(&parsed, &catalog(), &[], Default::default())
}

fn fields(sql: &str) -> String {
    let bound = bind_text(sql).unwrap_or_else(|error| panic!("{sql}: {error} at {:?}", error.position()));
    let Bound::Dml(Statement::Query(plan)) = bound else { panic!("{sql}: no query") };
    let fields = plan.root.fields.iter().map(|field| format!("{} {}", field.name, field.ty));
    fields.collect::<Vec<_>>().join(", ")
}

fn check(sql: &str, expected: &str) {
    assert_eq!(fields(sql), expected, "{sql}");
}

fn refuse(sql: &str, code: &str, position: u32) {
    match bind_text(sql) {
        Ok(_) => panic!("{sql}: accepted"),
        Err(error) => {
            let found = (error.code().as_str().to_owned(), error.position().unwrap_or(0));
            assert_eq!(found, (code.to_owned(), position), "{sql}: {error}");
        }
    }
}

#[test]
fn names_and_types() {
    check(
        "select 1, 'x', null, true, 1.5, 5000000000",
        "?column? integer, ?column? text, ?column? text, bool boolean, ?column? numeric(2,1), ?column? bigint",
    );
    check(
        "select * from t",
        "id bigint, a integer, b text, c numeric(10,2), d timestamp without time zone, e boolean",
    );
    check(
        "select t.*, x from t, w",
        "id bigint, a integer, b text, c numeric(10,2), d timestamp without time zone, e boolean, x integer",
    );
    check(
        "select a + 1, lower(b), a::text, case when e then a end, case a when 1 then b else 'z' end from t",
        "?column? integer, lower text, a text, case integer, case text",
    );
    check(
        "select id + a as s, count(*), sum(a), max(b) from t group by 1",
        "s bigint, count bigint, sum bigint, max text",
    );
    check("select a from t union all select id from t", "a bigint");
    check("select * from (values (1, 'a'), (2.5, null)) as v(x, y)", "x numeric, y text");
    check(
        "with q as (select a, b from t), r (z) as (select a from q) select * from q join r on q.a = r.z",
        "a integer, b text, z integer",
    );
    check(
        "select * from t join u using (id)",
        "id bigint, a integer, b text, c numeric(10,2), d timestamp without time zone, e boolean, t_id bigint, v character varying(5)",
    );
    check("select * from generate_series(1, 3) as g", "g integer");
    check("select * from generate_series(1, 3) as g(i)", "i integer");
    check(
        "select (select max(a) from t), exists (select 1 from t), 1 in (select a from t)",
        "max integer, exists boolean, ?column? boolean",
    );
    check(
        "select coalesce(a, 1), nullif(a, 2), greatest(a, 1.5) from t",
        "coalesce integer, nullif integer, greatest numeric",
    );
    check(
        "select date '2020-01-01', '1'::bigint, cast(a as varchar(3)) from t",
        "date date, int8 bigint, a character varying(3)",
    );
    check(
        "select a from t where b like 'x%' and d > '2020-01-01' and a in (1, 2, null) and c between 1 and 2.5",
        "a integer",
    );
    check("select t.a from t group by t.id order by t.b", "a integer");
    check("select distinct a from t order by a desc limit 3 offset 1", "a integer");
    check("select a from t intersect select x from w", "a integer");
    check(
        "select c + 1, c * 1.5, c / 3, -c from t",
        "?column? numeric(13,2), ?column? numeric(12,3), ?column? numeric, ?column? numeric(10,2)",
    );
    check("select", "");
}

#[test]
fn refused_with_code_and_position() {
    for (sql, code, position) in [
        ("select nosuch from t", "42703", 8),
        ("select t.nosuch from t", "42703", 8),
        ("select z.a from t", "42P01", 8),
        ("select * from nosuch", "42P01", 15),
        ("select id from t, u", "42702", 8),
        ("select * from t, t", "42712", 18),
        ("select a from t group by b", "42803", 8),
        ("select a, count(*) from t", "42803", 8),
        ("select * from t where count(*) > 1", "42803", 23),
        ("select sum(count(*)) from t", "42803", 12),
        ("select a from t where a", "42804", 23),
        ("select 1 where 1 + 2", "42804", 16),
        ("select b + 1 from t", "42883", 10),
        ("select nosuch(1)", "42883", 8),
        ("select lower(1, 2)", "42883", 8),
        ("select 'abc'::int", "22P02", 8),
        ("select a from t where d = 'yesterdayish'", "22007", 27),
        ("select case when true then 1 else 'x' end", "22P02", 35),
        ("select case when true then 1 else e end from t", "42804", 28),
        ("select a from t union select b from t", "42804", 17),
        ("select a from t union select a, b from t", "42601", 17),
        ("select a from t order by 3", "42P10", 26),
        ("select distinct a from t order by b", "42P10", 35),
        ("select $1 is null", "42P18", 0),
        ("insert into t (id, nosuch) values (1, 2)", "42703", 20),
        ("insert into t (id, id) values (1, 2)", "42701", 20),
        ("insert into t (id) values (1, 2)", "42601", 31),
        ("insert into t (id, a) values (1)", "42601", 20),
        ("insert into t (id, a) values (1, true)", "42804", 34),
        ("insert into u (id) values (1)", "428C9", 28),
        ("update t set nosuch = 1", "42703", 14),
        ("update t set a = 'x'", "22P02", 18),
        ("update t set a = 1, a = 2", "42601", 21),
        ("create table t (a int)", "42P07", 14),
        ("create table n (a int, a int)", "42701", 24),
        ("create table n (a int primary key, b int primary key)", "42P16", 42),
        ("create table n (a int, primary key (b))", "42703", 37),
        ("create table n (a int default b)", "0A000", 31),
        ("create table n (a int default 'x')", "22P02", 31),
        ("create table n (a int check (b > 1))", "42703", 30),
        ("create table n (a text generated always as identity)", "22023", 17),
        ("create index i on t (nosuch)", "42703", 22),
        ("create index t_a on t (a)", "42P07", 14),
        ("drop index nosuch", "42704", 12),
        ("drop table nosuch", "42P01", 12),
        ("copy t from stdin with (format binary)", "0A000", 25),
        ("copy t from stdin with (nosuch 1)", "42601", 25),
        ("select * from (select 1)", "42601", 15),
        ("select a from t limit 'x'", "22P02", 23),
        ("select u from t", "42703", 8),
        ("select * from other.t", "42P01", 15),
        ("create table other.t (a int)", "3F000", 14),
        ("select 1::nosuch", "42704", 11),
        ("select count(distinct *) from t", "42601", 23),
        ("select lower(distinct b) from t", "42809", 8),
    ] {
        refuse(sql, code, position);
    }
}

#[test]
fn parameters_take_their_types_from_use() {
    let types = |sql: &str| match bind_text(sql).unwrap() {
        Bound::Dml(Statement::Query(plan)) => plan.param_types,
        Bound::Dml(Statement::Insert(insert)) => insert.source.param_types,
        Bound::Dml(Statement::Update(update)) => update.source.param_types,
        _ => panic!(),
    };
    assert_eq!(types("select * from t where id = $1 and b = $2"), [SqlType::Int8, SqlType::Text]);
    assert_eq!(types("insert into u (t_id, v) values ($1, $2)"), [SqlType::Int8, SqlType::Text]);
    assert_eq!(types("update t set a = $2 where id = $1"), [SqlType::Int8, SqlType::Int4]);
    assert_eq!(types("select $1::int + $1"), [SqlType::Int4]);
    assert_eq!(types("select a from t limit $1"), [SqlType::Int8]);
}

#[test]
fn inserts_fill_in_what_is_missing() {
    let Bound::Dml(Statement::Insert(insert)) =
        bind_text("insert into u (v) values ('a'), (default)").unwrap()
    else {
        panic!()
    };
    let plan::Op::Values { rows } = &insert.source.root.op else { panic!("{:?}", insert.source.root) };
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.len() == 3));
    assert!(
        rows[0][0].any(&mut |it| matches!(it, Expr::Call { function, .. } if function.name == "nextval"))
    );
    let Bound::Dml(Statement::Insert(insert)) =
        bind_text("insert into t select x, x from w returning id + 1 as n").unwrap()
    else {
        panic!()
    };
    assert_eq!(insert.source.root.fields.len(), 6);
    assert_eq!(insert.checks.len(), 1);
    assert_eq!(insert.returning.unwrap().fields[0].name, "n");
}

#[test]
fn constants_are_computed_once() {
    let Bound::Dml(Statement::Query(plan)) = bind_text("select 1 + 2 * 3, upper('a' || 'b')").unwrap() else {
        panic!()
    };
    let text = format!("{:?}", plan.root);
    assert!(!text.contains("Call"), "{text}");
    // What may fail waits for the execution.
    assert!(bind_text("select 1 / 0").is_ok());
}
