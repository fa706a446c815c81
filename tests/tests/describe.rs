//! What a connection says of the tables (for `\d` of a shell and for clients' completion).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Database, IdentityDescription};

#[test]
fn tables_are_described_as_the_connection_sees_them() {
    let db = Database::in_memory().unwrap();
    let mut one = db.connect();
    one.run(
        "create table stock (
             id bigint generated always as identity (start with 5 increment by 2) primary key,
             name varchar(20) not null unique,
             price numeric(8,2) default 1.5 check (price > 0));
         create index by_price on stock (price desc, name);
         insert into stock (name) values ('lamp'), ('chair')",
    )
    .unwrap();
    let tables = one.describe().unwrap();
    assert_eq!(tables.len(), 1);
    let stock = &tables[0];
    assert_eq!(stock.name, "stock");
    let columns: Vec<_> =
        stock.columns.iter().map(|it| (it.name.as_str(), it.ty.name(), it.not_null)).collect();
    let expected = [
        ("id", "bigint".to_owned(), true),
        ("name", "character varying(20)".to_owned(), true),
        ("price", "numeric(8,2)".to_owned(), false),
    ];
    assert_eq!(columns, expected);
    assert_eq!(stock.columns[0].identity, Some(IdentityDescription { always: true, start: 5, increment: 2 }));
    assert_eq!(stock.columns[2].default.as_deref(), Some("1.5"));
    let indexes: Vec<_> = stock
        .indexes
        .iter()
        .map(|it| (it.name.as_str(), it.unique, it.is_primary, it.is_constraint))
        .collect();
    let expected = [
        ("stock_pkey", true, true, true),
        ("stock_name_key", true, false, true),
        ("by_price", false, false, false),
    ];
    assert_eq!(indexes, expected);
    assert_eq!(stock.indexes[2].columns, [("price".to_owned(), true), ("name".to_owned(), false)]);
    assert_eq!(stock.checks[0].name, "stock_price_check");
    assert_eq!(stock.checks[0].expression, "price > 0");
    assert_eq!(stock.row_estimate, 2);
}

#[test]
fn an_open_transaction_sees_its_own_tables_and_stays_sound() {
    let db = Database::in_memory().unwrap();
    let (mut one, two) = (db.connect(), db.connect());
    one.run("begin; create table mine (a integer)").unwrap();
    assert_eq!(one.describe().unwrap().len(), 1);
    assert_eq!(two.describe().unwrap().len(), 0, "not committed yet");
    one.run("insert into mine values (1); commit").unwrap();
    assert_eq!(two.describe().unwrap().len(), 1);
    one.run("begin").unwrap();
    one.run("select nothing").unwrap_err();
    assert_eq!(one.describe().unwrap_err().code().as_str(), "25P02");
}

#[test]
fn views_are_described_and_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("views.orrery");
    {
        let db = Database::open(&path).unwrap();
        let mut one = db.connect();
        one.run(
            "create table t (id integer primary key, a text);
             insert into t values (1, 'x'), (2, 'y');
             create view v (n, label) as select id + 1, a from t where id > 1;
             create view w as select label from v",
        )
        .unwrap();
        one.run("begin; drop view w; rollback").unwrap();
    }
    let db = Database::open(&path).unwrap();
    let mut one = db.connect();
    let described = one.describe().unwrap();
    let names: Vec<_> = described.iter().map(|it| (it.name.as_str(), it.view.is_some())).collect();
    assert_eq!(names, [("t", false), ("v", true), ("w", true)]);
    let columns: Vec<_> = described[1].columns.iter().map(|it| (it.name.as_str(), it.ty.name())).collect();
    assert_eq!(columns, [("n", "integer".to_owned()), ("label", "text".to_owned())]);
    let error = one.run("drop table t").unwrap_err();
    assert_eq!(error.code().as_str(), "2BP01");
    let rows = one.query("select 1 from w where label = 'y'", &[]).unwrap();
    assert_eq!(rows.count(), 1);
    one.run("drop view v cascade").unwrap();
    assert_eq!(one.describe().unwrap().len(), 1);
    one.run("drop table t").unwrap();
}
