//! Functions in FROM whose columns the query defines: `json_to_record(…) AS t(a integer, b text)`.

use super::binder::Binder;
use super::series::SetPart;
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::CastContext;
use crate::parse::ast::Name;
use crate::plan::logical::{ColumnId, Logical};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

/// The defined columns: name, id, type.
type Defined<'d> = Vec<(&'d str, ColumnId, SqlType)>;

/// Whether a function gives rows of no type of its own.
pub(super) fn is_record_function(name: &str) -> bool {
    matches!(name, "json_to_record" | "jsonb_to_record" | "json_to_recordset" | "jsonb_to_recordset")
}

/// 42601
pub(super) fn needs_definitions(at: u32) -> Error {
    let message = "a column definition list is required for functions returning \"record\"";
    Error::new(SqlState::SYNTAX_ERROR, message).at(at)
}

impl Binder<'_> {
    /// The objects, and of each the defined columns.
    pub(super) fn record_function<'d>(
        &mut self,
        name: &Name,
        args: Vec<(Expr, u32)>,
        definitions: &'d [(Name, SqlType)],
    ) -> Result<(Logical, Defined<'d>)> {
        let mut parts = self.set_function(&format!("{} rows", name.text), args, name.at)?;
        let Some(SetPart { function, args, ty, .. }) = parts.pop() else {
            return Err(Error::internal("a function of records without a column"));
        };
        let object = self.column(ty);
        let series = Logical::Series { function, args, column: object, position: name.at };
        let (mut exprs, mut columns) = (Vec::new(), Vec::new());
        for (column, ty) in definitions {
            let value = self.member(object, &column.text, *ty, name.at)?;
            let id = self.column(value.ty());
            columns.push((column.text.as_str(), id, value.ty()));
            exprs.push((id, value));
        }
        Ok((Logical::Extend { input: Box::new(series), exprs }, columns))
    }

    /// A member of an object as a value of a type: read as that type's text, as PostgreSQL does.
    fn member(&mut self, object: ColumnId, name: &str, ty: SqlType, at: u32) -> Result<Expr> {
        let is_json = |ty: SqlType| matches!(ty, SqlType::Json | SqlType::Jsonb);
        let function = match ty {
            SqlType::Array(element) if is_json(element.ty()) => "json field of json",
            SqlType::Array(_) => "json field array",
            ty if is_json(ty) => "json field",
            _ => "->>",
        };
        let name = Expr::Literal { value: Datum::Text(name.into()), ty: SqlType::Text };
        let args = vec![(self.column_expr(object), at), (name, at)];
        let found = match function {
            "->>" => Some(self.operator(function, args, at)?),
            _ => self.function(function, args, at)?,
        };
        let found = found.ok_or_else(|| Error::internal("a member of an object is not built"))?;
        if is_json(ty) {
            return self.coerce(found, ty, CastContext::Explicit, at);
        }
        let cast = |input, ty| Expr::Cast { input: Box::new(input), ty, explicit: false, position: at };
        let plain = if found.ty() == ty.layout() { found } else { cast(found, ty.layout()) };
        Ok(if ty == ty.layout() { plain } else { cast(plain, ty) })
    }
}
