//! Type names.

use super::ast::{Expr, ExprKind, Name, NamedType, TypeName};
use super::lexer::Kind;
use super::parser::Parser;
use crate::types::Reg;
use crate::types::{Fitted, SqlType};
use orrery_base::{Error, Result, SqlState};

/// Types PostgreSQL has and we do not.
const UNSUPPORTED: &[&str] = &[
    "bit",
    "box",
    "cidr",
    "circle",
    "inet",
    "int4range",
    "int8range",
    "line",
    "lseg",
    "macaddr",
    "money",
    "oid",
    "path",
    "point",
    "polygon",
    "regclass",
    "regtype",
    "timetz",
    "tsquery",
    "tsvector",
    "xml",
];

/// A type as a column definition may have it.
pub(super) struct ColumnType {
    pub(super) ty: TypeName,
    /// `serial` and its kin.
    pub(super) serial: bool,
}

/// The type a single word names, if it takes no modifier: for literals like `date '…'`.
pub(super) fn simple(word: &str) -> Option<SqlType> {
    Some(match word {
        "bool" | "boolean" => SqlType::Bool,
        "int2" | "smallint" => SqlType::Int2,
        "int" | "int4" | "integer" => SqlType::Int4,
        "int8" | "bigint" => SqlType::Int8,
        "real" | "float4" => SqlType::Float4,
        "float8" => SqlType::Float8,
        "numeric" | "decimal" | "dec" => SqlType::Numeric,
        "text" => SqlType::Text,
        "varchar" => SqlType::Varchar(None),
        "name" => SqlType::Name,
        "\"char\"" => SqlType::QuotedChar,
        "bytea" => SqlType::Bytea,
        "date" => SqlType::Date,
        "timestamp" => SqlType::Timestamp,
        "timestamptz" => SqlType::Timestamptz,
        "interval" => SqlType::Interval,
        "uuid" => SqlType::Uuid,
        "time" => SqlType::Time,
        "bpchar" => SqlType::Char(None),
        "char" | "character" | "nchar" => SqlType::Char(Some(1)),
        "json" => SqlType::Json,
        "jsonb" => SqlType::Jsonb,
        "oid" => SqlType::Reg(Reg::Oid),
        "regclass" => SqlType::Reg(Reg::Class),
        "regtype" => SqlType::Reg(Reg::Type),
        "regnamespace" => SqlType::Reg(Reg::Namespace),
        _ => return None,
    })
}

impl Parser<'_> {
    /// A type name.
    pub(super) fn type_name(&mut self) -> Result<SqlType> {
        let name = self.type_word()?;
        let ty = self.type_after(&name)?;
        self.array_of(ty)
    }

    /// A type name in CREATE TABLE.
    pub(super) fn column_type(&mut self) -> Result<ColumnType> {
        let name = self.type_word()?;
        let serial = match name.text.as_str() {
            "smallserial" | "serial2" => Some(SqlType::Int2),
            "serial" | "serial4" => Some(SqlType::Int4),
            "bigserial" | "serial8" => Some(SqlType::Int8),
            _ => None,
        };
        if let Some(ty) = serial {
            if self.is_punct(b'[')? || self.is_word("array")? {
                return self.refuse("array of serial");
            }
            return Ok(ColumnType { ty: ty.into(), serial: true });
        }
        Ok(ColumnType { ty: self.any_type_after(name)?, serial: false })
    }

    fn type_word(&mut self) -> Result<Name> {
        let first = self.peek()?;
        if first.kind == Kind::Quoted && self.slice(first) == "\"char\"" {
            self.take()?;
            return Ok(Name { text: "\"char\"".to_owned(), at: first.at });
        }
        let name = self.function_name()?;
        if !self.accept_punct(b'.')? {
            return Ok(name);
        }
        let of = self.label()?;
        if name.text == "pg_catalog" {
            return Ok(of);
        }
        Ok(Name { at: name.at, text: crate::names::written(&name.text, &of.text) })
    }

    /// What follows a type to make it an array's: `[]`, `[3]`, `ARRAY`. Sizes and the number of dimensions are not kept.
    fn array_of(&mut self, ty: SqlType) -> Result<SqlType> {
        if !self.is_array_type()? {
            return Ok(ty);
        }
        match ty.array() {
            Some(array) => Ok(array),
            None => self.refuse(&format!("array of {ty}")),
        }
    }

    /// A type name, a user's type too.
    pub(super) fn any_type_name(&mut self) -> Result<TypeName> {
        let name = self.type_word()?;
        self.any_type_after(name)
    }

    fn any_type_after(&mut self, name: Name) -> Result<TypeName> {
        match self.type_after(&name) {
            Ok(ty) => Ok(self.array_of(ty)?.into()),
            Err(error) if error.code() == SqlState::UNDEFINED_OBJECT => {
                let is_array = self.is_array_type()?;
                let named = Some(Box::new(NamedType { name, is_array }));
                Ok(TypeName { ty: SqlType::Unknown, named })
            }
            Err(error) => Err(error),
        }
    }

    /// A cast to the type that follows.
    pub(super) fn cast_to_type(&mut self, input: Box<Expr>) -> Result<ExprKind> {
        let TypeName { ty, named } = self.any_type_name()?;
        Ok(match named {
            None => ExprKind::Cast { input, ty },
            Some(named) => ExprKind::NamedCast { input, named },
        })
    }

    /// Takes what makes a type an array's.
    fn is_array_type(&mut self) -> Result<bool> {
        let mut is_array = false;
        let by_word = self.accept("array")?;
        while self.is_punct(b'[')? && !(by_word && is_array) {
            self.take()?;
            if !self.is_punct(b']')? {
                self.integer()?;
            }
            self.expect_punct(b']')?;
            is_array = true;
        }
        Ok(is_array || by_word)
    }

    fn type_after(&mut self, name: &Name) -> Result<SqlType> {
        let word = name.text.as_str();
        match word {
            "double" => self.expect("precision").map(|()| SqlType::Float8),
            "float" => self.float_type(),
            "numeric" | "decimal" | "dec" => self.numeric_type(),
            "varchar" => self.varchar_type(),
            "character" | "char" if self.accept("varying")? => self.varchar_type(),
            "char" | "character" | "bpchar" | "nchar" => self.char_type(word == "bpchar"),
            "national" => {
                if !self.accept("character")? {
                    self.expect("char")?;
                }
                if self.accept("varying")? { self.varchar_type() } else { self.char_type(false) }
            }
            "time" => self.time_type(),
            "timestamp" | "timestamptz" => self.timestamp_type(word == "timestamptz"),
            "interval" => {
                let next = self.peek()?;
                let field = matches!(
                    self.slice(next).to_ascii_lowercase().as_str(),
                    "year" | "month" | "day" | "hour" | "minute" | "second"
                );
                if field {
                    return self.refuse("interval type with fields");
                }
                Ok(rounded(SqlType::Interval, self.digits_of_seconds("INTERVAL")?))
            }
            _ => match simple(word) {
                Some(ty) => Ok(ty),
                // `_int4`: the name that an array's type has inside.
                None if word
                    .strip_prefix('_')
                    .and_then(simple)
                    .and_then(|ty| ty.base().array())
                    .is_some() =>
                {
                    let element = word.strip_prefix('_').and_then(simple);
                    Ok(element.and_then(|ty| ty.base().array()).unwrap_or(SqlType::Unknown))
                }
                None if UNSUPPORTED.binary_search(&word).is_ok() => {
                    Err(Error::unsupported(format!("type {word}")).at(name.at))
                }
                None => {
                    let message = format!("type \"{word}\" does not exist");
                    Err(Error::new(SqlState::UNDEFINED_OBJECT, message).at(name.at))
                }
            },
        }
    }

    fn float_type(&mut self) -> Result<SqlType> {
        if !self.accept_punct(b'(')? {
            return Ok(SqlType::Float8);
        }
        let at = self.at()?;
        let bits = self.integer()?;
        self.expect_punct(b')')?;
        match bits {
            1..=24 => Ok(SqlType::Float4),
            25..=53 => Ok(SqlType::Float8),
            _ => {
                let message = "precision for type float must be between 1 and 53 bits";
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(at))
            }
        }
    }

    fn numeric_type(&mut self) -> Result<SqlType> {
        if !self.accept_punct(b'(')? {
            return Ok(SqlType::Numeric);
        }
        let at = self.at()?;
        let precision = self.type_modifier()?;
        let scale = if self.accept_punct(b',')? {
            let is_negative = self.accept_operator("-")?;
            let scale = self.type_modifier()?;
            if is_negative { -scale } else { scale }
        } else {
            0
        };
        self.expect_punct(b')')?;
        if !(1..=1000).contains(&precision) {
            let message = format!("NUMERIC precision {precision} must be between 1 and 1000");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(at));
        }
        if !(-1000..=1000).contains(&scale) {
            let message = format!("NUMERIC scale {scale} must be between -1000 and 1000");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(at));
        }
        if precision > 38 || !(0..=precision).contains(&scale) {
            return Ok(SqlType::Fitted(Fitted::numeric(precision as u16, scale as i16)));
        }
        Ok(SqlType::Decimal { precision: precision as u8, scale: scale as u8 })
    }

    /// A number in a type's parentheses. Errors: 22P02 for a word, which PostgreSQL reads as the number's text.
    fn type_modifier(&mut self) -> Result<i64> {
        let next = self.peek()?;
        if matches!(next.kind, Kind::Word | Kind::Quoted | Kind::String) {
            let message = format!("invalid input syntax for type integer: \"{}\"", self.slice(next));
            return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message).at(next.at));
        }
        self.integer()
    }

    fn varchar_type(&mut self) -> Result<SqlType> {
        if !self.accept_punct(b'(')? {
            return Ok(SqlType::Varchar(None));
        }
        let at = self.at()?;
        let limit = self.type_modifier()?;
        self.expect_punct(b')')?;
        if !(1..=10_485_760).contains(&limit) {
            let message = "length for type varchar must be between 1 and 10485760";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(at));
        }
        Ok(SqlType::Varchar(Some(limit as u32)))
    }

    fn char_type(&mut self, open: bool) -> Result<SqlType> {
        if !self.accept_punct(b'(')? {
            return Ok(SqlType::Char(if open { None } else { Some(1) }));
        }
        let at = self.at()?;
        let limit = self.type_modifier()?;
        self.expect_punct(b')')?;
        if !(1..=10_485_760).contains(&limit) {
            let message = "length for type char must be between 1 and 10485760";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(at));
        }
        Ok(SqlType::Char(Some(limit as u32)))
    }

    fn time_type(&mut self) -> Result<SqlType> {
        let digits = self.digits_of_seconds("TIME")?;
        if self.is_word("with")? && self.is_word_at(1, "time")? {
            return self.refuse("type time with time zone");
        }
        self.accept_all(&["without", "time", "zone"])?;
        Ok(rounded(SqlType::Time, digits))
    }

    /// `(2)` behind a type with seconds; above six are six.
    pub(super) fn digits_of_seconds(&mut self, what: &str) -> Result<u8> {
        if !self.accept_punct(b'(')? {
            return Ok(6);
        }
        let at = self.at()?;
        if self.accept_operator("-")? {
            let message = format!("{what}(-{}) precision must not be negative", self.integer()?);
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(at));
        }
        let digits = self.integer()?;
        self.expect_punct(b')')?;
        Ok(digits.clamp(0, 6) as u8)
    }

    fn timestamp_type(&mut self, zoned: bool) -> Result<SqlType> {
        let digits = self.digits_of_seconds("TIMESTAMP")?;
        if zoned || self.accept_all(&["with", "time", "zone"])? {
            return Ok(rounded(SqlType::Timestamptz, digits));
        }
        self.accept_all(&["without", "time", "zone"])?;
        Ok(rounded(SqlType::Timestamp, digits))
    }
}

/// A type with so many digits of seconds.
pub(super) fn rounded(ty: SqlType, digits: u8) -> SqlType {
    Fitted::seconds(ty, digits).map_or(ty, SqlType::Fitted)
}
