//! Sequences as catalog rows.

use super::apply::Change;
use super::{SEQUENCE_VALUES, SEQUENCES, SequenceChange, codec};
use crate::catalog::{Sequence, Table};
use crate::exec::ExecContext;
use crate::parse::ast::SequenceOptions;
use crate::types::SqlType;
use orrery_base::{Cx, Error, Result, SqlState};
use std::collections::BTreeSet;

/// Values of a sequence that one reservation takes: what a crash may leave out.
const SEQUENCE_CACHE: u32 = 32;

/// A sequence as these options describe it: PostgreSQL's rules and messages. `is_new`: what is not said is a default;
/// otherwise it stays, and `sequence.position` says where it stands.
///
/// Errors: 22023.
pub fn apply_options(sequence: &mut Sequence, options: &SequenceOptions, is_new: bool) -> Result<()> {
    let SequenceOptions { ty, increment, min, max, start, restart, cache, cycle, owner: _ } = options;
    let bad = |message: String| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    let (mut reset_min, mut reset_max) = (is_new, is_new);
    if let Some((ty, at)) = ty {
        if !matches!(ty, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) {
            let message = "sequence type must be smallint, integer, or bigint";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(*at));
        }
        // A limit that was the old type's becomes the new one's.
        reset_min |= sequence.min == sequence.ty.integer_min();
        reset_max |= sequence.max == sequence.ty.integer_max();
        sequence.ty = *ty;
    }
    sequence.increment = increment.unwrap_or(sequence.increment);
    if sequence.increment == 0 {
        return bad("INCREMENT must not be zero".to_owned());
    }
    sequence.cycle = cycle.unwrap_or(sequence.cycle);
    let (low, high, is_up) = (sequence.ty.integer_min(), sequence.ty.integer_max(), sequence.increment > 0);
    match max {
        Some(Some(max)) => sequence.max = *max,
        Some(None) => sequence.max = if is_up { high } else { -1 },
        None if reset_max => sequence.max = if is_up { high } else { -1 },
        None => {}
    }
    if !(low..=high).contains(&sequence.max) {
        let name = sequence.ty.name();
        return bad(format!("MAXVALUE ({}) is out of range for sequence data type {name}", sequence.max));
    }
    match min {
        Some(Some(min)) => sequence.min = *min,
        Some(None) => sequence.min = if is_up { 1 } else { low },
        None if reset_min => sequence.min = if is_up { 1 } else { low },
        None => {}
    }
    if !(low..=high).contains(&sequence.min) {
        let name = sequence.ty.name();
        return bad(format!("MINVALUE ({}) is out of range for sequence data type {name}", sequence.min));
    }
    if sequence.min >= sequence.max {
        return bad(format!("MINVALUE ({}) must be less than MAXVALUE ({})", sequence.min, sequence.max));
    }
    match start {
        Some(start) => sequence.start = *start,
        None if is_new => sequence.start = if is_up { sequence.min } else { sequence.max },
        None => {}
    }
    in_bounds("START", sequence.start, sequence)?;
    match restart {
        Some(value) => sequence.position = (value.unwrap_or(sequence.start), false),
        None if is_new => sequence.position = (sequence.start, false),
        None => {}
    }
    in_bounds("RESTART", sequence.position.0, sequence)?;
    if let Some(cache) = cache
        && *cache <= 0
    {
        return bad(format!("CACHE ({cache}) must be greater than zero"));
    }
    Ok(())
}

fn in_bounds(what: &str, value: i64, sequence: &Sequence) -> Result<()> {
    let message = if value < sequence.min {
        format!("{what} value ({value}) cannot be less than MINVALUE ({})", sequence.min)
    } else if value > sequence.max {
        format!("{what} value ({value}) cannot be greater than MAXVALUE ({})", sequence.max)
    } else {
        return Ok(());
    };
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
}

impl Change {
    /// Makes a sequence: `definition` but for its ids.
    pub(super) async fn create_sequence(
        &mut self,
        cx: &Cx,
        ctx: &ExecContext,
        definition: Sequence,
    ) -> Result<u32> {
        if let Some(name) = &definition.name {
            self.check_free(name)?;
        }
        let id = self.next_id()?;
        let value_id = ctx.environment.new_value_id(cx).await?;
        let cache = if definition.name.is_some() { SEQUENCE_CACHE } else { definition.cache };
        let sequence = Sequence { id, value_id, cache, ..definition };
        self.put_sequence(sequence)?;
        Ok(id)
    }

    pub(super) fn put_sequence(&mut self, sequence: Sequence) -> Result<()> {
        self.txn.put(SEQUENCES, &sequence.id.to_be_bytes(), &codec::encode_sequence(&sequence))?;
        self.catalog.sequences.insert(sequence.id, sequence);
        Ok(())
    }

    pub(super) fn drop_sequence(&mut self, id: u32) -> Result<()> {
        let Some(sequence) = self.catalog.sequences.get(&id) else { return Ok(()) };
        self.txn.delete(SEQUENCES, &id.to_be_bytes())?;
        self.txn.delete(SEQUENCE_VALUES, &sequence.value_id.to_be_bytes())?;
        self.catalog.sequences.remove(&id);
        Ok(())
    }

    pub(super) fn sequence(&self, id: u32) -> Result<Sequence> {
        self.catalog
            .sequences
            .get(&id)
            .cloned()
            .ok_or_else(|| Error::new(SqlState::UNDEFINED_TABLE, "the sequence does not exist any more"))
    }

    /// Gives a sequence a new value of its own, so that what was reserved of the old one is not used any more and all is undone
    /// by a rollback.
    pub(super) async fn move_value(
        &mut self,
        cx: &Cx,
        ctx: &ExecContext,
        mut sequence: Sequence,
    ) -> Result<()> {
        self.txn.delete(SEQUENCE_VALUES, &sequence.value_id.to_be_bytes())?;
        sequence.value_id = ctx.environment.new_value_id(cx).await?;
        self.put_sequence(sequence)
    }

    pub(super) async fn alter_sequence(
        &mut self,
        cx: &Cx,
        ctx: &ExecContext,
        change: SequenceChange,
    ) -> Result<()> {
        let SequenceChange { id, options, owner, rename } = change;
        let mut sequence = self.sequence(id)?;
        if let Some(owner) = owner {
            sequence.owner = owner;
        }
        if let Some(name) = rename {
            self.check_free(&name)?;
            sequence.name = Some(name);
        }
        let plain = SequenceOptions { owner: None, ..options };
        if plain.is_empty() {
            return self.put_sequence(sequence);
        }
        sequence.position = ctx.environment.position(cx, &sequence).await?;
        apply_options(&mut sequence, &plain, false)?;
        self.move_value(cx, ctx, sequence).await
    }

    /// Errors: 2BP01 when a column needs one of them.
    pub(super) fn drop_sequences(&mut self, ids: &[u32], cascade: bool) -> Result<()> {
        let shown = |id: u32| Ok((id, format!("sequence {}", self.sequence(id)?.name.unwrap_or_default())));
        let what = ids.iter().map(|&id| shown(id)).collect::<Result<Vec<_>>>()?;
        let views = self.dependents(&what, &BTreeSet::new(), cascade)?;
        self.remove_views(&views)?;
        for &id in ids {
            let sequence = self.sequence(id)?;
            let name = sequence.name.clone().unwrap_or_default();
            let mut lines = Vec::new();
            let mut changed: Vec<Table> = Vec::new();
            for table in self.catalog.tables.values() {
                let mut next = (**table).clone();
                for column in &mut next.columns {
                    if column.identity.is_some_and(|identity| identity.sequence == id) {
                        return Err(needed_by_identity(&name, &column.name, &table.name));
                    }
                    if column.default.as_ref().is_some_and(|text| names_sequence(text, id)) {
                        lines.push(format!(
                            "default value for column {} of table {} depends on sequence {name}",
                            column.name, table.name
                        ));
                        column.default = None;
                    }
                }
                if next.columns.iter().zip(&table.columns).any(|(new, old)| new.default != old.default) {
                    changed.push(next);
                }
            }
            if !lines.is_empty() && !cascade {
                let message = format!("cannot drop sequence {name} because other objects depend on it");
                return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .with_detail(lines.join("\n"))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            for table in changed {
                self.put_table(table)?;
            }
            self.drop_sequence(id)?;
        }
        Ok(())
    }

    /// The sequences that go with a table, or with one of its columns.
    pub(super) fn owned_sequences(&self, table: &Table, column: Option<usize>) -> Vec<u32> {
        let is_owned = |owner: (u32, usize)| owner.0 == table.id.0 && column.is_none_or(|it| it == owner.1);
        let owned = self.catalog.sequences.values().filter(|it| it.owner.is_some_and(is_owned));
        owned.map(|it| it.id).collect()
    }
}

fn needed_by_identity(name: &str, column: &str, table: &str) -> Error {
    let message = format!("cannot drop sequence {name} because column {column} of table {table} requires it");
    Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_hint(format!("You can drop column {column} of table {table} instead."))
}

/// How a stored text names a sequence: by its id, which no renaming changes.
pub fn stored_name(id: u32) -> String {
    format!("'#{id}'")
}

/// Whether a stored DEFAULT names the sequence.
pub fn names_sequence(text: &str, id: u32) -> bool {
    text.contains(&stored_name(id))
}
