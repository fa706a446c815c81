//! MERGE: a join of the source with the table, which says of each row which clause applies; the clauses' actions are run over the rows
//! they apply to.

use super::Bound;
use super::binder::{Binder, Level};
use super::dml::{TableScope, refuse_always};
use super::expr::location;
use super::scope::Scope;
use crate::catalog::Table;
use crate::datum::Datum;
use crate::expr::Expr;
use crate::optimize;
use crate::parse::ast::{self, ExprKind, MergeAction, MergeClause, Name};
use crate::plan::logical::{ColumnId, Logical, Query};
use crate::plan::{self, Field, JoinKind, ROW_KEY};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A clause's action over the statement's columns.
enum Action {
    Nothing,
    Delete,
    Update(Vec<(usize, Expr)>),
    Insert(Vec<Expr>),
}

/// The two sides, as the clauses see them.
struct Sides {
    table: Arc<Table>,
    own: TableScope,
    source: Rc<Scope>,
    both: Rc<Scope>,
}

pub(super) fn bind_merge(mut binder: Binder<'_>, merge: &ast::Merge) -> Result<Bound> {
    let (table, source, actions) = binder.with(&merge.with, |binder| binder.merge(merge))?;
    let own = TableScope::new(&mut binder, &table, &table.name);
    let generated = binder.generated(&table, &own)?;
    let checks = binder.checks(&table, &own)?;
    let relations = binder.relations(&table, true)?;
    let changes = std::mem::take(&mut binder.changes);
    let source = optimize::plan(super::finish(binder, &source)?, source)?;
    let merge = plan::Merge { table, source, actions, generated, checks, relations };
    super::changes::with_changes(changes, plan::Statement::Merge(merge))
}

impl Binder<'_> {
    fn merge(&mut self, merge: &ast::Merge) -> Result<(Arc<Table>, Query, Vec<plan::MergeAction>)> {
        let ast::Merge { with: _, table: name, alias, source, on, clauses } = merge;
        check_reachable(clauses)?;
        let stored = self.stored(&name.text);
        if self.catalog.view(&stored).is_some() {
            let message = format!("cannot execute MERGE on relation \"{}\"", name.own().text);
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                .with_detail("This operation is not supported for views."));
        }
        let table = self.table(name)?;
        let shown = alias.clone().unwrap_or_else(|| name.own());
        let own = TableScope::new(self, &table, &shown.text);
        let (source_root, source) = self.bind_from_list(std::slice::from_ref(source))?;
        if source.tables.contains(&Rc::from(shown.text.as_str())) {
            let message = format!("name \"{}\" specified more than once", shown.text);
            return Err(Error::new(SqlState::DUPLICATE_ALIAS, message)
                .with_detail("The name is used both as MERGE target table and data source.")
                .at(name.at));
        }
        let both = Rc::new((*source).clone().join((*own.scope).clone(), name.at)?);
        let sides = Sides { table, own, source, both };
        self.level.forbidden = Some("JOIN conditions");
        let mut conditions = Vec::new();
        self.condition(&sides.both, on, "JOIN/ON")?.into_conjuncts(&mut conditions);
        let key = self.column(SqlType::Bytea);
        let mut columns: Vec<(usize, ColumnId)> = sides.own.ids.iter().copied().enumerate().collect();
        columns.push((ROW_KEY, key));
        let inserts = clauses.iter().any(|clause| !clause.matched);
        let mut root = Logical::Join {
            left: Box::new(source_root),
            right: Box::new(Logical::Scan { table: sides.table.clone(), columns }),
            kind: if inserts { JoinKind::Left } else { JoinKind::Inner },
            on: conditions,
        };
        let choice = self.column(SqlType::Int4);
        let chosen = self.merge_choice(&sides, key, clauses)?;
        root = Logical::Extend { input: Box::new(root), exprs: vec![(choice, chosen)] };
        let mut actions = Vec::with_capacity(clauses.len());
        for clause in clauses {
            actions.push(self.merge_action(&sides, clause)?);
        }
        let mut output = sides.own.ids.clone();
        output.extend([key, choice]);
        let actions = placed(&sides, actions, &mut output);
        let fields = output.iter().map(|&id| {
            let Expr::Column { ty, .. } = self.column_expr(id) else { unreachable!("it makes columns") };
            Field { name: String::new(), ty }
        });
        let fields = fields.collect();
        Ok((sides.table, Query { root, output, fields }, actions))
    }

    /// The number of the first clause that applies, from 1; 0 for none.
    fn merge_choice(&mut self, sides: &Sides, key: ColumnId, clauses: &[MergeClause]) -> Result<Expr> {
        let number = |value: usize| Expr::Literal { value: Datum::Int4(value as i32), ty: SqlType::Int4 };
        let mut sided = [Vec::new(), Vec::new()];
        for (at, clause) in clauses.iter().enumerate() {
            let seen = if clause.matched { &sides.both } else { &sides.source };
            self.level.forbidden = Some("MERGE WHEN conditions");
            let condition = match &clause.condition {
                Some(condition) => self.condition(&seen.clone(), condition, "WHEN")?,
                None => Expr::Literal { value: Datum::Bool(true), ty: SqlType::Bool },
            };
            sided[usize::from(clause.matched)].push((condition, number(at + 1)));
        }
        let case = |branches: Vec<(Expr, Expr)>| match branches.is_empty() {
            true => number(0),
            false => Expr::Case { branches, otherwise: Box::new(number(0)), ty: SqlType::Int4 },
        };
        let [unmatched, matched] = sided;
        let is_unmatched = Expr::IsNull(Box::new(self.column_expr(key)));
        let (unmatched, matched) = (case(unmatched), case(matched));
        Ok(Expr::Case {
            branches: vec![(is_unmatched, unmatched)],
            otherwise: Box::new(matched),
            ty: SqlType::Int4,
        })
    }

    fn merge_action(&mut self, sides: &Sides, clause: &MergeClause) -> Result<Action> {
        Ok(match &clause.action {
            MergeAction::Nothing => Action::Nothing,
            MergeAction::Delete => Action::Delete,
            MergeAction::Update(assignments) => {
                self.level.forbidden = Some("UPDATE");
                let (table, both) = (sides.table.clone(), sides.both.clone());
                Action::Update(self.assignments(&table, &both, &sides.own.ids, assignments)?)
            }
            MergeAction::Insert { columns, override_identity, values } => {
                Action::Insert(self.merged_row(sides, columns, *override_identity, values)?)
            }
        })
    }

    /// A row that NOT MATCHED inserts: a value for each column of the table.
    fn merged_row(
        &mut self,
        sides: &Sides,
        names: &[Name],
        override_identity: bool,
        values: &[ast::Expr],
    ) -> Result<Vec<Expr>> {
        let targets = self.target_columns(&sides.table, names)?;
        if !values.is_empty() {
            let rows = std::slice::from_ref(&values.to_vec()).to_vec();
            self.check_width(&rows.as_slice(), targets.len(), !names.is_empty(), names)?;
        }
        let source = sides.source.clone();
        let mut row = Vec::with_capacity(sides.table.columns.len());
        for (ordinal, column) in sides.table.columns.iter().enumerate() {
            let place = targets.iter().position(|&target| target == ordinal);
            row.push(match place.and_then(|place| values.get(place)) {
                Some(value) if !matches!(value.kind, ExprKind::Default) => {
                    refuse_always(column, override_identity, location(value))?;
                    self.level = Level { forbidden: Some("VALUES"), ..Level::default() };
                    let bound = self.expr(&source, value)?;
                    self.coerce_assignment(bound, &column.name, column.assigned(), location(value))?
                }
                _ => self.default_value(column)?,
            });
        }
        Ok(row)
    }
}

/// The actions over the columns of the source: the table's, then those that are added to `output` here.
fn placed(sides: &Sides, actions: Vec<Action>, output: &mut Vec<ColumnId>) -> Vec<plan::MergeAction> {
    let width = sides.own.ids.len();
    let beside: RefCell<Vec<ColumnId>> = RefCell::default();
    let place = |expr: Expr| {
        expr.replace_columns(&|id| {
            let seen = sides.both.columns.iter().find(|column| column.id == id);
            let own = sides.own.ids.iter().position(|it| *it == id);
            let place = own.or_else(|| {
                seen?;
                let mut beside = beside.borrow_mut();
                let known = beside.iter().position(|it| *it == id);
                Some(
                    width
                        + known.unwrap_or_else(|| {
                            beside.push(id);
                            beside.len() - 1
                        }),
                )
            })?;
            let ty = seen.map_or_else(|| sides.table.columns[place].ty, |column| column.ty);
            Some(Expr::Column { id: place, ty })
        })
    };
    let actions = actions.into_iter().map(|action| match action {
        Action::Nothing => plan::MergeAction::Nothing,
        Action::Delete => plan::MergeAction::Delete,
        Action::Update(assignments) => {
            plan::MergeAction::Update(assignments.into_iter().map(|(at, value)| (at, place(value))).collect())
        }
        Action::Insert(row) => plan::MergeAction::Insert(row.into_iter().map(place).collect()),
    });
    let actions = actions.collect();
    output.extend(beside.take());
    actions
}

/// Errors: 42601 for a clause behind one of its kind without a condition.
fn check_reachable(clauses: &[MergeClause]) -> Result<()> {
    for (at, clause) in clauses.iter().enumerate() {
        if clauses[..at].iter().any(|it| it.matched == clause.matched && it.condition.is_none()) {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
    }
    Ok(())
}
