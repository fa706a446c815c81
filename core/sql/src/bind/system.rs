//! Relations of `pg_catalog` and `information_schema`, the functions that ask about objects by number, and `regclass` and its kin:
//! what they say is the catalog's, so the binder writes it into the plan.

use super::binder::Binder;
use super::expr::Located;
use super::from::named;
use super::resolve::no_function;
use super::scope::{Scope, no_table};
use crate::array::ArrayValue;
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::{CastContext, Scalar, system as functions};
use crate::names;
use crate::parse::ast::{self, ExprKind, Name};
use crate::plan::logical::{ColumnId, Logical};
use crate::system::{self, LiveView, Lookup, SystemView, oids};
use crate::types::{Reg, SqlType};
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

/// The functions of [`Binder::catalog_call`].
const FUNCTIONS: [&str; 21] = [
    "col_description",
    "format_type",
    "obj_description",
    "pg_encoding_to_char",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_indexdef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef_columns",
    "pg_get_triggerdef",
    "pg_get_userbyid",
    "pg_get_viewdef",
    "pg_is_other_temp_schema",
    "pg_my_temp_schema",
    "pg_relation_is_publishable",
    "pg_table_is_visible",
    "pg_type_is_visible",
    "shobj_description",
    "to_regclass",
    "to_regtype",
    "version",
];

/// The arguments of a series without numbers: what has no partitions has no ancestors.
pub(super) fn no_series(at: u32) -> Vec<ast::Expr> {
    let number = |text: &str| ast::Expr { kind: ExprKind::Number(text.to_owned()), at };
    let bigint =
        |text| ast::Expr { kind: ExprKind::Cast { input: Box::new(number(text)), ty: SqlType::Int8 }, at };
    vec![bigint("1"), bigint("0")]
}

fn text(value: &str) -> Expr {
    Expr::Literal { value: Datum::Text(value.into()), ty: SqlType::Text }
}

fn null(ty: SqlType) -> Expr {
    Expr::Literal { value: Datum::Null, ty }
}

impl Binder<'_> {
    /// Functions that ask sequences, the session or the catalog. `None`: it is another one.
    pub(super) fn system_call(
        &mut self,
        scope: &Rc<Scope>,
        name: &Name,
        args: &[ast::Expr],
        at: u32,
    ) -> Result<Option<Expr>> {
        if name.text == "pg_partition_ancestors" {
            return self.series_call(scope, "generate_series", &no_series(at), at).map(Some);
        }
        if super::schemas::is_session_function(&name.text) {
            return self.session_call(scope, name, args, at).map(Some);
        }
        if FUNCTIONS.contains(&name.text.as_str()) {
            let mut bound = Vec::with_capacity(args.len());
            for arg in args {
                bound.push((self.expr(scope, arg)?, super::expr::location(arg)));
            }
            return self.catalog_call(name, bound, at).map(Some);
        }
        self.sequence_call(scope, name, args, at)
    }

    /// The relation of a system schema that a name means. Errors: 42P01.
    pub(super) fn system_view(&self, name: &Name) -> Result<Option<&'static SystemView>> {
        match names::split_written(&name.text) {
            Some((schema @ ("pg_catalog" | "information_schema"), own)) => match system::view(schema, own) {
                Some(view) => Ok(Some(view)),
                None if own.starts_with("pg_") || schema == "information_schema" => {
                    Err(Error::unsupported(format!("relation \"{schema}.{own}\"")).at(name.at))
                }
                None => Err(no_table(name)),
            },
            None if name.text.starts_with("pg_") => match system::view("pg_catalog", &name.text) {
                None if !self.catalog.is_taken(&self.stored(&name.text))
                    && !name.text.starts_with("pg_temp") =>
                {
                    Err(Error::unsupported(format!("relation \"{}\"", name.text)).at(name.at))
                }
                found => Ok(found),
            },
            _ => Ok(None),
        }
    }

    /// The relation of the running database that a name means.
    pub(super) fn live_view(&self, name: &Name) -> Option<&'static LiveView> {
        match names::split_written(&name.text) {
            Some((schema, own)) => system::live_view(schema, own),
            None => system::live_view("pg_catalog", &name.text),
        }
    }

    pub(super) fn bind_live_view(
        &mut self,
        view: &'static LiveView,
        shown: &Name,
        renamed: &[Name],
    ) -> Result<(Logical, Scope)> {
        let ids: Vec<ColumnId> = view.columns.iter().map(|it| self.column(it.1)).collect();
        let columns = view.columns.iter().zip(&ids).map(|((name, ty), id)| (*name, *id, *ty));
        let scope = named(shown, columns, renamed)?;
        Ok((Logical::Live { view, columns: ids }, scope))
    }

    pub(super) fn bind_system_view(
        &mut self,
        view: &'static SystemView,
        shown: &Name,
        renamed: &[Name],
    ) -> Result<(Logical, Scope)> {
        let ids: Vec<ColumnId> = view.columns.iter().map(|it| self.column(it.1)).collect();
        let literal = |(value, (_, ty)): (Datum, &(&str, SqlType))| Expr::Literal { value, ty: *ty };
        let rows = (view.rows)(self.catalog).into_iter();
        let rows = rows.map(|row| row.into_iter().zip(view.columns).map(literal).collect()).collect();
        let columns = view.columns.iter().zip(&ids).map(|((name, ty), id)| (*name, *id, *ty));
        let scope = named(shown, columns, renamed)?;
        Ok((Logical::Values { columns: ids, rows }, scope))
    }

    /// A text as the number of an object. Errors: 42P01, 42704, 3F000, 42602.
    pub(super) fn reg_literal(&self, text: &str, kind: Reg, at: u32) -> Result<Expr> {
        let literal = |number| Expr::Literal { value: Datum::Int8(number), ty: SqlType::Reg(kind) };
        if let Ok(number) = text.trim().parse::<i64>() {
            return Ok(literal(number));
        }
        let found = match kind {
            Reg::Oid => {
                let message = format!("invalid input syntax for type oid: \"{text}\"");
                return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message).at(at));
            }
            _ if text == "-" => Some(0),
            Reg::Class => {
                let name = Name { text: crate::parse::relation_name(text)?, at };
                let found = self.relation_number(&name.text);
                return found.map(literal).ok_or_else(|| no_table(&name));
            }
            Reg::Type => return self.type_number(text, at).map(literal),
            Reg::Namespace => match text {
                "public" => Some(oids::PUBLIC),
                "pg_catalog" => Some(oids::PG_CATALOG),
                "information_schema" => Some(oids::INFORMATION_SCHEMA),
                system::LIVE_SCHEMA => Some(oids::LIVE),
                name => self.catalog.schema(name).map(oids::of),
            },
        };
        found.map(literal).ok_or_else(|| {
            Error::new(SqlState::UNDEFINED_SCHEMA, format!("schema \"{text}\" does not exist")).at(at)
        })
    }

    fn relation_number(&self, name: &str) -> Option<i64> {
        let own = names::last(name);
        if names::split_written(name).is_none_or(|it| it.0 == "pg_catalog")
            && let Some(known) = system::SYSTEM_RELATIONS.iter().find(|it| it.1 == own)
        {
            return Some(known.0);
        }
        if let Some((system::LIVE_SCHEMA, own)) = names::split_written(name) {
            return oids::live().find(|it| it.1.name == own).map(|it| it.0);
        }
        let stored = self.stored(name);
        oids::relations(self.catalog).into_iter().find(|it| it.1 == &*stored).map(|it| it.0)
    }

    /// Errors: 42704, 42601.
    fn type_number(&self, text: &str, at: u32) -> Result<i64> {
        let cast = crate::parse::expression(&format!("NULL::{text}")).map_err(|error| error.at(at))?;
        let place = |error: Error| Error::new(error.code(), error.message()).at(at);
        match &cast.kind {
            ExprKind::Cast { ty, .. } => Ok(system::type_oid(*ty)),
            ExprKind::NamedCast { named, .. } => {
                let meant = self.named_type(named).map_err(place)?;
                Ok(match (meant.domain, meant.ty) {
                    (Some(domain), _) => oids::of(domain.id),
                    (None, SqlType::Record(id)) if self.catalog.table_by_id(id).is_some() => {
                        oids::row_type(id)
                    }
                    (None, ty) => system::type_oid(ty),
                })
            }
            _ => {
                Err(Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{text}\"")).at(at))
            }
        }
    }

    /// A value as the number of an object. Errors: 42846; 0A000 for texts that are not known when the statement is bound.
    pub(super) fn coerce_reg(&mut self, expr: Expr, kind: Reg, at: u32) -> Result<Expr> {
        let ty = SqlType::Reg(kind);
        match expr {
            Expr::Literal { value: Datum::Null, .. } => Ok(null(ty)),
            Expr::Literal { value: Datum::Text(text), .. } => self.reg_literal(&text, kind, at),
            expr => {
                let from = expr.ty();
                if from.base() == SqlType::Text {
                    return Err(
                        Error::unsupported(format!("a text as {} that is no literal", ty.name())).at(at)
                    );
                }
                let number = match from {
                    SqlType::Reg(_) => expr,
                    _ => self.coerce(expr, SqlType::Int8, CastContext::Implicit, at)?,
                };
                match number {
                    Expr::Literal { value, .. } => Ok(Expr::Literal { value, ty }),
                    number => Ok(call(&functions::RETYPE, vec![number], ty, at)),
                }
            }
        }
    }

    /// The number of an object as a value of a type that is none: its name for texts, or the number.
    pub(super) fn plain_reg(&mut self, expr: Expr, kind: Reg, target: SqlType) -> Result<Expr> {
        let is_text = target.base() == SqlType::Text || matches!(target, SqlType::Char(_));
        let what = match kind {
            Reg::Class if is_text => Lookup::Relation,
            Reg::Type if is_text => Lookup::Type,
            Reg::Namespace if is_text => Lookup::Schema,
            _ => {
                return Ok(match expr {
                    Expr::Literal { value, .. } => Expr::Literal { value, ty: SqlType::Int8 },
                    expr => call(&functions::RETYPE, vec![expr], SqlType::Int8, 0),
                });
            }
        };
        self.looked_up(&functions::NAME, expr, what)
    }

    fn looked_up(&mut self, function: &'static Scalar, number: Expr, what: Lookup) -> Result<Expr> {
        let known = self.known_objects(what)?;
        let number = match number.ty() {
            SqlType::Int8 => number,
            _ => self.coerce(number, SqlType::Int8, CastContext::Implicit, 0)?,
        };
        let args = std::iter::once(number).chain(known).collect();
        Ok(call(function, args, SqlType::Text, 0))
    }

    /// Numbers and texts, as two arrays.
    fn known_objects(&self, what: Lookup) -> Result<[Expr; 2]> {
        let (numbers, texts): (Vec<Datum>, Vec<Datum>) = system::lookup(self.catalog, what)
            .into_iter()
            .map(|(number, text)| (Datum::Int8(number), Datum::Text(text.into())))
            .unzip();
        let array = |element: SqlType, items| {
            let ty = element.array().ok_or_else(|| Error::internal("it has arrays"))?;
            Ok::<_, Error>(Expr::Literal { value: Datum::Array(ArrayValue::of(element, items).into()), ty })
        };
        Ok([array(SqlType::Int8, numbers)?, array(SqlType::Text, texts)?])
    }

    /// A function that asks the catalog. Errors: 42883, and those of names in literals.
    fn catalog_call(&mut self, name: &Name, args: Vec<Located>, at: u32) -> Result<Expr> {
        let types: Vec<SqlType> = args.iter().map(|it| it.0.ty()).collect();
        let wrong = || no_function(&name.text, &types, at);
        let mut args = args.into_iter();
        let Some((first, at_first)) = args.next() else {
            return match name.text.as_str() {
                "version" => Ok(text("PostgreSQL 15.0 (Orrery 0.1.0)")),
                "pg_my_temp_schema" => self.coerce_reg(text("0"), Reg::Oid, at),
                _ => Err(wrong()),
            };
        };
        let rest: Vec<Located> = args.collect();
        let looked_up = match (name.text.as_str(), rest.len()) {
            ("pg_get_indexdef", 2) => return self.index_part(first, rest, at),
            ("pg_get_indexdef", 0) => Lookup::Index,
            ("pg_get_constraintdef", 1)
                if matches!(rest[0].0, Expr::Literal { value: Datum::Bool(true), .. }) =>
            {
                Lookup::PrettyConstraint
            }
            ("pg_get_constraintdef", 0 | 1) => Lookup::Constraint,
            ("pg_get_viewdef", 0 | 1) => Lookup::View,
            ("pg_get_userbyid", 0) => Lookup::Role,
            ("pg_encoding_to_char", 0) => Lookup::Encoding,
            ("pg_table_is_visible", 0) => Lookup::Visible,
            ("pg_type_is_visible", 0) => Lookup::VisibleType,
            ("pg_get_expr", 1 | 2) => {
                return self.coerce(first, SqlType::Text, CastContext::Implicit, at_first);
            }
            ("pg_get_statisticsobjdef_columns" | "pg_get_triggerdef", 0 | 1) | ("shobj_description", 1) => {
                return Ok(null(SqlType::Text));
            }
            ("obj_description", 0) => Lookup::Comment(0),
            ("obj_description", 1) => match comments_class(&rest[0].0, at)? {
                Some(class) => Lookup::Comment(class),
                None => return Ok(null(SqlType::Text)),
            },
            ("col_description", 1) => return self.column_comment((first, at_first), rest, at),
            ("pg_relation_is_publishable" | "pg_is_other_temp_schema", 0) => return Ok(Expr::bool(false)),
            ("format_type", 1) => {
                let number = self.coerce(first, SqlType::Int8, CastContext::Implicit, at_first)?;
                let (modifier, at_second) = rest.into_iter().next().ok_or_else(wrong)?;
                let modifier = self.coerce(modifier, SqlType::Int4, CastContext::Implicit, at_second)?;
                let known = self.known_objects(Lookup::Type)?;
                let args = [number, modifier].into_iter().chain(known).collect();
                return Ok(call(&functions::FORMAT_TYPE, args, SqlType::Text, at));
            }
            ("to_regclass" | "to_regtype", 0) => {
                let kind = if name.text == "to_regclass" { Reg::Class } else { Reg::Type };
                let missing =
                    [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_OBJECT, SqlState::UNDEFINED_SCHEMA];
                return match self.coerce_reg(first, kind, at) {
                    Err(error) if missing.contains(&error.code()) => Ok(null(SqlType::Reg(kind))),
                    found => found,
                };
            }
            ("pg_get_serial_sequence", 1) => return self.serial_sequence_name(&first, &rest[0].0, at),
            _ => return Err(wrong()),
        };
        let number = match first {
            // A view may be named.
            Expr::Literal { value: Datum::Text(_), .. } if looked_up == Lookup::View => {
                self.coerce_reg(first, Reg::Class, at_first)?
            }
            first => self.coerce(first, SqlType::Int8, CastContext::Implicit, at_first)?,
        };
        let found = self.looked_up(&functions::LOOKUP, number, looked_up)?;
        Ok(match looked_up {
            Lookup::Visible | Lookup::VisibleType => Expr::Not(Box::new(Expr::IsNull(Box::new(found)))),
            _ => found,
        })
    }

    /// `pg_get_indexdef(index, column, pretty)`: column 0 is the whole.
    fn index_part(&mut self, index: Expr, rest: Vec<Located>, at: u32) -> Result<Expr> {
        let index = self.coerce(index, SqlType::Int8, CastContext::Implicit, at)?;
        if !matches!(rest.last(), Some((Expr::Literal { value: Datum::Bool(true), .. }, _))) {
            return Err(Error::unsupported(
                "pg_get_indexdef of a column in another form than the pretty one",
            )
            .at(at));
        }
        let Some((column, at_column)) = rest.into_iter().next() else {
            return Err(Error::internal("an index's part without a column"));
        };
        let column = self.coerce(column, SqlType::Int8, CastContext::Implicit, at_column)?;
        let factor = Expr::Literal { value: Datum::Int8(system::PARTS), ty: SqlType::Int8 };
        let product = self.operator("*", vec![(index, at), (factor, at)], at)?;
        let part = self.operator("+", vec![(product, at), (column, at)], at)?;
        self.looked_up(&functions::LOOKUP, part, Lookup::IndexPart)
    }

    /// `col_description(table, column)`
    fn column_comment(&mut self, table: Located, rest: Vec<Located>, at: u32) -> Result<Expr> {
        let table = self.coerce(table.0, SqlType::Int8, CastContext::Implicit, table.1)?;
        let Some((column, at_column)) = rest.into_iter().next() else {
            return Err(Error::internal("a comment on a column without a column"));
        };
        let column = self.coerce(column, SqlType::Int8, CastContext::Implicit, at_column)?;
        let factor = Expr::Literal { value: Datum::Int8(system::COLUMNS), ty: SqlType::Int8 };
        let product = self.operator("*", vec![(table, at), (factor, at)], at)?;
        let key = self.operator("+", vec![(product, at), (column, at)], at)?;
        self.looked_up(&functions::LOOKUP, key, Lookup::ColumnComment)
    }

    fn serial_sequence_name(&self, table: &Expr, column: &Expr, at: u32) -> Result<Expr> {
        let (
            Expr::Literal { value: Datum::Text(table), .. },
            Expr::Literal { value: Datum::Text(column), .. },
        ) = (table, column)
        else {
            return Err(Error::unsupported("pg_get_serial_sequence of what are no literals").at(at));
        };
        let name = Name { text: crate::parse::relation_name(table)?, at };
        let table = self.catalog.table(&self.stored(&name.text)).ok_or_else(|| no_table(&name))?;
        let ordinal = table.column(column).ok_or_else(|| {
            let message =
                format!("column \"{column}\" of relation \"{}\" does not exist", names::last(&table.name));
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        let sequences = self.catalog.sequences.values();
        let found =
            sequences.filter(|it| it.owner == Some((table.id.0, ordinal))).find_map(|it| it.name.as_deref());
        Ok(found.map_or_else(|| null(SqlType::Text), |name| text(&system::full_name(self.catalog, name))))
    }
}

/// The number of a catalog's relation that a literal names; `None`: nothing of it has comments. Errors: 0A000.
fn comments_class(name: &Expr, at: u32) -> Result<Option<i64>> {
    match name {
        Expr::Literal { value: Datum::Text(name), .. } => {
            Ok(system::SYSTEM_RELATIONS.iter().find(|it| it.1 == &**name).map(|it| it.0))
        }
        Expr::Literal { value: Datum::Null, .. } => Ok(None),
        _ => Err(Error::unsupported("obj_description with a name that is no literal").at(at)),
    }
}

fn call(function: &'static Scalar, args: Vec<Expr>, ty: SqlType, position: u32) -> Expr {
    Expr::Call { function, args, ty, position }
}
