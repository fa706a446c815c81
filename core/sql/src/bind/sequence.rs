//! Sequences: their statements, and nextval and its like.

use super::binder::Binder;
use super::expr::location;
use super::scope::{Scope, no_table};
use crate::catalog::Sequence;
use crate::datum::Datum;
use crate::ddl::{Ddl, SequenceChange, apply_options};
use crate::expr::Expr;
use crate::functions::{CastContext, Scalar, sequence_function};
use crate::parse::ast::{self, ExprKind, Name, SequenceOptions};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

impl Binder<'_> {
    pub(super) fn create_sequence(&mut self, create: &ast::CreateSequence) -> Result<Ddl> {
        let ast::CreateSequence { name, temporary, if_not_exists, options } = create;
        let name = &self.temporary_name_if(*temporary, name)?;
        if let Some(notice) = self.check_new_name(name, *if_not_exists)? {
            return Ok(notice);
        }
        let mut sequence = Sequence::new(0, 1, 1, 0);
        apply_options(&mut sequence, options, true)?;
        sequence.name = Some(name.text.clone());
        sequence.owner = self.sequence_owner(options)?.flatten();
        Ok(Ddl::CreateSequence(sequence))
    }

    pub(super) fn alter_sequence(&mut self, alter: &ast::AlterSequence) -> Result<Ddl> {
        let ast::AlterSequence { name, if_exists, options, rename } = alter;
        let Some(sequence) = self.catalog.sequence(&self.stored(&name.text)) else {
            return self.no_sequence(name, *if_exists, "relation").map(Ddl::Nothing);
        };
        let owner = self.sequence_owner(options)?;
        if owner.is_some() && self.feeds_identity(sequence.id) {
            let message = "cannot change ownership of identity sequence";
            let detail =
                format!("Sequence \"{}\" is linked to table \"{}\".", name.text, self.owner_of(sequence));
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_detail(detail));
        }
        let prefix = crate::names::prefix_of(sequence.name.as_deref().unwrap_or_default());
        let rename = rename.as_ref().map(|name| format!("{prefix}{}", name.text));
        if let Some(new) = &rename
            && self.is_taken(new)
        {
            let message = format!("relation \"{new}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
        }
        let change = SequenceChange { id: sequence.id, options: options.clone(), owner, rename };
        let table = sequence.owner.and_then(|(table, _)| self.catalog.table_by_id(table).cloned());
        Ok(Ddl::AlterSequence(Box::new(change), table))
    }

    pub(super) fn drop_sequence(&mut self, names: &[Name], if_exists: bool, cascade: bool) -> Result<Ddl> {
        let mut ids = Vec::with_capacity(names.len());
        let mut notice = None;
        for name in names {
            match self.catalog.sequence(&self.stored(&name.text)) {
                Some(sequence) if ids.contains(&sequence.id) => {}
                Some(sequence) => ids.push(sequence.id),
                None => notice = Some(self.no_sequence(name, if_exists, "sequence")?),
            }
        }
        Ok(match notice {
            Some(notice) if ids.is_empty() => Ddl::Nothing(notice),
            _ => Ddl::DropSequence { ids, cascade },
        })
    }

    /// The notice, or 42P01, 42809.
    fn no_sequence(&self, name: &Name, if_exists: bool, what: &str) -> Result<String> {
        if self.is_taken(&self.stored(&name.text)) {
            let message = format!("\"{}\" is not a sequence", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.at));
        }
        let message = format!("{what} \"{}\" does not exist", name.text);
        if if_exists {
            Ok(format!("{message}, skipping"))
        } else {
            Err(Error::new(SqlState::UNDEFINED_TABLE, message).at(name.at))
        }
    }

    fn feeds_identity(&self, sequence: u32) -> bool {
        let columns = self.catalog.tables.values().flat_map(|table| &table.columns);
        columns.filter_map(|column| column.identity).any(|identity| identity.sequence == sequence)
    }

    fn owner_of(&self, sequence: &Sequence) -> String {
        let table = sequence.owner.and_then(|(table, _)| self.catalog.table_by_id(table));
        table.map_or_else(String::new, |table| table.name.clone())
    }

    /// OWNED BY, if it was said.
    fn sequence_owner(&self, options: &SequenceOptions) -> Result<Option<Option<(u32, usize)>>> {
        let Some(owner) = &options.owner else { return Ok(None) };
        let Some((table_name, column)) = owner else { return Ok(Some(None)) };
        let table = self.catalog.table(&self.stored(&table_name.text)).ok_or_else(|| no_table(table_name))?;
        let ordinal = table.column(&column.text).ok_or_else(|| {
            let message = format!("column \"{}\" of relation \"{}\" does not exist", column.text, table.name);
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        Ok(Some(Some((table.id.0, ordinal))))
    }

    /// nextval, currval, setval, lastval; `None` for other functions.
    pub(super) fn sequence_call(
        &mut self,
        scope: &Rc<Scope>,
        name: &Name,
        args: &[ast::Expr],
        at: u32,
    ) -> Result<Option<Expr>> {
        let Some(function) = sequence_function(&name.text, args.len()) else { return Ok(None) };
        let mut bound = Vec::with_capacity(args.len());
        for (index, (arg, &ty)) in args.iter().zip(function.args).enumerate() {
            bound.push(if index == 0 {
                self.sequence_argument(arg)?
            } else {
                let value = self.expr(scope, arg)?;
                self.coerce(value, ty, CastContext::Implicit, location(arg))?
            });
        }
        Ok(Some(call(function, bound, at)))
    }

    /// The sequence that a string names: its id.
    fn sequence_argument(&mut self, arg: &ast::Expr) -> Result<Expr> {
        let text = match &arg.kind {
            ExprKind::String(text) | ExprKind::Regclass(text) => text,
            ExprKind::Cast { input, ty: SqlType::Text } => match &input.kind {
                ExprKind::String(text) => text,
                _ => return Err(Error::unsupported("a sequence that is not named by a literal").at(arg.at)),
            },
            _ => return Err(Error::unsupported("a sequence that is not named by a literal").at(arg.at)),
        };
        let stored = text.strip_prefix('#').and_then(|id| id.parse::<u32>().ok());
        let sequence = match stored {
            Some(id) => self.catalog.sequences.get(&id),
            None => {
                let name = Name { text: crate::parse::relation_name(text)?, at: arg.at };
                let found = self.catalog.sequence(&self.stored(&name.text));
                if found.is_none() && self.is_taken(&self.stored(&name.text)) {
                    let message = format!("\"{}\" is not a sequence", name.text);
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                if found.is_none() {
                    return Err(no_table(&name));
                }
                found
            }
        };
        let sequence = sequence.ok_or_else(|| Error::corrupt("a stored text names an unknown sequence"))?;
        let (id, name) = (sequence.id, sequence.name.clone().unwrap_or_default());
        self.sequence_literals.push((arg.at, id));
        if !self.statement.sequences.contains(&id) {
            self.statement.sequences.push(id);
        }
        if self.views.is_empty() && !self.named.iter().any(|known| known.0 == id) {
            self.named.push((id, name));
        }
        Ok(Expr::Literal { value: Datum::Int8(i64::from(id)), ty: SqlType::Int8 })
    }

    /// A DEFAULT as it is kept: sequences in it are named by their ids.
    pub(super) fn stored_default(&mut self, text: &str) -> Result<String> {
        let tree = crate::parse::expression(text)?;
        let (known, used) = (self.sequence_literals.len(), self.statement.sequences.len());
        self.expr(&Rc::new(Scope::default()), &tree)?;
        self.statement.sequences.truncate(used);
        let found = self.sequence_literals.split_off(known);
        if found.is_empty() {
            return Ok(text.to_owned());
        }
        crate::parse::replace_strings(text, |at| {
            found.iter().find(|it| it.0 == at).map(|it| crate::ddl::stored_name(it.1))
        })
    }

    /// `nextval` of one sequence, taken from what was reserved for the whole batch.
    pub(super) fn next_value(&self, sequence: u32) -> Result<Expr> {
        let sequence = self.catalog.sequences.get(&sequence);
        let sequence = sequence.ok_or_else(|| Error::corrupt("a column has lost its sequence"))?;
        let literal = |value: i64| Expr::Literal { value: Datum::Int8(value), ty: SqlType::Int8 };
        let args = vec![literal(i64::from(sequence.id)), literal(sequence.increment)];
        Ok(call(crate::functions::nextval(), args, 0))
    }

    /// The sequence of a serial column: its default is `nextval` of it and nothing else.
    pub(super) fn serial_sequence(&self, default: &str) -> Option<u32> {
        let id = default.strip_prefix("nextval('#")?.strip_suffix("'::regclass)")?;
        id.parse().ok().filter(|id| self.catalog.sequences.contains_key(id))
    }

    /// The definition of an identity or serial column's sequence; its owner and name come later.
    pub(super) fn column_sequence(
        &self,
        ty: SqlType,
        options: &SequenceOptions,
        at: u32,
    ) -> Result<Sequence> {
        if !matches!(ty, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) {
            let message = "identity column type must be smallint, integer, or bigint";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(at));
        }
        let mut sequence = Sequence { ty, ..Sequence::new(0, 1, 1, 0) };
        apply_options(&mut sequence, options, true)?;
        Ok(sequence)
    }
}

/// The default text of a serial column.
pub(crate) fn serial_default(sequence: u32) -> String {
    format!("nextval({}::regclass)", crate::ddl::stored_name(sequence))
}

fn call(function: &'static Scalar, args: Vec<Expr>, position: u32) -> Expr {
    let ty = SqlType::Int8;
    Expr::Call { function, args, ty, position }
}
