//! Users' types: enums, domains and composite types; what a name means, what a cast to one does, and how enums compare.
//!
//! The values of an enum are its labels' texts, which are equal as texts are. Their order is the catalog's, so the binder writes it
//! into the plan: what is compared or sorted is a label's place.

use super::binder::Binder;
use super::expr::{Located, location};
use super::scope::{Scope, ScopeColumn};
use crate::array::ArrayValue;
use crate::catalog::{Domain, UserType, UserTypeKind};
use crate::datum::Datum;
use crate::ddl::Ddl;
use crate::expr::Expr;
use crate::functions::{self, CastContext, enums};
use crate::parse::ast::{self, Name, NamedType, NewType, TypeName};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

/// What a type's name means.
pub(super) struct Meant {
    pub(super) ty: SqlType,
    /// Of a domain, which.
    pub(super) domain: Option<Arc<UserType>>,
}

fn undefined(name: &Name) -> Error {
    let message = format!("type \"{}\" does not exist", name.text);
    Error::new(SqlState::UNDEFINED_OBJECT, message).at(name.at)
}

impl Binder<'_> {
    /// Errors: 42704.
    pub(super) fn meant(&self, name: &TypeName) -> Result<Meant> {
        match &name.named {
            None => Ok(Meant { ty: name.ty, domain: None }),
            Some(named) => self.named_type(named),
        }
    }

    /// Errors: 42704; 0A000 for arrays of domains.
    pub(super) fn named_type(&self, named: &NamedType) -> Result<Meant> {
        let NamedType { name, is_array } = named;
        let stored = self.stored(&name.text);
        self.refuse_unqualified(name, &stored)?;
        let (ty, domain) = match self.catalog.user_type(&stored) {
            Some(found) => match &found.kind {
                UserTypeKind::Enum(_) => (SqlType::Enum(found.id), None),
                UserTypeKind::Composite(_) => (SqlType::Record(found.id), None),
                UserTypeKind::Domain(domain) => (domain.base, Some(found.clone())),
            },
            None if name.text == "record" => (SqlType::Record(0), None),
            None => match self.catalog.table(&self.stored(&name.text)) {
                Some(table) => (SqlType::Record(table.id.0), None),
                None => return Err(undefined(name)),
            },
        };
        if !is_array {
            return Ok(Meant { ty, domain });
        }
        let array = if domain.is_some() { None } else { ty.array() };
        let ty = array.ok_or_else(|| Error::unsupported(format!("array of {}", name.text)).at(name.at))?;
        Ok(Meant { ty, domain: None })
    }

    /// `input::name`
    pub(super) fn named_cast(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        named: &NamedType,
        at: u32,
    ) -> Result<Expr> {
        let Meant { ty, domain } = self.named_type(named)?;
        let at_input = location(input);
        let inner = match (&input.kind, ty) {
            (ast::ExprKind::Array(items), SqlType::Array(_)) => {
                self.array_constructor(scope, items, ty.element(), at_input)?
            }
            _ => self.expr(scope, input)?,
        };
        let at = if inner.ty() == SqlType::Unknown { at_input } else { at };
        if ty == SqlType::Record(0) && !matches!(inner.ty(), SqlType::Record(_)) {
            if let Expr::Literal { value: Datum::Null, .. } = inner {
                return Ok(Expr::Literal { value: Datum::Null, ty });
            }
            return Err(Error::unsupported("input of anonymous composite types").at(at));
        }
        let cast = self.coerce(inner, ty, CastContext::Explicit, at)?;
        match domain {
            Some(domain) => self.checked(cast, &domain, at),
            None => Ok(cast),
        }
    }

    /// A value with a domain's constraints looked at. Errors: 0A000 for volatile values.
    pub(super) fn checked(&mut self, value: Expr, ty: &UserType, at: u32) -> Result<Expr> {
        let UserTypeKind::Domain(domain) = &ty.kind else { return Ok(value) };
        if domain.checks.is_empty() && !domain.not_null {
            return Ok(value);
        }
        if value.is_volatile() {
            return Err(Error::unsupported("cast of a volatile expression to a domain").at(at));
        }
        let text = |text: &str| Expr::Literal { value: Datum::Text(text.into()), ty: SqlType::Text };
        let mut result = value.clone();
        let mut tests = Vec::new();
        if domain.not_null {
            let is_null = Expr::IsNull(Box::new(value.clone()));
            let null = Expr::Literal { value: Datum::Null, ty: SqlType::Text };
            tests.push((Expr::Not(Box::new(is_null)), null));
        }
        for (name, check) in &domain.checks {
            let tree = crate::parse::expression(check)?;
            let bound = self.as_stored(|it| it.domain_check(domain, &tree, &value))?;
            tests.push((super::without_positions(bound), text(name)));
        }
        for (test, name) in tests {
            let out = result.ty();
            let args = vec![result, test, text(&ty.name), name];
            result = Expr::Call { function: &enums::CHECKED, args, ty: out, position: at };
        }
        Ok(result)
    }

    /// A domain's CHECK over a value.
    fn domain_check(&mut self, domain: &Domain, tree: &ast::Expr, value: &Expr) -> Result<Expr> {
        let ty = domain.base.layout();
        let id = self.column(ty);
        let scope = value_scope(id, ty);
        let bound = self.condition(&scope, tree, "CHECK")?;
        if bound.any(&mut |it| matches!(it, Expr::Subquery { .. })) {
            return Err(Error::unsupported("subquery in a check constraint").at(tree.at));
        }
        Ok(bound.replace_columns(&|it| (it == id).then(|| value.clone())))
    }

    /// The labels of an enum, and its name.
    fn labels(&self, id: u32) -> Result<(Expr, &str)> {
        match self.catalog.types.get(&id).map(|it| &**it) {
            Some(UserType { name, kind: UserTypeKind::Enum(labels), .. }) => {
                let ty = SqlType::Text.array().ok_or_else(|| Error::internal("text has no arrays"))?;
                let items = labels.iter().map(|label| Datum::Text(label.as_str().into())).collect();
                let value = Datum::Array(ArrayValue::of(SqlType::Text, items).into());
                Ok((Expr::Literal { value, ty }, name))
            }
            _ => Err(Error::internal("an enum without labels")),
        }
    }

    /// A text as a value of an enum. Errors: 22P02.
    pub(super) fn coerce_enum(&mut self, expr: Expr, id: u32, context: CastContext, at: u32) -> Result<Expr> {
        let ty = SqlType::Enum(id);
        let (labels, name) = self.labels(id)?;
        let name = name.to_owned();
        let is_literal = matches!(&expr, Expr::Literal { ty: SqlType::Unknown, .. });
        let text = match expr.ty() {
            SqlType::Unknown => self.coerce(expr, SqlType::Text, context, at)?,
            from if from.base() == SqlType::Text && context == CastContext::Explicit => expr,
            from => {
                let message = format!("cannot cast type {} to {name}", from.base_name());
                return Err(Error::new(SqlState::CANNOT_COERCE, message).at(at));
            }
        };
        if let Expr::Literal { value, .. } = &text {
            let known = match (&labels, value) {
                (_, Datum::Null) => true,
                (Expr::Literal { value: Datum::Array(labels), .. }, value) => labels.items.contains(value),
                _ => false,
            };
            return match (known, value) {
                (true, value) => Ok(Expr::Literal { value: value.clone(), ty }),
                (false, Datum::Text(label)) if is_literal => Err(enums::no_label(&name, label).at(at)),
                (false, Datum::Text(label)) => Err(enums::no_label(&name, label)),
                _ => Err(Error::internal("a label that is no text")),
            };
        }
        let name = Expr::Literal { value: Datum::Text(name.into()), ty: SqlType::Text };
        Ok(Expr::Call { function: &enums::READ, args: vec![text, labels, name], ty, position: at })
    }

    /// The text of an array as an array of an enum. Errors: 22P02, 42846.
    pub(super) fn coerce_enums(
        &mut self,
        expr: Expr,
        id: u32,
        context: CastContext,
        at: u32,
    ) -> Result<Expr> {
        let texts = SqlType::Text.array().ok_or_else(|| Error::internal("text has no arrays"))?;
        let ty = SqlType::Enum(id).array().ok_or_else(|| Error::internal("enums have no arrays"))?;
        let (labels, name) = self.labels(id)?;
        let name = Expr::Literal { value: Datum::Text(name.into()), ty: SqlType::Text };
        let value = self.coerce(expr, texts, context, at)?;
        let args = vec![value, labels, name];
        self.fold(Expr::Call { function: &enums::READ_ALL, args, ty, position: at })
    }

    /// Where a label stands among the labels; anything else as it is.
    pub(super) fn ranked(&self, expr: Expr) -> Result<Expr> {
        let SqlType::Enum(id) = expr.ty() else { return Ok(expr) };
        let labels = self.labels(id)?.0;
        Ok(Expr::Call { function: &enums::RANK, args: vec![expr, labels], ty: SqlType::Int4, position: 0 })
    }

    /// A comparison of enums. `None`: it is none.
    pub(super) fn enum_operator(&mut self, op: &str, args: &[Located], at: u32) -> Result<Option<Expr>> {
        let [(a, at_a), (b, at_b)] = args else { return Ok(None) };
        let ty = match (a.ty(), b.ty()) {
            (ty @ SqlType::Enum(_), SqlType::Unknown) | (SqlType::Unknown, ty @ SqlType::Enum(_)) => ty,
            (ty @ SqlType::Enum(_), other) if ty == other => ty,
            _ => return Ok(None),
        };
        if !matches!(op, "=" | "<>" | "<" | "<=" | ">" | ">=") {
            return Ok(None);
        }
        let a = self.coerce(a.clone(), ty, CastContext::Implicit, *at_a)?;
        let b = self.coerce(b.clone(), ty, CastContext::Implicit, *at_b)?;
        if matches!(op, "=" | "<>") {
            let all = functions::scalars(op);
            let function = all.iter().find(|it| it.args == [SqlType::Text, SqlType::Text]);
            let function = function.ok_or_else(|| Error::internal("text has no comparison"))?;
            let call = Expr::Call { function, args: vec![a, b], ty: SqlType::Bool, position: at };
            return Ok(Some(call));
        }
        let sides = vec![(self.ranked(a)?, *at_a), (self.ranked(b)?, *at_b)];
        self.operator(op, sides, at).map(Some)
    }

    /// `enum_first`, `enum_last`, `enum_range` of one argument. `None`: it is another function.
    pub(super) fn enum_function(&mut self, name: &str, args: &[Located], at: u32) -> Result<Option<Expr>> {
        if !matches!(name, "enum_first" | "enum_last" | "enum_range") {
            return Ok(None);
        }
        let [(arg, _)] = args else {
            return Err(Error::unsupported(format!("{name} of these arguments")).at(at));
        };
        let SqlType::Enum(id) = arg.ty() else {
            return Err(Error::unsupported(format!("{name} of what is no enum")).at(at));
        };
        let Expr::Literal { value: Datum::Array(labels), .. } = self.labels(id)?.0 else {
            return Err(Error::internal("labels that are no array"));
        };
        let ty = SqlType::Enum(id);
        let value = match name {
            "enum_first" => labels.items.first().cloned().unwrap_or(Datum::Null),
            "enum_last" => labels.items.last().cloned().unwrap_or(Datum::Null),
            _ => {
                let ty = ty.array().ok_or_else(|| Error::internal("enums have arrays"))?;
                let value = Datum::Array(ArrayValue::of(SqlType::Enum(id), labels.items.clone()).into());
                return Ok(Some(Expr::Literal { value, ty }));
            }
        };
        Ok(Some(Expr::Literal { value, ty }))
    }

    /// Errors: 42710, 42704, 42701, and those of a domain's expressions.
    pub(super) fn create_type(&mut self, create: &ast::CreateType) -> Result<Ddl> {
        let ast::CreateType { name, kind } = create;
        let name = &self.new_name(name)?;
        if self.is_taken(&name.text) {
            let message = format!("type \"{}\" already exists", name.text);
            return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
        }
        let kind = match kind {
            NewType::Enum(labels) => {
                for (index, label) in labels.iter().enumerate() {
                    check_label(label)?;
                    if labels[..index].contains(label) {
                        let constraint = "pg_enum_typid_label_index";
                        let message =
                            format!("duplicate key value violates unique constraint \"{constraint}\"");
                        return Err(Error::new(SqlState::UNIQUE_VIOLATION, message));
                    }
                }
                UserTypeKind::Enum(labels.clone())
            }
            NewType::Composite(fields) => UserTypeKind::Composite(self.new_fields(fields)?),
            NewType::Domain { base, default, not_null, checks } => {
                let Meant { ty, domain } = self.meant(base)?;
                if domain.is_some() {
                    return Err(Error::unsupported("domain over a domain").at(name.at));
                }
                UserTypeKind::Domain(self.new_domain(name, ty, default.as_ref(), *not_null, checks)?)
            }
        };
        Ok(Ddl::CreateType(UserType { id: 0, name: name.text.clone(), kind }))
    }

    fn new_fields(&self, fields: &[(Name, TypeName)]) -> Result<Vec<(String, SqlType, Option<u32>)>> {
        let mut new: Vec<(String, SqlType, Option<u32>)> = Vec::with_capacity(fields.len());
        for (name, ty) in fields {
            if new.iter().any(|it| it.0 == name.text) {
                let message = format!("column \"{}\" specified more than once", name.text);
                return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
            }
            let Meant { ty, domain } = self.meant(ty)?;
            self.refuse_row_type(ty, name.at)?;
            new.push((name.text.clone(), ty, domain.map(|it| it.id)));
        }
        Ok(new)
    }

    /// Values are kept of composite types that cannot change, not of tables' rows.
    pub(super) fn refuse_row_type(&self, ty: SqlType, at: u32) -> Result<()> {
        match ty.element().unwrap_or(ty) {
            SqlType::Reg(_) => Err(Error::unsupported(format!("column of type {}", ty.name())).at(at)),
            SqlType::Record(id) if !self.catalog.types.contains_key(&id) => {
                Err(Error::unsupported("column of a table's row type").at(at))
            }
            _ => Ok(()),
        }
    }

    fn new_domain(
        &mut self,
        name: &Name,
        base: SqlType,
        default: Option<&(String, ast::Expr)>,
        not_null: bool,
        checks: &[ast::DomainCheck],
    ) -> Result<Domain> {
        self.refuse_row_type(base, name.at)?;
        let mut domain = Domain { base, not_null, default: None, checks: Vec::new() };
        if let Some((text, tree)) = default {
            self.validate_default(&crate::catalog::Column::new(&name.text, base), tree)?;
            domain.default = Some(self.stored_default(text)?);
        }
        let value = Expr::Literal { value: Datum::Null, ty: base.layout() };
        for check in checks {
            self.domain_check(&domain, &check.expr, &value)?;
            let taken = |it: &str| domain.checks.iter().any(|known| known.0 == it);
            let given = match &check.name {
                Some(name) if taken(&name.text) => {
                    let message =
                        format!("constraint \"{}\" for domain \"{}\" already exists", name.text, name.text);
                    return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
                }
                Some(name) => name.text.clone(),
                None => super::first_free(&super::derived_name(&name.text, &[], "check"), taken),
            };
            domain.checks.push((given, check.text.clone()));
        }
        Ok(domain)
    }

    /// Errors: 42704, 42710.
    pub(super) fn alter_type(&mut self, alter: &ast::AlterType) -> Result<Ddl> {
        let ast::AlterType { name, label, if_not_exists, place } = alter;
        let Some(found) = self.catalog.user_type(&self.stored(&name.text)) else {
            return Err(undefined(name));
        };
        let UserTypeKind::Enum(labels) = &found.kind else {
            let message = format!("{} is not an enum", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
        };
        check_label(label)?;
        if labels.contains(label) {
            let message = format!("enum label \"{label}\" already exists");
            return if *if_not_exists {
                Ok(Ddl::Nothing(format!("{message}, skipping")))
            } else {
                Err(Error::new(SqlState::DUPLICATE_OBJECT, message))
            };
        }
        let mut labels = labels.clone();
        let at = match place {
            None => labels.len(),
            Some((before, neighbor)) => {
                let at = labels.iter().position(|it| it == neighbor).ok_or_else(|| {
                    let message = format!("\"{neighbor}\" is not an existing enum label");
                    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                })?;
                at + usize::from(!before)
            }
        };
        labels.insert(at, label.clone());
        Ok(Ddl::AlterType(UserType { kind: UserTypeKind::Enum(labels), ..(**found).clone() }))
    }

    /// Errors: 42704, 42809.
    pub(super) fn drop_types(&mut self, names: &[Name], if_exists: bool, domain: bool) -> Result<Ddl> {
        let mut types: Vec<Arc<UserType>> = Vec::new();
        let mut notice = None;
        for name in names {
            match self.catalog.user_type(&self.stored(&name.text)) {
                Some(found) if domain && !matches!(found.kind, UserTypeKind::Domain(_)) => {
                    let message = format!("\"{}\" is not a domain", name.text);
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                Some(found) => types.push(found.clone()),
                None if if_exists => {
                    notice = Some(format!("type \"{}\" does not exist, skipping", name.text));
                }
                None => return Err(undefined(&Name { at: 0, ..name.clone() })),
            }
        }
        Ok(match notice {
            Some(notice) if types.is_empty() => Ddl::Nothing(notice),
            _ => Ddl::DropTypes { types, domain },
        })
    }
}

fn check_label(label: &str) -> Result<()> {
    if label.len() <= 63 {
        return Ok(());
    }
    let message = format!("invalid enum label \"{label}\"");
    Err(Error::new(SqlState::INVALID_NAME, message).with_detail("Labels must be 63 bytes or less."))
}

/// A scope in which a domain's value is called `value`.
pub(super) fn value_scope(id: usize, ty: SqlType) -> Rc<Scope> {
    let column = ScopeColumn { table: None, name: Rc::from("value"), id, ty, merged: false };
    Rc::new(Scope { columns: vec![column], tables: Vec::new() })
}
