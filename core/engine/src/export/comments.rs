//! COMMENT ON for every comment.

use super::words::{literal, name};
use orrery_base::sorting;
use orrery_sql::catalog::{Catalog, Commented, CommentedPart, UserTypeKind, is_temporary};

/// The statements, in an order that does not depend on ids.
pub(super) fn statements(catalog: &Catalog) -> Vec<String> {
    let comments = catalog.comments.iter();
    let mut statements: Vec<String> = comments
        .filter_map(|(on, text)| Some(format!("COMMENT ON {} IS {}", target(catalog, on)?, literal(text))))
        .collect();
    sorting::sort(&mut statements);
    statements
}

/// What a comment is on; `None` for what is nobody's but a session's.
fn target(catalog: &Catalog, on: &Commented) -> Option<String> {
    let (kind, owner) = object(catalog, on.object)?;
    let shown = name(owner);
    Some(match &on.part {
        CommentedPart::Whole => format!("{kind} {shown}"),
        CommentedPart::Column(ordinal) => {
            format!("COLUMN {shown}.{}", name(column(catalog, on.object, *ordinal)?))
        }
        CommentedPart::Index(index) => format!("INDEX {}", name(index)),
        CommentedPart::Constraint(constraint) => format!("CONSTRAINT {} ON {shown}", name(constraint)),
    })
}

fn object(catalog: &Catalog, id: u32) -> Option<(&'static str, &str)> {
    if id == 0 {
        return Some(("SCHEMA", "public"));
    }
    let found = if let Some(table) = catalog.table_by_id(id) {
        ("TABLE", table.name.as_str())
    } else if let Some(view) = catalog.views.values().find(|it| it.id == id) {
        ("VIEW", view.name.as_str())
    } else if let Some(ty) = catalog.types.get(&id) {
        let is_domain = matches!(ty.kind, UserTypeKind::Domain(_));
        (if is_domain { "DOMAIN" } else { "TYPE" }, ty.name.as_str())
    } else {
        ("SEQUENCE", catalog.sequences.get(&id)?.name.as_deref()?)
    };
    (!is_temporary(found.1)).then_some(found)
}

fn column(catalog: &Catalog, id: u32, ordinal: usize) -> Option<&str> {
    if let Some(table) = catalog.table_by_id(id) {
        return table.columns.get(ordinal).map(|it| it.name.as_str());
    }
    if let Some(view) = catalog.views.values().find(|it| it.id == id) {
        return view.columns.get(ordinal).map(|it| it.name.as_str());
    }
    match &catalog.types.get(&id)?.kind {
        UserTypeKind::Composite(fields) => fields.get(ordinal).map(|it| it.0.as_str()),
        UserTypeKind::Enum(_) | UserTypeKind::Domain(_) => None,
    }
}
