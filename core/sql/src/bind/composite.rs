//! Row values: `ROW(…)`, a table's name as a value, fields. A row value says at run time what it is made of; here its fields'
//! names and types are known, if they can be.

use super::binder::Binder;
use super::expr::location;
use super::scope::Scope;
use super::select::Output;
use crate::array::ArrayValue;
use crate::catalog::{UserType, UserTypeKind};
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::{CastContext, records};
use crate::parse::ast::{self, ExprKind, Name};
use crate::plan::logical::{ColumnId, Logical};
use crate::types::{Reg, SqlType};
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

/// The fields of a row value: names and types.
pub(super) type Shape = Vec<(String, SqlType)>;

/// A table's name used as a value: the column of its rows, to be put where the table's columns come from (behind an outer join a
/// made-up row is NULL, not a row of NULLs).
pub(super) struct WholeRow {
    column: ColumnId,
    parts: Vec<ColumnId>,
    shape: Shape,
}

impl Binder<'_> {
    /// `ROW(…)`. `t.*` in it stands for all of its fields.
    pub(super) fn row_value(&mut self, scope: &Rc<Scope>, parts: &[ast::Expr], at: u32) -> Result<Expr> {
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            if let ExprKind::AllFields(input) = &part.kind {
                values.extend(self.all_fields(scope, input)?.into_iter().map(|it| it.1));
                continue;
            }
            let value = self.expr(scope, part)?;
            values.push(self.known(value, location(part))?);
        }
        let names = (1..=values.len()).map(|place| format!("f{place}")).collect();
        self.make_row(names, values, 0, at)
    }

    /// A row of these values; `id`: of which type.
    pub(super) fn make_row(
        &mut self,
        names: Vec<String>,
        values: Vec<Expr>,
        id: u32,
        at: u32,
    ) -> Result<Expr> {
        if values.len() > 1600 {
            let message = "ROW expressions can have at most 1664 entries";
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).at(at));
        }
        let names = names.into_iter().map(|name| Datum::Text(name.into())).collect();
        let ty = SqlType::Text.array().ok_or_else(|| Error::internal("text has an array type"))?;
        let value = Datum::Array(ArrayValue::of(SqlType::Text, names).into());
        let mut args = vec![Expr::Literal { value, ty }];
        args.extend(values);
        self.fold(Expr::Call { function: &records::ROW, args, ty: SqlType::Record(id), position: at })
    }

    /// A table's name as a value. `None`: there is no such table in this scope or outside.
    pub(super) fn whole_row(&mut self, scope: &Rc<Scope>, name: &Name) -> Result<Option<Expr>> {
        if scope.has_table(&name.text) {
            return self.own_row(scope, name).map(Some);
        }
        let has_it = |outer: &super::binder::Outer| !outer.is_hidden && outer.scope.has_table(&name.text);
        let Some(depth) = self.outer.iter().rposition(has_it) else { return Ok(None) };
        let outer = self.outer[depth].scope.clone();
        Ok(Some(match self.own_row(&outer, name)? {
            Expr::Column { id, ty } => self.capture(depth, id, ty, name),
            _ => return Err(Error::unsupported("row of a table outside").at(name.at)),
        }))
    }

    fn own_row(&mut self, scope: &Scope, name: &Name) -> Result<Expr> {
        let is_own = |table: &Option<Rc<str>>| table.as_deref() == Some(name.text.as_str());
        let (mut parts, mut shape) = (Vec::new(), Shape::new());
        for column in scope.columns.iter().filter(|column| is_own(&column.table)) {
            parts.push(column.id);
            shape.push((column.name.to_string(), column.ty));
        }
        let origin = |id: &ColumnId| self.statement.columns[*id].origin.map(|it| it.0);
        let id = match parts.first().and_then(origin) {
            Some(occurrence) if parts.iter().all(|part| origin(part) == Some(occurrence)) => {
                let table = &self.statement.tables[occurrence];
                let is_whole = table.visible().map(|it| &it.1.name).eq(shape.iter().map(|it| &it.0));
                if is_whole { table.id.0 } else { 0 }
            }
            _ => 0,
        };
        let inline = self.inline_rows && self.outer.is_empty()
            || matches!(self.level.forbidden, Some("RETURNING" | "ON CONFLICT"));
        if parts.is_empty() || inline {
            let values = parts.iter().map(|id| self.column_expr(*id)).collect();
            return self.make_row(shape.into_iter().map(|it| it.0).collect(), values, id, name.at);
        }
        let ty = SqlType::Record(id);
        if let Some(known) = self.whole_rows.iter().find(|it| it.parts == parts) {
            return Ok(Expr::Column { id: known.column, ty });
        }
        let column = self.column(ty);
        if !self.level.in_aggregate {
            self.level.references.push((column, name.clone()));
        }
        self.row_shapes.push((column, shape.clone()));
        self.whole_rows.push(WholeRow { column, parts, shape });
        Ok(Expr::Column { id: column, ty })
    }

    /// Puts the rows that were asked for where their tables are. What is not found belongs to a query outside.
    pub(super) fn place_whole_rows(&mut self, mut root: Logical) -> Result<Logical> {
        for row in std::mem::take(&mut self.whole_rows) {
            let columns = root.columns();
            if !row.parts.iter().all(|part| columns.contains(part)) {
                self.whole_rows.push(row);
                continue;
            }
            let values = row.parts.iter().map(|id| self.column_expr(*id)).collect();
            let SqlType::Record(id) = self.statement.columns[row.column].ty else { continue };
            let value = self.make_row(row.shape.into_iter().map(|it| it.0).collect(), values, id, 0)?;
            insert(&mut root, &row.parts, (row.column, value));
        }
        Ok(root)
    }

    /// What is known of a row value's fields.
    pub(super) fn shape_of(&self, expr: &Expr) -> Option<Shape> {
        match expr {
            Expr::Literal { value: Datum::Record(record), .. } => {
                return Some(record.fields.iter().map(|it| (it.name.to_string(), it.ty)).collect());
            }
            Expr::Call { function, args, .. } if std::ptr::eq(*function, &records::ROW) => {
                let Some(Expr::Literal { value: Datum::Array(names), .. }) = args.first() else {
                    return None;
                };
                let name = |name: &Datum| match name {
                    Datum::Text(name) => name.to_string(),
                    _ => String::new(),
                };
                return Some(names.items.iter().map(name).zip(args[1..].iter().map(Expr::ty)).collect());
            }
            Expr::Column { id, .. } => {
                if let Some(known) = self.row_shapes.iter().find(|it| it.0 == *id) {
                    return Some(known.1.clone());
                }
            }
            _ => {}
        }
        match expr.ty() {
            SqlType::Record(id) => self.shape_by_id(id),
            _ => None,
        }
    }

    /// The fields of a composite type or a table, by its id.
    pub(super) fn shape_by_id(&self, id: u32) -> Option<Shape> {
        if id == 0 {
            return None;
        }
        if let Some(table) = self.catalog.table_by_id(id) {
            return Some(table.visible().map(|(_, it)| (it.name.clone(), it.ty)).collect());
        }
        match &self.catalog.types.get(&id)?.kind {
            UserTypeKind::Composite(fields) => Some(fields.iter().map(|it| (it.0.clone(), it.1)).collect()),
            _ => None,
        }
    }

    /// The domains of a composite type's fields.
    pub(super) fn field_domains(&self, id: u32) -> Vec<Option<Arc<UserType>>> {
        match self.catalog.types.get(&id).map(|it| &it.kind) {
            Some(UserTypeKind::Composite(fields)) => {
                fields.iter().map(|it| self.catalog.types.get(&it.2?).cloned()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// `(input).name`
    pub(super) fn field(&mut self, scope: &Rc<Scope>, input: &ast::Expr, name: &Name) -> Result<Expr> {
        // `(t).a` is `t.a`.
        if let ExprKind::Column { table: None, name: table } = &input.kind
            && scope.find(None, table)?.is_none()
            && scope.has_table(&table.text)
        {
            let column = ExprKind::Column { table: Some(table.clone()), name: name.clone() };
            return self.expr(scope, &ast::Expr { kind: column, at: input.at });
        }
        let row = self.expr(scope, input)?;
        let at = location(input);
        let ty = row.ty();
        if !matches!(ty, SqlType::Record(_)) {
            let message = format!(
                "column notation .{} applied to type {}, which is not a composite type",
                name.text,
                ty.base_name()
            );
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        let unknown = || {
            let message = format!("could not identify column \"{}\" in record data type", name.text);
            Error::new(SqlState::UNDEFINED_COLUMN, message).at(at)
        };
        let shape = self.shape_of(&row).ok_or_else(unknown)?;
        let place = shape.iter().position(|field| field.0 == name.text).ok_or_else(unknown)?;
        self.field_at(row, &shape, place, name.at)
    }

    pub(super) fn field_at(&mut self, row: Expr, shape: &Shape, place: usize, at: u32) -> Result<Expr> {
        // Of a row that is put together here, the part itself.
        if let Expr::Call { function, args, .. } = &row
            && std::ptr::eq(*function, &records::ROW)
            && !row.is_volatile()
        {
            return Ok(args[place + 1].clone());
        }
        let number = Expr::Literal { value: Datum::Int4(place as i32), ty: SqlType::Int4 };
        let ty = shape[place].1.layout();
        self.fold(Expr::Call { function: &records::FIELD, args: vec![row, number], ty, position: at })
    }

    /// All fields of what stands before `.*`, with their names.
    pub(super) fn all_fields(&mut self, scope: &Rc<Scope>, input: &ast::Expr) -> Result<Vec<(String, Expr)>> {
        if let ExprKind::Column { table: None, name } = &input.kind
            && scope.has_table(&name.text)
        {
            let own = scope.columns.iter().filter(|it| it.table.as_deref() == Some(name.text.as_str()));
            return Ok(own.map(|it| (it.name.to_string(), Expr::Column { id: it.id, ty: it.ty })).collect());
        }
        let at = location(input);
        let row = self.expr(scope, input)?;
        if !matches!(row.ty(), SqlType::Record(_)) {
            let message = format!("type {} is not composite", row.ty().base_name());
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        let Some(shape) = self.shape_of(&row) else {
            let message = "record type has not been registered";
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        };
        if row.is_volatile() {
            return Err(Error::unsupported("fields of a volatile row").at(at));
        }
        let mut fields = Vec::with_capacity(shape.len());
        for place in 0..shape.len() {
            fields.push((shape[place].0.clone(), self.field_at(row.clone(), &shape, place, at)?));
        }
        Ok(fields)
    }

    /// `(row).*` in the SELECT list.
    pub(super) fn expand_fields(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        outputs: &mut Vec<Output>,
    ) -> Result<()> {
        for (name, expr) in self.all_fields(scope, input)? {
            outputs.push(Output { expr, name, at: location(input) });
        }
        Ok(())
    }

    /// Whether all fields of a row value are NULL, or none is.
    pub(super) fn all_null(&mut self, row: Expr, all: bool) -> Result<Expr> {
        let function = if all { &records::ALL_NULL } else { &records::NONE_NULL };
        Ok(Expr::Call { function, args: vec![row], ty: SqlType::Bool, position: 0 })
    }

    /// A value as a row of the type `id`: field by field. Errors: 42846, 22P02.
    pub(super) fn coerce_row(&mut self, expr: Expr, id: u32, context: CastContext, at: u32) -> Result<Expr> {
        let target = SqlType::Record(id);
        let cannot = |detail: &str| {
            let message = format!("cannot cast type {} to a composite type", expr.ty().base_name());
            Error::new(SqlState::CANNOT_COERCE, message).with_detail(detail.to_owned()).at(at)
        };
        let Some(shape) = self.shape_by_id(id) else {
            return Err(Error::internal("a composite type without fields"));
        };
        let given: Vec<Expr> = match &expr {
            Expr::Literal { value: Datum::Null, .. } => {
                return Ok(Expr::Literal { value: Datum::Null, ty: target });
            }
            Expr::Literal { value: Datum::Text(text), ty: SqlType::Unknown } => {
                let malformed = |detail: &str| {
                    let message = format!("malformed record literal: \"{text}\"");
                    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
                        .with_detail(detail.to_owned())
                        .at(at)
                };
                let fields = crate::record::parse(text).map_err(malformed)?;
                if fields.len() != shape.len() {
                    let few = fields.len() < shape.len();
                    return Err(malformed(if few { "Too few columns." } else { "Too many columns." }));
                }
                let literal = |field: Option<String>| Expr::Literal {
                    value: field.map_or(Datum::Null, |text| Datum::Text(text.into())),
                    ty: SqlType::Unknown,
                };
                fields.into_iter().map(literal).collect()
            }
            row if matches!(row.ty(), SqlType::Record(_)) => {
                let Some(own) = self.shape_of(row) else {
                    return Err(Error::unsupported("cast of a row of unknown fields").at(at));
                };
                if own.len() != shape.len() {
                    let few = own.len() < shape.len();
                    return Err(cannot(if few {
                        "Input has too few columns."
                    } else {
                        "Input has too many columns."
                    }));
                }
                if row.is_volatile() {
                    return Err(Error::unsupported("cast of a volatile row").at(at));
                }
                let mut fields = Vec::with_capacity(own.len());
                for place in 0..own.len() {
                    fields.push(self.field_at(row.clone(), &own, place, at)?);
                }
                fields
            }
            other if other.ty().base() == SqlType::Text && context == CastContext::Explicit => {
                if self.field_domains(id).iter().any(Option::is_some) {
                    return Err(Error::unsupported("cast of a text to a type with domains").at(at));
                }
                let fields = shape.into_iter().map(|(name, ty)| crate::record::Field {
                    name: name.into(),
                    ty: ty.base(),
                    value: Datum::Null,
                });
                let empty = crate::record::RecordValue { fields: fields.collect() };
                let empty = Expr::Literal { value: Datum::Record(empty.into()), ty: target };
                let args = vec![expr, empty];
                return Ok(Expr::Call { function: &records::READ, args, ty: target, position: at });
            }
            _ => return Err(cannot("")),
        };
        let is_made = matches!(&expr, Expr::Call { function, .. } if std::ptr::eq(*function, &records::ROW));
        let is_literal = matches!(&expr, Expr::Literal { .. });
        let (mut names, mut values) = (Vec::new(), Vec::new());
        let domains = self.field_domains(id);
        for (place, (value, (name, ty))) in given.into_iter().zip(shape).enumerate() {
            let mut value = self.coerce(value, ty, context, at)?;
            if let Some(domain) = domains.get(place).cloned().flatten() {
                value = self.checked(value, &domain, at)?;
            }
            values.push(value);
            names.push(name);
        }
        let row = self.make_row(names, values, id, at)?;
        if is_made || is_literal {
            return Ok(row);
        }
        // A row that is NULL stays so.
        let null = Expr::Literal { value: Datum::Null, ty: target };
        let branches = vec![(Expr::IsNull(Box::new(expr)), null)];
        Ok(Expr::Case { branches, otherwise: Box::new(row), ty: target })
    }

    /// What users get of row values: their texts.
    pub(super) fn shown(&mut self, expr: Expr) -> Result<Expr> {
        match shown_as(expr.ty()) {
            Some(shown) => self.coerce(expr, shown, CastContext::Explicit, 0),
            None => Ok(expr),
        }
    }

    /// The same for the columns of a query.
    pub(super) fn show_rows(&mut self, query: &mut crate::plan::logical::Query) -> Result<()> {
        let mut exprs = Vec::new();
        for (output, field) in query.output.iter_mut().zip(&mut query.fields) {
            if let Some(shown) = shown_as(field.ty) {
                let value = self.column_expr(*output);
                let value = self.shown(value)?;
                field.ty = shown;
                *output = self.column(shown);
                exprs.push((*output, value));
            }
        }
        if !exprs.is_empty() {
            let none = Logical::Values { columns: Vec::new(), rows: Vec::new() };
            let input = Box::new(std::mem::replace(&mut query.root, none));
            query.root = Logical::Extend { input, exprs };
        }
        Ok(())
    }
}

/// As what users get values of types that only the binder knows.
fn shown_as(ty: SqlType) -> Option<SqlType> {
    match ty.element().unwrap_or(ty) {
        SqlType::Record(_) | SqlType::Enum(_) => Some(SqlType::Text),
        SqlType::Reg(Reg::Oid) => Some(SqlType::Int8),
        SqlType::Reg(_) => Some(SqlType::Text),
        _ => None,
    }
}

/// Computes a column right where the columns it is made of are all there.
fn insert(node: &mut Logical, parts: &[ColumnId], made: (ColumnId, Expr)) {
    let has_all = |node: &Logical| {
        let columns = node.columns();
        parts.iter().all(|part| columns.contains(part))
    };
    if let Some(input) = node.inputs_mut().into_iter().find(|input| has_all(input)) {
        return insert(input, parts, made);
    }
    let none = Logical::Values { columns: Vec::new(), rows: Vec::new() };
    let input = Box::new(std::mem::replace(node, none));
    *node = Logical::Extend { input, exprs: vec![made] };
}
