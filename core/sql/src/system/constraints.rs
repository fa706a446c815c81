//! Constraints, defaults, and what depends on what.

use super::definitions::{Constraint, constraints};
use super::{
    BOOL, INT2, INT4, NAME, OID, SystemView, TEXT, array_of, int2, int4, none, numbers, oid, oids, relations,
    text,
};
use crate::catalog::{Action, Catalog};
use crate::datum::Datum;
use crate::names;
use crate::types::SqlType;

const SMALLINTS: SqlType = array_of(SqlType::Int2);
const OIDS: SqlType = array_of(SqlType::Int8);
const TEXTS: SqlType = array_of(SqlType::Text);
const PG: &str = "pg_catalog";

pub(super) const VIEWS: &[SystemView] = &[
    SystemView {
        schema: PG,
        name: "pg_constraint",
        columns: &[
            ("oid", OID),
            ("conname", NAME),
            ("connamespace", OID),
            ("contype", TEXT),
            ("condeferrable", BOOL),
            ("condeferred", BOOL),
            ("convalidated", BOOL),
            ("conrelid", OID),
            ("contypid", OID),
            ("conindid", OID),
            ("conparentid", OID),
            ("confrelid", OID),
            ("confupdtype", TEXT),
            ("confdeltype", TEXT),
            ("confmatchtype", TEXT),
            ("conislocal", BOOL),
            ("coninhcount", INT4),
            ("connoinherit", BOOL),
            ("conkey", SMALLINTS),
            ("confkey", SMALLINTS),
            ("conbin", TEXT),
        ],
        rows: constraint_rows,
    },
    SystemView {
        schema: PG,
        name: "pg_attrdef",
        columns: &[("oid", OID), ("adrelid", OID), ("adnum", INT2), ("adbin", TEXT)],
        rows: defaults,
    },
    SystemView {
        schema: PG,
        name: "pg_depend",
        columns: &[
            ("classid", OID),
            ("objid", OID),
            ("objsubid", INT4),
            ("refclassid", OID),
            ("refobjid", OID),
            ("refobjsubid", INT4),
            ("deptype", TEXT),
        ],
        rows: owned_sequences,
    },
    SystemView {
        schema: PG,
        name: "pg_auth_members",
        columns: &[("roleid", OID), ("member", OID), ("grantor", OID), ("admin_option", BOOL)],
        rows: none,
    },
    SystemView {
        schema: PG,
        name: "pg_policy",
        columns: &[
            ("oid", OID),
            ("polname", NAME),
            ("polrelid", OID),
            ("polcmd", TEXT),
            ("polpermissive", BOOL),
            ("polroles", OIDS),
            ("polqual", TEXT),
            ("polwithcheck", TEXT),
        ],
        rows: none,
    },
    SystemView {
        schema: PG,
        name: "pg_statistic_ext",
        columns: &[
            ("oid", OID),
            ("stxrelid", OID),
            ("stxname", NAME),
            ("stxnamespace", OID),
            ("stxowner", OID),
            ("stxstattarget", INT4),
            ("stxkind", TEXTS),
        ],
        rows: none,
    },
    SystemView {
        schema: PG,
        name: "pg_publication",
        columns: &[("oid", OID), ("pubname", NAME), ("pubowner", OID), ("puballtables", BOOL)],
        rows: none,
    },
    SystemView {
        schema: PG,
        name: "pg_publication_namespace",
        columns: &[("oid", OID), ("pnpubid", OID), ("pnnspid", OID)],
        rows: none,
    },
    SystemView {
        schema: PG,
        name: "pg_publication_rel",
        columns: &[
            ("oid", OID),
            ("prpubid", OID),
            ("prrelid", OID),
            ("prqual", TEXT),
            ("prattrs", SMALLINTS),
        ],
        rows: none,
    },
    SystemView {
        schema: PG,
        name: "pg_trigger",
        columns: &[
            ("oid", OID),
            ("tgrelid", OID),
            ("tgparentid", OID),
            ("tgname", NAME),
            ("tgenabled", TEXT),
            ("tgisinternal", BOOL),
        ],
        rows: none,
    },
    SystemView {
        schema: PG,
        name: "pg_extension",
        columns: &[("oid", OID), ("extname", NAME), ("extnamespace", OID), ("extversion", TEXT)],
        rows: none,
    },
];

fn letter(action: Action) -> &'static str {
    match action {
        Action::NoAction => "a",
        Action::Restrict => "r",
        Action::Cascade => "c",
        Action::SetNull => "n",
        Action::SetDefault => "d",
    }
}

fn constraint_rows(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for table in catalog.tables.values().filter(|it| relations::is_seen(catalog, &it.name)) {
        for Constraint { number, name, kind, index, columns, definition, key } in constraints(catalog, table)
        {
            let check = (kind == "c").then_some(definition);
            rows.push(vec![
                oid(number),
                text(names::last(&name)),
                oid(oids::schema(catalog, &table.name)),
                text(kind),
                Datum::Bool(key.is_some_and(|it| it.deferrable)),
                Datum::Bool(key.is_some_and(|it| it.deferred)),
                Datum::Bool(true),
                oid(oids::of(table.id.0)),
                oid(0),
                oid(index),
                oid(0),
                oid(key.map_or(0, |it| oids::of(it.target))),
                text(key.map_or(" ", |it| letter(it.on_update))),
                text(key.map_or(" ", |it| letter(it.on_delete))),
                text(key.map_or(" ", |it| if it.match_full { "f" } else { "s" })),
                Datum::Bool(true),
                int4(0),
                Datum::Bool(kind != "c"),
                numbers(columns.iter().map(|it| it + 1)),
                key.map_or(Datum::Null, |it| numbers(it.target_columns.iter().map(|it| it + 1))),
                super::opt_text(check),
            ]);
        }
    }
    rows
}

fn defaults(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for table in catalog.tables.values().filter(|it| relations::is_seen(catalog, &it.name)) {
        for (ordinal, column) in table.visible() {
            let default = column.default.as_deref().map(|it| catalog.shown_default(it));
            if let Some(shown) = column.generated.clone().or(default) {
                let number = oids::default(table, ordinal);
                rows.push(vec![oid(number), oid(oids::of(table.id.0)), int2(ordinal + 1), text(shown)]);
            }
        }
    }
    rows
}

/// Sequences that belong to columns: what programs ask of the dependencies.
fn owned_sequences(catalog: &Catalog) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for sequence in catalog.sequences.values().filter(|it| it.name.is_some()) {
        let Some((table, ordinal)) = sequence.owner else { continue };
        let column = catalog.table_by_id(table).and_then(|it| it.columns.get(ordinal));
        let is_identity =
            column.and_then(|it| it.identity).is_some_and(|identity| identity.sequence == sequence.id);
        rows.push(vec![
            oid(1259),
            oid(oids::of(sequence.id)),
            int4(0),
            oid(1259),
            oid(oids::of(table)),
            int4(ordinal as i64 + 1),
            text(if is_identity { "i" } else { "a" }),
        ]);
    }
    rows
}
