//! Type names, and the statements that make types.

use super::{Expr, Name};
use crate::types::SqlType;

/// A type as it is written: one of ours, or a user's by its name.
#[derive(Clone, Debug)]
pub struct TypeName {
    /// Which; `Unknown` of a user's type.
    pub ty: SqlType,
    /// A user's type.
    pub named: Option<Box<NamedType>>,
}

/// A user's type.
#[derive(Clone, Debug)]
pub struct NamedType {
    /// Its name.
    pub name: Name,
    /// An array of it.
    pub is_array: bool,
}

impl From<SqlType> for TypeName {
    fn from(ty: SqlType) -> TypeName {
        TypeName { ty, named: None }
    }
}

/// CREATE TYPE, CREATE DOMAIN
#[derive(Clone, Debug)]
pub struct CreateType {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: NewType,
}

/// What a new type is.
#[derive(Clone, Debug)]
pub enum NewType {
    /// Its labels, in order.
    Enum(Vec<String>),
    /// Its fields.
    Composite(Vec<(Name, TypeName)>),
    /// A domain.
    Domain {
        /// Over which type.
        base: TypeName,
        /// DEFAULT: its text and tree.
        default: Option<(String, Expr)>,
        /// NOT NULL
        not_null: bool,
        /// CHECK
        checks: Vec<DomainCheck>,
    },
}

/// A CHECK of a domain.
#[derive(Clone, Debug)]
pub struct DomainCheck {
    /// CONSTRAINT
    pub name: Option<Name>,
    /// Its text.
    pub text: String,
    /// Its tree.
    pub expr: Expr,
}

/// ALTER TYPE … ADD VALUE
#[derive(Clone, Debug)]
pub struct AlterType {
    /// Which type.
    pub name: Name,
    /// The new label.
    pub label: String,
    /// IF NOT EXISTS
    pub if_not_exists: bool,
    /// BEFORE (true) or AFTER which label.
    pub place: Option<(bool, String)>,
}

/// CREATE, ALTER, DROP SCHEMA.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum SchemaStatement {
    Create { name: Name, if_not_exists: bool },
    Rename { name: Name, to: Name },
    Drop { names: Vec<Name>, if_exists: bool, cascade: bool },
}

/// COMMENT ON
#[derive(Clone, Debug)]
pub struct Comment {
    /// On what.
    pub on: Commented,
    /// `None`: there is to be none.
    pub text: Option<String>,
}

/// What a comment is on.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum Commented {
    Table(Name),
    View(Name),
    Index(Name),
    Sequence(Name),
    Type(Name),
    Domain(Name),
    Schema(Name),
    Column { of: Name, column: Name },
    Constraint { name: Name, table: Name },
}

impl Name {
    /// The name without the schema before it.
    #[must_use]
    pub fn own(&self) -> Name {
        Name { text: crate::names::last(&self.text).to_owned(), at: self.at }
    }
}
