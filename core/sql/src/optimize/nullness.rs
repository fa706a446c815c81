//! Whether a column of a plan can be NULL.

use super::Planner;
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, Logical};

impl Planner {
    /// Whether a column is never NULL in the node's rows, as far as the table says and no outer join adds NULLs.
    pub(super) fn is_not_null(&self, node: &Logical, id: ColumnId) -> bool {
        match node {
            Logical::Scan { table, columns } => columns
                .iter()
                .find(|it| it.1 == id)
                .and_then(|(ordinal, _)| table.columns.get(*ordinal))
                .is_some_and(|column| column.not_null),
            Logical::Filter { input, .. }
            | Logical::Extend { input, .. }
            | Logical::Sort { input, .. }
            | Logical::Window { input, .. }
            | Logical::Limit { input, .. }
            | Logical::Distinct { input, .. } => self.is_not_null(input, id),
            Logical::Join { kind: JoinKind::Full, .. } => false,
            Logical::Join { left, right, kind, .. } | Logical::Apply { left, right, kind, .. } => {
                self.is_not_null(left, id) || *kind == JoinKind::Inner && self.is_not_null(right, id)
            }
            Logical::Values { .. }
            | Logical::Series { .. }
            | Logical::Live { .. }
            | Logical::LockRows { .. }
            | Logical::Working { .. }
            | Logical::Recursive { .. }
            | Logical::Aggregate { .. }
            | Logical::Append { .. } => false,
        }
    }
}
