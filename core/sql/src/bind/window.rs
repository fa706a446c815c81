//! Window functions: OVER, the WINDOW clause, frames.

use super::binder::Binder;
use super::coerce::{Category, category};
use super::expr::location;
use super::group::Grouping;
use super::resolve::no_function;
use super::scope::Scope;
use crate::expr::{Expr, Frame, FrameBound, FrameExclude, FrameMode, WindowCall, WindowFunction};
use crate::functions::{self, CastContext};
use crate::parse::ast::{self, FrameClause, FrameEdge, FunctionCall, Name, OrderItem, Over, WindowSpec};
use crate::plan::logical::{ColumnId, Logical, LogicalKey};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

/// A window and what is computed over it.
pub(super) struct Bound {
    partition: Vec<Expr>,
    /// Expression, DESC, NULLS FIRST.
    order: Vec<(Expr, bool, bool)>,
    pub(super) calls: Vec<(ColumnId, WindowCall)>,
}

/// A window with its base's parts taken over.
#[derive(Clone, Default)]
struct Resolved {
    partition_by: Vec<ast::Expr>,
    order_by: Vec<OrderItem>,
    frame: Option<FrameClause>,
}

/// Whether a function is one of windows only.
pub(super) fn is_window_function(name: &str) -> bool {
    window_function(name).is_some()
}

fn window_function(name: &str) -> Option<WindowFunction> {
    Some(match name {
        "row_number" => WindowFunction::RowNumber,
        "rank" => WindowFunction::Rank,
        "dense_rank" => WindowFunction::DenseRank,
        "percent_rank" => WindowFunction::PercentRank,
        "cume_dist" => WindowFunction::CumeDist,
        "ntile" => WindowFunction::Ntile,
        "lag" => WindowFunction::Lag,
        "lead" => WindowFunction::Lead,
        "first_value" => WindowFunction::FirstValue,
        "last_value" => WindowFunction::LastValue,
        "nth_value" => WindowFunction::NthValue,
        _ => return None,
    })
}

fn refuse(message: impl Into<String>, at: u32) -> Error {
    Error::new(SqlState::WINDOWING_ERROR, message.into()).at(at)
}

impl Binder<'_> {
    /// A call with OVER.
    pub(super) fn window_call(
        &mut self,
        scope: &Rc<Scope>,
        function: &FunctionCall,
        over: &Over,
        at: u32,
    ) -> Result<Expr> {
        let is_aggregate = !functions::aggregates(&function.name.text).is_empty();
        let own = window_function(&function.name.text);
        if !is_aggregate && own.is_none() {
            let name = &function.name.text;
            if functions::scalars(name).is_empty() {
                if functions::unbuilt::is_known(name) {
                    return Err(Error::unsupported(format!("function {name}")).at(at));
                }
                return Err(no_function(name, &[], at));
            }
            let message =
                format!("OVER specified, but {name} is not a window function nor an aggregate function");
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        self.window_allowed(at)?;
        let spec = self.resolve_window(over)?;
        self.level.in_window = true;
        let bound = self.window_parts(scope, function, own, spec, at);
        self.level.in_window = false;
        let (partition, order, call) = bound?;
        let id = self.column(call.ty);
        let ty = call.ty;
        let same = |window: &&mut Bound| {
            window.partition.len() == partition.len()
                && window.order.len() == order.len()
                && window.partition.iter().zip(&partition).all(|(a, b)| a.same(b))
                && window.order.iter().zip(&order).all(|(a, b)| a.0.same(&b.0) && a.1 == b.1 && a.2 == b.2)
        };
        match self.level.windows.iter_mut().find(same) {
            Some(window) => window.calls.push((id, call)),
            None => self.level.windows.push(Bound { partition, order, calls: vec![(id, call)] }),
        }
        Ok(Expr::Column { id, ty })
    }

    fn window_allowed(&self, at: u32) -> Result<()> {
        if self.level.in_aggregate {
            let message = "aggregate function calls cannot contain window function calls";
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(at));
        }
        if self.level.in_window {
            return Err(refuse("window function calls cannot be nested", at));
        }
        match self.level.forbidden.or(self.level.no_windows) {
            Some(clause) => Err(refuse(format!("window functions are not allowed in {clause}"), at)),
            None => Ok(()),
        }
    }

    fn resolve_window(&self, over: &Over) -> Result<Resolved> {
        let (spec, position) = match over {
            Over::Name(name) => {
                let position = self.definition(name, self.level.definitions.len())?;
                return self.resolve_spec(&self.level.definitions[position].1, position);
            }
            Over::Spec(spec) => (spec, self.level.definitions.len()),
        };
        self.resolve_spec(spec, position)
    }

    /// The place of a window in the WINDOW clause, before `end`.
    fn definition(&self, name: &Name, end: usize) -> Result<usize> {
        let found = self.level.definitions[..end].iter().position(|known| known.0.text == name.text);
        found.ok_or_else(|| {
            let message = format!("window \"{}\" does not exist", name.text);
            Error::new(SqlState::UNDEFINED_OBJECT, message).at(name.at)
        })
    }

    fn resolve_spec(&self, spec: &WindowSpec, position: usize) -> Result<Resolved> {
        let WindowSpec { base, partition_by, order_by, frame, at: _ } = spec;
        let mut resolved = Resolved::default();
        if let Some(name) = base {
            let base = self.definition(name, position)?;
            resolved = self.resolve_spec(&self.level.definitions[base].1, base)?;
            if !partition_by.is_empty() {
                let message = format!("cannot override PARTITION BY clause of window \"{}\"", name.text);
                return Err(refuse(message, name.at));
            }
            if !order_by.is_empty() && !resolved.order_by.is_empty() {
                let message = format!("cannot override ORDER BY clause of window \"{}\"", name.text);
                return Err(refuse(message, name.at));
            }
            if resolved.frame.is_some() {
                let message = format!("cannot copy window \"{}\" because it has a frame clause", name.text);
                return Err(refuse(message, name.at));
            }
        }
        if !partition_by.is_empty() {
            resolved.partition_by.clone_from(partition_by);
        }
        if !order_by.is_empty() {
            resolved.order_by.clone_from(order_by);
        }
        resolved.frame.clone_from(frame);
        Ok(resolved)
    }

    /// Keeps the WINDOW clause. Errors: 42P20 for a name given twice.
    pub(super) fn define_windows(&mut self, windows: &[(Name, WindowSpec)]) -> Result<()> {
        for (index, (name, _)) in windows.iter().enumerate() {
            if windows[..index].iter().any(|known| known.0.text == name.text) {
                return Err(refuse(format!("window \"{}\" is already defined", name.text), name.at));
            }
        }
        self.level.definitions = windows.to_vec();
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "taken apart at once")]
    fn window_parts(
        &mut self,
        scope: &Rc<Scope>,
        function: &FunctionCall,
        own: Option<WindowFunction>,
        spec: Resolved,
        at: u32,
    ) -> Result<(Vec<Expr>, Vec<(Expr, bool, bool)>, WindowCall)> {
        let mut partition: Vec<Expr> = Vec::with_capacity(spec.partition_by.len());
        for expr in &spec.partition_by {
            let bound = self.expr(scope, expr)?;
            let bound = self.known(bound, location(expr))?;
            if !partition.iter().any(|known| known.same(&bound)) {
                partition.push(bound);
            }
        }
        let mut order = Vec::with_capacity(spec.order_by.len());
        for OrderItem { expr, descending, nulls_first } in &spec.order_by {
            let bound = self.expr(scope, expr)?;
            let bound = self.known(bound, location(expr))?;
            order.push((bound, *descending, nulls_first.unwrap_or(*descending)));
        }
        let frame = self.frame(scope, spec.frame.as_ref(), &order, at)?;
        let call = match own {
            Some(own) => self.own_call(scope, function, own, frame, at)?,
            None => self.aggregate_over(scope, function, frame, at)?,
        };
        Ok((partition, order, call))
    }

    fn aggregate_over(
        &mut self,
        scope: &Rc<Scope>,
        function: &FunctionCall,
        frame: Frame,
        at: u32,
    ) -> Result<WindowCall> {
        let FunctionCall {
            name,
            args,
            variadic: _,
            star,
            distinct,
            order_by,
            filter,
            within,
            over: _,
            label: _,
        } = function;
        if !within.is_empty() || functions::is_ordered_set(&name.text) {
            let message = format!("OVER is not supported for ordered-set aggregate {}", name.text);
            return Err(Error::unsupported(message).at(at));
        }
        if *distinct {
            return Err(Error::unsupported("DISTINCT is not implemented for window functions").at(at));
        }
        if !order_by.is_empty() {
            return Err(
                Error::unsupported("aggregate ORDER BY is not implemented for window functions").at(at)
            );
        }
        if *star != args.is_empty() {
            let message = format!("{}(*) must be used to call a parameterless aggregate function", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.expr(scope, arg)?, location(arg)));
        }
        let filter = match filter {
            Some(filter) => Some(self.condition(scope, filter, "FILTER")?),
            None => None,
        };
        let (aggregate, args, ty) = self.aggregate(&name.text, bound, at)?;
        let function = WindowFunction::Aggregate(aggregate);
        Ok(WindowCall { function, args, filter, frame, ty, position: at })
    }

    /// A function of windows only: its arguments and type.
    fn own_call(
        &mut self,
        scope: &Rc<Scope>,
        function: &FunctionCall,
        own: WindowFunction,
        frame: Frame,
        at: u32,
    ) -> Result<WindowCall> {
        let FunctionCall {
            name,
            args,
            variadic: _,
            star,
            distinct,
            order_by,
            filter,
            within,
            over: _,
            label: _,
        } = function;
        if filter.is_some() {
            let message = "FILTER is not implemented for non-aggregate window functions";
            return Err(Error::unsupported(message).at(at));
        }
        if let Some(item) = within.first() {
            return Err(Error::unsupported("WITHIN GROUP with OVER").at(location(&item.expr)));
        }
        if *star || *distinct || !order_by.is_empty() {
            let what = if *star {
                "(*)"
            } else if *distinct {
                "DISTINCT"
            } else {
                "ORDER BY"
            };
            let message = format!("{what} specified, but {} is not an aggregate function", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            let at_arg = location(arg);
            bound.push((self.expr(scope, arg)?, at_arg));
        }
        let types: Vec<SqlType> = bound.iter().map(|(arg, _)| arg.ty().base()).collect();
        let counts = match own {
            WindowFunction::Ntile | WindowFunction::FirstValue | WindowFunction::LastValue => 1..=1,
            WindowFunction::NthValue => 2..=2,
            WindowFunction::Lag | WindowFunction::Lead => 1..=3,
            _ => 0..=0,
        };
        if !counts.contains(&bound.len()) {
            return Err(no_function(&name.text, &types, at));
        }
        let is_count = |place: usize| {
            place == 0 && matches!(own, WindowFunction::Ntile)
                || place == 1
                    && matches!(own, WindowFunction::Lag | WindowFunction::Lead | WindowFunction::NthValue)
        };
        // The value and the default of lag and lead are of one type.
        let mut values = Vec::new();
        for (place, (arg, at_arg)) in bound.iter().enumerate() {
            if !is_count(place) {
                values.push((arg.ty(), *at_arg));
            }
        }
        let value_type = if values.is_empty() {
            SqlType::Int4
        } else {
            self.common_type(&name.text, &values).map_err(|_| no_function(&name.text, &types, at))?
        };
        let mut cast = Vec::with_capacity(bound.len());
        for (place, (arg, at_arg)) in bound.into_iter().enumerate() {
            let ty = if is_count(place) { SqlType::Int4 } else { value_type };
            let arg = self.coerce(arg, ty, CastContext::Implicit, at_arg);
            cast.push(arg.map_err(|_| no_function(&name.text, &types, at))?);
        }
        let ty = match own {
            WindowFunction::PercentRank | WindowFunction::CumeDist => SqlType::Float8,
            WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => SqlType::Int8,
            WindowFunction::Ntile => SqlType::Int4,
            _ => value_type,
        };
        Ok(WindowCall { function: own, args: cast, filter: None, frame, ty, position: at })
    }

    fn frame(
        &mut self,
        scope: &Rc<Scope>,
        clause: Option<&FrameClause>,
        order: &[(Expr, bool, bool)],
        at: u32,
    ) -> Result<Frame> {
        let Some(FrameClause { mode, start, end, exclude, at: at_frame }) = clause else {
            return Ok(Frame {
                mode: FrameMode::Range,
                start: FrameBound::Unbounded,
                end: FrameBound::Current,
                exclude: FrameExclude::Nothing,
            });
        };
        let has_offset = |edge: &FrameEdge| matches!(edge, FrameEdge::Preceding(_) | FrameEdge::Following(_));
        if *mode == FrameMode::Range && (has_offset(start) || has_offset(end)) && order.len() != 1 {
            let message = "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column";
            return Err(refuse(message, *at_frame));
        }
        if *mode == FrameMode::Groups && order.is_empty() {
            return Err(refuse("GROUPS mode requires an ORDER BY clause", at));
        }
        let start = self.edge(scope, start, *mode, order)?;
        let end = self.edge(scope, end, *mode, order)?;
        Ok(Frame { mode: *mode, start, end, exclude: *exclude })
    }

    fn edge(
        &mut self,
        scope: &Rc<Scope>,
        edge: &FrameEdge,
        mode: FrameMode,
        order: &[(Expr, bool, bool)],
    ) -> Result<FrameBound> {
        let (expr, back) = match edge {
            FrameEdge::UnboundedPreceding | FrameEdge::UnboundedFollowing => {
                return Ok(FrameBound::Unbounded);
            }
            FrameEdge::CurrentRow => return Ok(FrameBound::Current),
            FrameEdge::Preceding(expr) => (expr, true),
            FrameEdge::Following(expr) => (expr, false),
        };
        let word = match mode {
            FrameMode::Rows => "ROWS",
            FrameMode::Range => "RANGE",
            FrameMode::Groups => "GROUPS",
        };
        let at = location(expr);
        let before = self.level.references.len();
        let bound = self.expr(scope, expr)?;
        if bound.has_columns() {
            let at = self.level.references.get(before).map_or(at, |it| it.1.at);
            let message = format!("argument of {word} must not contain variables");
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(at));
        }
        if mode != FrameMode::Range {
            let ty = bound.ty();
            let count = self.coerce(bound, SqlType::Int8, CastContext::Assignment, at).map_err(|_| {
                let message = format!("argument of {word} must be type bigint, not type {}", ty.base_name());
                Error::new(SqlState::DATATYPE_MISMATCH, message).at(at)
            })?;
            return Ok(FrameBound::Count { back, count: Box::new(count) });
        }
        let (value, descending, _) = order[0].clone();
        self.distance(value, bound, back != descending, at)
    }

    /// RANGE: the order's value, and what it is compared with.
    fn distance(&mut self, value: Expr, distance: Expr, subtract: bool, at: u32) -> Result<FrameBound> {
        let own = value.ty();
        // In a type in which neither the sum nor the difference is out of range.
        let (ty, far) = match own.base() {
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric => {
                (SqlType::Numeric, SqlType::Numeric)
            }
            SqlType::Float4 | SqlType::Float8 => (SqlType::Float8, SqlType::Float8),
            SqlType::Date | SqlType::Timestamp => (SqlType::Timestamp, SqlType::Interval),
            SqlType::Timestamptz => (SqlType::Timestamptz, SqlType::Interval),
            SqlType::Interval => (SqlType::Interval, SqlType::Interval),
            _ => {
                let message = format!(
                    "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {}",
                    own.base_name()
                );
                return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at));
            }
        };
        let given = distance.ty();
        let fits = given == SqlType::Unknown
            || category(given) == category(far) && (far != SqlType::Interval || given == far)
            || category(far) == Category::Numeric && given.is_numeric();
        if !fits {
            let message = format!(
                "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {} and offset type {}",
                own.base_name(),
                given.base_name()
            );
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at));
        }
        let value = self.coerce(value, ty, CastContext::Explicit, at)?;
        let distance = self.coerce(distance, far, CastContext::Explicit, at)?;
        let op = if subtract { "-" } else { "+" };
        let limit = self.operator(op, vec![(value.clone(), at), (distance.clone(), at)], at)?;
        Ok(FrameBound::Distance {
            distance: Box::new(distance),
            value: Box::new(value),
            limit: Box::new(limit),
        })
    }

    /// Puts the windows of the level above `root`; in a grouped query in terms of its groups.
    pub(super) fn place_windows(
        &mut self,
        mut root: Logical,
        mut grouping: Option<&mut Grouping>,
    ) -> Result<(Logical, Vec<Bound>)> {
        let mut windows = std::mem::take(&mut self.level.windows);
        for window in &mut windows {
            if let Some(grouping) = &mut grouping {
                let calls = window.calls.iter_mut().flat_map(|it| it.1.exprs_mut());
                let own = window.partition.iter_mut().chain(window.order.iter_mut().map(|it| &mut it.0));
                for expr in own.chain(calls) {
                    *expr = grouping.rewrite(self, std::mem::replace(expr, Expr::bool(true)))?;
                }
            }
        }
        if grouping.is_some() {
            // Their input is not complete before the groups are.
            return Ok((root, windows));
        }
        root = self.stack_windows(root, windows);
        Ok((root, Vec::new()))
    }

    /// The windows as nodes, one above the other.
    pub(super) fn stack_windows(&mut self, mut root: Logical, windows: Vec<Bound>) -> Logical {
        for Bound { partition, order, calls } in windows {
            let mut exprs: Vec<(ColumnId, Expr)> = Vec::new();
            let mut place = |binder: &mut Self, expr: Expr| match expr {
                Expr::Column { id, .. } => id,
                expr => {
                    let id = binder.column(expr.ty());
                    exprs.push((id, expr));
                    id
                }
            };
            let partition = partition.into_iter().map(|expr| place(self, expr)).collect();
            let mut keys: Vec<LogicalKey> = Vec::with_capacity(order.len());
            for (expr, descending, nulls_first) in order {
                let column = place(self, expr);
                keys.push(LogicalKey { column, descending, nulls_first });
            }
            if !exprs.is_empty() {
                root = Logical::Extend { input: Box::new(root), exprs };
            }
            root = Logical::Window { input: Box::new(root), partition, order: keys, calls };
        }
        root
    }
}
