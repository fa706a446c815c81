//! WITH RECURSIVE.

use super::binder::{Binder, Recursion};
use super::expr::location;
use crate::functions::CastContext;
use crate::parse::ast::{self, Name, SetExpr, SetKind};
use crate::plan::logical::{ColumnId, Logical, Query};
use orrery_base::{Error, Result, SqlState};

fn refuse(message: String, at: u32) -> Error {
    Error::new(SqlState::INVALID_RECURSION, message).at(at)
}

impl Binder<'_> {
    /// The query of a name of WITH RECURSIVE, the name's place among the others known.
    pub(super) fn recursive_query(&mut self, cte: usize, definition: &ast::CommonTable) -> Result<Query> {
        let query = &definition.query;
        let ast::Query { with, body, order_by, limit, offset, with_ties: _, locks, at: _ } = &**query;
        if let Some(lock) = locks.first() {
            return Err(Error::unsupported("row locks in a recursive query").at(lock.at));
        }
        let SetExpr::SetOperation { kind: SetKind::Union, all, left, right, at: at_union } = body else {
            return self.not_recursive(cte, definition);
        };
        self.recursion_count += 1;
        let working = self.recursion_count;
        let (outer_count, nullable_count) = (self.outer.len(), self.nullable_count);
        let subquery_count = self.statement.subqueries.len();
        let bound = self.with(with, |binder| {
            let recursion =
                Recursion { cte, fields: None, working, use_count: 0, outer_count, nullable_count };
            binder.recursions.push(recursion);
            let sides = binder.recursive_sides(definition, left, right, *at_union);
            binder.recursions.pop();
            let Some((anchor, step)) = sides? else { return Ok(None) };
            if let Some(item) = order_by.first() {
                return Err(Error::unsupported("ORDER BY in a recursive query").at(location(&item.expr)));
            }
            if let Some(expr) = limit.as_ref().or(offset.as_ref()) {
                return Err(Error::unsupported("LIMIT or OFFSET in a recursive query").at(location(expr)));
            }
            Ok(Some(binder.union_of(anchor, step, working, !*all)))
        })?;
        match bound {
            Some(query) => Ok(query),
            // It does not name itself: a union like any other.
            None => {
                self.statement.subqueries.truncate(subquery_count);
                self.query(query)
            }
        }
    }

    /// A query that may not name itself, though RECURSIVE was said.
    fn not_recursive(&mut self, cte: usize, definition: &ast::CommonTable) -> Result<Query> {
        let (outer_count, nullable_count) = (self.outer.len(), self.nullable_count);
        self.recursions.push(Recursion {
            cte,
            fields: None,
            working: 0,
            use_count: 0,
            outer_count,
            nullable_count,
        });
        let query = self.query(&definition.query);
        self.recursions.pop();
        query
    }

    fn recursive_sides(
        &mut self,
        definition: &ast::CommonTable,
        left: &SetExpr,
        right: &SetExpr,
        at: u32,
    ) -> Result<Option<(Query, Query)>> {
        let anchor = self.set_operand(left)?;
        let mut fields = anchor.fields.clone();
        for (field, name) in fields.iter_mut().zip(&definition.columns) {
            field.name.clone_from(&name.text);
        }
        self.recursions.last_mut().expect("it was just pushed").fields = Some(fields);
        let mut step = self.set_operand(right)?;
        if self.recursions.last().is_none_or(|it| it.use_count == 0) {
            return Ok(None);
        }
        if step.fields.len() != anchor.fields.len() {
            let message = "each UNION query must have the same number of columns";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let types: Vec<_> = anchor.fields.iter().map(|field| field.ty).collect();
        for (place, (first, next)) in anchor.fields.iter().zip(&step.fields).enumerate() {
            let overall = self.common_type("UNION", &[(first.ty, at), (next.ty, at)])?;
            if overall.base() != first.ty.base() {
                let message = format!(
                    "recursive query \"{}\" column {} has type {} in non-recursive term but type {} overall",
                    definition.name.text,
                    place + 1,
                    first.ty.name(),
                    overall.name()
                );
                return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).at(at));
            }
        }
        self.cast_output(&mut step, &types, CastContext::Implicit, at)?;
        Ok(Some((anchor, step)))
    }

    fn union_of(&mut self, anchor: Query, step: Query, working: usize, distinct: bool) -> Query {
        let fields = anchor.fields;
        let columns: Vec<ColumnId> = fields.iter().map(|field| self.column(field.ty)).collect();
        let anchor = Box::new((anchor.root, anchor.output));
        let step = Box::new((step.root, step.output));
        let root = Logical::Recursive { anchor, step, columns: columns.clone(), working, distinct };
        Query { root, output: columns, fields }
    }

    /// The rows that came last, where a recursive query names itself. `None`: the name is not one of those being bound.
    pub(super) fn working_table(&mut self, cte: usize, name: &Name) -> Result<Option<Query>> {
        let Some(place) = self.recursions.iter().rposition(|it| it.cte == cte) else { return Ok(None) };
        let (outer_count, nullable_count) = (self.outer.len(), self.nullable_count);
        let recursion = &mut self.recursions[place];
        let of =
            |what: &str| format!("recursive reference to query \"{}\" must not appear {what}", name.text);
        let Some(fields) = recursion.fields.clone() else {
            return Err(if recursion.working == 0 {
                let message = format!(
                    "recursive query \"{}\" does not have the form non-recursive-term UNION [ALL] recursive-term",
                    name.text
                );
                refuse(message, name.at)
            } else {
                refuse(of("within its non-recursive term"), name.at)
            });
        };
        if outer_count > recursion.outer_count {
            return Err(refuse(of("within a subquery"), name.at));
        }
        if nullable_count > recursion.nullable_count {
            return Err(refuse(of("within an outer join"), name.at));
        }
        recursion.use_count += 1;
        if recursion.use_count > 1 {
            return Err(refuse(of("more than once"), name.at));
        }
        let working = recursion.working;
        let columns: Vec<ColumnId> = fields.iter().map(|field| self.column(field.ty)).collect();
        let root = Logical::Working { working, columns: columns.clone() };
        Ok(Some(Query { root, output: columns, fields }))
    }
}
