//! The binder's state: what one statement has gathered so far.

use super::scope::Scope;
use crate::catalog::{Catalog, Table};
use crate::datum::Datum;
use crate::eval;
use crate::expr::{AggregateCall, Expr};
use crate::functions::{EvalContext, Volatility};
use crate::optimize::Methods;
use crate::parse::ast::{self, Name};
use crate::plan::logical::{ColumnId, ColumnInfo, Query, Statement};
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

/// Relations one statement may come to, names of WITH put in place: what bounds exponential growth.
pub(crate) const RELATION_COUNT_MAX: usize = 127;

pub(super) struct Binder<'a> {
    pub(super) catalog: &'a Catalog,
    /// Types of `$1…`; `Unknown` until a use decides.
    pub(super) params: Vec<SqlType>,
    /// What the plan may be made of.
    pub(super) methods: Methods,
    /// The session's settings: how literals are read.
    pub(super) format: FormatSettings,
    /// The statement defines something that is bound again later: a literal may not depend on the settings.
    pub(super) defines: bool,
    /// What is being bound was stored: its literals are read under the default settings.
    pub(super) is_stored: bool,
    pub(super) statement: Statement,
    /// Names of WITH in scope, innermost last.
    pub(super) ctes: Vec<Cte>,
    /// How often each WITH query was put in place and whether it is volatile: see [`Binder::used_cte`].
    cte_uses: Vec<(*const ast::Query, usize)>,
    /// The scopes outside the query being bound, innermost last.
    pub(super) outer: Vec<Outer>,
    /// Items of FROM to the left of the one being bound, at the level of the query being bound.
    pub(super) lateral: Vec<Rc<Scope>>,
    /// Columns of rows outside that some subquery sees: number n is the parameter behind the statement's own n-th.
    slots: Vec<ColumnId>,
    /// The SELECT being bound.
    pub(super) level: Level,
    relation_count: usize,
    /// WITH RECURSIVE queries being bound, innermost last, and how many there were.
    /// Rows of tables that were asked for and not put into a plan yet.
    pub(super) whole_rows: Vec<super::composite::WholeRow>,
    /// Columns of row values whose fields are known.
    pub(super) row_shapes: Vec<(ColumnId, super::composite::Shape)>,
    /// A table's row is put together where it is named: no outer join makes rows up there.
    pub(super) inline_rows: bool,
    pub(super) recursions: Vec<Recursion>,
    pub(super) recursion_count: usize,
    /// Sides of outer joins being bound whose rows may be made up.
    pub(super) nullable_count: usize,
    /// Views being bound, outermost first, with their parsed texts.
    pub(super) views: Vec<u32>,
    pub(super) view_texts: Vec<crate::parse::Parsed>,
    /// Tables and views that the statement itself names: id and name.
    pub(super) named: Vec<(u32, String)>,
    /// Columns that the SELECT about to be bound is inserted into: its bare literals take their types.
    pub(super) insert_targets: Vec<(String, SqlType)>,
    /// Strings that named a sequence: where they stand, and which.
    pub(super) sequence_literals: Vec<(u32, u32)>,
    /// Names of columns that were found, where somebody wants to know.
    pub(super) column_names: Option<Vec<Name>>,
    /// The next WITH may hold changes of rows: it is the statement's own.
    pub(super) allows_changes: bool,
    /// It binds such a change: not all parameters need have a type.
    pub(super) is_part: bool,
    /// The changes in WITH.
    pub(super) changes: Vec<crate::plan::Change>,
    /// What they are called and give.
    pub(super) change_names: Vec<super::changes::ChangeName>,
}

/// Columns of rows outside: the parameter that stands for each, its value one scope further out, and its name there.
pub(super) type Captures = Vec<(usize, Expr, Name)>;

/// A scope outside the query being bound, and what that query has taken from there.
pub(super) struct Outer {
    pub(super) scope: Rc<Scope>,
    /// Not to be looked at: the query being bound was defined further outside.
    pub(super) is_hidden: bool,
    /// The parameter that stands for a column, the column or the parameter outside, and how the column was named there.
    pub(super) captures: Captures,
    /// What the query out there has gathered: an aggregate of its columns is its own, wherever it stands.
    pub(super) level: Level,
}

/// A name of WITH.
#[derive(Clone)]
pub(super) struct Cte {
    pub(super) definition: ast::CommonTable,
    /// How many names were in scope where it was defined.
    pub(super) visible: usize,
    /// How many scopes there were outside of it.
    pub(super) outer_count: usize,
}

/// A WITH RECURSIVE query being bound.
pub(super) struct Recursion {
    /// Its place among the names of WITH.
    pub(super) cte: usize,
    /// Its columns, once its first part is bound.
    pub(super) fields: Option<Vec<crate::plan::Field>>,
    /// Which working table it has.
    pub(super) working: usize,
    /// How often its second part named it.
    pub(super) use_count: usize,
    /// How many scopes lie outside of it.
    pub(super) outer_count: usize,
    /// In how many sides of outer joins that may be made up it stands.
    pub(super) nullable_count: usize,
}

/// What the SELECT being bound has gathered.
#[derive(Default)]
pub(super) struct Level {
    /// Aggregates; `None` where the clause allows none, with the clause's name.
    pub(super) aggregates: Vec<(ColumnId, AggregateCall)>,
    pub(super) forbidden: Option<&'static str>,
    pub(super) in_aggregate: bool,
    /// Windows, each with what is computed over it.
    pub(super) windows: Vec<super::window::Bound>,
    /// The WINDOW clause.
    pub(super) definitions: Vec<(Name, ast::WindowSpec)>,
    /// Set-returning functions of the SELECT list, and whether they may stand here.
    pub(super) series: Vec<super::series::SeriesCall>,
    pub(super) allows_series: bool,
    /// Inside a window function's call.
    pub(super) in_window: bool,
    /// The clause, where it allows aggregates but no window functions.
    pub(super) no_windows: Option<&'static str>,
    /// Calls of GROUPING: what each stands for is known when the groups are.
    pub(super) groupings: Vec<(ColumnId, Vec<Expr>, u32)>,
    /// Where columns were named first, outside of aggregates.
    pub(super) references: Vec<(ColumnId, Name)>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(catalog: &'a Catalog, given: &[SqlType], param_count: usize) -> Self {
        let mut params = given.to_vec();
        params.resize(param_count.max(given.len()), SqlType::Unknown);
        Binder {
            catalog,
            params,
            methods: Methods::default(),
            format: FormatSettings::default(),
            defines: false,
            is_stored: false,
            statement: Statement::default(),
            ctes: Vec::new(),
            cte_uses: Vec::new(),
            outer: Vec::new(),
            lateral: Vec::new(),
            slots: Vec::new(),
            level: Level::default(),
            relation_count: 0,
            whole_rows: Vec::new(),
            row_shapes: Vec::new(),
            inline_rows: false,
            recursions: Vec::new(),
            recursion_count: 0,
            nullable_count: 0,
            views: Vec::new(),
            view_texts: Vec::new(),
            named: Vec::new(),
            insert_targets: Vec::new(),
            sequence_literals: Vec::new(),
            column_names: None,
            allows_changes: false,
            is_part: false,
            changes: Vec::new(),
            change_names: Vec::new(),
        }
    }

    /// A new column.
    pub(super) fn column(&mut self, ty: SqlType) -> ColumnId {
        self.statement.columns.push(ColumnInfo { ty, origin: None });
        self.statement.columns.len() - 1
    }

    pub(super) fn column_expr(&self, id: ColumnId) -> Expr {
        Expr::Column { id, ty: self.statement.columns[id].ty }
    }

    /// A new occurrence of a table: ids for all its columns, in order.
    pub(super) fn table_columns(&mut self, table: &Arc<Table>) -> Vec<ColumnId> {
        let occurrence = self.statement.tables.len();
        self.statement.tables.push(table.clone());
        let first = self.statement.columns.len();
        for (ordinal, column) in table.columns.iter().enumerate() {
            let origin = Some((occurrence, ordinal));
            self.statement.columns.push(ColumnInfo { ty: column.ty, origin });
        }
        (first..self.statement.columns.len()).collect()
    }

    /// Errors: 54001 when WITH names multiply beyond all measure.
    pub(super) fn count_relation(&mut self, at: u32) -> Result<()> {
        self.relation_count += 1;
        if self.relation_count > RELATION_COUNT_MAX {
            let message = format!("statement uses more than {RELATION_COUNT_MAX} relations");
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message).at(at));
        }
        Ok(())
    }

    /// Counts the uses of a WITH query: one that is volatile must not be evaluated twice.
    pub(super) fn used_cte(&mut self, query: *const ast::Query) -> usize {
        match self.cte_uses.iter_mut().find(|it| it.0 == query) {
            Some(uses) => {
                uses.1 += 1;
                uses.1
            }
            None => {
                self.cte_uses.push((query, 1));
                1
            }
        }
    }

    pub(super) fn is_used_cte(&self, query: *const ast::Query) -> bool {
        self.cte_uses.iter().any(|uses| uses.0 == query)
    }

    /// Binds something that sees the names of `scope` from inside: a subquery, or what is LATERAL. Gives with it the
    /// parameters it has for columns of rows outside, their values out there, and how they were named. `level` is the
    /// query's out there; it comes back.
    pub(super) fn inside<T>(
        &mut self,
        scope: Rc<Scope>,
        level: Level,
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> (Level, Result<(T, Captures)>) {
        self.outer.push(Outer { scope, is_hidden: false, captures: Vec::new(), level });
        let result = bind(self);
        match self.outer.pop() {
            Some(Outer { captures, level, .. }) => (level, result.map(|bound| (bound, captures))),
            None => (Level::default(), Err(Error::internal("a scope outside is missing"))),
        }
    }

    /// The query outside to which an aggregate of these expressions belongs: that of the nearest column in them. `None`: the
    /// query being bound.
    pub(super) fn aggregate_depth<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> Option<usize> {
        let mut nearest = None;
        for expr in exprs {
            if expr.has_columns() {
                return None;
            }
            expr.any(&mut |it| {
                if let Expr::Param { index, .. } = it {
                    let is_there = |outer: &Outer| {
                        let mut captures = outer.captures.iter();
                        captures.any(|it| it.0 == *index && matches!(it.1, Expr::Column { .. }))
                    };
                    nearest = nearest.max(self.outer.iter().rposition(is_there));
                }
                false
            });
        }
        nearest
    }

    /// The number of the parameter that stands for a column of a row outside.
    pub(super) fn parameter_for(&mut self, id: ColumnId) -> usize {
        let slot = match self.slots.iter().position(|known| *known == id) {
            Some(slot) => slot,
            None => {
                self.slots.push(id);
                self.slots.len() - 1
            }
        };
        self.params.len() + slot
    }

    /// A column of a row outside, found in the scope number `depth`: a parameter, handed on through all that lie between.
    pub(super) fn capture(&mut self, depth: usize, id: ColumnId, ty: SqlType, name: &Name) -> Expr {
        let index = self.parameter_for(id);
        for (place, outer) in self.outer.iter_mut().enumerate().skip(depth) {
            if outer.captures.iter().all(|known| known.0 != index) {
                let value = if place == depth { Expr::Column { id, ty } } else { Expr::Param { index, ty } };
                outer.captures.push((index, value, name.clone()));
            }
        }
        Expr::Param { index, ty }
    }

    /// Whether it has a column of a row outside in it.
    pub(super) fn sees_outside(&self, expr: &Expr) -> bool {
        expr.any(&mut |it| matches!(it, Expr::Param { index, .. } if *index >= self.params.len()))
    }

    /// Keeps a subquery and gives its index.
    pub(super) fn subquery(&mut self, query: Query) -> usize {
        self.statement.subqueries.push(query);
        self.statement.subqueries.len() - 1
    }

    /// Computes what is constant. An error stays for the execution, which may never come to it.
    pub(super) fn fold(&mut self, expr: Expr) -> Result<Expr> {
        let mut constant = true;
        expr.children(|child| constant = constant && matches!(child, Expr::Literal { .. }));
        if !constant {
            return Ok(expr);
        }
        let foldable = match &expr {
            Expr::Call { function, .. } => function.volatility == Volatility::Immutable,
            Expr::Cast { input, ty, .. } => is_stable_cast(input.ty(), *ty),
            _ => false,
        };
        if !foldable {
            return Ok(expr);
        }
        let ty = expr.ty();
        let literal_cast = matches!(&expr, Expr::Cast { .. });
        match eval::constant(&expr, &EvalContext::constant(0, 0, self.reading())) {
            Ok(value) => Ok(Expr::Literal { value, ty }),
            // A written literal that does not fit its type is an error wherever it stands, as in PostgreSQL.
            Err(error) if literal_cast => Err(error),
            Err(_) => Ok(expr),
        }
    }

    /// The settings that literals are read under.
    pub(super) fn reading(&self) -> FormatSettings {
        if self.is_stored || !self.views.is_empty() { FormatSettings::default() } else { self.format }
    }

    /// Binds what was stored: under the default settings, whatever the session's are.
    pub(super) fn as_stored<T>(&mut self, bind: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = std::mem::replace(&mut self.is_stored, true);
        let bound = bind(self);
        self.is_stored = before;
        bound
    }

    /// A literal's value. Errors: 22P02 and its kin; 0A000 in a definition for one that reads otherwise under the default
    /// settings, which is how definitions are read when they are used.
    pub(super) fn literal(&self, literal: &str, ty: SqlType) -> Result<Datum> {
        let reading = self.reading();
        let value = text::parse_with(literal, ty, reading)?;
        if self.defines
            && reading != FormatSettings::default()
            && !text::parse(literal, ty).is_ok_and(|plain| plain.identical(&value))
        {
            let message = format!("{ty} \"{literal}\" in a definition under these settings");
            return Err(Error::unsupported(message)
                .with_hint("Write dates as year-month-day, and moments with their zone's offset."));
        }
        Ok(value)
    }

    /// Refuses parameters whose type nothing decided.
    pub(super) fn check_params(&self) -> Result<()> {
        match self.params.iter().position(|ty| *ty == SqlType::Unknown) {
            None => Ok(()),
            Some(index) => {
                let message = format!("could not determine data type of parameter ${}", index + 1);
                Err(Error::new(SqlState::INDETERMINATE_DATATYPE, message))
            }
        }
    }
}

/// Whether a cast looks neither at the clock nor at the session's settings.
pub(super) fn is_stable_cast(from: SqlType, to: SqlType) -> bool {
    let zoned = |ty: SqlType| ty == SqlType::Timestamptz;
    let is_text = |ty: SqlType| matches!(ty.base(), SqlType::Text | SqlType::Char(_));
    let has_style = |ty: SqlType| {
        let item = ty.element().unwrap_or(ty);
        matches!(
            item,
            SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Interval
        )
    };
    let by_style = is_text(from) && has_style(to) || has_style(from) && is_text(to);
    from == to || !(zoned(from) || zoned(to) || by_style)
}

/// A number literal: `integer`, `bigint` or `numeric`, whichever holds it first.
pub(super) fn number(digits: &str, at: u32) -> Result<Expr> {
    if !digits.contains(['.', 'e', 'E']) {
        if let Ok(value) = digits.parse::<i32>() {
            return Ok(Expr::Literal { value: Datum::Int4(value), ty: SqlType::Int4 });
        }
        if let Ok(value) = digits.parse::<i64>() {
            return Ok(Expr::Literal { value: Datum::Int8(value), ty: SqlType::Int8 });
        }
    }
    let value = crate::text::parse(digits, SqlType::Numeric).map_err(|error| error.at(at))?;
    // Few digits fit 128 bits: what is computed with them stays there.
    let significant =
        digits.split(['e', 'E']).next().unwrap_or("").bytes().filter(u8::is_ascii_digit).count();
    let ty = match &value {
        Datum::Numeric(number) if significant <= 38 && !digits.contains(['e', 'E']) => {
            let scale = number.scale() as u8;
            SqlType::Decimal { precision: (significant as u8).max(scale).max(1), scale }
        }
        _ => SqlType::Numeric,
    };
    Ok(Expr::Literal { value, ty })
}
