//! CREATE and DROP: checked against the catalog, names chosen as PostgreSQL does.

use super::binder::Binder;
use crate::catalog::{Column, IndexColumn, Table};
use crate::ddl::{Ddl, NewColumnSequence, NewIndex, NewTable};
use crate::names;
use crate::parse::ast::{self, ConstraintKind, Name};
use orrery_base::{Error, Result, SqlState, limits};
use std::sync::Arc;

impl Binder<'_> {
    pub(super) fn create_table(&mut self, create: &ast::CreateTable) -> Result<Ddl> {
        let ast::CreateTable { name, temporary: _, if_not_exists, columns, constraints, likes: _ } = create;
        if let Some(notice) = self.check_new_name(name, *if_not_exists)? {
            return Ok(notice);
        }
        if columns.len() > limits::COLUMN_COUNT_MAX {
            let message = format!("tables can have at most {} columns", limits::COLUMN_COUNT_MAX);
            return Err(Error::new(SqlState::TOO_MANY_COLUMNS, message).at(name.at));
        }
        let mut table = NewTable {
            id: super::ITSELF,
            name: name.text.clone(),
            columns: Vec::with_capacity(columns.len()),
            sequences: Vec::new(),
            primary_key: Vec::new(),
            primary_key_name: None,
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
        };
        for definition in columns {
            self.new_column(&mut table, definition)?;
        }
        for (ordinal, definition) in columns.iter().enumerate() {
            if let Some(generated) = &definition.generated {
                self.validate_generated(&table.columns, ordinal, generated)?;
            }
        }
        for index in 0..table.sequences.len() {
            let column = &table.columns[table.sequences[index].column].name;
            let base = derived_name(&table.name, &[column.as_str()], "seq");
            let taken = |name: &str| {
                self.is_taken(name)
                    || table.name == name
                    || table.sequences.iter().any(|it| it.sequence.name.as_deref() == Some(name))
            };
            table.sequences[index].sequence.name = Some(first_free(&base, taken));
        }
        for constraint in constraints {
            self.constraint(&mut table, constraint)?;
        }
        let nullable_key = columns
            .iter()
            .zip(&table.columns)
            .enumerate()
            .find(|(ordinal, (definition, _))| definition.null && table.primary_key.contains(ordinal));
        if let Some((_, (definition, _))) = nullable_key {
            let message =
                format!("conflicting NULL/NOT NULL declarations for column \"{}\"", definition.name.text);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(definition.name.at));
        }
        for ordinal in table.primary_key.clone() {
            table.columns[ordinal].not_null = true;
        }
        Ok(Ddl::CreateTable(table))
    }

    /// Errors 42P07 unless IF NOT EXISTS was said; then the notice.
    pub(super) fn check_new_name(&self, name: &Name, if_not_exists: bool) -> Result<Option<Ddl>> {
        if !self.is_taken(&name.text) {
            return Ok(None);
        }
        let message = format!("relation \"{}\" already exists", name.text);
        if if_not_exists {
            return Ok(Some(Ddl::Nothing(format!("{message}, skipping"))));
        }
        Err(Error::new(SqlState::DUPLICATE_TABLE, message).at(name.at))
    }

    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.catalog.is_taken(name)
    }

    pub(super) fn new_column(&mut self, table: &mut NewTable, definition: &ast::ColumnDef) -> Result<()> {
        let ast::ColumnDef { name, ty, not_null, serial, null: _, default, identity, generated } = definition;
        if table.columns.iter().any(|column| column.name == name.text) {
            let message = format!("column \"{}\" specified more than once", name.text);
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).at(name.at));
        }
        let super::user_types::Meant { ty, domain } = self.meant(ty)?;
        self.refuse_row_type(ty, name.at)?;
        let ty = &ty;
        if *serial {
            let sequence = self.column_sequence(*ty, &ast::SequenceOptions::default(), name.at)?;
            table.sequences.push(NewColumnSequence { column: table.columns.len(), identity: None, sequence });
        }
        if let Some(ast::IdentityDef { always, options }) = identity {
            let sequence = self.column_sequence(*ty, options, name.at)?;
            let identity = Some(*always);
            table.sequences.push(NewColumnSequence { column: table.columns.len(), identity, sequence });
        }
        let mut column = Column { not_null: *not_null, ..Column::new(&name.text, *ty) };
        if let Some((text, tree)) = default {
            self.validate_default(&column, tree)?;
            column.default = Some(self.stored_default(text)?);
        }
        if let Some(domain) = domain
            && let crate::catalog::UserTypeKind::Domain(of) = &domain.kind
        {
            column.not_null |= of.not_null;
            if column.default.is_none() && generated.is_none() {
                column.default.clone_from(&of.default);
            }
            let mark = crate::ddl::domain_mark(&domain.name);
            for (check, text) in &of.checks {
                let shown = format!("{mark}{check}\u{1}{}", table.columns.len());
                table.checks.push((shown, text.clone()));
            }
        }
        column.generated = generated.as_ref().map(|(text, _)| text.clone());
        table.columns.push(column);
        Ok(())
    }

    /// Binds a DEFAULT to find its errors, with their places in this statement.
    pub(super) fn validate_default(&mut self, column: &Column, tree: &ast::Expr) -> Result<()> {
        let scope = std::rc::Rc::new(super::scope::Scope::default());
        self.level.forbidden = Some("DEFAULT expressions");
        let forbidden_column = |error: Error| {
            if error.code() != SqlState::UNDEFINED_COLUMN {
                return error;
            }
            let message = "cannot use column reference in DEFAULT expression";
            let at = error.position().unwrap_or(0);
            Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at)
        };
        let bound = self.expr(&scope, tree).map_err(forbidden_column)?;
        self.level.forbidden = None;
        if bound
            .any(&mut |it| matches!(it, crate::expr::Expr::Subquery { .. } | crate::expr::Expr::Param { .. }))
        {
            return Err(Error::unsupported("subquery or parameter in DEFAULT").at(tree.at));
        }
        self.coerce_assignment(bound, &column.name, column.assigned(), super::expr::location(tree))?;
        Ok(())
    }

    pub(super) fn constraint(&mut self, table: &mut NewTable, constraint: &ast::Constraint) -> Result<()> {
        let ast::Constraint { name, kind, column, deferrable, at } = constraint;
        let given = name.as_ref().map(|name| name.text.clone());
        match kind {
            ConstraintKind::PrimaryKey(columns) => {
                if table.primary_key_name.is_some() {
                    let message =
                        format!("multiple primary keys for table \"{}\" are not allowed", table.name);
                    return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message).at(*at));
                }
                table.primary_key = key_columns(table, columns, "primary key")?;
                table.primary_key_name = Some(self.relation_name(table, given, &[], "pkey", *at)?);
            }
            ConstraintKind::Unique(columns) => {
                let ordinals = key_columns(table, columns, "unique")?;
                let names: Vec<&str> = columns.iter().map(|column| column.text.as_str()).collect();
                let name = self.relation_name(table, given, &names, "key", *at)?;
                let columns =
                    ordinals.into_iter().map(|ordinal| IndexColumn { ordinal, descending: false }).collect();
                table.indexes.push(NewIndex::plain(name, columns, true, true));
            }
            ConstraintKind::Check(text, tree) => {
                self.validate_check(&table.columns, tree)?;
                let base = match column {
                    Some(column) => format!("{}_{column}_check", table.name),
                    None => format!("{}_check", table.name),
                };
                let taken = |name: &str| table.has_constraint(name);
                let name = match given {
                    Some(name) if taken(&name) => {
                        let message =
                            format!("constraint \"{name}\" for relation \"{}\" already exists", table.name);
                        return Err(Error::new(SqlState::DUPLICATE_OBJECT, message).at(*at));
                    }
                    Some(name) => name,
                    None => first_free(&base, taken),
                };
                table.checks.push((name, text.clone()));
            }
            ConstraintKind::ForeignKey(references) => {
                self.foreign_key(table, references, given, *deferrable)?;
            }
        }
        Ok(())
    }

    /// A name for an index of a table that is being made: the one given, or `table_columns_suffix`.
    fn relation_name(
        &self,
        table: &NewTable,
        given: Option<String>,
        columns: &[&str],
        suffix: &str,
        at: u32,
    ) -> Result<String> {
        let taken = |name: &str| {
            self.is_taken(name)
                || table.name == name
                || table.primary_key_name.as_deref() == Some(name)
                || table.sequences.iter().any(|it| it.sequence.name.as_deref() == Some(name))
                || table.indexes.iter().any(|index| index.name == name)
        };
        match given {
            Some(name) if taken(&name) => {
                Err(Error::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
                    .at(at))
            }
            Some(name) => Ok(name),
            None => Ok(first_free(&derived_name(&table.name, columns, suffix), taken)),
        }
    }

    pub(super) fn alter_table(&mut self, alter: &ast::AlterTable) -> Result<Ddl> {
        let ast::AlterTable { name, if_exists, actions } = alter;
        let stored = self.stored(&name.text).into_owned();
        let Some(table) = self.catalog.table(&stored).cloned() else {
            if let ([ast::AlterAction::RenameTo(to)], Some(_)) =
                (actions.as_slice(), self.catalog.sequence(&stored))
            {
                let (name, rename) = (name.clone(), Some(to.clone()));
                let options = ast::SequenceOptions::default();
                return self.alter_sequence(&ast::AlterSequence { name, if_exists: false, options, rename });
            }
            if self.is_taken(&stored) {
                return Err(Error::unsupported("ALTER TABLE of anything but a table").at(name.at));
            }
            if *if_exists {
                return Ok(Ddl::Nothing(format!("relation \"{}\" does not exist, skipping", name.text)));
            }
            return Err(super::scope::no_table(name));
        };
        if actions.iter().any(|action| {
            matches!(action, ast::AlterAction::RenameTo(_) | ast::AlterAction::RenameConstraint { .. })
        }) {
            self.refuse_temporary(&table.name, "this renaming in a temporary table", name.at)?;
        }
        // Those that a new foreign key refers to.
        let mut others: Vec<Arc<Table>> = Vec::new();
        let mut constraints = Vec::new();
        for action in actions {
            match action {
                ast::AlterAction::AddConstraint(constraint) => constraints.push(constraint),
                ast::AlterAction::AddColumn { constraints: more, .. } => constraints.extend(more),
                _ => {}
            }
        }
        for constraint in constraints {
            if let ConstraintKind::ForeignKey(references) = &constraint.kind
                && let Some(target) = self.catalog.table(&self.stored(&references.table.text))
                && target.id != table.id
            {
                others.push(target.clone());
            }
        }
        let mut alter = alter.clone();
        let prefix = names::prefix_of(&stored);
        alter.actions.iter_mut().flat_map(names_given).for_each(|name| name.text.insert_str(0, prefix));
        Ok(Ddl::AlterTable { table, alter: Arc::new(alter), others })
    }

    /// REINDEX: what it names must be there. Errors: 42P01, 42809.
    pub(super) fn check_reindex(&self, names: &[Name], index: bool) -> Result<()> {
        for name in names {
            let stored = self.stored(&name.text);
            if !index {
                self.table(name)?;
            } else if !self.catalog.has_index_named(&stored) {
                if !self.is_taken(&stored) {
                    return Err(super::scope::no_table(name));
                }
                let message = format!("\"{}\" is not an index", name.text);
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.at));
            }
        }
        Ok(())
    }

    pub(super) fn rename_index(&mut self, name: &Name, if_exists: bool, to: &Name) -> Result<Ddl> {
        let tables = self.catalog.tables.values();
        let stored = self.stored(&name.text);
        self.refuse_temporary(&stored, "renaming an index of a temporary table", name.at)?;
        let is_primary = |table: &&Arc<Table>| table.primary_key_name.as_deref() == Some(&*stored);
        let owner = self.catalog.index_owner.get(&*stored).and_then(|owner| self.catalog.table(owner));
        let Some(table) = owner.or_else(|| tables.clone().find(is_primary)).cloned() else {
            if self.is_taken(&stored) {
                let message = format!("\"{}\" is not an index", name.text);
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.at));
            }
            if if_exists {
                return Ok(Ddl::Nothing(format!("relation \"{}\" does not exist, skipping", name.text)));
            }
            return Err(super::scope::no_table(name));
        };
        let from = Name { text: stored.to_string(), at: name.at };
        let to = Name { text: format!("{}{}", names::prefix_of(&stored), to.text), at: to.at };
        let actions = vec![ast::AlterAction::RenameConstraint { from, to }];
        let name = Name { text: table.name.clone(), at: 0 };
        let alter = Arc::new(ast::AlterTable { name, if_exists: false, actions });
        Ok(Ddl::AlterTable { table, alter, others: Vec::new() })
    }

    pub(super) fn drop_table(&mut self, names: &[Name], if_exists: bool, cascade: bool) -> Result<Ddl> {
        let mut tables: Vec<Arc<Table>> = Vec::with_capacity(names.len());
        let mut notice = None;
        for name in names {
            match self.catalog.table(&self.stored(&name.text)) {
                Some(table) if tables.iter().any(|known| known.id == table.id) => {}
                Some(table) => tables.push(table.clone()),
                None if self.is_taken(&self.stored(&name.text)) => {
                    let message = format!("\"{}\" is not a table", name.text);
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.at));
                }
                None if if_exists => {
                    notice = Some(format!("table \"{}\" does not exist, skipping", name.text))
                }
                None => {
                    let message = format!("table \"{}\" does not exist", name.text);
                    return Err(Error::new(SqlState::UNDEFINED_TABLE, message).at(name.at));
                }
            }
        }
        Ok(match notice {
            Some(notice) if tables.is_empty() => Ddl::Nothing(notice),
            _ => Ddl::DropTable { tables, cascade },
        })
    }

    pub(super) fn drop_index(&mut self, names: &[Name], if_exists: bool) -> Result<Ddl> {
        let mut indexes: Vec<(Arc<Table>, String)> = Vec::with_capacity(names.len());
        let mut notice = None;
        for name in names {
            let stored = self.stored(&name.text).into_owned();
            let owner = self.catalog.index_owner.get(&stored).and_then(|owner| self.catalog.table(owner));
            match owner {
                Some(table) => {
                    self.refuse_constraint(table, &stored, name)?;
                    if !indexes.iter().any(|known| known.1 == stored) {
                        indexes.push((table.clone(), stored));
                    }
                }
                None if self.catalog.has_index_named(&stored) => return Err(required(name)),
                None if self.catalog.table(&stored).is_some() => {
                    let message = format!("\"{}\" is not an index", name.text);
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.at));
                }
                None if if_exists => {
                    notice = Some(format!("index \"{}\" does not exist, skipping", name.text))
                }
                None => {
                    let message = format!("index \"{}\" does not exist", name.text);
                    return Err(Error::new(SqlState::UNDEFINED_OBJECT, message).at(name.at));
                }
            }
        }
        Ok(match notice {
            Some(notice) if indexes.is_empty() => Ddl::Nothing(notice),
            _ => Ddl::DropIndex(indexes),
        })
    }

    fn refuse_constraint(&self, table: &Table, stored: &str, name: &Name) -> Result<()> {
        let is_constraint = table.indexes.iter().any(|index| index.name == stored && index.is_constraint);
        if is_constraint { Err(required(name)) } else { Ok(()) }
    }
}

/// The names of relations and constraints that an action gives or takes: as the table's own.
fn names_given(action: &mut ast::AlterAction) -> Vec<&mut Name> {
    match action {
        ast::AlterAction::AddConstraint(constraint) => constraint.name.iter_mut().collect(),
        ast::AlterAction::AddColumn { constraints, .. } => {
            constraints.iter_mut().filter_map(|it| it.name.as_mut()).collect()
        }
        ast::AlterAction::DropConstraint { name, .. } => vec![name],
        ast::AlterAction::RenameConstraint { from, to } => vec![from, to],
        ast::AlterAction::RenameTo(to) => vec![to],
        _ => Vec::new(),
    }
}

fn required(name: &Name) -> Error {
    let message = format!("cannot drop index {} because a constraint requires it", name.text);
    Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).at(name.at)
}

pub(super) fn key_columns(table: &NewTable, names: &[Name], what: &str) -> Result<Vec<usize>> {
    let mut ordinals = Vec::with_capacity(names.len());
    for name in names {
        let ordinal = table.columns.iter().position(|column| column.name == name.text).ok_or_else(|| {
            let message = format!("column \"{}\" named in key does not exist", name.text);
            Error::new(SqlState::UNDEFINED_COLUMN, message).at(name.at)
        })?;
        if ordinals.contains(&ordinal) {
            let message = format!("column \"{}\" appears twice in {what} constraint", name.text);
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).at(name.at));
        }
        ordinals.push(ordinal);
    }
    Ok(ordinals)
}

/// `table_a_b_suffix`, cut so that it is an identifier.
pub fn derived_name(table: &str, columns: &[&str], suffix: &str) -> String {
    let (prefix, mut base) = (names::prefix_of(table), names::last(table).to_owned());
    for column in columns {
        base.push('_');
        base.push_str(column);
    }
    // Room for the suffix and a number.
    let mut len = base.len().min(limits::IDENTIFIER_BYTES_MAX - suffix.len() - 5);
    while !base.is_char_boundary(len) {
        len -= 1;
    }
    base.truncate(len);
    format!("{prefix}{base}_{suffix}")
}

/// The name, or the first of `base1`, `base2`, … that is not taken.
pub fn first_free(base: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = base.to_owned();
    let mut number = 0;
    while taken(&name) {
        number += 1;
        name = format!("{base}{number}");
    }
    name
}
