//! What ALTER TABLE needs of names and types, action by action: each sees the table as the one before left it.

use super::binder::{Binder, Level};
use super::dml::TableScope;
use super::expr::location;
use crate::catalog::{Catalog, Column, Table};
use crate::datum::Datum;
use crate::ddl::{NewColumnSequence, NewIndex, NewTable};
use crate::expr::Expr;
use crate::functions::CastContext;
use crate::parse::ast::{self, Name, SequenceOptions};
use crate::text::FormatSettings;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// A binder over one table.
pub(crate) struct Alter<'a> {
    catalog: &'a Catalog,
    table: &'a Arc<Table>,
    format: FormatSettings,
}

impl<'a> Alter<'a> {
    pub(crate) fn new(catalog: &'a Catalog, table: &'a Arc<Table>) -> Self {
        Alter { catalog, table, format: FormatSettings::default() }
    }

    /// For expressions that the statement itself gives: the session's settings.
    pub(crate) fn under(self, format: FormatSettings) -> Self {
        Alter { format, ..self }
    }

    fn binder(&self) -> Binder<'a> {
        let mut binder = Binder::new(self.catalog, &[], 0);
        (binder.format, binder.defines) = (self.format, true);
        binder
    }

    /// The ordinal of a column. Errors: 42703.
    pub(crate) fn column(&self, name: &Name) -> Result<usize> {
        self.table.column(&name.text).ok_or_else(|| {
            let message =
                format!("column \"{}\" of relation \"{}\" does not exist", name.text, self.table.name);
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })
    }

    /// The table as one that is being made: what constraints are added to.
    fn as_new(&self) -> NewTable {
        let table = self.table;
        NewTable {
            id: table.id.0,
            name: table.name.clone(),
            columns: table.columns.clone(),
            sequences: Vec::new(),
            primary_key: table.primary_key.clone(),
            primary_key_name: table.primary_key_name.clone(),
            indexes: table
                .indexes
                .iter()
                .map(|index| {
                    let unique = index.unique && index.predicate.is_none();
                    NewIndex::plain(index.name.clone(), index.columns.clone(), unique, index.is_constraint)
                })
                .collect(),
            checks: table.checks.iter().map(|check| (check.name.clone(), check.expression.clone())).collect(),
            foreign_keys: table.foreign_keys.clone(),
            materialized: None,
        }
    }

    /// The table with one constraint more.
    pub(crate) fn with_constraint(&self, constraint: &ast::Constraint) -> Result<NewTable> {
        let mut new = self.as_new();
        self.binder().constraint(&mut new, constraint)?;
        Ok(new)
    }

    /// A column to be added, with its sequence. Errors: as CREATE TABLE's.
    pub(crate) fn new_column(
        &self,
        definition: &ast::ColumnDef,
    ) -> Result<(Column, Option<NewColumnSequence>)> {
        let mut new = self.as_new();
        let mut binder = self.binder();
        if new.columns.iter().any(|column| !column.hidden && column.name == definition.name.text) {
            let message = format!(
                "column \"{}\" of relation \"{}\" already exists",
                definition.name.text, self.table.name
            );
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        binder.new_column(&mut new, definition)?;
        if let Some(generated) = &definition.generated {
            binder.validate_generated(&new.columns, new.columns.len() - 1, generated)?;
        }
        let mut sequence = new.sequences.pop();
        let column = new.columns.pop().ok_or_else(|| Error::internal("a column was to be added"))?;
        if let Some(new) = &mut sequence {
            new.sequence.name = Some(self.sequence_name(&column.name));
        }
        Ok((column, sequence))
    }

    fn sequence_name(&self, column: &str) -> String {
        let base = super::derived_name(&self.table.name, &[column], "seq");
        super::first_free(&base, |name| self.catalog.is_taken(name))
    }

    /// The sequence of a column that becomes an identity.
    pub(crate) fn identity(&self, ordinal: usize, identity: &ast::IdentityDef) -> Result<NewColumnSequence> {
        let column = &self.table.columns[ordinal];
        let mut sequence = self.binder().column_sequence(column.ty, &identity.options, 0)?;
        sequence.name = Some(self.sequence_name(&column.name));
        Ok(NewColumnSequence { column: ordinal, identity: Some(identity.always), sequence })
    }

    /// Checked options of an identity's sequence: those that may be set.
    pub(crate) fn identity_options(&self, options: &SequenceOptions) -> Result<()> {
        if options.ty.is_some() || options.owner.is_some() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "invalid identity option"));
        }
        Ok(())
    }

    /// A DEFAULT as it is kept, checked.
    pub(crate) fn default(&self, ordinal: usize, (text, tree): &(String, ast::Expr)) -> Result<String> {
        let mut binder = self.binder();
        binder.validate_default(&self.table.columns[ordinal], tree)?;
        binder.stored_default(text)
    }

    /// What the column gets when nothing is given.
    pub(crate) fn default_value(&self, column: &Column) -> Result<Expr> {
        self.binder().default_value(column)
    }

    /// The new values of a column whose type changes, over the table's columns by ordinal. Errors: 42804.
    pub(crate) fn retyped(&self, ordinal: usize, ty: SqlType, using: Option<&ast::Expr>) -> Result<Expr> {
        let mut binder = self.binder();
        let scope = TableScope::new(&mut binder, self.table, &self.table.name);
        let column = &self.table.columns[ordinal];
        let failed = |what: &str, hint: String| {
            let message = format!("{what} cannot be cast automatically to type {}", ty.base_name());
            Error::new(SqlState::DATATYPE_MISMATCH, message).with_hint(hint)
        };
        let value = match using {
            None => {
                let value = binder.column_expr(scope.ids[ordinal]);
                let hint = format!("You might need to specify \"USING {}::{}\".", column.name, ty.name());
                let cast = binder.coerce(value, ty, CastContext::Assignment, 0);
                cast.map_err(|error| match error.code() {
                    SqlState::CANNOT_COERCE | SqlState::DATATYPE_MISMATCH => {
                        failed(&format!("column \"{}\"", column.name), hint)
                    }
                    _ => error,
                })?
            }
            Some(tree) => {
                binder.level = Level { forbidden: Some("transform expressions"), ..Level::default() };
                let value = binder.expr(&scope.scope, tree)?;
                if value.any(&mut |it| matches!(it, Expr::Subquery { .. })) {
                    let message = "cannot use subquery in transform expression";
                    return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(tree.at));
                }
                let hint = "You might need to add an explicit cast.".to_owned();
                binder.coerce(value, ty, CastContext::Assignment, location(tree)).map_err(
                    |error| match error.code() {
                        SqlState::CANNOT_COERCE | SqlState::DATATYPE_MISMATCH => {
                            failed(&format!("result of USING clause for column \"{}\"", column.name), hint)
                        }
                        _ => error,
                    },
                )?
            }
        };
        Ok(scope.by_ordinal(value, self.table))
    }

    /// Whether the column's default may be cast to another type. Errors: 42804.
    pub(crate) fn check_default(&self, column: &Column, ty: SqlType) -> Result<()> {
        let mut binder = self.binder();
        let value = binder.default_value(column)?;
        binder.coerce(value, ty, CastContext::Assignment, 0).map(drop).map_err(|error| match error.code() {
            SqlState::CANNOT_COERCE | SqlState::DATATYPE_MISMATCH => {
                let message = format!(
                    "default for column \"{}\" cannot be cast automatically to type {}",
                    column.name,
                    ty.base_name()
                );
                Error::new(SqlState::DATATYPE_MISMATCH, message)
            }
            _ => error,
        })
    }

    /// The generated columns over the table's columns by ordinal.
    pub(crate) fn generated(&self) -> Result<Vec<(usize, Expr)>> {
        let mut binder = self.binder();
        let scope = TableScope::new(&mut binder, self.table, &self.table.name);
        binder.generated(self.table, &scope)
    }

    /// The CHECK constraints over the table's columns by ordinal.
    pub(crate) fn checks(&self) -> Result<Vec<(String, Expr)>> {
        let mut binder = self.binder();
        let scope = TableScope::new(&mut binder, self.table, &self.table.name);
        binder.checks(self.table, &scope)
    }

    /// An expression's text with a column named otherwise.
    pub(crate) fn renamed(&self, text: &str, from: &str, to: &str) -> Result<String> {
        let tree = crate::parse::expression(text)?;
        let mut binder = self.binder();
        let scope = TableScope::new(&mut binder, self.table, &self.table.name);
        binder.column_names = Some(Vec::new());
        binder.expr(&scope.scope, &tree)?;
        let found = binder.column_names.take().unwrap_or_default();
        let quoted = format!("\"{}\"", to.replace('"', "\"\""));
        crate::parse::replace_names(text, |at| {
            found.iter().any(|it| it.at == at && it.text == from).then(|| quoted.clone())
        })
    }
}

/// A literal NULL.
pub(crate) fn null(ty: SqlType) -> Expr {
    Expr::Literal { value: Datum::Null, ty }
}
