//! Definitions as text, and what functions answer about an object by its number.

use super::{comments, oids, types};
use crate::catalog::{Action, Catalog, ForeignKey, Index, IndexColumn, Table, View, is_temporary};
use crate::names;
use orrery_base::sorting::map_of;
use std::collections::BTreeMap;

/// The one role, and the database.
pub const ROLE_NAME: &str = "orrery";

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// `regclass` as text.
    Relation,
    /// `regtype` as text.
    Type,
    /// `regnamespace` as text.
    Schema,
    /// `pg_get_indexdef`
    Index,
    /// The same of one column: the index's number times [`PARTS`], and the column's; 0: the whole.
    IndexPart,
    /// `pg_encoding_to_char`
    Encoding,
    /// `pg_get_constraintdef`
    Constraint,
    /// The same in its pretty form.
    PrettyConstraint,
    /// `pg_get_viewdef`
    View,
    /// `pg_get_userbyid`
    Role,
    /// `pg_table_is_visible`: those that are.
    Visible,
    /// `pg_type_is_visible`: those that are.
    VisibleType,
    /// `obj_description`: of a relation of this number; 0: of any.
    Comment(i64),
    /// `col_description`: by the relation's number times [`COLUMNS`], and the column's.
    ColumnComment,
}

/// The answers by number.
pub fn lookup(catalog: &Catalog, what: Lookup) -> BTreeMap<i64, String> {
    let tables = || catalog.tables.values();
    match what {
        Lookup::Relation => {
            let names = oids::relations(catalog).into_iter();
            let own = names.map(|(number, name)| (number, visible_name(catalog, name)));
            let system = SYSTEM_RELATIONS.iter().map(|(number, name)| (*number, (*name).to_owned()));
            let live = oids::live().map(|(number, view)| (number, format!("{}.{}", view.schema, view.name)));
            gathered(&mut own.chain(system).chain(live))
        }
        Lookup::Type => types::type_names(catalog),
        Lookup::Schema => {
            let own = catalog.schemas.iter().map(|(id, name)| (oids::of(*id), quoted(name)));
            let system = [
                (oids::PG_CATALOG, "pg_catalog"),
                (oids::PUBLIC, "public"),
                (oids::INFORMATION_SCHEMA, "information_schema"),
                (oids::LIVE, super::LIVE_SCHEMA),
            ];
            let system = system.into_iter().map(|(number, name)| (number, name.to_owned()));
            gathered(&mut own.chain(system))
        }
        Lookup::Index => {
            let texts = tables().flat_map(|table| index_texts(catalog, table));
            gathered(&mut texts.map(|(number, _, text)| (number, text)))
        }
        Lookup::IndexPart => {
            let mut all = BTreeMap::new();
            for table in tables() {
                // With the columns it is asked for in its pretty form.
                let (full, short) = (full_name(catalog, &table.name), visible_name(catalog, &table.name));
                for (number, _, text) in index_texts(catalog, table) {
                    let mut text = text.replacen(&format!(" ON {full} "), &format!(" ON {short} "), 1);
                    if let Some((before, predicate)) = text.split_once(" WHERE (") {
                        text = format!("{before} WHERE {}", predicate.strip_suffix(')').unwrap_or(predicate));
                    }
                    all.insert(number * PARTS, text);
                }
                for (place, &ordinal) in table.primary_key.iter().enumerate() {
                    let name = quoted(&table.columns[ordinal].name);
                    all.insert(oids::primary_key(table) * PARTS + place as i64 + 1, name);
                }
                for index in &table.indexes {
                    let number = oids::of(index.tree.0) * PARTS;
                    let keys = key_columns(index).iter().map(|it| key_text(table, it));
                    let included = index.include.iter().map(|&it| quoted(&table.columns[it].name));
                    for (place, text) in keys.chain(included).enumerate() {
                        all.insert(number + place as i64 + 1, text.trim_end_matches(" DESC").to_owned());
                    }
                }
            }
            all
        }
        Lookup::Encoding => gathered(&mut [(6, "UTF8".to_owned())].into_iter()),
        Lookup::Constraint | Lookup::PrettyConstraint => {
            let is_pretty = what == Lookup::PrettyConstraint;
            let text = |kind: &str, text: String| match is_pretty && kind == "c" {
                true => unwrapped(&text),
                false => text,
            };
            let all = tables().flat_map(|table| constraints(catalog, table));
            gathered(&mut all.map(|it| (it.number, text(it.kind, it.definition))))
        }
        Lookup::View => {
            let views = catalog.views.values().chain(catalog.materialized.values());
            gathered(&mut views.map(|view| (oids::of(view.id), view_text(view))))
        }
        Lookup::Role => gathered(&mut [(oids::ROLE, ROLE_NAME.to_owned())].into_iter()),
        Lookup::Comment(class) => {
            let all = comments::all(catalog).into_iter();
            let all = all.filter(|it| it.column == 0 && (class == 0 || it.class == class));
            gathered(&mut all.map(|it| (it.object, it.text.to_owned())))
        }
        Lookup::ColumnComment => {
            let all = comments::all(catalog).into_iter().filter(|it| it.class == comments::CLASS);
            gathered(&mut all.map(|it| (it.object * COLUMNS + it.column, it.text.to_owned())))
        }
        Lookup::Visible => {
            let all = oids::relations(catalog).into_iter();
            let all = all.filter(|(_, name)| is_visible(catalog, name));
            gathered(&mut all.map(|it| (it.0, String::new())))
        }
        Lookup::VisibleType => {
            let hidden = catalog.types.values().filter(|it| !is_visible(catalog, &it.name));
            let hidden: Vec<i64> = hidden.flat_map(|it| [oids::of(it.id), oids::array_type(it.id)]).collect();
            let all = types::type_names(catalog).into_keys().filter(|it| !hidden.contains(it));
            gathered(&mut all.map(|it| (it, String::new())))
        }
    }
}

fn gathered(pairs: &mut dyn Iterator<Item = (i64, String)>) -> BTreeMap<i64, String> {
    map_of(pairs)
}

/// More than an index has columns.
pub const PARTS: i64 = 4_096;

/// More than a table has columns.
pub const COLUMNS: i64 = 1 << 16;

/// Numbers of relations that programs name.
pub const SYSTEM_RELATIONS: [(i64, &str); 7] = [
    (1247, "pg_type"),
    (1249, "pg_attribute"),
    (1255, "pg_proc"),
    (1259, "pg_class"),
    (2604, "pg_attrdef"),
    (2606, "pg_constraint"),
    (2615, "pg_namespace"),
];

/// Whether a name without a schema means what is stored under this name.
pub fn is_visible(catalog: &Catalog, stored: &str) -> bool {
    let Some(path) = &catalog.path else {
        return names::schema_of(stored).is_none() && !is_others(catalog, stored);
    };
    let own = names::last(stored);
    for schema in path.iter() {
        let candidate = match (schema.as_str(), catalog.schema(schema)) {
            ("public", _) => own.to_owned(),
            (_, Some(id)) => names::stored_in(id, own),
            _ => continue,
        };
        if candidate == stored {
            return true;
        }
        if catalog.is_taken(&candidate) {
            return false;
        }
    }
    is_temporary(stored) && !is_others(catalog, stored)
}

fn is_others(catalog: &Catalog, stored: &str) -> bool {
    is_temporary(stored) && !catalog.temporary.as_ref().is_some_and(|prefix| stored.starts_with(&**prefix))
}

/// A name as it must be written to be found.
pub fn visible_name(catalog: &Catalog, stored: &str) -> String {
    let own = quoted(names::last(stored));
    match is_visible(catalog, stored) {
        true => own,
        false => format!("{}.{own}", quoted(catalog.schema_name(stored))),
    }
}

/// A name with its schema.
pub fn full_name(catalog: &Catalog, stored: &str) -> String {
    format!("{}.{}", quoted(catalog.schema_name(stored)), quoted(names::last(stored)))
}

/// An identifier as it must be written.
pub fn quoted(name: &str) -> String {
    let is_plain = name.bytes().next().is_some_and(|it| it.is_ascii_lowercase() || it == b'_')
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        && !crate::parse::is_keyword(name);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A view's query.
pub fn view_text(view: &View) -> String {
    format!(" {};", view.text.trim())
}

/// The columns of an index's key, without the one that its predicate is kept in.
pub fn key_columns(index: &Index) -> &[IndexColumn] {
    &index.columns[..index.columns.len() - usize::from(index.predicate.is_some())]
}

/// The indexes of a table: numbers, stored names, texts.
pub fn index_texts(catalog: &Catalog, table: &Table) -> Vec<(i64, String, String)> {
    let text = |name: &str, unique: bool, keys: &str| {
        let unique = if unique { "UNIQUE " } else { "" };
        let (name, on) = (quoted(names::last(name)), full_name(catalog, &table.name));
        format!("CREATE {unique}INDEX {name} ON {on} USING btree ({keys})")
    };
    let mut all = Vec::new();
    if let Some(name) = &table.primary_key_name {
        let keys = column_list(table, &table.primary_key);
        all.push((oids::primary_key(table), name.clone(), text(name, true, &keys)));
    }
    for index in &table.indexes {
        let keys: Vec<String> = key_columns(index).iter().map(|it| key_text(table, it)).collect();
        let mut shown = text(&index.name, index.unique, &keys.join(", "));
        if !index.include.is_empty() {
            shown.push_str(&format!(" INCLUDE ({})", column_list(table, &index.include)));
        }
        if let Some(predicate) = &index.predicate {
            shown.push_str(&format!(" WHERE ({predicate})"));
        }
        all.push((oids::of(index.tree.0), index.name.clone(), shown));
    }
    all
}

/// One key column of an index.
pub fn key_text(table: &Table, column: &IndexColumn) -> String {
    let of = &table.columns[column.ordinal];
    let text = match &of.generated {
        Some(expression) if of.hidden && is_call(expression) => expression.clone(),
        Some(expression) if of.hidden => format!("({expression})"),
        _ => quoted(&of.name),
    };
    if column.descending { format!("{text} DESC") } else { text }
}

/// Whether an expression is a call of a function and nothing else, which needs no parentheses.
fn is_call(text: &str) -> bool {
    let name = text.bytes().take_while(|it| it.is_ascii_alphanumeric() || *it == b'_').count();
    if name == 0 || !text[name..].starts_with('(') || !text.ends_with(')') {
        return false;
    }
    let mut depth = 0;
    for (place, byte) in text.bytes().enumerate() {
        depth += i32::from(byte == b'(') - i32::from(byte == b')');
        if depth == 0 && byte == b')' {
            return place + 1 == text.len();
        }
    }
    false
}

/// Columns with commas between.
pub fn column_list(table: &Table, ordinals: &[usize]) -> String {
    let names: Vec<String> = ordinals.iter().map(|&it| quoted(&table.columns[it].name)).collect();
    names.join(", ")
}

/// A constraint of a table.
pub struct Constraint<'a> {
    /// Its number.
    pub number: i64,
    /// Its stored name.
    pub name: String,
    /// `p`, `u`, `c` or `f`.
    pub kind: &'static str,
    /// The number of its index; 0: it has none.
    pub index: i64,
    /// Its columns' ordinals.
    pub columns: Vec<usize>,
    /// Its text.
    pub definition: String,
    /// What it refers to.
    pub key: Option<&'a ForeignKey>,
}

/// The constraints of a table, those of columns' domains left out.
pub fn constraints<'a>(catalog: &Catalog, table: &'a Table) -> Vec<Constraint<'a>> {
    let mut all = Vec::new();
    if let Some(name) = &table.primary_key_name {
        let number = oids::primary_key(table);
        all.push(Constraint {
            number,
            name: name.clone(),
            kind: "p",
            index: number,
            columns: table.primary_key.clone(),
            definition: format!("PRIMARY KEY ({})", column_list(table, &table.primary_key)),
            key: None,
        });
    }
    for index in table.indexes.iter().filter(|it| it.is_constraint) {
        let columns: Vec<usize> = index.columns.iter().map(|it| it.ordinal).collect();
        let number = oids::of(index.tree.0);
        all.push(Constraint {
            number,
            name: index.name.clone(),
            kind: "u",
            index: number,
            definition: format!("UNIQUE ({})", column_list(table, &columns)),
            columns,
            key: None,
        });
    }
    for (place, check) in table.checks.iter().enumerate().filter(|it| !it.1.name.contains('\u{1}')) {
        all.push(Constraint {
            number: oids::check(table, place),
            name: check.name.clone(),
            kind: "c",
            index: 0,
            columns: check_columns(table, &check.expression),
            definition: format!("CHECK ({})", parenthesised(&check.expression)),
            key: None,
        });
    }
    for (place, key) in table.foreign_keys.iter().enumerate() {
        all.push(Constraint {
            number: oids::foreign_key(table, place),
            name: key.name.clone(),
            kind: "f",
            index: referenced_index(catalog, key),
            columns: key.columns.clone(),
            definition: foreign_key_text(catalog, table, key),
            key: Some(key),
        });
    }
    all
}

/// `CHECK ((a))` as `CHECK (a)`.
fn unwrapped(text: &str) -> String {
    let inner = text.strip_prefix("CHECK ((").and_then(|it| it.strip_suffix("))"));
    inner.map_or_else(|| text.to_owned(), |inner| format!("CHECK ({inner})"))
}

fn parenthesised(text: &str) -> String {
    format!("({text})")
}

/// The columns that a check names.
fn check_columns(table: &Table, text: &str) -> Vec<usize> {
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    let words: Vec<&str> = text.split(|it| !is_part(it)).collect();
    let named = |name: &str| words.iter().any(|it| it.eq_ignore_ascii_case(name));
    table.visible().filter(|(_, column)| named(&column.name)).map(|it| it.0).collect()
}

fn referenced_index(catalog: &Catalog, key: &ForeignKey) -> i64 {
    let Some(target) = catalog.table_by_id(key.target) else { return 0 };
    let same = |ordinals: &[usize]| {
        ordinals.len() == key.target_columns.len()
            && ordinals.iter().all(|it| key.target_columns.contains(it))
    };
    if same(&target.primary_key) {
        return oids::primary_key(target);
    }
    let is_it = |index: &&Index| {
        index.unique && same(&key_columns(index).iter().map(|it| it.ordinal).collect::<Vec<_>>())
    };
    target.indexes.iter().find(is_it).map_or(0, |index| oids::of(index.tree.0))
}

fn foreign_key_text(catalog: &Catalog, table: &Table, key: &ForeignKey) -> String {
    let target = catalog.table_by_id(key.target);
    let name = target.map_or_else(String::new, |it| visible_name(catalog, &it.name));
    let columns = target.map_or_else(String::new, |it| column_list(it, &key.target_columns));
    let mut text = format!("FOREIGN KEY ({}) REFERENCES {name}({columns})", column_list(table, &key.columns));
    if key.match_full {
        text.push_str(" MATCH FULL");
    }
    for (word, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        let action = match action {
            Action::NoAction => continue,
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        };
        text.push_str(&format!(" ON {word} {action}"));
        if word == "DELETE" && !key.delete_columns.is_empty() {
            text.push_str(&format!(" ({})", column_list(table, &key.delete_columns)));
        }
    }
    if key.deferrable {
        text.push_str(" DEFERRABLE");
    }
    text
}
