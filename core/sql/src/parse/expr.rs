//! Expressions, by precedence climbing over PostgreSQL's table (documentation, 4.1.6).

use super::array::positional;
use super::ast::{Expr, ExprKind, FunctionCall, Name, Over, Query};
use super::lexer::{Kind, Token};
use super::parser::Parser;
use super::types;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

/// How tightly operators bind, loosest first.
pub(super) mod power {
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const IS: u8 = 4;
    pub(super) const COMPARE: u8 = 5;
    pub(in crate::parse) const BETWEEN: u8 = 6;
    pub(super) const OTHER: u8 = 7;
    pub(super) const ADD: u8 = 8;
    pub(super) const MULTIPLY: u8 = 9;
    pub(super) const POWER: u8 = 10;
    pub(super) const AT: u8 = 11;
    pub(super) const COLLATE: u8 = 12;
    pub(super) const SIGN: u8 = 13;
    pub(in crate::parse) const CAST: u8 = 14;
}

/// What comes after an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Infix {
    Or,
    And,
    Is,
    IsNull,
    NotNull,
    Between,
    In,
    Like { fold_case: bool },
    Similar,
    Operator,
    AtTimeZone,
    Collate,
    Cast,
    Subscript,
    Overlaps,
}

impl Parser<'_> {
    /// An expression.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.expr_above(0)
    }

    /// An expression without AND, OR, NOT, IS and their kin at its top (PostgreSQL's b_expr, a little narrower).
    pub(super) fn bounded_expr(&mut self) -> Result<Expr> {
        self.expr_above(power::BETWEEN)
    }

    /// An expression of operators that bind tighter than `floor`.
    pub(super) fn expr_above(&mut self, floor: u8) -> Result<Expr> {
        self.nested(|parser| {
            let mut left = parser.operand()?;
            let mut compared = false;
            while let Some((infix, power, negated)) = parser.infix()? {
                if power <= floor {
                    break;
                }
                if power == power::COMPARE && std::mem::replace(&mut compared, true) {
                    // Comparisons do not associate: `a < b < c` is an error.
                    let next = parser.peek()?;
                    return Err(parser.unexpected(next));
                }
                compared = power == power::COMPARE;
                let at = parser.at()?;
                left = parser.infix_expr(left, infix, power, negated)?;
                // AND and OR become one node however many there are.
                if !matches!(infix, Infix::And | Infix::Or) {
                    parser.grow(at)?;
                }
            }
            Ok(left)
        })
    }

    /// What comes next after an operand, how tightly it binds, and whether NOT stands before it.
    fn infix(&mut self) -> Result<Option<(Infix, u8, bool)>> {
        let token = self.peek()?;
        let found = match token.kind {
            Kind::Operator => {
                let power = match self.slice(token) {
                    "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=" => power::COMPARE,
                    "+" | "-" => power::ADD,
                    "*" | "/" | "%" => power::MULTIPLY,
                    "^" => power::POWER,
                    _ => power::OTHER,
                };
                (Infix::Operator, power)
            }
            // Between two operands it is no parameter.
            Kind::Param if self.slice(token) == "?" => (Infix::Operator, power::OTHER),
            Kind::DoubleColon => (Infix::Cast, power::CAST),
            Kind::Punct(b'[') => (Infix::Subscript, power::CAST),
            Kind::Word => {
                if self.is_word("not")? {
                    let next = self.peek_at(1)?;
                    return Ok(self
                        .word_infix(next)
                        .filter(|it| it.1 == power::BETWEEN)
                        .map(|it| (it.0, it.1, true)));
                }
                match self.word_infix(token) {
                    // SUBSTRING(text SIMILAR pattern ESCAPE …) is no operator.
                    Some((Infix::Similar, _)) if !self.is_word_at(1, "to")? => return Ok(None),
                    Some(found) => found,
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        Ok(Some((found.0, found.1, false)))
    }

    fn word_infix(&self, token: Token) -> Option<(Infix, u8)> {
        if token.kind != Kind::Word || token.end - token.start > 8 {
            return None;
        }
        let mut buffer = [0u8; 8];
        let folded = &mut buffer[..token.end - token.start];
        folded.copy_from_slice(self.slice(token).as_bytes());
        folded.make_ascii_lowercase();
        Some(match &*folded {
            b"or" => (Infix::Or, power::OR),
            b"and" => (Infix::And, power::AND),
            b"is" => (Infix::Is, power::IS),
            b"isnull" => (Infix::IsNull, power::IS),
            b"notnull" => (Infix::NotNull, power::IS),
            b"between" => (Infix::Between, power::BETWEEN),
            b"in" => (Infix::In, power::BETWEEN),
            b"like" => (Infix::Like { fold_case: false }, power::BETWEEN),
            b"ilike" => (Infix::Like { fold_case: true }, power::BETWEEN),
            b"similar" => (Infix::Similar, power::BETWEEN),
            b"at" => (Infix::AtTimeZone, power::AT),
            b"collate" => (Infix::Collate, power::COLLATE),
            b"operator" => (Infix::Operator, power::OTHER),
            b"overlaps" => (Infix::Overlaps, power::OTHER),
            _ => return None,
        })
    }

    fn infix_expr(&mut self, left: Expr, infix: Infix, power: u8, negated: bool) -> Result<Expr> {
        if negated {
            self.take()?;
        }
        let token = self.take()?;
        let at = token.at;
        let kind = match infix {
            Infix::Or => flatten_or(left, self.expr_above(power)?),
            Infix::And => flatten_and(left, self.expr_above(power)?),
            Infix::Is => self.is_expr(left)?,
            Infix::IsNull => ExprKind::IsNull { input: Box::new(left), negated: false },
            Infix::NotNull => ExprKind::IsNull { input: Box::new(left), negated: true },
            Infix::Between => self.between_expr(left, negated)?,
            Infix::In => self.in_expr(left, negated)?,
            Infix::Like { fold_case } if self.is_quantifier()? => {
                let op = match (negated, fold_case) {
                    (false, false) => "~~",
                    (true, false) => "!~~",
                    (false, true) => "~~*",
                    (true, true) => "!~~*",
                };
                self.quantified(left, op.to_owned())?
            }
            Infix::Like { fold_case } => {
                let pattern = Box::new(self.expr_above(power)?);
                let escape =
                    if self.accept("escape")? { Some(Box::new(self.expr_above(power)?)) } else { None };
                ExprKind::Like { input: Box::new(left), pattern, escape, negated, fold_case }
            }
            Infix::Similar => {
                self.expect("to")?;
                let mut args = vec![self.expr_above(power)?];
                if self.accept("escape")? {
                    args.push(self.expr_above(power)?);
                }
                let pattern = call(Name { text: "similar_to_escape".to_owned(), at }, args, None);
                let right = Box::new(Expr { kind: pattern, at });
                let op = if negated { "!~" } else { "~" }.to_owned();
                ExprKind::Binary { op, left: Box::new(left), right }
            }
            Infix::Overlaps => return Err(Error::unsupported("OVERLAPS").at(at)),
            Infix::Collate => {
                // All texts have the one collation; these are other names of it.
                let first = self.label()?;
                let name = if self.accept_punct(b'.')? { self.label()? } else { first };
                if !matches!(name.text.as_str(), "default" | "C" | "POSIX" | "ucs_basic") {
                    return Err(Error::unsupported(format!("COLLATE \"{}\"", name.text)).at(at));
                }
                return Ok(left);
            }
            Infix::Subscript => self.subscript_expr(left)?,
            Infix::Operator if token.kind == Kind::Word => self.operator_call(left)?,
            Infix::Operator => self.operator_expr(left, token, power)?,
            Infix::AtTimeZone => {
                self.expect("time")?;
                self.expect("zone")?;
                let zone = self.expr_above(power)?;
                call(Name { text: "timezone".to_owned(), at }, vec![zone, left], None)
            }
            Infix::Cast => match left.kind {
                ExprKind::String(name) if self.accept("regclass")? => ExprKind::Regclass(name),
                _ => self.cast_to_type(Box::new(left))?,
            },
        };
        Ok(Expr { kind, at })
    }

    /// `OPERATOR(pg_catalog.op)`, of which the word is taken.
    fn operator_call(&mut self, left: Expr) -> Result<ExprKind> {
        self.expect_punct(b'(')?;
        let schema = self.label()?;
        if schema.text != "pg_catalog" {
            return Err(Error::unsupported(format!("operator of schema \"{}\"", schema.text)).at(schema.at));
        }
        self.expect_punct(b'.')?;
        let token = self.peek()?;
        if token.kind != Kind::Operator {
            return Err(self.unexpected(token));
        }
        self.take()?;
        self.expect_punct(b')')?;
        self.operator_expr(left, token, power::OTHER)
    }

    fn operator_expr(&mut self, left: Expr, token: Token, power: u8) -> Result<ExprKind> {
        let op = match self.slice(token) {
            "!=" => "<>".to_owned(),
            other => other.to_owned(),
        };
        if self.is_quantifier()? {
            return self.quantified(left, op);
        }
        let right = Box::new(self.expr_above(power)?);
        Ok(ExprKind::Binary { op, left: Box::new(left), right })
    }

    fn is_expr(&mut self, left: Expr) -> Result<ExprKind> {
        let negated = self.accept("not")?;
        let input = Box::new(left);
        if self.accept("null")? {
            return Ok(ExprKind::IsNull { input, negated });
        }
        for (word, value) in [("true", Some(true)), ("false", Some(false)), ("unknown", None)] {
            if self.accept(word)? {
                return Ok(ExprKind::IsTruth { input, value, negated });
            }
        }
        if self.accept("distinct")? {
            self.expect("from")?;
            let right = Box::new(self.expr_above(power::IS)?);
            return Ok(ExprKind::IsDistinct { left: input, right, negated });
        }
        for word in ["document", "normalized", "nfc", "nfd", "nfkc", "nfkd", "json", "of"] {
            self.refuse_word(word, &format!("IS {}", word.to_uppercase()))?;
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }

    fn between_expr(&mut self, left: Expr, negated: bool) -> Result<ExprKind> {
        let symmetric = self.accept("symmetric")?;
        if !symmetric {
            self.accept("asymmetric")?;
        }
        // The bounds are b_expr: nothing looser than the other operators.
        let low = Box::new(self.expr_above(power::BETWEEN)?);
        self.expect("and")?;
        let high = Box::new(self.expr_above(power::BETWEEN)?);
        Ok(ExprKind::Between { input: Box::new(left), low, high, negated, symmetric })
    }

    fn in_expr(&mut self, left: Expr, negated: bool) -> Result<ExprKind> {
        self.expect_punct(b'(')?;
        let input = Box::new(left);
        let kind = if self.at_query()? {
            ExprKind::InSubquery { input, query: Box::new(self.query()?), negated }
        } else {
            ExprKind::InList { input, list: self.list(|parser| parser.expr())?, negated }
        };
        self.expect_punct(b')')?;
        Ok(kind)
    }

    /// Whether a query begins here.
    pub(super) fn at_query(&mut self) -> Result<bool> {
        Ok(self.is_word("select")?
            || self.is_word("with")?
            || self.is_word("values")?
            || self.is_word("table")?)
    }

    fn operand(&mut self) -> Result<Expr> {
        let token = self.peek()?;
        let at = token.at;
        let kind = match token.kind {
            Kind::Number => {
                self.take()?;
                ExprKind::Number(self.slice(token).replace('_', ""))
            }
            Kind::String | Kind::EscapeString | Kind::DollarString => ExprKind::String(self.string()?),
            Kind::Param => {
                self.take()?;
                ExprKind::Param(self.param(token)?)
            }
            Kind::Punct(b'(') => return self.parenthesised(),
            Kind::Operator => return self.prefix_operator(token),
            Kind::Word => return self.word_operand(token),
            Kind::Quoted => return self.named(token),
            _ => return Err(self.unexpected(token)),
        };
        Ok(Expr { kind, at })
    }

    /// `$n`, or `?` for the next number; not both in one statement.
    fn param(&mut self, token: Token) -> Result<u32> {
        let is_question_mark = self.slice(token) == "?";
        if self.param_count > 0 && is_question_mark != self.has_question_marks {
            let message = "parameters are written ? or $1, not both ways in one statement";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(token.at));
        }
        if is_question_mark && self.param_count < 65_535 {
            self.has_question_marks = true;
            self.param_count += 1;
            return Ok(self.param_count);
        }
        let number =
            self.text[token.start + 1..token.end].parse::<u32>().ok().filter(|n| (1..=65_535).contains(n));
        let Some(number) = number else {
            let message = format!("there is no parameter {}", self.slice(token));
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message).at(token.at));
        };
        self.param_count = self.param_count.max(number);
        Ok(number)
    }

    fn parenthesised(&mut self) -> Result<Expr> {
        let at = self.take()?.at;
        let expr = if self.at_query()? {
            Expr { kind: ExprKind::Subquery(Box::new(self.query()?)), at }
        } else {
            let expr = self.expr()?;
            match expr.kind {
                // `((SELECT …) UNION …)`: what looked like an expression began a query.
                ExprKind::Subquery(query) => {
                    let query = self.query_after(*query)?;
                    Expr { kind: ExprKind::Subquery(Box::new(query)), at }
                }
                _ => expr,
            }
        };
        if self.accept_punct(b',')? {
            let mut parts = vec![expr];
            parts.extend(self.list(|parser| parser.expr())?);
            self.expect_punct(b')')?;
            return Ok(Expr { kind: ExprKind::Row(parts), at });
        }
        self.expect_punct(b')')?;
        self.fields(expr)
    }

    /// `.field` behind what stands in parentheses or brackets, one or several, or `.*`.
    fn fields(&mut self, mut expr: Expr) -> Result<Expr> {
        while self.is_punct(b'.')? {
            let at = self.take()?.at;
            if self.accept_operator("*")? {
                return Ok(Expr { kind: ExprKind::AllFields(Box::new(expr)), at });
            }
            let name = self.label()?;
            expr = Expr { kind: ExprKind::Field { input: Box::new(expr), name }, at };
            self.grow(at)?;
        }
        Ok(expr)
    }

    fn prefix_operator(&mut self, token: Token) -> Result<Expr> {
        self.take()?;
        let at = token.at;
        let op = self.slice(token);
        let kind = match op {
            "+" | "-" => {
                let input = self.expr_above(power::SIGN)?;
                match input.kind {
                    ExprKind::Number(digits) if op == "-" && !digits.starts_with('-') => {
                        ExprKind::Number(format!("-{digits}"))
                    }
                    kind => {
                        ExprKind::Unary { op: op.to_owned(), input: Box::new(Expr { kind, at: input.at }) }
                    }
                }
            }
            "*" | "/" | "%" | "^" | "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=" => {
                return Err(self.unexpected(token));
            }
            _ => ExprKind::Unary { op: op.to_owned(), input: Box::new(self.expr_above(power::OTHER)?) },
        };
        Ok(Expr { kind, at })
    }

    fn word_operand(&mut self, token: Token) -> Result<Expr> {
        let at = token.at;
        let folded = self.slice(token).to_ascii_lowercase();
        let next = self.peek_at(1)?;
        let simple = |kind| Ok(Expr { kind, at });
        match folded.as_str() {
            "null" => {
                self.take()?;
                return simple(ExprKind::Null);
            }
            "true" | "false" => {
                self.take()?;
                return simple(ExprKind::Bool(folded == "true"));
            }
            "default" => {
                self.take()?;
                return simple(ExprKind::Default);
            }
            "not" => {
                self.take()?;
                let input = Box::new(self.expr_above(power::NOT - 1)?);
                return simple(ExprKind::Not(input));
            }
            "case" => return self.case_expr(),
            "array" if next.kind == Kind::Punct(b'[') => {
                self.take()?;
                return self.array_constructor();
            }
            "array" if next.kind == Kind::Punct(b'(') => {
                self.take()?;
                self.take()?;
                let query = Box::new(self.query()?);
                self.expect_punct(b')')?;
                return simple(ExprKind::ArrayQuery(query));
            }
            "current_date" | "current_timestamp" | "localtimestamp" | "localtime" => {
                self.take()?;
                let name = Name { text: folded.clone(), at };
                let now = call(name, Vec::new(), None);
                if folded == "current_date" || !self.is_punct(b'(')? {
                    return simple(now);
                }
                let ty = match folded.as_str() {
                    "localtime" => SqlType::Time,
                    "localtimestamp" => SqlType::Timestamp,
                    _ => SqlType::Timestamptz,
                };
                let ty = super::types::rounded(ty, self.digits_of_seconds(&folded.to_uppercase())?);
                return simple(ExprKind::Cast { input: Box::new(Expr { kind: now, at }), ty });
            }
            "current_time" => return self.refuse("CURRENT_TIME"),
            "current_user" | "session_user" | "user" | "current_role" | "current_catalog"
            | "current_schema"
                if next.kind != Kind::Punct(b'(') =>
            {
                self.take()?;
                return simple(call(Name { text: folded, at }, Vec::new(), None));
            }
            _ => {}
        }
        if next.kind == Kind::Punct(b'(')
            && let Some(expr) = self.special_call(&folded)?
        {
            return Ok(expr);
        }
        if let Some(expr) = self.typed_literal(&folded, next)? {
            return Ok(expr);
        }
        self.named(token)
    }

    /// `date '…'` and its kin.
    fn typed_literal(&mut self, word: &str, next: Token) -> Result<Option<Expr>> {
        let is_string = |kind| matches!(kind, Kind::String | Kind::EscapeString | Kind::DollarString);
        let zoned = matches!(word, "timestamp" | "time")
            && (self.is_word_at(1, "with")? || self.is_word_at(1, "without")?)
            && self.is_word_at(2, "time")?;
        let double = word == "double" && self.is_word_at(1, "precision")?;
        let modified = next.kind == Kind::Punct(b'(')
            && matches!(
                word,
                "numeric" | "decimal" | "varchar" | "timestamp" | "time" | "char" | "character" | "bpchar"
            );
        let varying = matches!(word, "character" | "char") && self.is_word_at(1, "varying")?;
        let array = next.kind == Kind::Punct(b'[')
            && types::simple(word).is_some()
            && self.peek_at(2)?.kind == Kind::Punct(b']')
            && is_string(self.peek_at(3)?.kind);
        if !(zoned
            || double
            || modified
            || varying
            || array
            || is_string(next.kind) && types::simple(word).is_some())
        {
            return Ok(None);
        }
        let at = self.at()?;
        let ty = self.type_name()?;
        let at_string = self.at()?;
        let value = self.string()?;
        if ty == SqlType::Interval {
            for field in ["year", "month", "day", "hour", "minute", "second"] {
                self.refuse_word(field, "interval literal with fields")?;
            }
        }
        let input = Box::new(Expr { kind: ExprKind::String(value), at: at_string });
        Ok(Some(Expr { kind: ExprKind::Cast { input, ty }, at }))
    }

    /// A column or a function call.
    fn named(&mut self, token: Token) -> Result<Expr> {
        let at = token.at;
        if self.peek_at(1)?.kind == Kind::Punct(b'(') {
            let name = self.function_name()?;
            return self.function(name);
        }
        let name = self.name()?;
        if !self.accept_punct(b'.')? {
            return Ok(Expr { kind: ExprKind::Column { table: None, name }, at });
        }
        if self.accept_operator("*")? {
            let table = Expr { kind: ExprKind::Column { table: None, name }, at };
            return Ok(Expr { kind: ExprKind::AllFields(Box::new(table)), at });
        }
        let column = self.label()?;
        if self.is_punct(b'(')? {
            if name.text != "pg_catalog" {
                return Err(Error::unsupported(format!("schema \"{}\"", name.text)).at(at));
            }
            return self.function(Name { at, ..column });
        }
        // A schema before the table only says which table of that name is meant, and there is one in FROM.
        if self.accept_punct(b'.')? {
            let table = Some(Name { at, ..column });
            return Ok(Expr { kind: ExprKind::Column { table, name: self.label()? }, at });
        }
        Ok(Expr { kind: ExprKind::Column { table: Some(name), name: column }, at })
    }

    fn function(&mut self, name: Name) -> Result<Expr> {
        let at = name.at;
        self.expect_punct(b'(')?;
        let mut function = FunctionCall {
            name,
            args: Vec::new(),
            variadic: false,
            star: false,
            distinct: false,
            order_by: Vec::new(),
            filter: None,
            within: Vec::new(),
            over: None,
            label: None,
        };
        if self.accept_operator("*")? {
            function.star = true;
        } else if !self.is_punct(b')')? {
            function.distinct = self.accept("distinct")?;
            if !function.distinct {
                self.accept("all")?;
            }
            let mut variadic = false;
            let args = self.list(|parser| {
                if variadic {
                    let token = parser.peek()?;
                    return Err(parser.unexpected(token));
                }
                variadic = parser.accept("variadic")?;
                parser.argument()
            })?;
            function.variadic = variadic;
            function.args = positional(&function.name, args)?;
            if self.is_word("order")? {
                function.order_by = self.order_by()?;
            }
        }
        self.expect_punct(b')')?;
        if self.is_word("within")? && self.is_word_at(1, "group")? {
            self.take()?;
            self.take()?;
            self.expect_punct(b'(')?;
            function.within = self.order_by()?;
            self.expect_punct(b')')?;
        }
        if self.is_word("filter")? && self.peek_at(1)?.kind == Kind::Punct(b'(') {
            self.take()?;
            self.expect_punct(b'(')?;
            self.expect("where")?;
            function.filter = Some(self.expr()?);
            self.expect_punct(b')')?;
        }
        if self.accept("over")? {
            function.over = Some(if self.is_punct(b'(')? {
                Over::Spec(Box::new(self.window_spec()?))
            } else {
                Over::Name(self.name()?)
            });
        }
        Ok(Expr { kind: ExprKind::Function(Box::new(function)), at })
    }

    /// An argument, and its name if it has one.
    fn argument(&mut self) -> Result<(Option<Name>, Expr)> {
        let next = self.peek_at(1)?;
        if next.kind == Kind::Operator && matches!(self.slice(next), "=>" | ":=") {
            let name = self.label()?;
            self.take()?;
            return Ok((Some(name), self.expr()?));
        }
        let expr = self.expr()?;
        if self.is_operator("=>")? || self.is_operator(":=")? {
            return self.refuse("named argument");
        }
        Ok((None, expr))
    }

    fn case_expr(&mut self) -> Result<Expr> {
        let at = self.take()?.at;
        let operand = if self.is_word("when")? { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        self.expect("when")?;
        loop {
            let condition = self.expr()?;
            self.expect("then")?;
            branches.push((condition, self.expr()?));
            if !self.accept("when")? {
                break;
            }
        }
        let otherwise = if self.accept("else")? { Some(Box::new(self.expr()?)) } else { None };
        self.expect("end")?;
        Ok(Expr { kind: ExprKind::Case { operand, branches, otherwise }, at })
    }

    /// A query that began as `(query)` inside parentheses, with what follows it.
    pub(super) fn query_after(&mut self, first: Query) -> Result<Query> {
        let plain = !(self.is_word("union")?
            || self.is_word("intersect")?
            || self.is_word("except")?
            || self.is_word("order")?
            || self.is_word("limit")?
            || self.is_word("offset")?
            || self.is_word("fetch")?);
        if plain { Ok(first) } else { self.query_from(first) }
    }
}

/// A call of a function.
pub(crate) fn plain_call(name: Name, args: Vec<Expr>) -> ExprKind {
    call(name, args, None)
}

pub(super) fn call(name: Name, args: Vec<Expr>, label: Option<&'static str>) -> ExprKind {
    ExprKind::Function(Box::new(FunctionCall {
        name,
        args,
        variadic: false,
        star: false,
        distinct: false,
        order_by: Vec::new(),
        filter: None,
        within: Vec::new(),
        over: None,
        label,
    }))
}

fn flatten_and(left: Expr, right: Expr) -> ExprKind {
    let mut all = match left.kind {
        ExprKind::And(all) => all,
        kind => vec![Expr { kind, at: left.at }],
    };
    all.push(right);
    ExprKind::And(all)
}

fn flatten_or(left: Expr, right: Expr) -> ExprKind {
    let mut all = match left.kind {
        ExprKind::Or(all) => all,
        kind => vec![Expr { kind, at: left.at }],
    };
    all.push(right);
    ExprKind::Or(all)
}
