//! Set-returning functions in the SELECT list: each row comes once for each value.

use super::binder::Binder;
use super::expr::{Located, location};
use super::group::Grouping;
use super::scope::Scope;
use crate::expr::{Expr, WindowFunction};
use crate::functions::Scalar;
use crate::functions::sets::{self, SetFunction};
use crate::parse::ast;
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, Logical};
use crate::types::SqlType;
use orrery_base::{Error, Result};
use std::rc::Rc;

/// A call in the SELECT list, and the column of its values.
pub(super) struct SeriesCall {
    pub(super) column: ColumnId,
    function: Option<&'static SetFunction>,
    args: Vec<Expr>,
    at: u32,
    /// Whether it is one of several columns of a row.
    is_part: bool,
    /// Whether the expression made of it has CASE of its own.
    has_case: bool,
}

/// One column of a call.
pub(super) struct SetPart {
    pub(super) function: Option<&'static SetFunction>,
    /// What it is called.
    pub(super) label: &'static str,
    pub(super) args: Vec<Expr>,
    pub(super) ty: SqlType,
}

/// The function that gives the objects of a function that gives rows.
fn record_set(name: &str) -> Option<&'static str> {
    match name {
        "json_populate_recordset" => Some("json_to_recordset rows"),
        "jsonb_populate_recordset" => Some("jsonb_to_recordset rows"),
        _ => None,
    }
}

/// Whether a function gives rows of values, or of one.
pub(super) fn is_series(name: &str) -> bool {
    sets::is_set_function(name) || record_set(name).is_some()
}

impl Binder<'_> {
    /// A set-returning function as an expression.
    pub(super) fn series_call(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
        args: &[ast::Expr],
        at: u32,
    ) -> Result<Expr> {
        let refuse = |place: &str| {
            let message = format!("set-returning functions are not allowed in {place}");
            Err(Error::unsupported(message).at(at))
        };
        if self.level.in_aggregate {
            let message = "aggregate function calls cannot contain set-returning function calls";
            return Err(Error::unsupported(message).at(at));
        }
        if self.level.in_window {
            let message = "window function calls cannot contain set-returning function calls";
            return Err(Error::unsupported(message).at(at));
        }
        if let Some(clause) = self.level.forbidden.or(self.level.no_windows) {
            return refuse(clause);
        }
        if !self.level.allows_series {
            return refuse("this place");
        }
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.expr(scope, arg)?, location(arg)));
        }
        if let Some(set) = record_set(name) {
            return self.record_series(set, bound, at);
        }
        let parts = self.set_function(name, bound, at)?;
        let is_part = parts.len() > 1;
        if is_part && (name == "unnest" || parts.iter().flat_map(|it| &it.args).any(Expr::is_volatile)) {
            return Err(Error::unsupported(format!("function {name} in the SELECT list")).at(at));
        }
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for SetPart { function, label, args, ty } in parts {
            let column = self.column(ty);
            self.level.series.push(SeriesCall { column, function, args, at, is_part, has_case: false });
            names.push(label.to_owned());
            values.push(Expr::Column { id: column, ty });
        }
        match values.pop() {
            Some(value) if values.is_empty() => Ok(value),
            Some(value) => {
                values.push(value);
                self.make_row(names, values, 0, at)
            }
            None => Err(Error::internal("a set-returning function without columns")),
        }
    }

    /// `json[b]_populate_recordset(base, objects)`: a row for each object.
    fn record_series(&mut self, set: &str, mut args: Vec<Located>, at: u32) -> Result<Expr> {
        if args.len() != 2 {
            return Err(Error::unsupported("json_populate_recordset of anything but a row and json").at(at));
        }
        let base = args.remove(0);
        let (fields, id) = self.populated_fields(&base.0, &[], at)?;
        let Some(SetPart { function, args, ty, .. }) = self.set_function(set, args, at)?.pop() else {
            return Err(Error::internal("a function of records without a column"));
        };
        let column = self.column(ty);
        self.level.series.push(SeriesCall { column, function, args, at, is_part: true, has_case: true });
        self.populated(base, (Expr::Column { id: column, ty }, at), &fields, id, at)
    }

    /// The arguments in terms of the groups of the query.
    pub(super) fn group_series(&mut self, grouping: &mut Grouping) -> Result<()> {
        let mut calls = std::mem::take(&mut self.level.series);
        for arg in calls.iter_mut().flat_map(|call| &mut call.args) {
            *arg = grouping.rewrite(self, std::mem::replace(arg, Expr::bool(true)))?;
        }
        self.level.series = calls;
        Ok(())
    }

    /// Each row of `root` once for each value. Errors: 0A000 in CASE and COALESCE, where PostgreSQL refuses it, too.
    pub(super) fn expand_series<'e>(
        &mut self,
        mut root: Logical,
        outputs: impl Iterator<Item = &'e Expr>,
    ) -> Result<Logical> {
        let calls = std::mem::take(&mut self.level.series);
        if calls.is_empty() {
            return Ok(root);
        }
        let is_call = |it: &Expr| matches!(it, Expr::Column { id, .. } if calls.iter().any(|call| call.column == *id && !call.has_case));
        for output in outputs {
            let hidden = output.any(&mut |it| {
                let lazy =
                    matches!(it, Expr::Case { .. } | Expr::Coalesce { .. } | Expr::And(_) | Expr::Or(_));
                lazy && it.any(&mut |it| is_call(it))
            });
            if hidden {
                let at = calls[0].at;
                return Err(Error::unsupported("set-returning functions are not allowed in CASE").at(at));
            }
        }
        // Where one ends before another its row is NULL, not a row of NULLs.
        if let Some(call) = calls.iter().find(|call| call.is_part && calls.iter().any(|it| it.at != call.at))
        {
            let message = "a function of several columns beside another set-returning function";
            return Err(Error::unsupported(message).at(call.at));
        }
        let mut exprs = Vec::new();
        let mut params: Vec<(usize, Expr)> = Vec::new();
        let mut parts = Vec::with_capacity(calls.len());
        for SeriesCall { column, function, args, at, .. } in calls {
            let mut inner = Vec::with_capacity(args.len());
            for arg in args {
                let ty = arg.ty();
                let id = match arg {
                    arg if !arg.has_columns() => {
                        inner.push(arg);
                        continue;
                    }
                    Expr::Column { id, .. } => id,
                    arg => {
                        let id = self.column(ty);
                        exprs.push((id, arg));
                        id
                    }
                };
                let index = self.parameter_for(id);
                if params.iter().all(|known| known.0 != index) {
                    params.push((index, Expr::Column { id, ty }));
                }
                inner.push(Expr::Param { index, ty });
            }
            parts.push(Logical::Series { function, args: inner, column, position: at });
        }
        if !exprs.is_empty() {
            root = Logical::Extend { input: Box::new(root), exprs };
        }
        let (left, right) = (Box::new(root), Box::new(self.in_lockstep(parts)?));
        root = if params.is_empty() {
            Logical::Join { left, right, kind: JoinKind::Inner, on: Vec::new() }
        } else {
            Logical::Apply { left, right, kind: JoinKind::Inner, on: Vec::new(), args: params }
        };
        Ok(root)
    }

    /// The columns of a call of a set-returning function.
    pub(super) fn set_function(
        &mut self,
        name: &str,
        mut args: Vec<Located>,
        at: u32,
    ) -> Result<Vec<SetPart>> {
        if name == "generate_series" {
            let (args, ty) = self.series_args(args, at)?;
            return Ok(vec![SetPart { function: None, label: "generate_series", args, ty }]);
        }
        if name == "unnest" && args.len() > 1 {
            let mut parts = Vec::with_capacity(args.len());
            for arg in args {
                parts.extend(self.set_function(name, vec![arg], at)?);
            }
            return Ok(parts);
        }
        let mut parts = Vec::new();
        let columns = sets::columns(name);
        let count = columns.len();
        for (index, column) in columns.into_iter().enumerate() {
            let own = if index + 1 == count { std::mem::take(&mut args) } else { args.clone() };
            let all: Vec<&'static Scalar> = column.iter().map(|it| &it.signature).collect();
            let (signature, own, ty) = self.resolved(name, &all, own, at)?;
            let function = column.into_iter().find(|it| std::ptr::eq(&it.signature, signature));
            let label = function.and_then(|it| it.label).unwrap_or(signature.name);
            parts.push(SetPart { function, label, args: own, ty });
        }
        Ok(parts)
    }

    /// Several series side by side: the n-th values of all in one row, NULL where one has ended.
    pub(super) fn in_lockstep(&mut self, parts: Vec<Logical>) -> Result<Logical> {
        if parts.len() == 1 {
            return parts.into_iter().next().ok_or_else(|| Error::internal("a list of one is empty"));
        }
        let mut all: Option<(Logical, ColumnId)> = None;
        for part in parts {
            let number = self.column(SqlType::Int8);
            let calls = vec![(number, super::select::ranking(WindowFunction::RowNumber))];
            let (partition, order) = (Vec::new(), Vec::new());
            let part = Logical::Window { input: Box::new(part), partition, order, calls };
            let Some((left, before)) = all else {
                all = Some((part, number));
                continue;
            };
            let sides = vec![(self.column_expr(before), 0), (self.column_expr(number), 0)];
            let on = vec![self.operator("=", sides, 0)?];
            let (left, right) = (Box::new(left), Box::new(part));
            let join = Logical::Join { left, right, kind: JoinKind::Full, on };
            let place = self.column(SqlType::Int8);
            let args = vec![self.column_expr(before), self.column_expr(number)];
            let either = Expr::Coalesce { args, ty: SqlType::Int8 };
            let root = Logical::Extend { input: Box::new(join), exprs: vec![(place, either)] };
            all = Some((root, place));
        }
        all.map(|it| it.0).ok_or_else(|| Error::internal("no series to be put side by side"))
    }
}
