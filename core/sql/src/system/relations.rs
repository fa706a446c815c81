//! What there is: schemas, relations, their columns.

use super::{
    BOOL, INT2, INT4, NAME, OID, SystemView, TEXT, definitions, int2, int4, none, oid, oids, opt_text, text,
    types, vector,
};
use crate::catalog::{Catalog, Column, View, is_temporary};
use crate::datum::Datum;
use crate::names;
use crate::types::SqlType;
use std::sync::Arc;

const SMALLINTS: SqlType = super::array_of(SqlType::Int2);
const TEXTS: SqlType = super::array_of(SqlType::Text);
const PG: &str = "pg_catalog";

pub(super) const VIEWS: &[SystemView] = &[
    SystemView {
        schema: PG,
        name: "pg_namespace",
        columns: &[("oid", OID), ("nspname", NAME), ("nspowner", OID), ("nspacl", TEXTS)],
        rows: namespaces,
    },
    SystemView {
        schema: PG,
        name: "pg_class",
        columns: &[
            ("oid", OID),
            ("relname", NAME),
            ("relnamespace", OID),
            ("reltype", OID),
            ("reloftype", OID),
            ("relowner", OID),
            ("relam", OID),
            ("relfilenode", OID),
            ("reltablespace", OID),
            ("relpages", INT4),
            ("reltuples", SqlType::Float4),
            ("relallvisible", INT4),
            ("reltoastrelid", OID),
            ("relhasindex", BOOL),
            ("relisshared", BOOL),
            ("relpersistence", TEXT),
            ("relkind", TEXT),
            ("relnatts", INT2),
            ("relchecks", INT2),
            ("relhasrules", BOOL),
            ("relhastriggers", BOOL),
            ("relhassubclass", BOOL),
            ("relrowsecurity", BOOL),
            ("relforcerowsecurity", BOOL),
            ("relispopulated", BOOL),
            ("relreplident", TEXT),
            ("relispartition", BOOL),
            ("relacl", TEXTS),
            ("reloptions", TEXTS),
            ("relpartbound", TEXT),
        ],
        rows: classes,
    },
    SystemView {
        schema: PG,
        name: "pg_attribute",
        columns: &[
            ("attrelid", OID),
            ("attname", NAME),
            ("atttypid", OID),
            ("attstattarget", INT4),
            ("attlen", INT2),
            ("attnum", INT2),
            ("attndims", INT4),
            ("atttypmod", INT4),
            ("attbyval", BOOL),
            ("attstorage", TEXT),
            ("attcompression", TEXT),
            ("attalign", TEXT),
            ("attnotnull", BOOL),
            ("atthasdef", BOOL),
            ("atthasmissing", BOOL),
            ("attidentity", TEXT),
            ("attgenerated", TEXT),
            ("attisdropped", BOOL),
            ("attislocal", BOOL),
            ("attinhcount", INT4),
            ("attcollation", OID),
            ("attacl", TEXTS),
            ("attoptions", TEXTS),
            ("attfdwoptions", TEXTS),
        ],
        rows: attributes,
    },
    SystemView {
        schema: PG,
        name: "pg_index",
        columns: &[
            ("indexrelid", OID),
            ("indrelid", OID),
            ("indnatts", INT2),
            ("indnkeyatts", INT2),
            ("indisunique", BOOL),
            ("indnullsnotdistinct", BOOL),
            ("indisprimary", BOOL),
            ("indisexclusion", BOOL),
            ("indimmediate", BOOL),
            ("indisclustered", BOOL),
            ("indisvalid", BOOL),
            ("indcheckxmin", BOOL),
            ("indisready", BOOL),
            ("indislive", BOOL),
            ("indisreplident", BOOL),
            ("indkey", SMALLINTS),
            ("indoption", SMALLINTS),
            ("indexprs", TEXT),
            ("indpred", TEXT),
        ],
        rows: indexes,
    },
    SystemView {
        schema: PG,
        name: "pg_sequence",
        columns: &[
            ("seqrelid", OID),
            ("seqtypid", OID),
            ("seqstart", SqlType::Int8),
            ("seqincrement", SqlType::Int8),
            ("seqmax", SqlType::Int8),
            ("seqmin", SqlType::Int8),
            ("seqcache", SqlType::Int8),
            ("seqcycle", BOOL),
        ],
        rows: sequences,
    },
    SystemView {
        schema: PG,
        name: "pg_tables",
        columns: &[
            ("schemaname", NAME),
            ("tablename", NAME),
            ("tableowner", NAME),
            ("tablespace", NAME),
            ("hasindexes", BOOL),
            ("hasrules", BOOL),
            ("hastriggers", BOOL),
            ("rowsecurity", BOOL),
        ],
        rows: tables,
    },
    SystemView {
        schema: PG,
        name: "pg_views",
        columns: &[("schemaname", NAME), ("viewname", NAME), ("viewowner", NAME), ("definition", TEXT)],
        rows: views,
    },
    SystemView {
        schema: PG,
        name: "pg_indexes",
        columns: &[
            ("schemaname", NAME),
            ("tablename", NAME),
            ("indexname", NAME),
            ("tablespace", NAME),
            ("indexdef", TEXT),
        ],
        rows: index_texts,
    },
    SystemView {
        schema: PG,
        name: "pg_database",
        columns: &[
            ("oid", OID),
            ("datname", NAME),
            ("datdba", OID),
            ("encoding", INT4),
            ("datlocprovider", TEXT),
            ("datistemplate", BOOL),
            ("datallowconn", BOOL),
            ("datcollate", TEXT),
            ("datctype", TEXT),
            ("daticulocale", TEXT),
            ("datacl", TEXTS),
        ],
        rows: databases,
    },
    SystemView {
        schema: PG,
        name: "pg_roles",
        columns: &[
            ("oid", OID),
            ("rolname", NAME),
            ("rolsuper", BOOL),
            ("rolinherit", BOOL),
            ("rolcreaterole", BOOL),
            ("rolcreatedb", BOOL),
            ("rolcanlogin", BOOL),
            ("rolreplication", BOOL),
            ("rolconnlimit", INT4),
            ("rolvaliduntil", SqlType::Timestamptz),
            ("rolbypassrls", BOOL),
        ],
        rows: roles,
    },
    SystemView {
        schema: PG,
        name: "pg_am",
        columns: &[("oid", OID), ("amname", NAME), ("amhandler", OID), ("amtype", TEXT)],
        rows: access_methods,
    },
    SystemView {
        schema: PG,
        name: "pg_description",
        columns: &[("objoid", OID), ("classoid", OID), ("objsubid", INT4), ("description", TEXT)],
        rows: super::comments::descriptions,
    },
    SystemView {
        schema: PG,
        name: "pg_inherits",
        columns: &[("inhrelid", OID), ("inhparent", OID), ("inhseqno", INT4), ("inhdetachpending", BOOL)],
        rows: none,
    },
];

fn namespaces(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let row = |number: i64, name: &str| vec![oid(number), text(name), oid(oids::ROLE), Datum::Null];
    let mut rows = vec![
        row(oids::PG_CATALOG, PG),
        row(oids::PUBLIC, "public"),
        row(oids::INFORMATION_SCHEMA, "information_schema"),
    ];
    if let Some(prefix) = &catalog.temporary {
        rows.push(row(13_001, prefix.trim_end_matches('.')));
    }
    rows.extend(catalog.schemas.iter().map(|(id, name)| row(oids::of(*id), name)));
    rows
}

/// Whether a relation is nobody else's temporary one.
pub(super) fn is_seen(catalog: &Catalog, stored: &str) -> bool {
    !is_temporary(stored) || catalog.temporary.as_ref().is_some_and(|prefix| stored.starts_with(&**prefix))
}

/// The views that are nobody else's temporary ones.
pub(super) fn seen_views(catalog: &Catalog) -> impl Iterator<Item = &Arc<View>> {
    catalog.views.values().filter(|view| is_seen(catalog, &view.name))
}

#[derive(Default)]
struct Class<'a> {
    number: i64,
    name: &'a str,
    kind: &'a str,
    row_type: i64,
    method: i64,
    column_count: usize,
    check_count: usize,
    tuples: Option<u64>,
    has_index: bool,
    has_triggers: bool,
}

fn class(catalog: &Catalog, class: &Class<'_>) -> Vec<Datum> {
    let Class {
        number,
        name,
        kind,
        row_type,
        method,
        column_count,
        check_count,
        tuples,
        has_index,
        has_triggers,
    } = *class;
    let no = || Datum::Bool(false);
    let persistence = if is_temporary(name) { "t" } else { "p" };
    vec![
        oid(number),
        text(names::last(name)),
        oid(oids::schema(catalog, name)),
        oid(row_type),
        oid(0),
        oid(oids::ROLE),
        oid(method),
        oid(number),
        oid(0),
        int4(0),
        Datum::Float4(tuples.map_or(-1.0, |count| count as f32)),
        int4(0),
        oid(0),
        Datum::Bool(has_index),
        no(),
        text(persistence),
        text(kind),
        int2(column_count),
        int2(check_count),
        Datum::Bool(kind == "v"),
        Datum::Bool(has_triggers),
        no(),
        no(),
        no(),
        Datum::Bool(true),
        text(if kind == "r" { "d" } else { "n" }),
        no(),
        Datum::Null,
        Datum::Null,
        Datum::Null,
    ]
}

fn classes(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    let referred =
        |id: u32| catalog.tables.values().flat_map(|it| &it.foreign_keys).any(|key| key.target == id);
    for table in catalog.tables.values().filter(|it| is_seen(catalog, &it.name)) {
        rows.push(class(
            catalog,
            &Class {
                number: oids::of(table.id.0),
                name: &table.name,
                kind: "r",
                row_type: oids::row_type(table.id.0),
                method: oids::HEAP,
                column_count: table.columns.len(),
                check_count: table.checks.len(),
                tuples: table.statistics.as_ref().map(|it| it.row_count),
                has_index: table.primary_key_name.is_some() || !table.indexes.is_empty(),
                has_triggers: !table.foreign_keys.is_empty() || referred(table.id.0),
            },
        ));
        let index = |number, name: &str, column_count| {
            let (kind, method, tuples) = ("i", oids::BTREE, Some(0));
            class(catalog, &Class { number, name, kind, method, column_count, tuples, ..Class::default() })
        };
        if let Some(name) = &table.primary_key_name {
            rows.push(index(oids::primary_key(table), name, table.primary_key.len()));
        }
        for it in &table.indexes {
            rows.push(index(
                oids::of(it.tree.0),
                &it.name,
                definitions::key_columns(it).len() + it.include.len(),
            ));
        }
    }
    let plain = |number, name, kind, row_type, column_count| {
        class(catalog, &Class { number, name, kind, row_type, column_count, ..Class::default() })
    };
    for view in seen_views(catalog) {
        rows.push(plain(oids::of(view.id), &view.name, "v", oids::row_type(view.id), view.columns.len()));
    }
    for sequence in catalog.sequences.values() {
        if let Some(name) = sequence.name.as_deref().filter(|name| is_seen(catalog, name)) {
            rows.push(plain(oids::of(sequence.id), name, "S", 0, 3));
        }
    }
    for ty in catalog.types.values() {
        if let crate::catalog::UserTypeKind::Composite(fields) = &ty.kind {
            rows.push(plain(oids::row_type(ty.id), &ty.name, "c", oids::of(ty.id), fields.len()));
        }
    }
    rows
}

fn attribute(relation: i64, number: usize, name: &str, ty: SqlType, column: Option<&Column>) -> Vec<Datum> {
    let no = || Datum::Bool(false);
    let dropped = column.is_some_and(|it| it.hidden);
    let kind = types::describe(ty);
    let has_default = column.is_some_and(|it| it.default.is_some() || it.generated.is_some());
    let identity = column.and_then(|it| it.identity).map_or("", |it| if it.always { "a" } else { "d" });
    vec![
        oid(relation),
        text(name),
        oid(if dropped { 0 } else { types::type_oid(ty) }),
        int4(-1),
        Datum::Int2(kind.length),
        int2(number),
        int4(i64::from(matches!(ty, SqlType::Array(_)))),
        int4(types::modifier(ty)),
        Datum::Bool(kind.length > 0 && kind.length <= 8),
        text(if kind.length > 0 { "p" } else { "x" }),
        text(""),
        text("i"),
        Datum::Bool(column.is_some_and(|it| it.not_null)),
        Datum::Bool(has_default),
        no(),
        text(identity),
        text(if column.is_some_and(|it| it.generated.is_some()) { "s" } else { "" }),
        Datum::Bool(dropped),
        Datum::Bool(true),
        int4(0),
        oid(types::collation(ty)),
        Datum::Null,
        Datum::Null,
        Datum::Null,
    ]
}

fn attributes(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for table in catalog.tables.values().filter(|it| is_seen(catalog, &it.name)) {
        for (ordinal, column) in table.columns.iter().enumerate() {
            // The columns of indexed expressions are nobody's.
            if !(column.hidden && column.generated.is_some()) {
                let (number, ty) = (oids::of(table.id.0), column.assigned());
                rows.push(attribute(number, ordinal + 1, &column.name, ty, Some(column)));
            }
        }
        let of_index = |number: i64, ordinals: &[usize], rows: &mut Vec<Vec<Datum>>| {
            for (place, &ordinal) in ordinals.iter().enumerate() {
                let column = &table.columns[ordinal];
                rows.push(attribute(number, place + 1, &column.name, column.assigned(), None));
            }
        };
        if table.primary_key_name.is_some() {
            of_index(oids::primary_key(table), &table.primary_key, &mut rows);
        }
        for index in &table.indexes {
            let keys = definitions::key_columns(index).iter().map(|it| it.ordinal);
            let ordinals: Vec<usize> = keys.chain(index.include.iter().copied()).collect();
            of_index(oids::of(index.tree.0), &ordinals, &mut rows);
        }
    }
    for view in seen_views(catalog) {
        for (place, column) in view.columns.iter().enumerate() {
            rows.push(attribute(oids::of(view.id), place + 1, &column.name, column.ty, None));
        }
    }
    for ty in catalog.types.values() {
        if let crate::catalog::UserTypeKind::Composite(fields) = &ty.kind {
            for (place, (name, ty_of, _)) in fields.iter().enumerate() {
                rows.push(attribute(oids::row_type(ty.id), place + 1, name, *ty_of, None));
            }
        }
    }
    rows
}

fn indexes(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for table in catalog.tables.values().filter(|it| is_seen(catalog, &it.name)) {
        let mut add = |number: i64,
                       unique: bool,
                       primary: bool,
                       keys: Vec<(usize, bool)>,
                       include: &[usize],
                       predicate: Option<&str>| {
            // A column that is an expression's has no number.
            let shown = |ordinal: usize| if table.columns[ordinal].hidden { 0 } else { ordinal + 1 };
            let exprs = keys.iter().filter(|it| table.columns[it.0].hidden);
            let exprs: Vec<&str> = exprs.filter_map(|it| table.columns[it.0].generated.as_deref()).collect();
            let (yes, no) = (|| Datum::Bool(true), || Datum::Bool(false));
            rows.push(vec![
                oid(number),
                oid(oids::of(table.id.0)),
                int2(keys.len() + include.len()),
                int2(keys.len()),
                Datum::Bool(unique),
                no(),
                Datum::Bool(primary),
                no(),
                yes(),
                no(),
                yes(),
                no(),
                yes(),
                yes(),
                no(),
                vector(keys.iter().map(|it| shown(it.0)).chain(include.iter().map(|&it| it + 1))),
                // Descending, and then NULLs come first.
                vector(keys.iter().map(|it| if it.1 { 3 } else { 0 })),
                opt_text((!exprs.is_empty()).then(|| exprs.join(", "))),
                opt_text(predicate),
            ]);
        };
        if table.primary_key_name.is_some() {
            let keys = table.primary_key.iter().map(|&ordinal| (ordinal, false)).collect();
            add(oids::primary_key(table), true, true, keys, &[], None);
        }
        for index in &table.indexes {
            let keys = definitions::key_columns(index).iter().map(|it| (it.ordinal, it.descending)).collect();
            let (number, predicate) = (oids::of(index.tree.0), index.predicate.as_deref());
            add(number, index.unique, false, keys, &index.include, predicate);
        }
    }
    rows
}

fn sequences(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let named =
        catalog.sequences.values().filter(|it| it.name.as_deref().is_some_and(|it| is_seen(catalog, it)));
    named
        .map(|it| {
            vec![
                oid(oids::of(it.id)),
                oid(types::type_oid(it.ty)),
                Datum::Int8(it.start),
                Datum::Int8(it.increment),
                Datum::Int8(it.max),
                Datum::Int8(it.min),
                Datum::Int8(1),
                Datum::Bool(it.cycle),
            ]
        })
        .collect()
}

fn tables(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let seen = catalog.tables.values().filter(|it| is_seen(catalog, &it.name));
    seen.map(|table| {
        vec![
            text(catalog.schema_name(&table.name)),
            text(names::last(&table.name)),
            text(super::definitions::ROLE_NAME),
            Datum::Null,
            Datum::Bool(table.primary_key_name.is_some() || !table.indexes.is_empty()),
            Datum::Bool(false),
            Datum::Bool(!table.foreign_keys.is_empty()),
            Datum::Bool(false),
        ]
    })
    .collect()
}

fn views(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let row = |view: &std::sync::Arc<crate::catalog::View>| {
        vec![
            text(catalog.schema_name(&view.name)),
            text(names::last(&view.name)),
            text(super::definitions::ROLE_NAME),
            text(definitions::view_text(view)),
        ]
    };
    seen_views(catalog).map(row).collect()
}

fn index_texts(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for table in catalog.tables.values().filter(|it| is_seen(catalog, &it.name)) {
        for (_, name, definition) in definitions::index_texts(catalog, table) {
            rows.push(vec![
                text(catalog.schema_name(&table.name)),
                text(names::last(&table.name)),
                text(names::last(&name)),
                Datum::Null,
                text(definition),
            ]);
        }
    }
    rows
}

fn databases(_: &Catalog) -> Vec<Vec<Datum>> {
    vec![vec![
        oid(5),
        text(super::definitions::ROLE_NAME),
        oid(oids::ROLE),
        int4(6),
        text("c"),
        Datum::Bool(false),
        Datum::Bool(true),
        text("C"),
        text("C"),
        Datum::Null,
        Datum::Null,
    ]]
}

fn roles(_: &Catalog) -> Vec<Vec<Datum>> {
    let yes = || Datum::Bool(true);
    let name = text(super::definitions::ROLE_NAME);
    let role = oid(oids::ROLE);
    vec![vec![role, name, yes(), yes(), yes(), yes(), yes(), yes(), int4(-1), Datum::Null, yes()]]
}

fn access_methods(_: &Catalog) -> Vec<Vec<Datum>> {
    let row = |number, name: &str, kind: &str| vec![oid(number), text(name), oid(0), text(kind)];
    vec![row(oids::HEAP, "heap", "t"), row(oids::BTREE, "btree", "i")]
}
