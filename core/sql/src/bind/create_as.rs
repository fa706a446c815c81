//! CREATE TABLE AS and SELECT INTO: the table is made of the query's columns, and its rows are inserted by a statement of
//! their own.

use super::binder::Binder;
use super::foreign_key::ITSELF;
use super::{Control, TableAs};
use crate::catalog::Column;
use crate::ddl::{Ddl, NewTable};
use crate::names;
use crate::parse::Parsed;
use crate::parse::ast::{self, CreateTableAs, InsertSource, Name};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState, limits};
use std::sync::Arc;

impl Binder<'_> {
    /// Errors: those of the query; 42P07, 42701, 42601 for more names than columns.
    pub(super) fn table_as(&mut self, create: &CreateTableAs, parsed: &Parsed) -> Result<Control> {
        let CreateTableAs { name, temporary, if_not_exists, columns, query, with_data, materialized } =
            create;
        let name = &self.temporary_name_if(*temporary, name)?;
        if parsed.param_count > 0 {
            return Err(Error::unsupported("parameters in CREATE TABLE AS").at(name.at));
        }
        if let Some(notice) = self.check_new_name(name, *if_not_exists)? {
            return Ok(Control::TableAs(TableAs { table: notice, insert: None }));
        }
        let fields = self.query(query)?.fields;
        if columns.len() > fields.len() {
            let message = "too many column names were specified";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(columns[fields.len()].at));
        }
        if fields.len() > limits::COLUMN_COUNT_MAX {
            let message = format!("tables can have at most {} columns", limits::COLUMN_COUNT_MAX);
            return Err(Error::new(SqlState::TOO_MANY_COLUMNS, message).at(name.at));
        }
        let mut table = NewTable {
            id: ITSELF,
            name: name.text.clone(),
            columns: Vec::with_capacity(fields.len()),
            sequences: Vec::new(),
            primary_key: Vec::new(),
            primary_key_name: None,
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            materialized: None,
        };
        for (ordinal, field) in fields.iter().enumerate() {
            let given = columns.get(ordinal);
            let column = given.map_or(field.name.as_str(), |name| name.text.as_str());
            if table.columns.iter().any(|other| other.name == column) {
                let message = format!("column \"{column}\" specified more than once");
                let at = given.map_or(name.at, |name| name.at);
                return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).at(at));
            }
            // A bare literal has no type yet: it is text in a table.
            let ty = if field.ty == SqlType::Unknown { SqlType::Text } else { field.ty };
            self.refuse_row_type(ty, name.at)?;
            table.columns.push(Column::new(column, ty));
        }
        if let Some(text) = materialized {
            let view = self.materialized(&table, &fields, name, text)?;
            table.materialized = Some((view, *with_data));
        }
        let target = match names::prefix_of(&name.text) {
            "" => Name { text: names::written("public", &name.text), at: name.at },
            _ => name.clone(),
        };
        let insert = ast::Insert {
            with: Vec::new(),
            table: target,
            alias: None,
            columns: Vec::new(),
            source: match materialized {
                Some(_) => InsertSource::Materialized,
                None => InsertSource::Query(query.clone()),
            },
            override_identity: false,
            on_conflict: None,
            returning: None,
        };
        let insert = with_data
            .then(|| Arc::new(Parsed { statement: ast::Statement::Insert(insert), ..parsed.clone() }));
        Ok(Control::TableAs(TableAs { table: Ddl::CreateTable(table), insert }))
    }
}
