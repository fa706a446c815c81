//! Which function or operator a call means (PostgreSQL documentation, 10.2 and 10.3).

use super::binder::Binder;
use super::coerce::{Category, category, is_implicit, is_preferred};
use super::expr::cast_function;
use crate::expr::Expr;
use crate::functions::{self, Aggregate, CastContext, ResultType, Scalar};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

/// What the rules look at in a scalar or an aggregate.
trait Signature {
    fn args(&self) -> &'static [SqlType];
    fn variadic(&self) -> bool;
}

impl Signature for Scalar {
    fn args(&self) -> &'static [SqlType] {
        self.args
    }
    fn variadic(&self) -> bool {
        self.variadic
    }
}

impl Signature for Aggregate {
    fn args(&self) -> &'static [SqlType] {
        self.args
    }
    fn variadic(&self) -> bool {
        false
    }
}

/// The type an argument place takes; a variadic function repeats its last.
fn place(signature: &dyn Signature, index: usize) -> SqlType {
    let args = signature.args();
    args.get(index).or(args.last()).copied().unwrap_or(SqlType::Unknown)
}

fn takes_count(signature: &dyn Signature, count: usize) -> bool {
    let args = signature.args().len();
    args == count || signature.variadic() && count >= args
}

enum Choice<T: 'static> {
    One(&'static T),
    None,
    Ambiguous,
}

/// The rules of 10.3, over types without modifiers.
fn choose<T: Signature>(all: &[&'static T], types: &[SqlType], is_operator: bool) -> Choice<T> {
    // Functions of any array were looked at before.
    let plain: Vec<&'static T> =
        all.iter().copied().filter(|it| !it.args().iter().any(|ty| super::array::is_any(*ty))).collect();
    let all = plain.as_slice();
    let exact = |candidate: &&&'static T, types: &[SqlType]| {
        takes_count(**candidate, types.len())
            && types.iter().enumerate().all(|(index, ty)| {
                let place = place(**candidate, index);
                place == *ty || place == SqlType::Unknown
            })
    };
    if let Some(found) = all.iter().find(|candidate| exact(candidate, types)) {
        return Choice::One(found);
    }
    // Operators: an unknown beside a known type is first taken for the same type.
    if is_operator && let [a, b] = types {
        let assumed = match (*a, *b) {
            (SqlType::Unknown, known) | (known, SqlType::Unknown) if known != SqlType::Unknown => {
                Some([known; 2])
            }
            _ => None,
        };
        if let Some(found) = assumed.and_then(|types| all.iter().find(|candidate| exact(candidate, &types))) {
            return Choice::One(found);
        }
    }
    let mut left: Vec<&'static T> = all.to_vec();
    left.retain(|candidate| {
        takes_count(*candidate, types.len())
            && types.iter().enumerate().all(|(index, ty)| {
                let place = place(*candidate, index);
                place == SqlType::Unknown || is_implicit(*ty, place)
            })
    });
    narrow(left, types)
}

fn narrow<T: Signature>(mut left: Vec<&'static T>, types: &[SqlType]) -> Choice<T> {
    if let Some(done) = settled(&left) {
        return done;
    }
    keep_best(&mut left, |candidate| {
        types.iter().enumerate().filter(|(index, ty)| place(candidate, *index) == **ty).count()
    });
    if let Some(done) = settled(&left) {
        return done;
    }
    keep_best(&mut left, |candidate| {
        types
            .iter()
            .enumerate()
            .filter(|(index, ty)| {
                let place = place(candidate, *index);
                place == **ty
                    || is_preferred(place) && (**ty == SqlType::Unknown || category(place) == category(**ty))
            })
            .count()
    });
    if let Some(done) = settled(&left) {
        return done;
    }
    if !types.contains(&SqlType::Unknown) {
        return Choice::Ambiguous;
    }
    by_category(&mut left, types);
    if let Some(done) = settled(&left) {
        return done;
    }
    // All known arguments of one type: the unknown ones are taken for it.
    let mut known = types.iter().filter(|ty| **ty != SqlType::Unknown);
    if let Some(first) = known.next()
        && known.all(|ty| ty == first)
    {
        left.retain(|candidate| (0..types.len()).all(|index| is_implicit(*first, place(*candidate, index))));
        if let Some(done) = settled(&left) {
            return done;
        }
    }
    Choice::Ambiguous
}

fn settled<T>(left: &[&'static T]) -> Option<Choice<T>> {
    match left {
        [] => Some(Choice::None),
        [one] => Some(Choice::One(one)),
        _ => None,
    }
}

fn keep_best<T>(left: &mut Vec<&'static T>, score: impl Fn(&'static T) -> usize) {
    let best = left.iter().map(|candidate| score(candidate)).max().unwrap_or(0);
    left.retain(|candidate| score(candidate) == best);
}

/// For each unknown argument: strings if any candidate takes one, otherwise the one category all agree on; then the
/// preferred type of it.
fn by_category<T: Signature>(left: &mut Vec<&'static T>, types: &[SqlType]) {
    for (index, _) in types.iter().enumerate().filter(|(_, ty)| **ty == SqlType::Unknown) {
        let categories: Vec<Category> = left.iter().map(|it| category(place(*it, index))).collect();
        let chosen = if categories.contains(&Category::String) {
            Category::String
        } else if categories.iter().all(|it| *it == categories[0]) {
            categories[0]
        } else {
            return;
        };
        left.retain(|it| category(place(*it, index)) == chosen);
        if left.iter().any(|it| is_preferred(place(*it, index))) {
            left.retain(|it| is_preferred(place(*it, index)));
        }
    }
}

fn result_type(result: ResultType, args: &[Expr]) -> SqlType {
    match result {
        ResultType::Fixed(ty) => ty,
        ResultType::From(f) => f(&args.iter().map(Expr::ty).collect::<Vec<_>>()),
    }
}

fn type_list(types: &[SqlType]) -> String {
    types.iter().map(SqlType::base_name).collect::<Vec<_>>().join(", ")
}

impl Binder<'_> {
    /// A function by its name, or an operator by that of its function.
    pub(super) fn named_function(
        &mut self,
        name: &str,
        args: Vec<(Expr, u32)>,
        types: &[SqlType],
        at: u32,
    ) -> Result<Expr> {
        if let (Some((ty, op)), 2) = (operator_function(name), args.len()) {
            let coerced = args.into_iter().map(|(arg, at)| {
                let coerced = self.coerce(arg, ty, CastContext::Implicit, at);
                Ok((coerced.map_err(|_| no_function(name, types, at))?, at))
            });
            let coerced = coerced.collect::<Result<Vec<_>>>()?;
            return self.operator(op, coerced, at);
        }
        match self.function(name, args, at)? {
            Some(call) => Ok(call),
            None => Err(no_function(name, types, at)),
        }
    }

    /// An operator: one argument is a prefix operator, two an infix one. Errors: 42883, 42725.
    pub(super) fn operator(&mut self, op: &str, args: Vec<(Expr, u32)>, at: u32) -> Result<Expr> {
        if let Some(call) = self.enum_operator(op, &args, at)? {
            return Ok(call);
        }
        let is_text = |(arg, _): &(Expr, u32)| matches!(arg.ty().base(), SqlType::Text | SqlType::Unknown);
        if let Some(plain) = pattern_operator(op).filter(|_| args.iter().all(is_text)) {
            return self.operator(plain, args, at);
        }
        if let Some((function, args)) = self.polymorphic(functions::scalars(op), &args)? {
            return self.call_as_is(function, args, at);
        }
        let args = if op == "||" { self.concatenated(args)? } else { args };
        let mut types: Vec<SqlType> = args.iter().map(|(expr, _)| expr.ty().base()).collect();
        widen_real(&mut types);
        as_char(&args, &mut types);
        match choose(functions::scalars(op), &types, true) {
            Choice::One(function) => self.call(function, args, at),
            Choice::None | Choice::Ambiguous if types == [SqlType::Unknown; 2] && is_comparison(op) => {
                // Two literals compare as text.
                let function =
                    functions::scalars(op).iter().find(|it| it.args == [SqlType::Text, SqlType::Text]);
                let function = function.ok_or_else(|| Error::internal("text has no comparison"))?;
                self.call(function, args, at)
            }
            choice => {
                let takes_as_many = |it: &&Scalar| it.args.len() == types.len();
                if functions::unbuilt::is_known(op) && !functions::scalars(op).iter().any(takes_as_many) {
                    return Err(Error::unsupported(format!("operator {op}")).at(at));
                }
                let what = match types.as_slice() {
                    [one] => format!("{op} {}", one.base_name()),
                    [a, b] => format!("{} {op} {}", a.base_name(), b.base_name()),
                    _ => op.to_owned(),
                };
                Err(match choice {
                    Choice::Ambiguous => {
                        Error::new(SqlState::AMBIGUOUS_FUNCTION, format!("operator is not unique: {what}"))
                    }
                    _ => Error::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {what}")),
                }
                .with_hint("You might need to add explicit type casts.")
                .at(at))
            }
        }
    }

    /// The operands of `||`: beside a text, anything else becomes text (PostgreSQL's `text || anynonarray`).
    fn concatenated(&mut self, mut args: Vec<(Expr, u32)>) -> Result<Vec<(Expr, u32)>> {
        let types: Vec<SqlType> = args.iter().map(|(expr, _)| expr.ty().base()).collect();
        let other = match types.as_slice() {
            [SqlType::Text | SqlType::Unknown, SqlType::Text | SqlType::Unknown] => return Ok(args),
            [SqlType::Unknown, SqlType::Bytea | SqlType::Jsonb]
            | [SqlType::Bytea | SqlType::Jsonb, SqlType::Unknown] => return Ok(args),
            [SqlType::Text | SqlType::Unknown, _] => 1,
            [_, SqlType::Text | SqlType::Unknown] => 0,
            _ => return Ok(args),
        };
        let (expr, at) = args.remove(other);
        let text = self.coerce(expr, SqlType::Text, CastContext::Explicit, at)?;
        args.insert(other, (text, at));
        Ok(args)
    }

    /// A function by name. `None`: no function has this name. Errors: 42883, 42725.
    pub(super) fn function(&mut self, name: &str, args: Vec<(Expr, u32)>, at: u32) -> Result<Option<Expr>> {
        let all = functions::scalars(name);
        if all.is_empty() {
            return Ok(None);
        }
        if let Some((function, args)) = self.polymorphic(all, &args)? {
            return self.call_as_is(function, args, at).map(Some);
        }
        let types: Vec<SqlType> = args.iter().map(|(expr, _)| expr.ty().base()).collect();
        match choose(all, &types, false) {
            Choice::One(function) => self.call(function, args, at).map(Some),
            Choice::None => Err(no_function(name, &types, at)),
            Choice::Ambiguous => Err(ambiguous(name, &types, at)),
        }
    }

    /// Which of these functions a call means, its arguments cast, and the type of its result. Errors: 42883, 42725.
    pub(super) fn resolved(
        &mut self,
        name: &str,
        all: &[&'static Scalar],
        args: Vec<(Expr, u32)>,
        at: u32,
    ) -> Result<(&'static Scalar, Vec<Expr>, SqlType)> {
        let (function, cast) = match self.polymorphic(all, &args)? {
            Some((function, args)) => (function, args.into_iter().map(|it| it.0).collect()),
            None => {
                let types: Vec<SqlType> = args.iter().map(|(expr, _)| expr.ty().base()).collect();
                let function = match choose(all, &types, false) {
                    Choice::One(function) => function,
                    Choice::None => return Err(no_function(name, &types, at)),
                    Choice::Ambiguous => return Err(ambiguous(name, &types, at)),
                };
                let mut cast = Vec::with_capacity(args.len());
                for (index, (arg, at)) in args.into_iter().enumerate() {
                    cast.push(self.coerce_argument(arg, place(function, index), at)?);
                }
                (function, cast)
            }
        };
        let ty = result_type(function.result, &cast);
        Ok((function, cast, ty))
    }

    /// A call of arguments that were cast already, folded.
    fn call_as_is(&mut self, function: &'static Scalar, args: Vec<(Expr, u32)>, at: u32) -> Result<Expr> {
        let args: Vec<Expr> = args.into_iter().map(|it| it.0).collect();
        let ty = result_type(function.result, &args);
        self.fold(Expr::Call { function, args, ty, position: at })
    }

    /// Casts the arguments and folds.
    pub(super) fn call(
        &mut self,
        function: &'static Scalar,
        args: Vec<(Expr, u32)>,
        at: u32,
    ) -> Result<Expr> {
        let mut cast = Vec::with_capacity(args.len());
        for (index, (arg, at)) in args.into_iter().enumerate() {
            cast.push(self.coerce_argument(arg, place(function, index), at)?);
        }
        let ty = result_type(function.result, &cast);
        self.fold(Expr::Call { function, args: cast, ty, position: at })
    }

    /// The arguments of `json_agg` and its kin as json, which is written in the session's settings.
    fn as_json<'n>(
        &mut self,
        name: &'n str,
        mut args: Vec<(Expr, u32)>,
    ) -> Result<(&'n str, Vec<(Expr, u32)>)> {
        let (convert, count) = match name {
            "json_agg" => ("to_json", 1),
            "jsonb_agg" => ("to_jsonb", 1),
            "json_object_agg" => ("to_json", 2),
            "jsonb_object_agg" => ("to_jsonb", 2),
            _ => return Ok((name, args)),
        };
        if args.len() != count {
            return Ok((name, args));
        }
        let Some((value, at)) = args.pop() else { return Ok((name, args)) };
        let name = match value.ty() {
            SqlType::Array(_) | SqlType::Record(_) if name == "json_agg" => "json_agg array",
            _ => name,
        };
        let value = self.known(value, at)?;
        if let Some(value) = self.function(convert, vec![(value, at)], at)? {
            args.push((value, at));
        }
        if let (2, Some((key, at))) = (count, args.first().cloned()) {
            let key = self.known(key, at)?;
            args[0] = (self.coerce(key, SqlType::Text, CastContext::Explicit, at)?, at);
        }
        Ok((name, args))
    }

    /// An aggregate by name, its arguments cast, and its result type. Errors: 42883, 42725.
    pub(super) fn aggregate(
        &mut self,
        name: &str,
        args: Vec<(Expr, u32)>,
        at: u32,
    ) -> Result<(&'static Aggregate, Vec<Expr>, SqlType)> {
        let (name, args) = self.as_json(name, args)?;
        let types: Vec<SqlType> = args.iter().map(|(expr, _)| expr.ty().base()).collect();
        let of_arrays = functions::aggregates(name).iter().find(|it| it.args == [SqlType::ANY_ARRAY]);
        if let (Some(function), [SqlType::Array(_)]) = (of_arrays, types.as_slice()) {
            let args: Vec<Expr> = args.into_iter().map(|it| it.0).collect();
            let ty = result_type(function.result, &args);
            return Ok((function, args, ty));
        }
        let function = match choose(functions::aggregates(name), &types, false) {
            Choice::One(function) => function,
            Choice::None => return Err(no_function(name, &types, at)),
            Choice::Ambiguous => return Err(ambiguous(name, &types, at)),
        };
        let mut cast = Vec::with_capacity(args.len());
        for (index, (arg, at)) in args.into_iter().enumerate() {
            cast.push(self.coerce_argument(arg, place(function, index), at)?);
        }
        let ty = result_type(function.result, &cast);
        Ok((function, cast, ty))
    }
}

/// PostgreSQL has operators of `real` beside `double precision`, but none of `real` beside other numbers: those resolve to
/// the former.
fn widen_real(types: &mut [SqlType]) {
    let [a, b] = types else { return };
    match (*a, *b) {
        (SqlType::Float4, other) if other != SqlType::Float4 && other.is_numeric() => *a = SqlType::Float8,
        (other, SqlType::Float4) if other != SqlType::Float4 && other.is_numeric() => *b = SqlType::Float8,
        _ => {}
    }
}

/// `varchar` is `text` here, but beside `char` PostgreSQL takes it for one, as it has operators of `char` and of `text` only.
fn as_char(args: &[(Expr, u32)], types: &mut [SqlType]) {
    let ([(a, _), (b, _)], [ty_a, ty_b]) = (args, types) else { return };
    match (a.ty(), b.ty()) {
        (SqlType::Char(_), SqlType::Varchar(_)) => *ty_b = SqlType::Char(None),
        (SqlType::Varchar(_), SqlType::Char(_)) => *ty_a = SqlType::Char(None),
        _ => {}
    }
}

fn is_comparison(op: &str) -> bool {
    matches!(op, "=" | "<>" | "<" | "<=" | ">" | ">=" | "~~" | "!~~" | "~~*" | "!~~*" | "||")
}

/// `int4eq` and the like: the comparison of two values of a type, under the name that PostgreSQL has for its function.
fn operator_function(name: &str) -> Option<(SqlType, &'static str)> {
    let (of, op) = [("eq", "="), ("ne", "<>"), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")]
        .into_iter()
        .find_map(|(suffix, op)| Some((name.strip_suffix(suffix)?, op)))?;
    let ty = cast_function(of.trim_end_matches('_'))?;
    let is_late = matches!(ty, SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Interval)
        || matches!(ty, SqlType::Numeric | SqlType::Uuid | SqlType::Jsonb | SqlType::Time)
        || ty == SqlType::Text && !matches!(op, "=" | "<>");
    (of.ends_with('_') == is_late && ty != SqlType::Json).then_some((ty, op))
}

/// The comparisons of texts by their bytes: in the locale C all are.
fn pattern_operator(op: &str) -> Option<&'static str> {
    Some(match op {
        "~<~" => "<",
        "~<=~" => "<=",
        "~>~" => ">",
        "~>=~" => ">=",
        _ => return None,
    })
}

/// 42883
pub(super) fn no_function(name: &str, types: &[SqlType], at: u32) -> Error {
    let message = format!("function {name}({}) does not exist", type_list(types));
    Error::new(SqlState::UNDEFINED_FUNCTION, message)
        .with_hint(
            "No function matches the given name and argument types. You might need to add explicit type casts.",
        )
        .at(at)
}

/// 42725
pub(super) fn ambiguous(name: &str, types: &[SqlType], at: u32) -> Error {
    let message = format!("function {name}({}) is not unique", type_list(types));
    Error::new(SqlState::AMBIGUOUS_FUNCTION, message)
        .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.")
        .at(at)
}
