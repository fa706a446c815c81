//! Casts that nobody wrote, and those somebody did (PostgreSQL documentation, chapter 10).

use super::binder::Binder;
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::{self, CastContext};
use crate::text;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

/// PostgreSQL's type categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Boolean,
    Numeric,
    String,
    DateTime,
    Timespan,
    Array,
    Unknown,
    User,
}

pub(super) fn category(ty: SqlType) -> Category {
    match ty.base() {
        SqlType::Bool => Category::Boolean,
        SqlType::Text | SqlType::Char(_) => Category::String,
        SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::Timestamptz => Category::DateTime,
        SqlType::Array(_) => Category::Array,
        SqlType::Interval => Category::Timespan,
        SqlType::Unknown => Category::Unknown,
        SqlType::Bytea | SqlType::Uuid | SqlType::Json | SqlType::Jsonb => Category::User,
        SqlType::Record(_) | SqlType::Enum(_) => Category::User,
        _ => Category::Numeric,
    }
}

/// Whether the type is the preferred one of its category.
pub(super) fn is_preferred(ty: SqlType) -> bool {
    matches!(ty, SqlType::Bool | SqlType::Text | SqlType::Float8 | SqlType::Timestamptz | SqlType::Interval)
}

/// Whether `from` becomes `to` without a word.
pub(super) fn is_implicit(from: SqlType, to: SqlType) -> bool {
    from == SqlType::Unknown
        || from.base() == to.base()
        || functions::cast_context(from.base(), to.base()) == Some(CastContext::Implicit)
}

/// The number type that holds every value of an integer type and computes in 128 bits.
fn bounded_decimal(from: SqlType) -> Option<SqlType> {
    let precision = match from {
        SqlType::Int2 => 5,
        SqlType::Int4 => 10,
        SqlType::Int8 => 19,
        _ => return None,
    };
    Some(SqlType::Decimal { precision, scale: 0 })
}

fn cannot(from: SqlType, to: SqlType, at: u32) -> Error {
    let message = format!("cannot cast type {} to {}", from.base_name(), to.base_name());
    Error::new(SqlState::CANNOT_COERCE, message).at(at)
}

impl Binder<'_> {
    /// An argument of a function: the base type counts, a modifier may stay.
    pub(super) fn coerce_argument(&mut self, expr: Expr, target: SqlType, at: u32) -> Result<Expr> {
        let from = expr.ty();
        if target == SqlType::Unknown {
            // The function takes what it gets; a bare literal is text.
            return if from == SqlType::Unknown {
                self.coerce(expr, SqlType::Text, CastContext::Implicit, at)
            } else {
                Ok(expr)
            };
        }
        if from != SqlType::Unknown && from.base() == target {
            return Ok(expr);
        }
        let target = match target {
            SqlType::Numeric => bounded_decimal(from).unwrap_or(target),
            _ => target,
        };
        self.coerce(expr, target, CastContext::Implicit, at)
    }

    /// The expression as exactly the target type, by a cast that `context` allows. Errors: 42846, and what the text of
    /// a literal gives.
    pub(super) fn coerce(
        &mut self,
        expr: Expr,
        target: SqlType,
        context: CastContext,
        at: u32,
    ) -> Result<Expr> {
        let from = expr.ty();
        if from == target {
            return Ok(expr);
        }
        let is_number = |ty: SqlType| ty.is_numeric() || ty == SqlType::Bool;
        if from == SqlType::QuotedChar && is_number(target)
            || target == SqlType::QuotedChar && is_number(from)
        {
            // There it is the character's number.
            return Err(Error::unsupported("\"char\" to and from numbers").at(at));
        }
        if let SqlType::Reg(kind) = target {
            return self.coerce_reg(expr, kind, at);
        }
        if let SqlType::Reg(kind) = from {
            let plain = self.plain_reg(expr, kind, target)?;
            return self.coerce(plain, target, context, at);
        }
        if let SqlType::Record(id @ 1..) = target {
            return self.coerce_row(expr, id, context, at);
        }
        if let SqlType::Enum(id) = target
            && !matches!(&expr, Expr::Literal { value: Datum::Null, .. })
        {
            return self.coerce_enum(expr, id, context, at);
        }
        if let Some(SqlType::Enum(id)) = target.element()
            && !matches!(&expr, Expr::Literal { value: Datum::Null, .. })
            && (from == SqlType::Unknown || from.base() == SqlType::Text)
        {
            return self.coerce_enums(expr, id, context, at);
        }
        if let SqlType::Fitted(fitted) = target {
            let plain = self.coerce(expr, fitted.layout(), context, at)?;
            let explicit = context == CastContext::Explicit;
            return self.fold(Expr::Cast { input: Box::new(plain), ty: target, explicit, position: at });
        }
        match expr {
            Expr::Literal { value: Datum::Null, .. } => Ok(Expr::Literal { value: Datum::Null, ty: target }),
            Expr::Literal { value: Datum::Text(value), ty: SqlType::Unknown } => {
                let base = target.base();
                // What the clock decides is decided when the statement runs.
                let is_moment =
                    matches!(base, SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::Timestamptz);
                if is_moment && text::depends_on_clock(&value) {
                    let input = Box::new(Expr::Literal { value: Datum::Text(value), ty: SqlType::Text });
                    return Ok(Expr::Cast { input, ty: target, explicit: true, position: at });
                }
                let value = if base == SqlType::Text {
                    Datum::Text(value)
                } else {
                    self.literal(&value, base).map_err(|error| error.at(at))?
                };
                self.coerce(Expr::Literal { value, ty: base }, target, context, at)
            }
            Expr::Param { index, ty: SqlType::Unknown } => {
                let known = self.params[index];
                let ty = if known == SqlType::Unknown { target.base() } else { known };
                self.params[index] = ty;
                self.coerce(Expr::Param { index, ty }, target, context, at)
            }
            expr => {
                let needed = functions::cast_context(from, target).ok_or_else(|| cannot(from, target, at))?;
                if needed > context {
                    return Err(cannot(from, target, at));
                }
                let explicit = context == CastContext::Explicit;
                self.fold(Expr::Cast { input: Box::new(expr), ty: target, explicit, position: at })
            }
        }
    }

    /// A value for a column: INSERT, UPDATE, DEFAULT. Errors: 42804.
    pub(super) fn coerce_assignment(
        &mut self,
        expr: Expr,
        column: &str,
        target: SqlType,
        at: u32,
    ) -> Result<Expr> {
        let from = expr.ty();
        let allowed = from == SqlType::Unknown
            || from.base() == target.base()
            || functions::cast_context(from.base(), target.base())
                .is_some_and(|it| it <= CastContext::Assignment);
        if !allowed {
            let message = format!(
                "column \"{column}\" is of type {} but expression is of type {}",
                target.base_name(),
                from.base_name()
            );
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message)
                .with_hint("You will need to rewrite or cast the expression.")
                .at(at));
        }
        self.coerce(expr, target, CastContext::Assignment, at)
    }

    /// A condition. Errors: 42804.
    pub(super) fn coerce_bool(&mut self, expr: Expr, clause: &str, at: u32) -> Result<Expr> {
        let from = expr.ty();
        if !matches!(from, SqlType::Bool | SqlType::Unknown) {
            let message = format!("argument of {clause} must be type boolean, not type {}", from.base_name());
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).at(at));
        }
        self.coerce(expr, SqlType::Bool, CastContext::Implicit, at)
    }

    /// What is still of unknown type becomes text.
    pub(super) fn known(&mut self, expr: Expr, at: u32) -> Result<Expr> {
        if expr.ty() == SqlType::Unknown {
            self.coerce(expr, SqlType::Text, CastContext::Implicit, at)
        } else {
            Ok(expr)
        }
    }

    /// The type that branches of CASE, UNION and their kin agree on (documentation, 10.5). Errors: 42804.
    pub(super) fn common_type(&self, what: &str, types: &[(SqlType, u32)]) -> Result<SqlType> {
        let mut known = types.iter().filter(|(ty, _)| *ty != SqlType::Unknown);
        let Some(&(first, _)) = known.next() else { return Ok(SqlType::Text) };
        let mut common = first;
        for &(ty, at) in known {
            if ty == common {
                continue;
            }
            if ty.base() == common.base() {
                common = common.base();
                continue;
            }
            let mismatch = || {
                let message =
                    format!("{what} types {} and {} cannot be matched", common.base_name(), ty.base_name());
                Error::new(SqlState::DATATYPE_MISMATCH, message).at(at)
            };
            if category(ty) != category(common) || matches!(category(ty), Category::User | Category::Array) {
                return Err(mismatch());
            }
            if !is_preferred(common.base()) && is_implicit(common, ty) && !is_implicit(ty, common) {
                common = ty.base();
            } else if !is_implicit(ty, common) {
                return Err(mismatch());
            } else {
                common = common.base();
            }
        }
        Ok(common)
    }
}
