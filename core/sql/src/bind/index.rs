//! CREATE INDEX. What an expression gives lies in a hidden generated column of the table, and an index is one of columns; that of a
//! predicate is true where the row passes and NULL elsewhere, and stands last in the key: NULLs are distinct, so a unique index
//! asks nothing of the rows that do not pass.

use super::binder::{Binder, Level};
use super::dml::{TableScope, without_positions};
use super::expr::location;
use super::names;
use crate::catalog::{Column, IndexColumn, Table};
use crate::ddl::{Ddl, NewIndex};
use crate::expr::Expr;
use crate::functions::Volatility;
use crate::parse::ast::{self, IndexKey};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

impl Binder<'_> {
    pub(super) fn create_index(&mut self, create: &ast::CreateIndex) -> Result<Ddl> {
        let ast::CreateIndex {
            name,
            if_not_exists,
            table: table_name,
            columns,
            classes,
            unique,
            include,
            predicate,
        } = create;
        let table = self.table(table_name)?;
        // An index is stored in its table's schema.
        let stored = |name: &ast::Name| ast::Name {
            text: format!("{}{}", crate::names::prefix_of(&table.name), name.text),
            at: name.at,
        };
        let name = &name.as_ref().map(stored);
        if let Some(name) = name
            && let Some(notice) = self.check_new_name(name, *if_not_exists)?
        {
            return Ok(notice);
        }
        let mut index = NewIndex::plain(String::new(), Vec::with_capacity(columns.len()), *unique, false);
        let mut names = Vec::with_capacity(columns.len());
        for ((key, descending), class) in columns.iter().zip(classes) {
            let ordinal = match key {
                IndexKey::Column(column) => {
                    names.push(column.text.clone());
                    table.column(&column.text).ok_or_else(|| super::scope::no_column(None, column))?
                }
                IndexKey::Expr(text, tree) => {
                    let taken = |name: &str| names.iter().any(|known| known == name);
                    let shown = names::index_column(tree);
                    names.push(super::ddl::first_free(&shown, taken));
                    let ty = self.index_expr(&table, tree, None)?.ty();
                    self.hidden(&table, &mut index, text.clone(), text.clone(), ty)
                }
            };
            if index.columns.iter().any(|known| known.ordinal == ordinal) {
                return Err(Error::unsupported("a column twice in one index").at(key_at(key)));
            }
            let own = table.columns.get(ordinal);
            let column = own.unwrap_or_else(|| &index.hidden[ordinal - table.columns.len()]);
            class.as_ref().map_or(Ok(()), |class| check_class(class, column.ty))?;
            index.columns.push(IndexColumn { ordinal, descending: *descending });
        }
        for column in include {
            let ordinal = table.column(&column.text);
            index.include.push(ordinal.ok_or_else(|| super::scope::no_column(None, column))?);
            names.push(column.text.clone());
        }
        if let Some((text, tree)) = predicate {
            self.index_expr(&table, tree, Some("WHERE"))?;
            let generated = format!("CASE WHEN ({text}) THEN true END");
            let ordinal = self.hidden(&table, &mut index, text.clone(), generated, SqlType::Bool);
            index.columns.push(IndexColumn { ordinal, descending: false });
            index.predicate = Some(text.clone());
        }
        index.name = match name {
            Some(name) => name.text.clone(),
            None => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let base = super::ddl::derived_name(&table.name, &names, "idx");
                super::ddl::first_free(&base, |name| self.is_taken(name))
            }
        };
        Ok(Ddl::CreateIndex { table, index })
    }

    /// A hidden column more; its ordinal.
    fn hidden(
        &self,
        table: &Table,
        index: &mut NewIndex,
        name: String,
        generated: String,
        ty: SqlType,
    ) -> usize {
        let mut column = Column::new(&name, ty);
        (column.hidden, column.generated) = (true, Some(generated));
        index.hidden.push(column);
        table.columns.len() + index.hidden.len() - 1
    }

    /// An expression of an index over the table's columns by ordinal; `clause`: a condition. Errors: 42P17 unless it is immutable,
    /// 0A000 for subqueries and generated columns.
    pub(super) fn index_expr(
        &mut self,
        table: &Arc<Table>,
        tree: &ast::Expr,
        clause: Option<&str>,
    ) -> Result<Expr> {
        let scope = TableScope::new(self, table, &table.name);
        let level = std::mem::replace(
            &mut self.level,
            Level { forbidden: Some("index expressions"), ..Level::default() },
        );
        let bound = match clause {
            Some(clause) => self.condition(&scope.scope, tree, clause),
            None => self.expr(&scope.scope, tree).and_then(|expr| self.known(expr, location(tree))),
        };
        self.level = level;
        let bound = without_positions(bound?);
        if bound.any(&mut |it| matches!(it, Expr::Subquery { .. } | Expr::Param { .. })) {
            return Err(Error::unsupported("subquery or parameter in an index").at(tree.at));
        }
        let is_immutable = |it: &Expr| match it {
            Expr::Call { function, .. } => function.volatility == Volatility::Immutable,
            Expr::Cast { input, ty, .. } => super::binder::is_stable_cast(input.ty(), *ty),
            _ => true,
        };
        if bound.any(&mut |it| !is_immutable(it)) {
            let what = if clause.is_some() { "predicate" } else { "expression" };
            let message = format!("functions in index {what} must be marked IMMUTABLE");
            return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message).at(location(tree)));
        }
        let bound = scope.by_ordinal(bound, table);
        if !bound.columns_all(|ordinal| table.columns[ordinal].generated.is_none()) {
            return Err(Error::unsupported("index expression over a generated column").at(tree.at));
        }
        Ok(bound)
    }

    /// The hidden columns of a table: ordinals, and what they are of, over the table's columns by ordinal.
    pub(super) fn hidden_exprs(&mut self, table: &Arc<Table>) -> Result<Vec<(usize, Expr)>> {
        if !table.columns.iter().any(|column| column.hidden && column.generated.is_some()) {
            return Ok(Vec::new());
        }
        let scope = TableScope::new(self, table, &table.name);
        let level = std::mem::take(&mut self.level);
        let generated = self.generated(table, &scope);
        self.level = level;
        Ok(generated?.into_iter().filter(|it| table.columns[it.0].hidden).collect())
    }
}

/// Whether two expressions that were bound over the same columns are the same.
pub(super) fn is_same(a: &Expr, b: &Expr) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

fn key_at(key: &IndexKey) -> u32 {
    match key {
        IndexKey::Column(name) => name.at,
        IndexKey::Expr(_, tree) => tree.at,
    }
}

/// Errors: 42704 for an operator class that is not built, 42804 for one of another type. Those that are there order as the type does
/// anyway: in the locale C that holds for patterns, too.
fn check_class(class: &ast::Name, ty: SqlType) -> Result<()> {
    let of = class.text.strip_suffix("_ops").map(|it| it.strip_suffix("_pattern").unwrap_or(it));
    let wanted = match of {
        Some("text" | "varchar" | "name" | "char") => SqlType::Text,
        Some("bpchar") => SqlType::Char(None),
        Some("bool") => SqlType::Bool,
        Some("bytea") => SqlType::Bytea,
        Some("date") => SqlType::Date,
        Some("float4") => SqlType::Float4,
        Some("float8") => SqlType::Float8,
        Some("int2") => SqlType::Int2,
        Some("int4") => SqlType::Int4,
        Some("int8") => SqlType::Int8,
        Some("interval") => SqlType::Interval,
        Some("jsonb") => SqlType::Jsonb,
        Some("numeric") => SqlType::Numeric,
        Some("time") => SqlType::Time,
        Some("timestamp") => SqlType::Timestamp,
        Some("timestamptz") => SqlType::Timestamptz,
        Some("uuid") => SqlType::Uuid,
        _ => {
            let message =
                format!("operator class \"{}\" does not exist for access method \"btree\"", class.text);
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        }
    };
    if ty.base() == wanted {
        return Ok(());
    }
    let message = format!("operator class \"{}\" does not accept data type {ty}", class.text);
    Err(Error::new(SqlState::DATATYPE_MISMATCH, message))
}
