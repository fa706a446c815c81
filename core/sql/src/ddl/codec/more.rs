//! What tables have had since version 2 of their rows, and sequences. The layout is in the head of [`super`].

use super::{Reader, VERSION_2, Writer, damaged};
use crate::catalog::{Action, Column, ForeignKey, Index, Sequence, Table};
use orrery_base::Result;

/// Appends what version 2 has behind version 1.
pub(super) fn encode(out: &mut Writer, columns: &[Column], indexes: &[Index], foreign_keys: &[ForeignKey]) {
    out.list(columns, |out, column| {
        out.bool(column.hidden);
        out.opt(column.generated.as_ref(), |out, text| out.str(text));
        out.datum(&column.missing);
    });
    out.list(indexes, |out, index| {
        out.opt(index.predicate.as_ref(), |out, text| out.str(text));
        out.ordinals(&index.include);
    });
    out.list(foreign_keys, |out, key| {
        let ForeignKey {
            name,
            columns,
            target,
            target_columns,
            match_full,
            on_delete,
            on_update,
            delete_columns,
            deferrable,
            deferred,
        } = key;
        out.str(name);
        out.ordinals(columns);
        out.u32(*target);
        out.ordinals(target_columns);
        out.bool(*match_full);
        out.0.push(action_tag(*on_delete));
        out.0.push(action_tag(*on_update));
        out.ordinals(delete_columns);
        out.bool(*deferrable);
        out.bool(*deferred);
    });
}

/// The other way round, into a table that has its version 1.
pub(super) fn decode(input: &mut Reader<'_>, table: &mut Table) -> Result<()> {
    let columns = input.list(|input| Ok((input.bool()?, input.opt(Reader::str)?, input.datum()?)))?;
    if columns.len() != table.columns.len() {
        return Err(damaged());
    }
    for (column, (hidden, generated, missing)) in table.columns.iter_mut().zip(columns) {
        column.hidden = hidden;
        column.generated = generated;
        column.missing = missing;
    }
    let indexes = input.list(|input| Ok((input.opt(Reader::str)?, input.ordinals()?)))?;
    if indexes.len() != table.indexes.len() {
        return Err(damaged());
    }
    for (index, (predicate, include)) in table.indexes.iter_mut().zip(indexes) {
        index.predicate = predicate;
        index.include = include;
    }
    table.foreign_keys = input.list(|input| {
        Ok(ForeignKey {
            name: input.str()?,
            columns: input.ordinals()?,
            target: input.u32()?,
            target_columns: input.ordinals()?,
            match_full: input.bool()?,
            on_delete: action(input.u8()?)?,
            on_update: action(input.u8()?)?,
            delete_columns: input.ordinals()?,
            deferrable: input.bool()?,
            deferred: input.bool()?,
        })
    })?;
    Ok(())
}

fn action_tag(action: Action) -> u8 {
    match action {
        Action::NoAction => 0,
        Action::Restrict => 1,
        Action::Cascade => 2,
        Action::SetNull => 3,
        Action::SetDefault => 4,
    }
}

fn action(tag: u8) -> Result<Action> {
    Ok(match tag {
        0 => Action::NoAction,
        1 => Action::Restrict,
        2 => Action::Cascade,
        3 => Action::SetNull,
        4 => Action::SetDefault,
        _ => return Err(damaged()),
    })
}

/// Encodes a sequence.
pub(in crate::ddl) fn encode_sequence(sequence: &Sequence) -> Vec<u8> {
    let Sequence {
        id,
        value_id,
        name,
        ty,
        start,
        increment,
        min,
        max,
        cache,
        cycle,
        owner,
        position: (value, is_called),
    } = sequence;
    let mut out = Writer(vec![VERSION_2]);
    out.u32(*id);
    out.i64(*start);
    out.i64(*increment);
    out.u32(*cache);
    out.u32(*value_id);
    out.opt(name.as_ref(), |out, name| out.str(name));
    out.ty(*ty);
    out.i64(*min);
    out.i64(*max);
    out.bool(*cycle);
    out.opt(owner.as_ref(), |out, (table, column)| {
        out.u32(*table);
        out.u32(*column as u32);
    });
    out.i64(*value);
    out.bool(*is_called);
    out.0
}

/// The other way round.
pub(in crate::ddl) fn decode_sequence(bytes: &[u8]) -> Result<Sequence> {
    let (mut input, version) = Reader::versioned(bytes)?;
    let (id, start, increment, cache) = (input.u32()?, input.i64()?, input.i64()?, input.u32()?);
    let mut sequence = Sequence::new(id, start, increment, cache);
    if version >= VERSION_2 {
        sequence.value_id = input.u32()?;
        sequence.name = input.opt(Reader::str)?;
        sequence.ty = input.ty()?;
        sequence.min = input.i64()?;
        sequence.max = input.i64()?;
        sequence.cycle = input.bool()?;
        sequence.owner = input.opt(|input| Ok((input.u32()?, input.u32()? as usize)))?;
        sequence.position = (input.i64()?, input.bool()?);
    }
    input.end()?;
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SqlType;

    #[test]
    fn sequences_come_back() {
        let sequence = Sequence {
            value_id: 1007,
            name: Some("s".into()),
            ty: SqlType::Int2,
            min: -9,
            max: 9,
            cycle: true,
            owner: Some((1000, 2)),
            position: (4, true),
            ..Sequence::new(1001, -5, -1, 32)
        };
        assert_eq!(decode_sequence(&encode_sequence(&sequence)).unwrap(), sequence);
        // Written before version 2.
        let mut old = vec![1, 0xe9, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        old.extend((-1i64).to_le_bytes());
        old.extend(32u32.to_le_bytes());
        assert_eq!(decode_sequence(&old).unwrap(), Sequence::new(1001, 1, -1, 32));
    }

    #[test]
    fn golden_bytes() {
        let sequence = Sequence { name: Some("s".into()), ..Sequence::new(1001, 1, 1, 32) };
        let hex: String = encode_sequence(&sequence).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "02e9030000010000000000000001000000000000002000000\
             0e90300000101000000730401000000000000 00ffffffffffffff7f0000010000000000000000"
                .replace(' ', "")
        );
    }
}
