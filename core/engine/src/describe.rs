//! What the database holds, described for people and tools (`\d` of a shell, a client's completion): plain values taken
//! from the catalog as the session sees it now. It takes no lock and reads no rows.

use crate::bind;
use crate::session::Session;
use orrery_base::kv::Transaction;
use orrery_base::sorting;
use orrery_base::{Cx, Result};
use orrery_sql::catalog::{Catalog, Column, Index, Table, View, is_temporary};
use orrery_sql::system::{LIVE_SCHEMA, LIVE_VIEWS};
use orrery_sql::types::SqlType;

/// A table or a view.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDescription {
    /// Its name.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<ColumnDescription>,
    /// Its indexes: the primary key's first, then the others in the order they were made.
    pub indexes: Vec<IndexDescription>,
    /// Its CHECK constraints.
    pub checks: Vec<CheckDescription>,
    /// About how many rows it has; no I/O is spent on it.
    pub row_estimate: u64,
    /// About how many bytes its pages take, without its indexes.
    pub byte_estimate: u64,
    /// How many rows it had when it was last analysed.
    pub analyzed_row_count: Option<u64>,
    /// The query of a view; a table has none.
    pub view: Option<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
    /// NOT NULL (primary key columns too).
    pub not_null: bool,
    /// DEFAULT, as SQL text; of a generated column the clause that makes it one.
    pub default: Option<String>,
    /// GENERATED … AS IDENTITY.
    pub identity: Option<IdentityDescription>,
}

/// How an identity column takes its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityDescription {
    /// GENERATED ALWAYS (else BY DEFAULT).
    pub always: bool,
    /// The first value.
    pub start: i64,
    /// The step.
    pub increment: i64,
}

/// An index, or the primary key (which is the table's own order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDescription {
    /// Its name.
    pub name: String,
    /// Its columns in order: name, and whether it descends.
    pub columns: Vec<(String, bool)>,
    /// Whether equal keys are refused.
    pub unique: bool,
    /// Whether it is the primary key.
    pub is_primary: bool,
    /// Whether it belongs to a constraint (PRIMARY KEY, UNIQUE).
    pub is_constraint: bool,
    /// WHERE, as SQL text: only rows that pass are asked to be unique.
    pub predicate: Option<String>,
    /// About how many bytes its pages take; those of the primary key are the table's.
    pub byte_estimate: u64,
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckDescription {
    /// Its name.
    pub name: String,
    /// Its expression, as SQL text.
    pub expression: String,
}

/// The relations of the running database, which no catalog has: `orrery.locks` and its kin.
pub fn live_relations() -> Vec<TableDescription> {
    let column = |(name, ty): &(&str, SqlType)| ColumnDescription {
        name: (*name).to_owned(),
        ty: *ty,
        not_null: false,
        default: None,
        identity: None,
    };
    let of_orrery = LIVE_VIEWS.iter().filter(|it| it.schema == LIVE_SCHEMA);
    let all = of_orrery.map(|it| TableDescription {
        name: format!("{LIVE_SCHEMA}.{}", it.name),
        columns: it.columns.iter().map(column).collect(),
        indexes: Vec::new(),
        checks: Vec::new(),
        row_estimate: 0,
        byte_estimate: 0,
        analyzed_row_count: None,
        view: Some("-- its rows are made when it is read".to_owned()),
    });
    all.collect()
}

/// All tables and views, by name.
pub(crate) async fn tables(session: &Session, cx: &Cx) -> Result<Vec<TableDescription>> {
    let (state, scope, catalog) = bind::look(session, cx).await?;
    // Temporary tables are nobody's but their session's.
    let views = catalog.views.values().filter(|view| !is_temporary(&view.name));
    let lasting = catalog.tables.values().filter(|table| !is_temporary(&table.name));
    let tables = lasting.map(|table| describe(&*scope.txn, &catalog, table));
    let mut tables: Vec<TableDescription> = tables.chain(views.map(|it| view(&catalog, it))).collect();
    sorting::sort_by(&mut tables, |a, b| a.name.cmp(&b.name));
    if state.explicit.is_none() {
        scope.txn.rollback();
    }
    Ok(tables)
}

fn describe(txn: &dyn Transaction, catalog: &Catalog, table: &Table) -> TableDescription {
    let byte_estimate = txn.estimated_byte_count(table.tree);
    let primary = (!table.primary_key.is_empty()).then(|| IndexDescription {
        name: table.primary_key_name.as_deref().map(own).unwrap_or_else(|| format!("{}_pkey", table.name)),
        columns: table.primary_key.iter().map(|&at| (table.columns[at].name.clone(), false)).collect(),
        unique: true,
        is_primary: true,
        is_constraint: true,
        predicate: None,
        byte_estimate,
    });
    let others = table.indexes.iter().map(|it| index(txn, table, it));
    TableDescription {
        name: catalog.shown_name(&table.name),
        columns: table.visible().map(|(_, it)| column(catalog, it)).collect(),
        indexes: primary.into_iter().chain(others).collect(),
        checks: table
            .checks
            .iter()
            .map(|check| CheckDescription { name: own(&check.name), expression: check.expression.clone() })
            .collect(),
        row_estimate: txn.estimated_row_count(table.tree),
        byte_estimate,
        analyzed_row_count: table.statistics.as_ref().map(|statistics| statistics.row_count),
        view: None,
    }
}

/// A name without its schema.
fn own(stored: &str) -> String {
    orrery_sql::names::last(stored).to_owned()
}

fn view(catalog: &Catalog, view: &View) -> TableDescription {
    let columns = view.columns.iter().map(|column| ColumnDescription {
        name: column.name.clone(),
        ty: column.ty,
        not_null: false,
        default: None,
        identity: None,
    });
    TableDescription {
        name: catalog.shown_name(&view.name),
        columns: columns.collect(),
        indexes: Vec::new(),
        checks: Vec::new(),
        row_estimate: 0,
        byte_estimate: 0,
        analyzed_row_count: None,
        view: Some(view.text.clone()),
    }
}

fn column(catalog: &Catalog, column: &Column) -> ColumnDescription {
    let identity = column.identity.and_then(|identity| {
        let sequence = catalog.sequences.get(&identity.sequence)?;
        Some(IdentityDescription {
            always: identity.always,
            start: sequence.start,
            increment: sequence.increment,
        })
    });
    ColumnDescription {
        name: column.name.clone(),
        ty: column.ty,
        not_null: column.not_null,
        default: match &column.generated {
            Some(text) => Some(format!("generated always as ({text}) stored")),
            None => column.default.as_deref().map(|text| catalog.shown_default(text)),
        },
        identity,
    }
}

fn index(txn: &dyn Transaction, table: &Table, index: &Index) -> IndexDescription {
    let column =
        |it: &orrery_sql::catalog::IndexColumn| (table.columns[it.ordinal].name.clone(), it.descending);
    // The predicate's own column stands last.
    let shown_count = index.columns.len() - usize::from(index.predicate.is_some());
    IndexDescription {
        name: own(&index.name),
        columns: index.columns[..shown_count].iter().map(column).collect(),
        predicate: index.predicate.clone(),
        unique: index.unique,
        is_primary: false,
        is_constraint: index.is_constraint,
        byte_estimate: txn.estimated_byte_count(index.tree),
    }
}
