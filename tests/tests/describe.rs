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
