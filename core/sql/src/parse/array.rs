//! Arrays in expressions: constructors, subscripts, `op ANY (array)`; and arguments by name.

use super::ast::{Expr, ExprKind, Name, Subscript};
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::{Error, Result, SqlState};

impl Parser<'_> {
    /// Whether `ANY (`, `ALL (` or `SOME (` is next.
    pub(super) fn is_quantifier(&mut self) -> Result<bool> {
        let word = self.is_word("any")? || self.is_word("all")? || self.is_word("some")?;
        Ok(word && self.peek_at(1)?.kind == Kind::Punct(b'('))
    }

    /// `ANY (…)` and its kin behind an operator.
    pub(super) fn quantified(&mut self, left: Expr, op: String) -> Result<ExprKind> {
        let all = self.is_word("all")?;
        self.take()?;
        self.expect_punct(b'(')?;
        let input = Box::new(left);
        if !self.at_query()? {
            let array = Box::new(self.expr()?);
            self.expect_punct(b')')?;
            return Ok(match array.kind {
                // `((SELECT …))` is still a query.
                ExprKind::Subquery(query) if op == "=" && !all => {
                    ExprKind::InSubquery { input, query, negated: false }
                }
                ExprKind::Subquery(query) => ExprKind::Quantified { input, op, all, query },
                _ => ExprKind::QuantifiedArray { input, op, all, array },
            });
        }
        let query = Box::new(self.query()?);
        self.expect_punct(b')')?;
        if op == "=" && !all {
            return Ok(ExprKind::InSubquery { input, query, negated: false });
        }
        Ok(ExprKind::Quantified { input, op, all, query })
    }

    /// `[…]` after ARRAY, or inside one.
    pub(super) fn array_constructor(&mut self) -> Result<Expr> {
        let at = self.take()?.at;
        let mut items = Vec::new();
        if !self.is_punct(b']')? {
            items = self.list(|parser| {
                if parser.is_punct(b'[')? { parser.nested(Self::array_constructor) } else { parser.expr() }
            })?;
        }
        self.expect_punct(b']')?;
        Ok(Expr { kind: ExprKind::Array(items), at })
    }

    /// `[1]`, `[1:2]`, `[:]`, one or several; the first bracket is taken.
    pub(super) fn subscript_expr(&mut self, left: Expr) -> Result<ExprKind> {
        Ok(ExprKind::Subscript { input: Box::new(left), subscripts: self.subscripts()? })
    }

    /// The same without what they are of.
    pub(super) fn subscripts(&mut self) -> Result<Vec<Subscript>> {
        let mut subscripts = Vec::new();
        loop {
            let bound = |parser: &mut Self| -> Result<Option<Expr>> {
                let ends = parser.is_punct(b':')? || parser.is_punct(b']')?;
                if ends { Ok(None) } else { parser.expr().map(Some) }
            };
            let lower = bound(self)?;
            let slice = self.accept_punct(b':')?;
            let upper = if slice { bound(self)? } else { None };
            if !slice && lower.is_none() {
                let next = self.peek()?;
                return Err(self.unexpected(next));
            }
            self.expect_punct(b']')?;
            subscripts.push(Subscript { lower, upper, slice });
            if !self.accept_punct(b'[')? {
                break;
            }
        }
        Ok(subscripts)
    }
}

/// Arguments in their places. Only `make_interval` is known by the names of its arguments.
pub(super) fn positional(function: &Name, args: Vec<(Option<Name>, Expr)>) -> Result<Vec<Expr>> {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let Some(at) = args.iter().find_map(|(name, _)| name.as_ref().map(|name| name.at)) else {
        return Ok(args.into_iter().map(|it| it.1).collect());
    };
    if function.text != "make_interval" {
        return Err(Error::unsupported("named argument").at(at));
    }
    let zero = || Expr { kind: ExprKind::Number("0".to_owned()), at };
    let mut places: Vec<Option<Expr>> = vec![None; NAMES.len()];
    for (index, (name, value)) in args.into_iter().enumerate() {
        let place = match &name {
            None => Some(index),
            Some(name) => NAMES.iter().position(|known| *known == name.text),
        };
        match place.and_then(|place| places.get_mut(place)) {
            Some(slot @ None) => *slot = Some(value),
            _ => {
                let message = "function make_interval has no such argument";
                return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).at(function.at));
            }
        }
    }
    Ok(places.into_iter().map(|place| place.unwrap_or_else(zero)).collect())
}
