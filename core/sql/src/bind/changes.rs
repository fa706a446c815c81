//! INSERT, UPDATE and DELETE in WITH. Each is a statement of its own, run once, in order, before what stands behind WITH; all
//! see the rows as they were before, and of each other what RETURNING gives.

use super::Bound;
use super::binder::Binder;
use super::from::rename_fields;
use crate::parse::ast::{self, CommonTable};
use crate::plan::logical::{ColumnId, Logical, Query};
use crate::plan::{Change, Field, Statement};
use orrery_base::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The numbers of working tables from here on are those of changes, below those of recursions.
const FIRST_WORKING: usize = 1 << 20;

/// A change in WITH, as what stands behind it sees it.
#[derive(Clone)]
pub(super) struct ChangeName {
    statement: Arc<ast::Statement>,
    working: usize,
    /// What RETURNING gives.
    fields: Option<Vec<Field>>,
}

impl Binder<'_> {
    /// Binds a change, which the names of WITH known so far are visible to. Errors: 0A000 below the top of a statement.
    pub(super) fn bind_change(
        &mut self,
        definition: &CommonTable,
        change: &Arc<ast::Statement>,
        is_top: bool,
    ) -> Result<()> {
        if !is_top {
            let what = "data-modifying statement in WITH below the top of a statement";
            return Err(Error::unsupported(what).at(definition.name.at));
        }
        let mut part = Binder::new(self.catalog, &self.params, 0);
        part.methods = self.methods;
        part.is_part = true;
        part.ctes.clone_from(&self.ctes);
        part.change_names.clone_from(&self.change_names);
        let bound = match &**change {
            ast::Statement::Insert(insert) => super::bind_insert(part, insert)?,
            ast::Statement::Update(update) => super::bind_update(part, update)?,
            ast::Statement::Delete(delete) => super::bind_delete(part, delete)?,
            _ => return Err(Error::internal("a change in WITH of another kind")),
        };
        let Bound::Dml(statement) = bound else {
            return Err(Error::internal("a change in WITH was bound as another kind"));
        };
        self.params = statement.param_types().to_vec();
        let working = FIRST_WORKING + self.changes.len();
        let fields = statement.returning().map(|returning| returning.fields.clone());
        self.change_names.push(ChangeName { statement: change.clone(), working, fields });
        self.changes.push(Change { working, statement });
        Ok(())
    }

    /// What RETURNING of a change gave, in place of its name. Errors: 0A000 when it has none.
    pub(super) fn change_query(
        &mut self,
        definition: &CommonTable,
        change: &Arc<ast::Statement>,
    ) -> Result<Query> {
        let known = self.change_names.iter().find(|it| Arc::ptr_eq(&it.statement, change)).cloned();
        let Some(ChangeName { statement: _, working, fields }) = known else {
            return Err(Error::internal("a change in WITH was not bound"));
        };
        let Some(fields) = fields else {
            let what = format!("WITH query \"{}\" without a RETURNING clause", definition.name.text);
            return Err(Error::unsupported(what).at(definition.name.at));
        };
        let columns: Vec<ColumnId> = fields.iter().map(|field| self.column(field.ty)).collect();
        let root = Logical::Working { working, columns: columns.clone() };
        let mut query = Query { root, output: columns, fields };
        rename_fields(&mut query, &definition.name, &definition.columns)?;
        Ok(query)
    }
}

/// The whole statement. Errors: 0A000 when two of its parts change rows of one table that were there before: which one wins is
/// open in PostgreSQL.
pub(super) fn with_changes(changes: Vec<Change>, main: Statement) -> Result<Bound> {
    if changes.is_empty() {
        return Ok(Bound::Dml(main));
    }
    let mut changed = BTreeSet::new();
    for part in changes.iter().map(|change| &change.statement).chain([&main]) {
        let mut own = BTreeSet::new();
        let relations = match part {
            Statement::Insert(insert) => {
                own.extend(insert.conflict_update.is_some().then_some(insert.table.id));
                insert.relations.as_ref()
            }
            Statement::Update(update) => {
                own.insert(update.table.id);
                update.relations.as_ref()
            }
            Statement::Delete(delete) => {
                own.insert(delete.table.id);
                delete.relations.as_ref()
            }
            Statement::Merge(merge) => {
                own.insert(merge.table.id);
                merge.relations.as_ref()
            }
            Statement::Query(_) | Statement::With(_) => None,
        };
        let related = relations.into_iter().flat_map(|relations| relations.tables.values());
        own.extend(related.filter(|related| related.is_changed).map(|related| related.table.id));
        if own.iter().any(|id| !changed.insert(*id)) {
            return Err(Error::unsupported("two changes of one table in one statement"));
        }
    }
    Ok(Bound::Dml(Statement::With(Box::new(crate::plan::With { changes, main }))))
}
