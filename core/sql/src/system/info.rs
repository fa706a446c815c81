//! `information_schema`.

use super::definitions::{Constraint, ROLE_NAME, constraints, view_text};
use super::{INT4, NAME, SystemView, TEXT, int4, opt_text, relations, text, types, yes_no};
use crate::catalog::{Action, Catalog, Column, ForeignKey, Table, is_temporary};
use crate::datum::Datum;
use crate::names;
use crate::types::SqlType;
use std::sync::Arc;

const INFO: &str = "information_schema";

pub(super) const VIEWS: &[SystemView] = &[
    SystemView {
        schema: INFO,
        name: "schemata",
        columns: &[("catalog_name", NAME), ("schema_name", NAME), ("schema_owner", NAME)],
        rows: schemata,
    },
    SystemView {
        schema: INFO,
        name: "tables",
        columns: &[
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("table_type", TEXT),
            ("is_insertable_into", TEXT),
            ("is_typed", TEXT),
            ("commit_action", TEXT),
        ],
        rows: tables,
    },
    SystemView {
        schema: INFO,
        name: "views",
        columns: &[
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("view_definition", TEXT),
            ("check_option", TEXT),
            ("is_updatable", TEXT),
            ("is_insertable_into", TEXT),
        ],
        rows: views,
    },
    SystemView {
        schema: INFO,
        name: "columns",
        columns: &[
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("column_name", NAME),
            ("ordinal_position", INT4),
            ("column_default", TEXT),
            ("is_nullable", TEXT),
            ("data_type", TEXT),
            ("character_maximum_length", INT4),
            ("character_octet_length", INT4),
            ("numeric_precision", INT4),
            ("numeric_precision_radix", INT4),
            ("numeric_scale", INT4),
            ("datetime_precision", INT4),
            ("udt_schema", NAME),
            ("udt_name", NAME),
            ("is_identity", TEXT),
            ("identity_generation", TEXT),
            ("is_generated", TEXT),
            ("generation_expression", TEXT),
            ("is_updatable", TEXT),
        ],
        rows: columns,
    },
    SystemView {
        schema: INFO,
        name: "sequences",
        columns: &[
            ("sequence_catalog", NAME),
            ("sequence_schema", NAME),
            ("sequence_name", NAME),
            ("data_type", TEXT),
            ("numeric_precision", INT4),
            ("numeric_precision_radix", INT4),
            ("numeric_scale", INT4),
            ("start_value", TEXT),
            ("minimum_value", TEXT),
            ("maximum_value", TEXT),
            ("increment", TEXT),
            ("cycle_option", TEXT),
        ],
        rows: sequences,
    },
    SystemView {
        schema: INFO,
        name: "table_constraints",
        columns: &[
            ("constraint_catalog", NAME),
            ("constraint_schema", NAME),
            ("constraint_name", NAME),
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("constraint_type", TEXT),
            ("is_deferrable", TEXT),
            ("initially_deferred", TEXT),
            ("enforced", TEXT),
        ],
        rows: table_constraints,
    },
    SystemView {
        schema: INFO,
        name: "key_column_usage",
        columns: &[
            ("constraint_catalog", NAME),
            ("constraint_schema", NAME),
            ("constraint_name", NAME),
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("column_name", NAME),
            ("ordinal_position", INT4),
            ("position_in_unique_constraint", INT4),
        ],
        rows: key_columns,
    },
    SystemView {
        schema: INFO,
        name: "referential_constraints",
        columns: &[
            ("constraint_catalog", NAME),
            ("constraint_schema", NAME),
            ("constraint_name", NAME),
            ("unique_constraint_catalog", NAME),
            ("unique_constraint_schema", NAME),
            ("unique_constraint_name", NAME),
            ("match_option", TEXT),
            ("update_rule", TEXT),
            ("delete_rule", TEXT),
        ],
        rows: references,
    },
    SystemView {
        schema: INFO,
        name: "constraint_column_usage",
        columns: &[
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("column_name", NAME),
            ("constraint_catalog", NAME),
            ("constraint_schema", NAME),
            ("constraint_name", NAME),
        ],
        rows: constraint_columns,
    },
];

fn seen(catalog: &Catalog) -> impl Iterator<Item = &Arc<Table>> {
    catalog.tables.values().filter(|it| relations::is_seen(catalog, &it.name))
}

/// The three parts of a name.
fn full(catalog: &Catalog, stored: &str) -> Vec<Datum> {
    vec![text(ROLE_NAME), text(catalog.schema_name(stored)), text(names::last(stored))]
}

fn schemata(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let system = ["information_schema", "pg_catalog", "public"];
    let all = system.into_iter().chain(catalog.schemas.values().map(String::as_str));
    all.map(|name| vec![text(ROLE_NAME), text(name), text(ROLE_NAME)]).collect()
}

fn tables(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let row = |name: &str, kind: &str, insertable: bool| {
        let mut row = full(catalog, name);
        row.extend([text(kind), yes_no(insertable), yes_no(false), Datum::Null]);
        row
    };
    let kind = |name: &str, kind| if is_temporary(name) { "LOCAL TEMPORARY" } else { kind };
    let tables = seen(catalog).map(|it| row(&it.name, kind(&it.name, "BASE TABLE"), true));
    let views = relations::seen_views(catalog).map(|it| row(&it.name, kind(&it.name, "VIEW"), false));
    tables.chain(views).collect()
}

fn views(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let row = |view: &Arc<crate::catalog::View>| {
        let mut row = full(catalog, &view.name);
        row.extend([text(view_text(view)), text("NONE"), yes_no(false), yes_no(false)]);
        row
    };
    relations::seen_views(catalog).map(row).collect()
}

fn columns(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for table in seen(catalog) {
        for (ordinal, column) in table.visible() {
            let ty = column.assigned();
            rows.push(column_row(catalog, &table.name, (ordinal, &column.name, ty), Some(column)));
        }
    }
    for view in relations::seen_views(catalog) {
        for (ordinal, column) in view.columns.iter().enumerate() {
            rows.push(column_row(catalog, &view.name, (ordinal, &column.name, column.ty), None));
        }
    }
    rows
}

fn column_row(
    catalog: &Catalog,
    relation: &str,
    (ordinal, name, ty): (usize, &str, SqlType),
    column: Option<&Column>,
) -> Vec<Datum> {
    let limit = match ty {
        SqlType::Varchar(limit) => limit.map(i64::from),
        SqlType::Char(limit) => limit.map(i64::from),
        _ => None,
    };
    let octets = limit.map(|it| it * 4);
    let octets = if ty == SqlType::Text || ty == SqlType::Varchar(None) { Some(1 << 30) } else { octets };
    let (precision, radix, scale) = match ty.layout() {
        SqlType::Int2 => (Some(16), Some(2), Some(0)),
        SqlType::Int4 => (Some(32), Some(2), Some(0)),
        SqlType::Int8 => (Some(64), Some(2), Some(0)),
        SqlType::Float4 => (Some(24), Some(2), None),
        SqlType::Float8 => (Some(53), Some(2), None),
        SqlType::Decimal { precision, scale } => {
            (Some(i64::from(precision)), Some(10), Some(i64::from(scale)))
        }
        SqlType::Numeric => match types::modifier(ty) {
            -1 => (None, Some(10), None),
            modifier => {
                (Some((modifier - 4) >> 16), Some(10), Some((((modifier - 4) & 0x7ff) ^ 1024) - 1024))
            }
        },
        _ => (None, None, None),
    };
    let moment = match ty.layout() {
        SqlType::Date => Some(0),
        SqlType::Time | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Interval => {
            Some(if types::modifier(ty) < 0 { 6 } else { types::modifier(ty) })
        }
        _ => None,
    };
    let number = |value: Option<i64>| value.map_or(Datum::Null, int4);
    let (data_type, udt_schema, udt_name) = type_words(catalog, ty);
    let default = column.and_then(|it| it.default.as_deref()).map(|it| catalog.shown_default(it));
    let identity = column.and_then(|it| it.identity);
    let generated = column.and_then(|it| it.generated.as_deref());
    let mut row = full(catalog, relation);
    row.extend([
        text(name),
        int4(ordinal as i64 + 1),
        opt_text(default),
        yes_no(!column.is_some_and(|it| it.not_null)),
        text(data_type),
        number(limit),
        number(octets),
        number(precision),
        number(radix),
        number(scale),
        number(moment),
        text(udt_schema),
        text(udt_name),
        yes_no(identity.is_some()),
        opt_text(identity.map(|it| if it.always { "ALWAYS" } else { "BY DEFAULT" })),
        text(if generated.is_some() { "ALWAYS" } else { "NEVER" }),
        opt_text(generated),
        yes_no(column.is_some()),
    ]);
    row
}

/// `data_type`, `udt_schema` and `udt_name`.
fn type_words(catalog: &Catalog, ty: SqlType) -> (&'static str, String, String) {
    let users = |id: u32| {
        let stored = catalog.types.get(&id).map(|it| it.name.as_str()).or_else(|| catalog.relation_name(id));
        stored.map_or_else(Default::default, |it| {
            (catalog.schema_name(it).to_owned(), names::last(it).to_owned())
        })
    };
    let own = |ty: SqlType| ("pg_catalog".to_owned(), types::describe(ty).name().to_owned());
    match ty {
        SqlType::Array(element) => {
            let (schema, name) = match element.ty() {
                SqlType::Enum(id) | SqlType::Record(id) => users(id),
                ty => own(ty),
            };
            ("ARRAY", schema, format!("_{name}"))
        }
        SqlType::Enum(id) | SqlType::Record(id) => {
            let (schema, name) = users(id);
            ("USER-DEFINED", schema, name)
        }
        ty => {
            let (schema, name) = own(ty);
            (if matches!(ty, SqlType::Char(_)) { "character" } else { ty.base_name() }, schema, name)
        }
    }
}

fn sequences(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for sequence in catalog.sequences.values() {
        let Some(name) = sequence.name.as_deref().filter(|it| relations::is_seen(catalog, it)) else {
            continue;
        };
        // Those of identity columns are the columns' own affair.
        let owner =
            sequence.owner.and_then(|(table, ordinal)| catalog.table_by_id(table)?.columns.get(ordinal));
        if owner.and_then(|it| it.identity).is_some_and(|it| it.sequence == sequence.id) {
            continue;
        }
        let bits = match sequence.ty {
            SqlType::Int2 => 16,
            SqlType::Int4 => 32,
            _ => 64,
        };
        let mut row = full(catalog, name);
        row.extend([
            text(sequence.ty.base_name()),
            int4(bits),
            int4(2),
            int4(0),
            text(sequence.start.to_string()),
            text(sequence.min.to_string()),
            text(sequence.max.to_string()),
            text(sequence.increment.to_string()),
            yes_no(sequence.cycle),
        ]);
        rows.push(row);
    }
    rows
}

/// All constraints: of which table, and what.
fn all<'a>(catalog: &'a Catalog) -> impl Iterator<Item = (&'a Arc<Table>, Constraint<'a>)> {
    seen(catalog).flat_map(move |table| constraints(catalog, table).into_iter().map(move |it| (table, it)))
}

fn named(catalog: &Catalog, table: &Table, constraint: &str) -> Vec<Datum> {
    vec![text(ROLE_NAME), text(catalog.schema_name(&table.name)), text(names::last(constraint))]
}

fn table_constraints(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for (table, constraint) in all(catalog) {
        let mut row = named(catalog, table, &constraint.name);
        row.extend(full(catalog, &table.name));
        row.extend([
            text(match constraint.kind {
                "p" => "PRIMARY KEY",
                "u" => "UNIQUE",
                "f" => "FOREIGN KEY",
                _ => "CHECK",
            }),
            yes_no(constraint.key.is_some_and(|it| it.deferrable)),
            yes_no(constraint.key.is_some_and(|it| it.deferred)),
            yes_no(true),
        ]);
        rows.push(row);
    }
    rows.extend(not_nulls(catalog));
    rows
}

/// NOT NULL counts as a check there, under a name of numbers.
fn not_nulls(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for table in seen(catalog) {
        for (ordinal, _) in table.visible().filter(|it| it.1.not_null) {
            let schema = super::oids::schema(catalog, &table.name);
            let name = format!("{schema}_{}_{}_not_null", super::oids::of(table.id.0), ordinal + 1);
            let mut row = named(catalog, table, &name);
            row.extend(full(catalog, &table.name));
            row.extend([text("CHECK"), yes_no(false), yes_no(false), yes_no(true)]);
            rows.push(row);
        }
    }
    rows
}

fn key_columns(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for (table, constraint) in all(catalog).filter(|it| it.1.kind != "c") {
        for (place, &ordinal) in constraint.columns.iter().enumerate() {
            let mut row = named(catalog, table, &constraint.name);
            row.extend(full(catalog, &table.name));
            let referenced = constraint.key.and_then(|key| referenced_place(catalog, key, place));
            row.extend([
                text(&table.columns[ordinal].name),
                int4(place as i64 + 1),
                referenced.map_or(Datum::Null, |place| int4(place as i64 + 1)),
            ]);
            rows.push(row);
        }
    }
    rows
}

/// The constraint that a foreign key refers to, and its columns.
fn referenced(catalog: &Catalog, key: &ForeignKey) -> Option<(String, Vec<usize>)> {
    let target = catalog.table_by_id(key.target)?;
    let same = |columns: &[usize]| {
        columns.len() == key.target_columns.len() && columns.iter().all(|it| key.target_columns.contains(it))
    };
    let mut keys = constraints(catalog, target).into_iter().filter(|it| matches!(it.kind, "p" | "u"));
    keys.find(|it| same(&it.columns)).map(|it| (it.name, it.columns))
}

fn referenced_place(catalog: &Catalog, key: &ForeignKey, place: usize) -> Option<usize> {
    let (_, columns) = referenced(catalog, key)?;
    columns.iter().position(|it| *it == key.target_columns[place])
}

fn rule(action: Action) -> &'static str {
    match action {
        Action::NoAction => "NO ACTION",
        Action::Restrict => "RESTRICT",
        Action::Cascade => "CASCADE",
        Action::SetNull => "SET NULL",
        Action::SetDefault => "SET DEFAULT",
    }
}

fn references(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for (table, constraint) in all(catalog) {
        let Some(key) = constraint.key else { continue };
        let mut row = named(catalog, table, &constraint.name);
        match (referenced(catalog, key), catalog.table_by_id(key.target)) {
            (Some((name, _)), Some(target)) => row.extend(named(catalog, target, &name)),
            _ => row.extend([Datum::Null, Datum::Null, Datum::Null]),
        }
        row.extend([
            text(if key.match_full { "FULL" } else { "NONE" }),
            text(rule(key.on_update)),
            text(rule(key.on_delete)),
        ]);
        rows.push(row);
    }
    rows
}

fn constraint_columns(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for (table, constraint) in all(catalog) {
        let target = constraint.key.and_then(|key| catalog.table_by_id(key.target));
        let (of, columns) = match (constraint.key, target) {
            (Some(key), Some(target)) => (target, &key.target_columns),
            _ => (table, &constraint.columns),
        };
        for &ordinal in columns {
            let mut row = full(catalog, &of.name);
            row.push(text(&of.columns[ordinal].name));
            row.extend(named(catalog, table, &constraint.name));
            rows.push(row);
        }
    }
    rows
}
