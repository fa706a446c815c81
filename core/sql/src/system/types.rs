//! Types: their numbers, and `pg_type`.

use super::{BOOL, INT2, INT4, NAME, OID, SystemView, TEXT, int4, oid, oids, text};
use crate::catalog::{Catalog, UserTypeKind};
use crate::datum::Datum;
use crate::names;
use crate::types::SqlType;
use std::collections::BTreeMap;

/// A type of ours as PostgreSQL numbers it.
pub(super) struct Builtin {
    number: i64,
    array: i64,
    name: &'static str,
    ty: SqlType,
    /// Bytes of a value; -1: as many as it takes.
    pub(super) length: i16,
    category: &'static str,
}

impl Builtin {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

const fn builtin(
    number: i64,
    array: i64,
    name: &'static str,
    ty: SqlType,
    length: i16,
    category: &'static str,
) -> Builtin {
    Builtin { number, array, name, ty, length, category }
}

const BUILTIN: &[Builtin] = &[
    builtin(16, 1000, "bool", SqlType::Bool, 1, "B"),
    builtin(17, 1001, "bytea", SqlType::Bytea, -1, "U"),
    builtin(18, 1002, "char", SqlType::QuotedChar, 1, "Z"),
    builtin(19, 1003, "name", SqlType::Name, 64, "S"),
    builtin(20, 1016, "int8", SqlType::Int8, 8, "N"),
    builtin(21, 1005, "int2", SqlType::Int2, 2, "N"),
    builtin(23, 1007, "int4", SqlType::Int4, 4, "N"),
    builtin(25, 1009, "text", SqlType::Text, -1, "S"),
    builtin(114, 199, "json", SqlType::Json, -1, "U"),
    builtin(700, 1021, "float4", SqlType::Float4, 4, "N"),
    builtin(701, 1022, "float8", SqlType::Float8, 8, "N"),
    builtin(1042, 1014, "bpchar", SqlType::Char(None), -1, "S"),
    builtin(1043, 1015, "varchar", SqlType::Varchar(None), -1, "S"),
    builtin(1082, 1182, "date", SqlType::Date, 4, "D"),
    builtin(1083, 1183, "time", SqlType::Time, 8, "D"),
    builtin(1114, 1115, "timestamp", SqlType::Timestamp, 8, "D"),
    builtin(1184, 1185, "timestamptz", SqlType::Timestamptz, 8, "D"),
    builtin(1186, 1187, "interval", SqlType::Interval, 16, "T"),
    builtin(1700, 1231, "numeric", SqlType::Numeric, -1, "N"),
    builtin(2950, 2951, "uuid", SqlType::Uuid, 16, "U"),
    builtin(3802, 3807, "jsonb", SqlType::Jsonb, -1, "U"),
];

pub(super) const VIEWS: &[SystemView] = &[
    SystemView {
        schema: "pg_catalog",
        name: "pg_type",
        columns: &[
            ("oid", OID),
            ("typname", NAME),
            ("typnamespace", OID),
            ("typowner", OID),
            ("typlen", INT2),
            ("typbyval", BOOL),
            ("typtype", TEXT),
            ("typcategory", TEXT),
            ("typispreferred", BOOL),
            ("typisdefined", BOOL),
            ("typdelim", TEXT),
            ("typrelid", OID),
            ("typelem", OID),
            ("typarray", OID),
            ("typnotnull", BOOL),
            ("typbasetype", OID),
            ("typtypmod", INT4),
            ("typndims", INT4),
            ("typcollation", OID),
            ("typdefault", TEXT),
        ],
        rows: types,
    },
    SystemView {
        schema: "pg_catalog",
        name: "pg_enum",
        columns: &[("oid", OID), ("enumtypid", OID), ("enumsortorder", SqlType::Float4), ("enumlabel", NAME)],
        rows: labels,
    },
    SystemView {
        schema: "pg_catalog",
        name: "pg_collation",
        columns: &[("oid", OID), ("collname", NAME), ("collnamespace", OID)],
        rows: |_| {
            let row = |number, name: &str| vec![oid(number), text(name), oid(oids::PG_CATALOG)];
            vec![row(100, "default"), row(950, "C"), row(951, "POSIX")]
        },
    },
];

/// What is known of a type. Of users' types as of their texts.
pub(super) fn describe(ty: SqlType) -> &'static Builtin {
    let plain = plain(ty);
    BUILTIN.iter().find(|it| it.ty == plain).unwrap_or(&BUILTIN[6])
}

/// The type without its modifier.
fn plain(ty: SqlType) -> SqlType {
    match ty.layout() {
        SqlType::Varchar(_) => SqlType::Varchar(None),
        SqlType::Char(_) => SqlType::Char(None),
        SqlType::Decimal { .. } => SqlType::Numeric,
        other => other,
    }
}

/// The number of a type.
pub fn type_oid(ty: SqlType) -> i64 {
    match ty {
        SqlType::Enum(id) => oids::of(id),
        // A table's rows and a composite type have different numbers, and only the catalog tells them apart.
        SqlType::Record(0) | SqlType::Unknown => 2249,
        SqlType::Record(id) => oids::of(id),
        SqlType::Array(element) => match element.ty() {
            SqlType::Enum(id) | SqlType::Record(id) if id > 0 => oids::array_type(id),
            SqlType::Record(_) => 2287,
            ty => describe(ty).array,
        },
        ty => describe(ty).number,
    }
}

/// The modifier of a type as `atttypmod` has it; -1: none.
pub(super) fn modifier(ty: SqlType) -> i64 {
    let inner = ty.element().unwrap_or(ty);
    match inner {
        SqlType::Varchar(Some(limit)) | SqlType::Char(Some(limit)) => i64::from(limit) + 4,
        SqlType::Decimal { precision, scale } => (i64::from(precision) << 16 | i64::from(scale)) + 4,
        SqlType::Fitted(fitted) => {
            // `numeric(p,s)` or `time(p)` as its name has it.
            let name = fitted.name();
            let digits = name.split_once('(').and_then(|it| it.1.split_once(')')).map_or("", |it| it.0);
            let mut parts = digits.split(',').filter_map(|it| it.trim().parse::<i64>().ok());
            match (fitted.layout(), parts.next(), parts.next()) {
                (SqlType::Numeric, Some(precision), Some(scale)) => (precision << 16 | (scale & 0x7ff)) + 4,
                (_, Some(precision), _) => precision,
                _ => -1,
            }
        }
        _ => -1,
    }
}

/// The collation of a type; 0: it has none.
pub(super) fn collation(ty: SqlType) -> i64 {
    match ty.element().unwrap_or(ty) {
        SqlType::Name => 950,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => 100,
        _ => 0,
    }
}

/// All types' names by number, as `format_type` gives them without a modifier.
pub(super) fn type_names(catalog: &Catalog) -> BTreeMap<i64, String> {
    let mut all = BTreeMap::new();
    for it in BUILTIN {
        let name = if it.ty == SqlType::Char(None) { "character" } else { it.ty.base_name() };
        all.insert(it.number, name.to_owned());
        all.insert(it.array, format!("{name}[]"));
    }
    for (number, name) in
        [(18, "\"char\""), (26, "oid"), (705, "unknown"), (2205, "regclass"), (2249, "record")]
    {
        all.insert(number, name.to_owned());
    }
    for ty in catalog.types.values() {
        let name = super::definitions::visible_name(catalog, &ty.name);
        all.insert(oids::array_type(ty.id), format!("{name}[]"));
        all.insert(oids::of(ty.id), name);
    }
    let relations = catalog.tables.values().map(|it| (it.id.0, &it.name));
    for (id, name) in relations.chain(catalog.views.values().map(|it| (it.id, &it.name))) {
        all.insert(oids::row_type(id), super::definitions::visible_name(catalog, name));
    }
    all
}

/// A type's name with its modifier, as `format_type` gives it.
pub fn format_type(number: i64, name: &str, modifier: Option<i64>) -> String {
    let (plain, array) = name.strip_suffix("[]").map_or((name, ""), |plain| (plain, "[]"));
    let Some(modifier) = modifier.filter(|it| *it >= 0) else {
        // `char(n)` without its n is another type.
        let is_char = matches!(number, 1042 | 1014) && modifier.is_some();
        return format!("{}{array}", if is_char { "bpchar" } else { plain });
    };
    let digits = modifier - 4;
    match number {
        1043 | 1015 | 1042 | 1014 => format!("{plain}({digits}){array}"),
        1700 | 1231 => {
            let scale = ((digits & 0x7ff) ^ 1024) - 1024;
            format!("{plain}({},{scale}){array}", digits >> 16 & 0xffff)
        }
        1083 | 1114 | 1184 | 1183 | 1115 | 1185 => match plain.split_once(' ') {
            Some((first, rest)) => format!("{first}({modifier}) {rest}{array}"),
            None => format!("{plain}({modifier}){array}"),
        },
        1186 | 1187 => format!("{plain}({modifier}){array}"),
        _ => name.to_owned(),
    }
}

struct Row<'a> {
    number: i64,
    name: String,
    schema: i64,
    length: i16,
    kind: &'a str,
    category: &'a str,
    relation: i64,
    element: i64,
    array: i64,
    not_null: bool,
    base: i64,
    base_modifier: i64,
    collation: i64,
    default: Option<&'a str>,
}

fn row(row: Row<'_>) -> Vec<Datum> {
    vec![
        oid(row.number),
        text(row.name),
        oid(row.schema),
        oid(oids::ROLE),
        Datum::Int2(row.length),
        Datum::Bool(row.length > 0 && row.length <= 8),
        text(row.kind),
        text(row.category),
        Datum::Bool(matches!(row.number, 16 | 25 | 701 | 1184 | 1186)),
        Datum::Bool(true),
        text(","),
        oid(row.relation),
        oid(row.element),
        oid(row.array),
        Datum::Bool(row.not_null),
        oid(row.base),
        int4(row.base_modifier),
        int4(0),
        oid(row.collation),
        super::opt_text(row.default),
    ]
}

fn types(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let plain = |number: i64, name: String, schema: i64| Row {
        number,
        name,
        schema,
        length: -1,
        kind: "b",
        category: "U",
        relation: 0,
        element: 0,
        array: 0,
        not_null: false,
        base: 0,
        base_modifier: -1,
        collation: 0,
        default: None,
    };
    let array = |number: i64, element: i64, name: &str, schema: i64, collation: i64| Row {
        category: "A",
        element,
        collation,
        ..plain(number, format!("_{name}"), schema)
    };
    let mut rows = Vec::new();
    for it in BUILTIN {
        let Builtin { number, array: of, name, ty, length, category } = *it;
        let collation = collation(ty);
        let own = plain(number, name.to_owned(), oids::PG_CATALOG);
        rows.push(row(Row { length, category, array: of, collation, ..own }));
        rows.push(row(array(of, number, name, oids::PG_CATALOG, collation)));
    }
    for ty in catalog.types.values() {
        let (number, schema) = (oids::of(ty.id), oids::schema(catalog, &ty.name));
        let name = names::last(&ty.name);
        let own = Row { array: oids::array_type(ty.id), ..plain(number, name.to_owned(), schema) };
        rows.push(row(match &ty.kind {
            UserTypeKind::Enum(_) => Row { length: 4, kind: "e", category: "E", ..own },
            UserTypeKind::Composite(_) => {
                Row { kind: "c", category: "C", relation: oids::row_type(ty.id), ..own }
            }
            UserTypeKind::Domain(domain) => Row {
                length: describe(domain.base).length,
                kind: "d",
                category: describe(domain.base).category,
                not_null: domain.not_null,
                base: type_oid(domain.base),
                base_modifier: modifier(domain.base),
                collation: collation(domain.base),
                default: domain.default.as_deref(),
                ..own
            },
        }));
        rows.push(row(array(oids::array_type(ty.id), number, name, schema, 0)));
    }
    let tables = catalog.tables.values().filter(|it| super::relations::is_seen(catalog, &it.name));
    let relations = tables.map(|it| (it.id.0, &it.name));
    for (id, name) in relations.chain(catalog.views.values().map(|it| (it.id, &it.name))) {
        let own = plain(oids::row_type(id), names::last(name).to_owned(), oids::schema(catalog, name));
        rows.push(row(Row { kind: "c", category: "C", relation: oids::of(id), ..own }));
    }
    rows
}

fn labels(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for ty in catalog.types.values() {
        let UserTypeKind::Enum(labels) = &ty.kind else { continue };
        for (place, label) in labels.iter().enumerate() {
            let number = (1 << 47) + i64::from(ty.id) * 4_096 + place as i64;
            rows.push(vec![
                oid(number),
                oid(oids::of(ty.id)),
                Datum::Float4(place as f32 + 1.0),
                text(label),
            ]);
        }
    }
    rows
}
