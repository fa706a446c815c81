//! FOREIGN KEY.

use super::binder::Binder;
use super::ddl::{derived_name, first_free};
use super::dml::TableScope;
use super::scope::no_table;
use crate::catalog::{Action, Catalog, Column, ForeignKey, Table, is_temporary};
use crate::ddl::NewTable;
use crate::parse::ast::{Name, References};
use crate::plan::{Referrer, Related, Relations};
use crate::types::SqlType;
use orrery_base::sorting;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// The id of a table that is being made: what a foreign key to itself refers to until it has one.
pub(crate) const ITSELF: u32 = 0;

impl Binder<'_> {
    /// Errors: 42809 for a materialized view; 42P16 where a temporary table and one that is none are to be tied.
    fn check_referable(&self, table: &str, target: &Table, name: &Name) -> Result<()> {
        if self.is_materialized(&target.name) {
            let message = format!("referenced relation \"{}\" is not a table", name.own().text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        if is_temporary(&target.name) != is_temporary(table) {
            let kind = if is_temporary(table) { "temporary" } else { "permanent" };
            let message = format!("constraints on {kind} tables may reference only {kind} tables");
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        Ok(())
    }

    /// The foreign keys around a table. `leaves`: referenced rows may go or get other keys.
    pub(super) fn relations(&mut self, table: &Arc<Table>, leaves: bool) -> Result<Option<Arc<Relations>>> {
        let catalog = self.catalog;
        let refers = |other: &Arc<Table>| other.foreign_keys.iter().any(|key| key.target == table.id.0);
        if table.foreign_keys.is_empty() && !(leaves && catalog.tables.values().any(refers)) {
            return Ok(None);
        }
        let mut relations = Relations::default();
        let mut open = vec![(table.clone(), leaves)];
        while let Some((table, leaves)) = open.pop() {
            let mut referrers = Vec::new();
            for other in catalog.tables.values().filter(|_| leaves) {
                for key in other.foreign_keys.iter().filter(|key| key.target == table.id.0) {
                    referrers.push(Referrer { table: other.id.0, key: key.clone() });
                    let acts = |action: Action| !matches!(action, Action::NoAction | Action::Restrict);
                    let is_known = relations.tables.get(&other.id.0).is_some_and(|it| it.is_changed);
                    if (acts(key.on_delete) || acts(key.on_update)) && !is_known && other.id != table.id {
                        open.push((other.clone(), true));
                    } else {
                        relations.tables.entry(other.id.0).or_insert_with(|| bystander(other));
                    }
                }
            }
            for key in &table.foreign_keys {
                let target = catalog.table_by_id(key.target);
                let target = target.ok_or_else(|| Error::corrupt("a foreign key refers to no table"))?;
                relations.tables.entry(key.target).or_insert_with(|| bystander(target));
            }
            let scope = TableScope::new(self, &table, &table.name);
            let generated = self.generated(&table, &scope)?;
            let checks = self.checks(&table, &scope)?;
            let defaults =
                table.columns.iter().map(|column| self.default_value(column)).collect::<Result<Vec<_>>>()?;
            let id = table.id.0;
            let related = Related { table, referrers, is_changed: true, generated, checks, defaults };
            relations.tables.insert(id, related);
        }
        Ok(Some(Arc::new(relations)))
    }

    /// Adds a foreign key to a table. Errors: 42P01, 42703, 42704, 42830, 42804; 0A000 for types that are compared by a cast.
    pub(super) fn foreign_key(
        &mut self,
        table: &mut NewTable,
        references: &References,
        given: Option<String>,
        (deferrable, deferred): (bool, bool),
    ) -> Result<()> {
        let References {
            columns,
            table: target_name,
            target_columns,
            match_full,
            on_delete,
            delete_columns,
            on_update,
        } = references;
        if deferred {
            return Err(Error::unsupported("INITIALLY DEFERRED"));
        }
        let own = referenced(&table.columns, columns)?;
        let sets = |action: &Action| matches!(action, Action::SetNull | Action::SetDefault);
        if own.iter().any(|&ordinal| table.columns[ordinal].generated.is_some()) {
            let (on, refused) = if sets(on_update) || *on_update == Action::Cascade {
                ("UPDATE", true)
            } else {
                ("DELETE", sets(on_delete))
            };
            if refused {
                let message =
                    format!("invalid ON {on} action for foreign key constraint containing generated column");
                return Err(Error::new(SqlState::SYNTAX_ERROR, message));
            }
        }
        let names: Vec<&str> = columns.iter().map(|column| column.text.as_str()).collect();
        let base = derived_name(&table.name, &names, "fkey");
        let name = match given {
            Some(name) if table.has_constraint(&name) => {
                let message = format!("constraint \"{name}\" for relation \"{}\" already exists", table.name);
                return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
            }
            Some(name) => name,
            None => first_free(&base, |name| table.has_constraint(name)),
        };
        let is_itself = *self.stored(&target_name.text) == *table.name
            || self
                .temporary_name_if(is_temporary(&table.name), target_name)
                .is_ok_and(|name| name.text == table.name);
        let (target, target_columns) = if is_itself {
            let keys: Vec<Vec<usize>> = table
                .indexes
                .iter()
                .filter(|index| index.unique)
                .map(|index| index.columns.iter().map(|column| column.ordinal).collect())
                .collect();
            let found = key(&table.name, &table.columns, &table.primary_key, &keys, target_columns)?;
            (table.id, found)
        } else {
            let stored = self.stored(&target_name.text);
            let target = self.catalog.table(&stored).ok_or_else(|| no_table(target_name))?;
            self.check_referable(&table.name, target, target_name)?;
            (target.id.0, key_of(target, target_columns)?)
        };
        if own.len() != target_columns.len() {
            let message = "number of referencing and referenced columns for foreign key disagree";
            return Err(Error::new(SqlState::INVALID_FOREIGN_KEY, message));
        }
        let other = self.catalog.table_by_id(target).filter(|_| target != table.id);
        for (&from, &to) in own.iter().zip(&target_columns) {
            let to = other.map_or_else(|| &table.columns[to], |other| &other.columns[to]);
            comparable(&name, &table.columns[from], to)?;
        }
        let delete_columns = referenced(&table.columns, delete_columns)?;
        if let Some(stray) = delete_columns.iter().find(|column| !own.contains(column)) {
            let message = format!(
                "column \"{}\" referenced in ON DELETE SET action must be part of foreign key",
                table.columns[*stray].name
            );
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message));
        }
        table.foreign_keys.push(ForeignKey {
            name,
            columns: own,
            target,
            target_columns,
            match_full: *match_full,
            on_delete: *on_delete,
            on_update: *on_update,
            delete_columns,
            deferrable,
            deferred,
        });
        Ok(())
    }
}

/// A table that is looked at only.
fn bystander(table: &Arc<Table>) -> Related {
    let (referrers, generated, checks, defaults) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Related { table: table.clone(), referrers, is_changed: false, generated, checks, defaults }
}

/// The ordinals of the columns a foreign key names.
fn referenced(columns: &[Column], names: &[Name]) -> Result<Vec<usize>> {
    let ordinal = |name: &Name| {
        columns.iter().position(|column| !column.hidden && column.name == name.text).ok_or_else(|| {
            let message =
                format!("column \"{}\" referenced in foreign key constraint does not exist", name.text);
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })
    };
    names.iter().map(ordinal).collect()
}

fn key_of(target: &Table, names: &[Name]) -> Result<Vec<usize>> {
    let unique = target.indexes.iter().filter(|index| index.unique && index.predicate.is_none());
    let keys: Vec<Vec<usize>> =
        unique.map(|index| index.columns.iter().map(|column| column.ordinal).collect()).collect();
    key(&target.name, &target.columns, &target.primary_key, &keys, names)
}

/// The referenced columns: those named, which must be a key, or the primary key.
fn key(
    table: &str,
    columns: &[Column],
    primary: &[usize],
    unique: &[Vec<usize>],
    names: &[Name],
) -> Result<Vec<usize>> {
    if names.is_empty() {
        if primary.is_empty() {
            let message = format!("there is no primary key for referenced table \"{table}\"");
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        }
        return Ok(primary.to_vec());
    }
    let wanted = referenced(columns, names)?;
    let same = |key: &[usize]| key.len() == wanted.len() && key.iter().all(|column| wanted.contains(column));
    let mut distinct = wanted.clone();
    sorting::sort(&mut distinct);
    distinct.dedup();
    let is_key = distinct.len() == wanted.len() && (same(primary) || unique.iter().any(|key| same(key)));
    if !is_key {
        let message =
            format!("there is no unique constraint matching given keys for referenced table \"{table}\"");
        return Err(Error::new(SqlState::INVALID_FOREIGN_KEY, message));
    }
    Ok(wanted)
}

/// Whether values of the two columns can be looked up for each other.
fn comparable(constraint: &str, from: &Column, to: &Column) -> Result<()> {
    let family = |ty: SqlType| match ty {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => SqlType::Int8,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Name | SqlType::QuotedChar => SqlType::Text,
        other => other,
    };
    if family(from.ty) == family(to.ty) {
        return Ok(());
    }
    let is_text = |ty: SqlType| matches!(family(ty), SqlType::Text | SqlType::Char(_));
    if from.ty.base() == to.ty.base() || is_text(from.ty) && is_text(to.ty) {
        return Err(Error::unsupported("a foreign key between different types"));
    }
    let is_number = |ty: SqlType| {
        let is_float = matches!(ty, SqlType::Float4 | SqlType::Float8);
        is_float || matches!(family(ty), SqlType::Int8) || ty.base() == SqlType::Numeric
    };
    let is_moment = |ty: SqlType| matches!(ty, SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz);
    if is_number(from.ty) && is_number(to.ty) || is_moment(from.ty) && is_moment(to.ty) {
        return Err(Error::unsupported("a foreign key between different types"));
    }
    let detail = format!(
        "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
        from.name,
        to.name,
        from.ty.base_name(),
        to.ty.base_name()
    );
    let message = format!("foreign key constraint \"{constraint}\" cannot be implemented");
    Err(Error::new(SqlState::DATATYPE_MISMATCH, message).with_detail(detail))
}

/// The tables that TRUNCATE empties: with CASCADE those that refer to them, too. Errors: 0A000 (as PostgreSQL's) when one
/// refers to them and is not truncated with them.
pub(super) fn truncated(catalog: &Catalog, named: Vec<Arc<Table>>, cascade: bool) -> Result<Vec<Arc<Table>>> {
    let mut all = named;
    let mut at = 0;
    while at < all.len() {
        let id = all[at].id.0;
        for other in catalog.tables.values() {
            let refers = other.foreign_keys.iter().any(|key| key.target == id);
            if !refers || all.iter().any(|known| known.id == other.id) {
                continue;
            }
            if !cascade {
                let message = "cannot truncate a table referenced in a foreign key constraint";
                let detail = format!("Table \"{}\" references \"{}\".", other.name, all[at].name);
                let hint = format!(
                    "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                    other.name
                );
                return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                    .with_detail(detail)
                    .with_hint(hint));
            }
            all.push(other.clone());
        }
        at += 1;
    }
    Ok(all)
}
