//! Calls with a grammar of their own: EXTRACT, SUBSTRING, OVERLAY, TRIM and the like.

use super::ast::{Expr, ExprKind, Name};
use super::expr::{call, power};
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::Result;

impl Parser<'_> {
    /// Calls with a grammar of their own.
    pub(super) fn special_call(&mut self, word: &str) -> Result<Option<Expr>> {
        let at = self.at()?;
        let kind = match word {
            "exists" => {
                self.open()?;
                ExprKind::Exists(Box::new(self.query()?))
            }
            "cast" => {
                self.open()?;
                let input = Box::new(self.expr()?);
                self.expect("as")?;
                self.cast_to_type(input)?
            }
            "row" => {
                self.open()?;
                let parts =
                    if self.is_punct(b')')? { Vec::new() } else { self.list(|parser| parser.expr())? };
                ExprKind::Row(parts)
            }
            "coalesce" => {
                self.open()?;
                ExprKind::Coalesce(self.list(|parser| parser.expr())?)
            }
            "greatest" | "least" => {
                self.open()?;
                ExprKind::Extreme { greatest: word == "greatest", args: self.list(|parser| parser.expr())? }
            }
            "nullif" => {
                self.open()?;
                let first = Box::new(self.expr()?);
                self.expect_punct(b',')?;
                ExprKind::NullIf(first, Box::new(self.expr()?))
            }
            "extract" => {
                self.open()?;
                self.extract_args(at)?
            }
            "position" => {
                self.open()?;
                let needle = self.expr_above(power::BETWEEN)?;
                self.expect("in")?;
                let hay = self.expr_above(power::BETWEEN)?;
                call(Name { text: "position".to_owned(), at }, vec![hay, needle], None)
            }
            "substring" => {
                self.open()?;
                self.substring_args(at)?
            }
            "trim" => {
                self.open()?;
                self.trim_args(at)?
            }
            "overlay" => {
                self.open()?;
                self.overlay_args(at)?
            }
            "normalize" | "treat" | "xmlelement" => {
                return self.refuse(word);
            }
            _ => return Ok(None),
        };
        self.expect_punct(b')')?;
        Ok(Some(Expr { kind, at }))
    }

    fn open(&mut self) -> Result<()> {
        self.take()?;
        self.expect_punct(b'(')
    }

    fn extract_args(&mut self, at: u32) -> Result<ExprKind> {
        let token = self.peek()?;
        let field = match token.kind {
            Kind::Word | Kind::Quoted => self.label()?.text,
            _ => self.string()?,
        };
        self.expect("from")?;
        let input = self.expr()?;
        let field = Expr { kind: ExprKind::String(field), at: token.at };
        Ok(call(Name { text: "extract".to_owned(), at }, vec![field, input], None))
    }

    fn substring_args(&mut self, at: u32) -> Result<ExprKind> {
        let mut args = vec![self.expr()?];
        if self.accept_punct(b',')? {
            args.extend(self.list(|parser| parser.expr())?);
        } else {
            let one = |at| Expr { kind: ExprKind::Number("1".to_owned()), at };
            if self.accept("similar")? {
                args.push(self.expr()?);
                self.expect("escape")?;
                args.push(self.expr()?);
            } else if self.accept("from")? {
                args.push(self.expr()?);
                if self.accept("for")? {
                    args.push(self.expr()?);
                }
            } else if self.accept("for")? {
                let count = self.expr()?;
                if self.accept("from")? {
                    args.push(self.expr()?);
                } else {
                    args.push(one(at));
                }
                args.push(count);
            }
        }
        Ok(call(Name { text: "substring".to_owned(), at }, args, None))
    }

    fn overlay_args(&mut self, at: u32) -> Result<ExprKind> {
        let mut args = vec![self.expr()?];
        if self.accept_punct(b',')? {
            args.extend(self.list(|parser| parser.expr())?);
        } else {
            self.expect("placing")?;
            args.push(self.expr()?);
            self.expect("from")?;
            args.push(self.expr()?);
            if self.accept("for")? {
                args.push(self.expr()?);
            }
        }
        Ok(call(Name { text: "overlay".to_owned(), at }, args, None))
    }

    fn trim_args(&mut self, at: u32) -> Result<ExprKind> {
        let mut name = "btrim";
        for (word, function) in [("both", "btrim"), ("leading", "ltrim"), ("trailing", "rtrim")] {
            if self.accept(word)? {
                name = function;
                break;
            }
        }
        let mut args = Vec::new();
        if self.accept("from")? {
            args.extend(self.list(|parser| parser.expr())?);
        } else {
            let first = self.expr()?;
            if self.accept("from")? {
                args.extend(self.list(|parser| parser.expr())?);
                args.push(first);
            } else {
                args.push(first);
                if self.accept_punct(b',')? {
                    args.extend(self.list(|parser| parser.expr())?);
                }
            }
        }
        Ok(call(Name { text: name.to_owned(), at }, args, Some(name)))
    }
}
