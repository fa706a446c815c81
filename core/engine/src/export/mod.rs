//! The schema as a script: the statements that make it anew in an empty database, those before the rows and those after them, and
//! between them how each table's rows are read and given back.
//!
//! 1. The statements run in the order they stand in: whatever one names was made before.
//! 2. What rows could break while they arrive in any order (unique and foreign keys) comes after them; what belongs to each row alone
//!    (types, checks, generated columns, primary keys) before. Indexes that keep an expression in the rows come before them, too, so
//!    that no row is written twice.
//! 3. Names of sequences, indexes and constraints are the old ones, also where CREATE would choose another.
//!
//! It deliberately knows nothing of files and formats: who asks reads the rows and writes the script. Temporary tables, statistics and
//! the history are no part of it.

mod comments;
mod relations;
mod words;

use crate::bind;
use crate::sequences;
use crate::session::Session;
use orrery_base::sorting;
use orrery_base::{Cx, Error, Result};
use orrery_sql::catalog::{Catalog, Table, UserTypeKind, View, is_temporary};
use std::collections::{BTreeMap, BTreeSet};
use words::{list, literal, name, type_name};

/// See the head of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaScript {
    /// What comes before the rows.
    pub before: Vec<String>,
    /// Whose rows come then, in this order.
    pub tables: Vec<TableRows>,
    /// What comes after the rows.
    pub after: Vec<String>,
}

/// How a table's rows travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// The table's name, as it is.
    pub table: String,
    /// The table and the columns that are given back (generated ones are not), as COPY and INSERT name them. Without columns: the
    /// rows have nothing but their number.
    pub target: String,
    /// How many columns that are.
    pub column_count: usize,
    /// The query that reads the rows, these columns in this order; without columns it counts them.
    pub query: String,
}

/// The script of the schema as the session sees it now. Errors: 25P02; 0A000 when there is a schema beside `public`.
pub(crate) async fn script(session: &Session, cx: &Cx) -> Result<SchemaScript> {
    let (state, scope, catalog) = bind::look(session, cx).await?;
    if let Some(schema) = catalog.schemas.values().next() {
        return Err(Error::unsupported("the script of a database with several schemas")
            .with_detail(format!("beside \"public\" there is \"{schema}\"")));
    }
    let mut positions = BTreeMap::new();
    for sequence in catalog.sequences.values().filter(|it| it.name.is_some()) {
        positions.insert(sequence.id, sequences::position_of(&session.db, cx, &scope.txn, sequence).await?);
    }
    if state.explicit.is_none() {
        scope.txn.rollback();
    }
    let mut script = Script { catalog: &catalog, made: BTreeSet::new(), out: SchemaScript::default() };
    script.types();
    script.sequences();
    script.tables();
    script.after_the_rows();
    script.views();
    script.out.after.extend(comments::statements(&catalog));
    script.positions(&positions);
    Ok(script.out)
}

/// A script under way.
struct Script<'c> {
    catalog: &'c Catalog,
    /// The names that are taken by what was made so far.
    made: BTreeSet<String>,
    out: SchemaScript,
}

impl Script<'_> {
    fn lasting_tables(&self) -> Vec<&Table> {
        self.catalog.tables.values().map(|it| &**it).filter(|it| !is_temporary(&it.name)).collect()
    }

    /// In the order of their ids: a type is made after those it consists of, and none is changed so that it would need a later one.
    fn types(&mut self) {
        for ty in self.catalog.types.values() {
            let shown = name(&ty.name);
            let statement = match &ty.kind {
                UserTypeKind::Enum(labels) => {
                    let labels = labels.iter().map(|label| literal(label));
                    format!("CREATE TYPE {shown} AS ENUM ({})", list(labels))
                }
                UserTypeKind::Composite(fields) => {
                    let fields = fields.iter().map(|(field, ty, domain)| {
                        let domain = domain.and_then(|id| self.catalog.types.get(&id));
                        let ty = domain.map_or_else(|| type_name(self.catalog, *ty), |it| name(&it.name));
                        format!("{} {ty}", name(field))
                    });
                    format!("CREATE TYPE {shown} AS ({})", list(fields))
                }
                UserTypeKind::Domain(domain) => {
                    let mut text =
                        format!("CREATE DOMAIN {shown} AS {}", type_name(self.catalog, domain.base));
                    if let Some(default) = &domain.default {
                        text.push_str(&format!(" DEFAULT {}", words::stored(self.catalog, default)));
                    }
                    text.push_str(if domain.not_null { " NOT NULL" } else { "" });
                    for (check, condition) in &domain.checks {
                        text.push_str(&format!(" CONSTRAINT {} CHECK ({condition})", name(check)));
                    }
                    text
                }
            };
            self.made.insert(ty.name.clone());
            self.out.before.push(statement);
        }
    }

    /// Those that are no column's identity: CREATE TABLE makes the others.
    fn sequences(&mut self) {
        let tables = self.catalog.tables.values();
        let columns = tables.flat_map(|table| &table.columns);
        let of_identities: BTreeSet<u32> = columns.filter_map(|it| Some(it.identity?.sequence)).collect();
        for sequence in self.catalog.sequences.values().filter(|it| !of_identities.contains(&it.id)) {
            let Some(shown) = sequence.name.as_ref().filter(|it| !is_temporary(it)) else { continue };
            let ty = sequence.ty.name();
            let options = words::sequence_options(sequence);
            self.out.before.push(format!("CREATE SEQUENCE {} AS {ty} {options}", name(shown)));
            self.made.insert(shown.clone());
        }
    }

    /// Views after those they read: replacing one may make it read a younger one.
    fn views(&mut self) {
        fn place(catalog: &Catalog, view: &View, done: &mut BTreeSet<u32>, out: &mut Vec<String>) {
            if !done.insert(view.id) {
                return;
            }
            for read in catalog.views.values().filter(|it| view.depends.contains(&it.id)) {
                place(catalog, read, done, out);
            }
            out.push(words::view(view));
        }
        let mut done = BTreeSet::new();
        for view in self.catalog.views.values().filter(|it| !is_temporary(&it.name)) {
            place(self.catalog, view, &mut done, &mut self.out.after);
        }
    }

    /// Where the sequences stand, and what statistics there were.
    fn positions(&mut self, positions: &BTreeMap<u32, (i64, bool)>) {
        let mut moved = Vec::new();
        for (id, &(value, is_called)) in positions {
            let sequence = &self.catalog.sequences[id];
            let Some(shown) = sequence.name.as_ref().filter(|it| !is_temporary(it)) else { continue };
            if (value, is_called) != (sequence.start, false) {
                moved.push(format!("SELECT setval({}, {value}, {is_called})", literal(&name(shown))));
            }
        }
        // By name: ids are not the same in the copy.
        sorting::sort(&mut moved);
        self.out.after.extend(moved);
        let analyzed = self.lasting_tables().into_iter().filter(|it| it.statistics.is_some());
        let analyze: Vec<String> = analyzed.map(|it| format!("ANALYZE {}", name(&it.name))).collect();
        self.out.after.extend(analyze);
    }
}
