//! Comments by the numbers of what they are on.

use super::definitions::constraints;
use super::{int4, oid, oids, text};
use crate::catalog::{Catalog, Commented, CommentedPart};
use crate::datum::Datum;

/// `pg_class`
pub const CLASS: i64 = 1_259;
const TYPE: i64 = 1_247;
const CONSTRAINT: i64 = 2_606;
const NAMESPACE: i64 = 2_615;

/// A comment.
pub struct Description<'a> {
    /// The number of what it is on.
    pub object: i64,
    /// The number of the relation that lists such objects.
    pub class: i64,
    /// The column's number; 0: it is on the object.
    pub column: i64,
    /// Its text.
    pub text: &'a str,
}

/// All comments.
pub fn all(catalog: &Catalog) -> Vec<Description<'_>> {
    let with_place = |(on, text)| {
        let (object, class, column) = place(catalog, on)?;
        Some(Description { object, class, column, text })
    };
    catalog.comments.iter().map(|(on, text)| (on, text.as_str())).filter_map(with_place).collect()
}

fn place(catalog: &Catalog, on: &Commented) -> Option<(i64, i64, i64)> {
    let Commented { object, part } = on;
    Some(match part {
        CommentedPart::Whole if *object == 0 => (oids::PUBLIC, NAMESPACE, 0),
        CommentedPart::Whole if catalog.schemas.contains_key(object) => (oids::of(*object), NAMESPACE, 0),
        CommentedPart::Whole if catalog.types.contains_key(object) => (oids::of(*object), TYPE, 0),
        CommentedPart::Whole => (oids::of(*object), CLASS, 0),
        CommentedPart::Column(ordinal) => {
            let relation =
                if catalog.types.contains_key(object) { oids::row_type(*object) } else { oids::of(*object) };
            (relation, CLASS, *ordinal as i64 + 1)
        }
        CommentedPart::Index(name) => {
            let table = catalog.table_by_id(*object)?;
            let index = table.indexes.iter().find(|it| it.name == *name);
            (index.map_or_else(|| oids::primary_key(table), |it| oids::of(it.tree.0)), CLASS, 0)
        }
        CommentedPart::Constraint(name) => {
            let table = catalog.table_by_id(*object)?;
            let found = constraints(catalog, table).into_iter().find(|it| it.name == *name)?;
            (found.number, CONSTRAINT, 0)
        }
    })
}

/// The rows of `pg_description`.
pub(super) fn descriptions(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let row = |it: Description<'_>| vec![oid(it.object), oid(it.class), int4(it.column), text(it.text)];
    all(catalog).into_iter().map(row).collect()
}
