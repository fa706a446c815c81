//! Functions in FROM whose columns the query defines: `json_to_record(…) AS t(a integer, b text)`.

use super::binder::Binder;
use super::composite::Shape;
use super::expr::Located;
use super::series::SetPart;
use super::user_types::Meant;
use crate::catalog::UserType;
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::CastContext;
use crate::parse::ast::{self, Name};
use crate::plan::logical::{ColumnId, Logical};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// The defined columns: name, id, type.
type Defined = Vec<(String, ColumnId, SqlType)>;

/// A field to be filled from an object's member.
pub(super) struct FieldType {
    name: String,
    ty: SqlType,
    domain: Option<Arc<UserType>>,
}

/// Whether a function gives rows of no type of its own.
pub(super) fn is_record_function(name: &str) -> bool {
    matches!(
        name,
        "json_to_record"
            | "jsonb_to_record"
            | "json_to_recordset"
            | "jsonb_to_recordset"
            | "json_populate_record"
            | "jsonb_populate_record"
            | "json_populate_recordset"
            | "jsonb_populate_recordset"
    )
}

/// 42601
pub(super) fn needs_definitions(at: u32) -> Error {
    let message = "a column definition list is required for functions returning \"record\"";
    Error::new(SqlState::SYNTAX_ERROR, message).at(at)
}

impl Binder<'_> {
    /// The objects, and of each the defined columns.
    pub(super) fn record_function(
        &mut self,
        name: &Name,
        mut args: Vec<Located>,
        definitions: &[(Name, ast::TypeName)],
    ) -> Result<(Logical, Defined)> {
        let base = match name.text.contains("_populate_") && args.len() == 2 {
            true => args.remove(0),
            false => (Expr::Literal { value: Datum::Null, ty: SqlType::Record(0) }, name.at),
        };
        let (fields, id) = self.populated_fields(&base.0, definitions, name.at)?;
        if fields.is_empty() && definitions.is_empty() {
            return Err(needs_definitions(name.at));
        }
        let set = name.text.replace("_populate_", "_to_");
        let one = if set.ends_with("set") || set == name.text { None } else { args.pop() };
        let (mut root, object) = match one {
            Some((object, at)) if args.is_empty() => {
                let object = self.json_argument((object, at))?;
                (Logical::one_row(), object)
            }
            _ => {
                let mut parts = self.set_function(&format!("{set} rows"), args, name.at)?;
                let Some(SetPart { function, args, ty, .. }) = parts.pop() else {
                    return Err(Error::internal("a function of records without a column"));
                };
                let column = self.column(ty);
                let series = Logical::Series { function, args, column, position: name.at };
                (series, self.column_expr(column))
            }
        };
        let row = self.populated(base, (object, name.at), &fields, id, name.at)?;
        let shape: Shape = fields.into_iter().map(|it| (it.name, it.ty)).collect();
        let (mut exprs, mut columns) = (Vec::new(), Vec::new());
        for place in 0..shape.len() {
            let value = self.field_at(row.clone(), &shape, place, name.at)?;
            let id = self.column(value.ty());
            columns.push((shape[place].0.clone(), id, value.ty()));
            exprs.push((id, value));
        }
        root = Logical::Extend { input: Box::new(root), exprs };
        Ok((root, columns))
    }

    /// `json[b]_populate_record(base, object)`: the base's fields, those that the object has taken from there.
    pub(super) fn populated(
        &mut self,
        base: Located,
        object: Located,
        fields: &[FieldType],
        id: u32,
        at: u32,
    ) -> Result<Expr> {
        let (base, object) = (base.0, self.json_argument(object)?);
        if base.is_volatile() || object.is_volatile() {
            return Err(Error::unsupported("json_populate_record of a volatile expression").at(at));
        }
        let shape: Shape = fields.iter().map(|it| (it.name.clone(), it.ty)).collect();
        let is_null = matches!(&base, Expr::Literal { value: Datum::Null, .. });
        let mut values = Vec::with_capacity(fields.len());
        for (place, field) in fields.iter().enumerate() {
            let otherwise = match is_null {
                true => Expr::Literal { value: Datum::Null, ty: field.ty },
                false => self.field_at(base.clone(), &shape, place, at)?,
            };
            let found = self.member(&object, field, &otherwise, at)?;
            let name = Expr::Literal { value: Datum::Text(field.name.as_str().into()), ty: SqlType::Text };
            let has = self.function("json has", vec![(object.clone(), at), (name, at)], at)?;
            let has = has.ok_or_else(|| Error::internal("json has is missing"))?;
            let ty = found.ty();
            let otherwise = Box::new(self.coerce(otherwise, ty, CastContext::Implicit, at)?);
            let mut value = Expr::Case { branches: vec![(has, found)], otherwise, ty };
            if let Some(domain) = &field.domain {
                value = self.checked(value, domain, at)?;
            }
            values.push(value);
        }
        self.make_row(shape.into_iter().map(|it| it.0).collect(), values, id, at)
    }

    /// The fields of the row that such a function fills: those of its first argument, or the defined ones.
    pub(super) fn populated_fields(
        &self,
        base: &Expr,
        definitions: &[(Name, ast::TypeName)],
        at: u32,
    ) -> Result<(Vec<FieldType>, u32)> {
        let id = match base.ty() {
            SqlType::Record(id) => id,
            SqlType::Unknown => 0,
            _ => {
                let message = "first argument of json_populate_record must be a row type";
                return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).at(at));
            }
        };
        if id == 0 && !definitions.is_empty() {
            return Ok((self.defined_fields(definitions)?, 0));
        }
        // Of a named type the fields are known, whatever this value of it is made of.
        let Some(shape) = self.shape_by_id(id).or_else(|| self.shape_of(base)) else {
            let message = "could not determine row type for result of json_populate_record";
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at));
        };
        Ok((self.typed_fields(shape, id), id))
    }

    fn typed_fields(&self, shape: Shape, id: u32) -> Vec<FieldType> {
        let domains = self.field_domains(id);
        let field = |(place, (name, ty)): (usize, (String, SqlType))| FieldType {
            name,
            ty,
            domain: domains.get(place).cloned().flatten(),
        };
        shape.into_iter().enumerate().map(field).collect()
    }

    fn defined_fields(&self, definitions: &[(Name, ast::TypeName)]) -> Result<Vec<FieldType>> {
        let field = |(name, ty): &(Name, ast::TypeName)| {
            let Meant { ty, domain } = self.meant(ty)?;
            Ok(FieldType { name: name.text.clone(), ty, domain })
        };
        definitions.iter().map(field).collect()
    }

    fn json_argument(&mut self, (object, at): Located) -> Result<Expr> {
        match object.ty() {
            SqlType::Unknown => self.coerce(object, SqlType::Json, CastContext::Implicit, at),
            _ => Ok(object),
        }
    }

    /// A member of an object as a value of a type: read as that type's text, as PostgreSQL does. A row begins with the
    /// fields of `base`.
    fn member(&mut self, object: &Expr, field: &FieldType, base: &Expr, at: u32) -> Result<Expr> {
        let FieldType { name, ty, domain: _ } = field;
        let ty = *ty;
        let is_json = |ty: SqlType| matches!(ty, SqlType::Json | SqlType::Jsonb);
        let function = match ty {
            SqlType::Array(element) if is_json(element.ty()) => "json field of json",
            SqlType::Array(_) => "json field array",
            SqlType::Record(_) => "json field",
            ty if is_json(ty) => "json field",
            _ => "->>",
        };
        let name = Expr::Literal { value: Datum::Text(name.as_str().into()), ty: SqlType::Text };
        let args = vec![(object.clone(), at), (name, at)];
        let found = match function {
            "->>" => Some(self.operator(function, args, at)?),
            _ => self.function(function, args, at)?,
        };
        let found = found.ok_or_else(|| Error::internal("a member of an object is not built"))?;
        if let SqlType::Record(id) = ty {
            return self.inner_row(found, base, id, at);
        }
        if is_json(ty) || matches!(ty, SqlType::Enum(_)) {
            return self.coerce(found, ty, CastContext::Explicit, at);
        }
        let cast = |input, ty| Expr::Cast { input: Box::new(input), ty, explicit: false, position: at };
        let plain = if found.ty() == ty.layout() { found } else { cast(found, ty.layout()) };
        Ok(if ty == ty.layout() { plain } else { cast(plain, ty) })
    }

    /// A member that is a row: an object, or a row's text.
    fn inner_row(&mut self, found: Expr, base: &Expr, id: u32, at: u32) -> Result<Expr> {
        let ty = SqlType::Record(id);
        let null = Expr::Literal { value: Datum::Null, ty };
        let shape = self.shape_by_id(id);
        let shape = shape.ok_or_else(|| Error::unsupported("member of an anonymous row type").at(at))?;
        let fields = self.typed_fields(shape, id);
        let row = self.populated((base.clone(), at), (found.clone(), at), &fields, id, at)?;
        let kind = if found.ty() == SqlType::Jsonb { "jsonb_typeof" } else { "json_typeof" };
        let kind = self.function(kind, vec![(found.clone(), at)], at)?;
        let kind = kind.ok_or_else(|| Error::internal("json_typeof is missing"))?;
        let string = Expr::Literal { value: Datum::Text("string".into()), ty: SqlType::Text };
        let is_text = self.operator("=", vec![(kind, at), (string, at)], at)?;
        let none = crate::array::ArrayValue::of(SqlType::Text, Vec::new());
        let path = Expr::Literal {
            value: Datum::Array(none.into()),
            ty: SqlType::Text.array().unwrap_or(SqlType::Text),
        };
        let text = self.operator("#>>", vec![(found.clone(), at), (path, at)], at)?;
        let read = self.coerce(text, ty, CastContext::Explicit, at)?;
        let is_null = Expr::IsNull(Box::new(found));
        Ok(Expr::Case { branches: vec![(is_null, null), (is_text, read)], otherwise: Box::new(row), ty })
    }
}
