//! CREATE and DROP VIEW, and a view's query in place of its name.

use super::binder::Binder;
use crate::catalog::{View, ViewColumn, is_temporary};
use crate::ddl::{Ddl, NewView};
use crate::expr::Expr;
use crate::names;
use crate::parse::ast::{self, Name};
use crate::plan::logical::{Logical, Query};
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

impl Binder<'_> {
    /// Notes a relation that the statement itself names, not a view of its.
    pub(super) fn name_relation(&mut self, id: u32, name: &str) {
        if self.views.is_empty() && self.named.iter().all(|known| known.0 != id) {
            self.named.push((id, name.to_owned()));
        }
    }

    /// The query of a view, bound in the place of its name: it sees nothing of the statement around it. Errors: 42P17 for a
    /// view of itself.
    pub(super) fn view_query(&mut self, view: &Arc<View>, name: &Name) -> Result<Query> {
        if self.views.contains(&view.id) {
            let message = format!("infinite recursion detected in rules for relation \"{}\"", view.name);
            return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message).at(name.at));
        }
        self.name_relation(view.id, &view.name);
        let mut parsed = crate::parse::statements(&view.text).map_err(|error| damaged(view, &error))?;
        let (Some(parsed), true) = (parsed.pop(), parsed.is_empty()) else {
            return Err(Error::corrupt(format!("view \"{}\" has no query", view.name)));
        };
        let ast::Statement::Query(query) = &parsed.statement else {
            return Err(Error::corrupt(format!("view \"{}\" is no query", view.name)));
        };
        let ctes = std::mem::take(&mut self.ctes);
        let outer = std::mem::take(&mut self.outer);
        let level = std::mem::take(&mut self.level);
        let targets = std::mem::take(&mut self.insert_targets);
        let first_subquery = self.statement.subqueries.len();
        self.views.push(view.id);
        let bound = self.query(query);
        self.views.pop();
        (self.ctes, self.outer, self.level, self.insert_targets) = (ctes, outer, level, targets);
        // Kept while the statement is bound: queries are told apart by where they lie.
        self.view_texts.push(parsed);
        let mut bound = bound.map_err(|error| {
            let position = if error.position().is_some() { Some(name.at) } else { None };
            let error = Error::new(error.code(), error.message());
            position.map_or(error.clone(), |at| error.at(at))
        })?;
        // Positions inside the stored text are not the statement's.
        without_positions(&mut bound.root);
        for subquery in &mut self.statement.subqueries[first_subquery..] {
            without_positions(&mut subquery.root);
        }
        choose_columns(view, &mut bound)?;
        Ok(bound)
    }

    /// Errors: 42701, 42601, 42P07, 42P16, and those of the query.
    pub(super) fn create_view(&mut self, create: &ast::CreateView) -> Result<Ddl> {
        let ast::CreateView { name, temporary, or_replace, columns, query, text } = create;
        let bound = self.query(query)?;
        // What reads a temporary relation is one.
        let temporary = *temporary || self.named.iter().any(|(_, named)| is_temporary(named));
        let name = &self.temporary_name_if(temporary, name)?;
        let is_view = self.catalog.view(&name.text).is_some();
        if self.is_taken(&name.text) && !(*or_replace && is_view) {
            if *or_replace && self.catalog.table(&name.text).is_some() {
                let message = format!("\"{}\" is not a view", name.text);
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            let message = format!("relation \"{}\" already exists", name.text);
            return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
        }
        for (_, named) in &self.named {
            let is_twin = |other: &str| other != named && names::last(other) == names::last(named);
            if self.named.iter().any(|(_, other)| is_twin(other)) {
                // The text alone would not tell which is meant.
                return Err(Error::unsupported("view of two relations of one name").at(name.at));
            }
        }
        self.check_params()?;
        if columns.len() > bound.fields.len() {
            let message = "CREATE VIEW specifies more column names than columns";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        let mut given: Vec<ViewColumn> = Vec::with_capacity(bound.fields.len());
        for (place, field) in bound.fields.iter().enumerate() {
            let column = columns.get(place).map_or(&field.name, |name| &name.text);
            if given.iter().any(|known| known.name == *column) {
                let message = format!("column \"{column}\" specified more than once");
                return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
            }
            given.push(ViewColumn { name: column.clone(), inner_name: field.name.clone(), ty: field.ty });
        }
        Ok(Ddl::CreateView(NewView {
            name: name.text.clone(),
            columns: given,
            text: text.clone(),
            depends: std::mem::take(&mut self.named),
            replace: *or_replace,
        }))
    }

    pub(super) fn drop_view(&mut self, names: &[Name], if_exists: bool, cascade: bool) -> Result<Ddl> {
        let mut views: Vec<Arc<View>> = Vec::with_capacity(names.len());
        let mut notice = None;
        for name in names {
            match self.catalog.view(&self.stored(&name.text)) {
                Some(view) if views.iter().any(|known| known.id == view.id) => {}
                Some(view) => views.push(view.clone()),
                None if self.is_taken(&self.stored(&name.text)) => {
                    let message = format!("\"{}\" is not a view", name.text);
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.at));
                }
                None if if_exists => {
                    notice = Some(format!("view \"{}\" does not exist, skipping", name.text));
                }
                None => {
                    let message = format!("view \"{}\" does not exist", name.text);
                    return Err(Error::new(SqlState::UNDEFINED_TABLE, message).at(name.at));
                }
            }
        }
        Ok(match notice {
            Some(notice) if views.is_empty() => Ddl::Nothing(notice),
            _ => Ddl::DropView { views, cascade },
        })
    }
}

fn damaged(view: &View, error: &Error) -> Error {
    Error::corrupt(format!("the text of view \"{}\" cannot be read: {}", view.name, error.message()))
}

/// The columns that the view had when it was made: `*` may give more by now. Errors: 0A000 when one is not found again.
fn choose_columns(view: &View, query: &mut Query) -> Result<()> {
    let mut at = 0;
    let (mut output, mut fields) = (Vec::new(), Vec::new());
    for column in &view.columns {
        let is_it = |field: &crate::plan::Field| field.name == column.inner_name && field.ty == column.ty;
        let Some(found) = query.fields[at..].iter().position(is_it) else {
            let message = format!("view \"{}\" over columns that have changed", view.name);
            return Err(Error::unsupported(message));
        };
        output.push(query.output[at + found]);
        fields.push(crate::plan::Field { name: column.name.clone(), ty: column.ty });
        at += found + 1;
    }
    (query.output, query.fields) = (output, fields);
    Ok(())
}

fn without_positions(node: &mut Logical) {
    fn clear(expr: &mut Expr) {
        if let Expr::Call { position, .. } | Expr::Cast { position, .. } | Expr::Subquery { position, .. } =
            expr
        {
            *position = 0;
        }
        expr.children_mut(clear);
    }
    if let Logical::Series { position, .. } = node {
        *position = 0;
    }
    if let Logical::Aggregate { aggregates, .. } = node {
        aggregates.iter_mut().for_each(|it| it.1.position = 0);
    }
    node.exprs_mut().into_iter().for_each(clear);
    node.inputs_mut().into_iter().for_each(without_positions);
}
