//! Tables as statements: columns, constraints, indexes, and how their rows are read.

use super::words::{list, name, stored, type_name};
use super::{Script, TableRows, words};
use orrery_sql::bind::{derived_name, first_free};
use orrery_sql::catalog::{Action, Catalog, Column, ForeignKey, Index, Table, UserTypeKind};
use std::collections::BTreeMap;

impl Script<'_> {
    pub(super) fn tables(&mut self) {
        for table in self.lasting_tables().into_iter().cloned().collect::<Vec<_>>() {
            self.table(&table);
            for index in table.indexes.iter().filter(|it| keeps_an_expression(&table, it)) {
                self.out.before.push(create_index(&table, index));
                self.made.insert(index.name.clone());
            }
            self.out.tables.push(rows(&table));
        }
    }

    fn table(&mut self, table: &Table) {
        let domains = domains(table);
        let mut parts: Vec<String> = table
            .visible()
            .map(|(ordinal, it)| column(self.catalog, it, domains.get(&ordinal).copied()))
            .collect();
        if !table.primary_key.is_empty() {
            let constraint = constraint(table.primary_key_name.as_deref());
            parts.push(format!("{constraint}PRIMARY KEY ({})", columns(table, &table.primary_key)));
        }
        // Those of domains come with the columns' types.
        for check in table.checks.iter().filter(|it| !it.name.contains(DOMAIN_MARK)) {
            parts.push(format!("CONSTRAINT {} CHECK ({})", name(&check.name), check.expression));
        }
        let shown = name(&table.name);
        let open = if parts.is_empty() { "(" } else { "(\n    " };
        let close = if parts.is_empty() { ")" } else { "\n)" };
        self.out.before.push(format!("CREATE TABLE {shown} {open}{}{close}", parts.join(",\n    ")));
        self.made.insert(table.name.clone());
        self.identities(table);
        self.made.extend(table.primary_key_name.clone());
        self.looser_columns(table, &domains);
    }

    /// A column that takes NULL though its domain does not.
    fn looser_columns(&mut self, table: &Table, domains: &BTreeMap<usize, &str>) {
        for (ordinal, column) in table.visible().filter(|(_, it)| !it.not_null) {
            let domain = domains.get(&ordinal).and_then(|it| self.catalog.user_type(it));
            if domain.is_some_and(|it| matches!(&it.kind, UserTypeKind::Domain(it) if it.not_null)) {
                let (table, column) = (name(&table.name), name(&column.name));
                self.out.before.push(format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"));
            }
        }
    }

    /// Gives the sequences of identity columns their names, where CREATE TABLE chose others.
    fn identities(&mut self, table: &Table) {
        let mut names = Vec::new();
        for (_, column) in table.visible() {
            let sequence = column.identity.and_then(|it| self.catalog.sequences.get(&it.sequence));
            let Some(wanted) = sequence.and_then(|it| it.name.clone()) else { continue };
            let base = derived_name(&table.name, &[column.name.as_str()], "seq");
            let is_chosen = |it: &str| names.iter().any(|(chosen, _)| chosen == it);
            names.push((first_free(&base, |it| self.made.contains(it) || is_chosen(it)), wanted));
        }
        for (chosen, wanted) in names {
            if chosen != wanted {
                let rename = format!("ALTER SEQUENCE {} RENAME TO {}", name(&chosen), name(&wanted));
                self.out.before.push(rename);
            }
            self.made.insert(wanted);
        }
    }

    /// Unique keys and indexes, then foreign keys, then whose the sequences are.
    pub(super) fn after_the_rows(&mut self) {
        let tables: Vec<Table> = self.lasting_tables().into_iter().cloned().collect();
        for table in &tables {
            for index in table.indexes.iter().filter(|it| !keeps_an_expression(table, it)) {
                self.out.after.push(match index.is_constraint {
                    true => unique(table, index),
                    false => create_index(table, index),
                });
            }
        }
        for table in &tables {
            for key in &table.foreign_keys {
                self.out.after.extend(foreign_key(self.catalog, table, key));
            }
        }
        for sequence in self.catalog.sequences.values() {
            let (Some(shown), Some((id, ordinal))) = (&sequence.name, sequence.owner) else { continue };
            let Some(table) = tables.iter().find(|it| it.id.0 == id) else { continue };
            let column = &table.columns[ordinal];
            if column.identity.is_none_or(|it| it.sequence != sequence.id) && !column.hidden {
                let owner = format!("{}.{}", name(&table.name), name(&column.name));
                self.out.after.push(format!("ALTER SEQUENCE {} OWNED BY {owner}", name(shown)));
            }
        }
    }
}

/// What the names of constraints have that are a domain's.
const DOMAIN_MARK: char = '\u{1}';

/// Which columns are of a domain with checks; the constraints of the table tell. (A domain without checks leaves nothing but what the
/// column says itself.)
fn domains(table: &Table) -> BTreeMap<usize, &str> {
    let of = |check: &'_ str| -> Option<usize> { check.rsplit(DOMAIN_MARK).next()?.parse().ok() };
    let marked = table.checks.iter().filter_map(|check| {
        let ordinal = of(&check.name)?;
        let rest = check.name.strip_prefix("value for domain ")?;
        let (domain, _) = rest.split_once(" violates check constraint \u{1}")?;
        Some((ordinal, domain))
    });
    marked.collect()
}

fn column(catalog: &Catalog, column: &Column, domain: Option<&str>) -> String {
    let ty = domain.map_or_else(|| type_name(catalog, column.assigned()), name);
    let mut text = format!("{} {ty}", name(&column.name));
    if let Some(expression) = &column.generated {
        text.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
    } else if let Some(identity) = column.identity {
        let how = if identity.always { "ALWAYS" } else { "BY DEFAULT" };
        text.push_str(&format!(" GENERATED {how} AS IDENTITY"));
        if let Some(sequence) = catalog.sequences.get(&identity.sequence) {
            text.push_str(&format!(" ({})", words::sequence_options(sequence)));
        }
    } else if let Some(default) = &column.default {
        text.push_str(&format!(" DEFAULT {}", stored(catalog, default)));
    } else if domain.is_some() {
        // Else it would be the domain's.
        text.push_str(" DEFAULT NULL");
    }
    text.push_str(if column.not_null { " NOT NULL" } else { "" });
    text
}

fn columns(table: &Table, ordinals: &[usize]) -> String {
    list(ordinals.iter().map(|&at| name(&table.columns[at].name)))
}

fn constraint(shown: Option<&str>) -> String {
    shown.map(|it| format!("CONSTRAINT {} ", name(it))).unwrap_or_default()
}

fn keeps_an_expression(table: &Table, index: &Index) -> bool {
    index.columns.iter().any(|it| table.columns[it.ordinal].hidden)
}

fn unique(table: &Table, index: &Index) -> String {
    let ordinals: Vec<usize> = index.columns.iter().map(|it| it.ordinal).collect();
    let constraint = constraint(Some(&index.name));
    format!("ALTER TABLE {} ADD {constraint}UNIQUE ({})", name(&table.name), columns(table, &ordinals))
}

pub(super) fn create_index(table: &Table, index: &Index) -> String {
    // The predicate's own column stands last.
    let key_count = index.columns.len() - usize::from(index.predicate.is_some());
    let keys = index.columns[..key_count].iter().map(|it| {
        let column = &table.columns[it.ordinal];
        let key = match (&column.generated, column.hidden) {
            (Some(expression), true) => format!("({expression})"),
            _ => name(&column.name),
        };
        format!("{key}{}", if it.descending { " DESC" } else { "" })
    });
    let unique = if index.unique { "UNIQUE " } else { "" };
    let mut text =
        format!("CREATE {unique}INDEX {} ON {} ({})", name(&index.name), name(&table.name), list(keys));
    if !index.include.is_empty() {
        text.push_str(&format!(" INCLUDE ({})", columns(table, &index.include)));
    }
    if let Some(predicate) = &index.predicate {
        text.push_str(&format!(" WHERE {predicate}"));
    }
    text
}

fn foreign_key(catalog: &Catalog, table: &Table, key: &ForeignKey) -> Option<String> {
    let target = catalog.table_by_id(key.target)?;
    let constraint = constraint(Some(&key.name));
    let mut text = format!(
        "ALTER TABLE {} ADD {constraint}FOREIGN KEY ({}) REFERENCES {} ({})",
        name(&table.name),
        columns(table, &key.columns),
        name(&target.name),
        columns(target, &key.target_columns)
    );
    text.push_str(if key.match_full { " MATCH FULL" } else { "" });
    if let Some(action) = action(key.on_delete) {
        text.push_str(&format!(" ON DELETE {action}"));
        if !key.delete_columns.is_empty() {
            text.push_str(&format!(" ({})", columns(table, &key.delete_columns)));
        }
    }
    if let Some(action) = action(key.on_update) {
        text.push_str(&format!(" ON UPDATE {action}"));
    }
    text.push_str(if key.deferrable { " DEFERRABLE" } else { "" });
    text.push_str(if key.deferred { " INITIALLY DEFERRED" } else { "" });
    Some(text)
}

/// `None`: what is not said.
fn action(action: Action) -> Option<&'static str> {
    match action {
        Action::NoAction => None,
        Action::Restrict => Some("RESTRICT"),
        Action::Cascade => Some("CASCADE"),
        Action::SetNull => Some("SET NULL"),
        Action::SetDefault => Some("SET DEFAULT"),
    }
}

fn rows(table: &Table) -> TableRows {
    let given = table.visible().filter(|(_, it)| it.generated.is_none());
    let given: Vec<String> = given.map(|(_, it)| name(&it.name)).collect();
    let shown = name(&table.name);
    let column_count = given.len();
    let given = given.join(", ");
    let (target, query) = match column_count {
        0 => (shown.clone(), format!("SELECT count(*) FROM {shown}")),
        _ => (format!("{shown} ({given})"), format!("SELECT {given} FROM {shown}")),
    };
    TableRows { table: table.name.clone(), target, column_count, query }
}
