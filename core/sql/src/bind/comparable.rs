//! Refuses to compare what cannot be compared: `json` has no equality and no order.

use crate::plan::logical::{ColumnId, ColumnInfo, Logical};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

fn has_order(ty: SqlType) -> bool {
    !matches!(ty.element().unwrap_or(ty), SqlType::Json)
}

fn missing(what: &str, ty: SqlType) -> Error {
    let message = format!("could not identify {what} operator for type {}", ty.base_name());
    Error::new(SqlState::UNDEFINED_FUNCTION, message)
}

fn equal(ty: SqlType) -> Result<()> {
    if has_order(ty) { Ok(()) } else { Err(missing("an equality", ty)) }
}

fn ordered(ty: SqlType) -> Result<()> {
    // The texts of labels are not in their order.
    if matches!(ty.element().unwrap_or(ty), SqlType::Enum(_)) {
        return Err(Error::unsupported("an enum's order in this place"));
    }
    if has_order(ty) { Ok(()) } else { Err(missing("an ordering", ty)) }
}

/// Looks at all keys of groups, sorts and the like. Errors: 42883.
pub(super) fn check(columns: &[ColumnInfo], root: &Logical) -> Result<()> {
    let ty = |id: &ColumnId| columns[*id].ty;
    match root {
        Logical::Distinct { columns, .. } | Logical::Recursive { columns, distinct: true, .. } => {
            columns.iter().try_for_each(|id| equal(ty(id)))?;
        }
        Logical::Aggregate { groups, aggregates, .. } => {
            groups.iter().try_for_each(|(_, group)| equal(group.ty()))?;
            for (_, call) in aggregates {
                if call.distinct {
                    call.args
                        .iter()
                        .try_for_each(|arg| equal(arg.ty()).map_err(|it| it.at(call.position)))?;
                }
            }
        }
        Logical::Window { partition, order, .. } => {
            partition.iter().try_for_each(|id| equal(ty(id)))?;
            order.iter().try_for_each(|key| ordered(ty(&key.column)))?;
        }
        Logical::Sort { keys, .. } => keys.iter().try_for_each(|key| ordered(ty(&key.column)))?,
        _ => {}
    }
    root.inputs().into_iter().try_for_each(|input| check(columns, input))
}
