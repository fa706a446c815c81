//! LOCK TABLE: the tables meant. A view stands for the tables of its query.

use super::binder::Binder;
use crate::catalog::Table;
use crate::parse::ast::Name;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// Errors: 42P01; 42809 for what is no table.
pub(super) fn tables(binder: &mut Binder<'_>, names: &[Name]) -> Result<Vec<Arc<Table>>> {
    let mut tables: Vec<Arc<Table>> = Vec::with_capacity(names.len());
    let mut add = |table: &Arc<Table>| {
        if !tables.iter().any(|known| known.id == table.id) {
            tables.push(table.clone());
        }
    };
    for name in names {
        let stored = binder.stored(&name.text);
        if let Some(view) = binder.catalog.view(&stored).cloned() {
            binder.view_query(&view, name)?;
            binder.statement.tables.iter().for_each(&mut add);
            continue;
        }
        let what = match () {
            () if binder.catalog.has_index_named(&stored) => "indexes",
            () if binder.catalog.sequence(&stored).is_some() => "sequences",
            () => {
                add(&binder.table(name)?);
                continue;
            }
        };
        let message = format!("cannot lock relation \"{}\"", name.text);
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
            .with_detail(format!("This operation is not supported for {what}.")));
    }
    Ok(tables)
}
