//! `LIKE table` in CREATE TABLE: the columns, and what INCLUDING names, of a table that is there.

use super::binder::Binder;
use crate::catalog::Table;
use crate::names;
use crate::parse::ast::{ColumnDef, Constraint, ConstraintKind, CreateTable, Like, Name};
use orrery_base::{Error, Result};

impl Binder<'_> {
    /// The statement with its LIKE clauses written out. Errors: 42P01; 0A000 for what cannot be copied.
    pub(super) fn without_likes(&self, create: &CreateTable) -> Result<CreateTable> {
        let mut create = create.clone();
        let mut added = 0;
        for like in std::mem::take(&mut create.likes) {
            let Like { place, table: name, including } = like;
            let table = self.table(&name)?;
            let has = |what: &str| including.iter().any(|it| it == what);
            self.check_copied(&table, &name, &has)?;
            let columns = columns(&table, &name, &has)?;
            let count = columns.len();
            create.columns.splice(place + added..place + added, columns);
            added += count;
            create.constraints.extend(constraints(&table, &name, &has)?);
        }
        Ok(create)
    }

    fn check_copied(&self, table: &Table, name: &Name, has: &dyn Fn(&str) -> bool) -> Result<()> {
        let refuse = |what: &str| Err(Error::unsupported(format!("LIKE of a table with {what}")).at(name.at));
        if table.checks.iter().any(|check| check.name.contains('\u{1}')) {
            return refuse("domains");
        }
        if has("identity") && table.columns.iter().any(|column| column.identity.is_some()) {
            return refuse("identity columns, INCLUDING IDENTITY");
        }
        if has("indexes") && table.indexes.iter().any(|index| !index.is_constraint) {
            return refuse("indexes beside its keys, INCLUDING INDEXES");
        }
        if has("comments") && self.catalog.comments.keys().any(|it| it.object == table.id.0) {
            return refuse("comments, INCLUDING COMMENTS");
        }
        Ok(())
    }
}

fn columns(table: &Table, name: &Name, has: &dyn Fn(&str) -> bool) -> Result<Vec<ColumnDef>> {
    let mut columns = Vec::new();
    for (_, column) in table.visible() {
        let parsed = |text: &Option<String>, wanted: bool| {
            let text = text.as_ref().filter(|_| wanted);
            text.map(|text| crate::parse::expression(text).map(|tree| (text.clone(), tree))).transpose()
        };
        columns.push(ColumnDef {
            name: Name { text: column.name.clone(), at: name.at },
            ty: column.assigned().into(),
            not_null: column.not_null,
            serial: false,
            null: false,
            default: parsed(&column.default, has("defaults"))?,
            identity: None,
            generated: parsed(&column.generated, has("generated"))?,
        });
    }
    Ok(columns)
}

fn constraints(table: &Table, name: &Name, has: &dyn Fn(&str) -> bool) -> Result<Vec<Constraint>> {
    let mut kinds = Vec::new();
    let named = |ordinals: &mut dyn Iterator<Item = usize>| {
        ordinals.map(|at| Name { text: table.columns[at].name.clone(), at: name.at }).collect::<Vec<_>>()
    };
    if has("constraints") {
        for check in &table.checks {
            let tree = crate::parse::expression(&check.expression)?;
            let shown = Name { text: names::last(&check.name).to_owned(), at: name.at };
            kinds.push((Some(shown), ConstraintKind::Check(check.expression.clone(), tree)));
        }
    }
    if has("indexes") {
        if !table.primary_key.is_empty() {
            let key = named(&mut table.primary_key.iter().copied());
            kinds.push((None, ConstraintKind::PrimaryKey(key)));
        }
        for index in &table.indexes {
            let key = named(&mut index.columns.iter().map(|column| column.ordinal));
            kinds.push((None, ConstraintKind::Unique(key)));
        }
    }
    let made = |(name_of, kind)| Constraint {
        name: name_of,
        kind,
        column: None,
        deferrable: (false, false),
        at: name.at,
    };
    Ok(kinds.into_iter().map(made).collect())
}
