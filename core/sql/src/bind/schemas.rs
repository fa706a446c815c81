//! Schemas: which relation or type a name means, the names that new ones are stored under ([`crate::names`]), and the statements
//! about schemas.
//!
//! A view's text means the relations that it meant when it was made, whatever `search_path` says now: those that it depends on. In
//! other stored texts (defaults, checks) names are looked for in `public`; what would be found elsewhere is refused when it
//! is defined.

use super::binder::Binder;
use super::resolve::no_function;
use super::scope::Scope;
use crate::array::ArrayValue;
use crate::catalog::is_temporary;
use crate::datum::Datum;
use crate::ddl::{Ddl, SchemaChange};
use crate::expr::Expr;
use crate::names;
use crate::parse::ast::{self, Name, SchemaStatement};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::borrow::Cow;
use std::rc::Rc;

/// Names that no user's schema has.
const RESERVED: [&str; 4] = ["public", "information_schema", "pg_catalog", crate::system::LIVE_SCHEMA];

/// Functions that the session's own state answers.
const SESSION: [&str; 8] = [
    "current_catalog",
    "current_database",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_user",
    "session_user",
    "user",
];

pub(super) fn is_session_function(name: &str) -> bool {
    SESSION.contains(&name)
}

fn no_schema(name: &str, at: u32) -> Error {
    Error::new(SqlState::UNDEFINED_SCHEMA, format!("schema \"{name}\" does not exist")).at(at)
}

impl Binder<'_> {
    /// The name under which the catalog has what a statement names, if it has it: the session's own temporary relation before
    /// any other, then what the schemas of `search_path` have.
    pub(super) fn stored<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if name.starts_with('\0') || is_temporary(name) {
            return Cow::Borrowed(name);
        }
        if let Some((schema, own)) = names::split_written(name) {
            let stored = match schema {
                "public" => return Cow::Borrowed(own),
                "pg_temp" => self.catalog.temporary.as_ref().map(|prefix| format!("{prefix}{own}")),
                _ => self.catalog.schema(schema).map(|id| names::stored_in(id, own)),
            };
            return stored.map_or(Cow::Borrowed(name), Cow::Owned);
        }
        if let Some(view) = self.views.last() {
            return self.meant_by_view(*view, name);
        }
        if self.is_stored {
            return Cow::Borrowed(name);
        }
        if let Some(prefix) = &self.catalog.temporary {
            let own = format!("{prefix}{name}");
            if self.catalog.is_taken(&own) {
                return Cow::Owned(own);
            }
        }
        let Some(schemas) = self.path() else { return Cow::Borrowed(name) };
        let stored = |schema: &Option<u32>| match schema {
            Some(id) => Cow::Owned(names::stored_in(*id, name)),
            None => Cow::Borrowed(name),
        };
        let found = schemas.iter().map(stored).find(|it| self.catalog.is_taken(it));
        // One that nothing has.
        found.unwrap_or_else(|| Cow::Owned(format!("\0\0{name}")))
    }

    /// The schemas of `search_path` that there are, `public` as `None`. `None`: nothing but `public`.
    pub(super) fn path(&self) -> Option<Vec<Option<u32>>> {
        let path = self.catalog.path.as_ref()?;
        let schema = |name: &String| match name.as_str() {
            "public" => Some(None),
            name => self.catalog.schema(name).map(Some),
        };
        Some(path.iter().filter_map(schema).collect())
    }

    fn meant_by_view<'n>(&self, view: u32, name: &'n str) -> Cow<'n, str> {
        let materialized = self.catalog.materialized.get(&view);
        let view = materialized.or_else(|| self.catalog.views.values().find(|it| it.id == view));
        for id in view.into_iter().flat_map(|view| &view.depends) {
            let stored = self.catalog.relation_name(*id);
            if let Some(stored) = stored.filter(|stored| names::last(stored) == name) {
                return Cow::Owned(stored.to_owned());
            }
        }
        Cow::Borrowed(name)
    }

    /// Errors: 0A000 for a type outside of `public` that a stored text names without its schema.
    pub(super) fn refuse_unqualified(&self, name: &Name, stored: &str) -> Result<()> {
        if self.defines && !name.text.contains('\0') && *stored != *name.text {
            let what = format!("type \"{}\" without its schema in a definition", name.text);
            return Err(Error::unsupported(what).with_hint("Write the schema's name before it.").at(name.at));
        }
        Ok(())
    }

    /// The name that a relation or type to be made is stored under. Errors: 3F000, 42501, 42939.
    pub(super) fn new_name(&self, name: &Name) -> Result<Name> {
        let stored = |text: String| Name { text, at: name.at };
        match names::split_written(&name.text) {
            Some(("public", _)) => {}
            Some(("pg_temp", _)) => return self.temporary_name(&name.own()),
            Some((schema @ ("pg_catalog" | "information_schema" | crate::system::LIVE_SCHEMA), _)) => {
                let message = format!("permission denied for schema {schema}");
                return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            Some((schema, own)) => {
                let id = self.catalog.schema(schema).ok_or_else(|| no_schema(schema, name.at))?;
                return Ok(stored(names::stored_in(id, own)));
            }
            None => match self.path().map(|path| path.first().copied()) {
                None | Some(Some(None)) => {}
                Some(Some(Some(id))) => return Ok(stored(names::stored_in(id, &name.text))),
                Some(None) => {
                    let message = "no schema has been selected to create in";
                    return Err(Error::new(SqlState::UNDEFINED_SCHEMA, message).at(name.at));
                }
            },
        }
        let own = name.own();
        super::temporary::refuse_reserved(&own)?;
        Ok(own)
    }

    /// CREATE, ALTER, DROP SCHEMA. Errors: 42P06, 42939, 3F000.
    pub(super) fn schema_statement(&self, statement: &SchemaStatement) -> Result<Ddl> {
        match statement {
            SchemaStatement::Create { name, if_not_exists } => {
                if *if_not_exists && self.is_schema(&name.text) {
                    return Ok(Ddl::Nothing(format!("schema \"{}\" already exists, skipping", name.text)));
                }
                self.check_new_schema(name)?;
                Ok(Ddl::Schema(SchemaChange::Create(name.text.clone())))
            }
            SchemaStatement::Rename { name, to } => {
                let id = self.schema_to_change(name)?;
                self.check_new_schema(to)?;
                Ok(Ddl::Schema(SchemaChange::Rename(id, to.text.clone())))
            }
            SchemaStatement::Drop { names, if_exists, cascade } => {
                let (mut ids, mut notice) = (Vec::new(), None);
                for name in names {
                    if *if_exists && !self.is_schema(&name.text) {
                        notice = Some(format!("schema \"{}\" does not exist, skipping", name.text));
                        continue;
                    }
                    ids.push(self.schema_to_change(name)?);
                }
                let is_in = |stored: &str| names::schema_of(stored).is_some_and(|id| ids.contains(&id));
                let tables = self.catalog.tables.values().filter(|it| is_in(&it.name)).cloned().collect();
                Ok(match notice {
                    Some(notice) if ids.is_empty() => Ddl::Nothing(notice),
                    _ => Ddl::Schema(SchemaChange::Drop { ids, tables, cascade: *cascade }),
                })
            }
        }
    }

    /// What says who and where the session is. Errors: 42883.
    pub(super) fn session_call(
        &mut self,
        scope: &Rc<Scope>,
        name: &Name,
        args: &[ast::Expr],
        at: u32,
    ) -> Result<Expr> {
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push(self.expr(scope, arg)?);
        }
        let types: Vec<SqlType> = bound.iter().map(Expr::ty).collect();
        self.session_value(&name.text, &bound).ok_or_else(|| no_function(&name.text, &types, at))
    }

    /// A schema of the system that comes first in `search_path`.
    fn first_of_path(&self) -> Option<String> {
        let first = self.catalog.path.as_ref()?.iter().find(|name| self.is_schema(name))?;
        (first != "public" && self.catalog.schema(first).is_none()).then(|| first.clone())
    }

    fn session_value(&self, name: &str, args: &[Expr]) -> Option<Expr> {
        let path = || self.path().unwrap_or_else(|| vec![None]);
        let shown = |id: &Option<u32>| match id {
            Some(id) => self.catalog.schemas.get(id).cloned().unwrap_or_default(),
            None => "public".to_owned(),
        };
        let text = |text: String| Expr::Literal { value: Datum::Text(text.into()), ty: SqlType::Name };
        Some(match (name, args) {
            ("current_schema", []) => match (self.first_of_path(), path().first()) {
                (Some(system), _) => text(system),
                (None, Some(first)) => text(shown(first)),
                (None, None) => Expr::Literal { value: Datum::Null, ty: SqlType::Name },
            },
            ("current_schemas", [Expr::Literal { value: Datum::Bool(implicit), .. }]) => {
                let mut names: Vec<String> = Vec::new();
                if let (true, Some(prefix)) = (*implicit, &self.catalog.temporary) {
                    names.push(prefix.trim_end_matches('.').to_owned());
                }
                if *implicit {
                    names.push("pg_catalog".to_owned());
                }
                names.extend(path().iter().map(shown));
                let items = names.into_iter().map(|name| Datum::Text(name.into())).collect();
                let value = Datum::Array(ArrayValue::of(SqlType::Name, items).into());
                Expr::Literal { value, ty: SqlType::Name.array()? }
            }
            ("current_database" | "current_catalog", []) => text("orrery".to_owned()),
            ("current_user" | "session_user" | "user" | "current_role", []) => text("orrery".to_owned()),
            _ => return None,
        })
    }

    fn is_schema(&self, name: &str) -> bool {
        RESERVED.contains(&name) || self.catalog.schema(name).is_some()
    }

    fn check_new_schema(&self, name: &Name) -> Result<()> {
        if self.is_schema(&name.text) {
            let message = format!("schema \"{}\" already exists", name.text);
            return Err(Error::new(SqlState::DUPLICATE_SCHEMA, message));
        }
        if name.text.starts_with("pg_") {
            let message = format!("unacceptable schema name \"{}\"", name.text);
            return Err(Error::new(SqlState::RESERVED_NAME, message)
                .with_detail("The prefix \"pg_\" is reserved for system schemas."));
        }
        Ok(())
    }

    pub(super) fn schema_to_change(&self, name: &Name) -> Result<u32> {
        match self.catalog.schema(&name.text) {
            Some(id) => Ok(id),
            None if RESERVED.contains(&name.text.as_str()) => {
                Err(Error::unsupported(format!("change of schema \"{}\"", name.text)).at(name.at))
            }
            None => Err(no_schema(&name.text, 0)),
        }
    }
}
