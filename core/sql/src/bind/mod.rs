//! Binding: names, types and coercions by PostgreSQL's rules; every error has its position.
//!
//! The binder makes a logical plan ([`crate::plan::logical`]) in which every column has an id and every implicit cast
//! is written out; [`crate::optimize`] makes the physical one. What is not built is 0A000 with its position; nothing is
//! skipped over (L6): every field of the syntax tree is taken apart by name here.

mod aggregates;
mod alter;
mod array;
mod assignments;
mod binder;
mod changes;
mod coerce;
mod comments;
mod comparable;
mod composite;
mod conflict;
mod copy;
mod create_as;
mod ddl;
mod dml;
mod expr;
mod foreign_key;
mod from;
mod group;
mod index;
mod like;
mod lock_table;
mod locking;
mod materialized;
mod merge;
mod names;
mod query;
mod record;
mod recursive;
mod resolve;
mod rewritten;
mod row;
mod schemas;
mod scope;
mod select;
mod sequence;
mod series;
mod subquery;
mod system;
mod temporary;
mod user_types;
mod views;
mod window;

#[cfg(test)]
mod tests;

use crate::catalog::{Catalog, Table};
use crate::ddl::Ddl;
use crate::expr::Expr;
use crate::functions::CastContext;
use crate::optimize::{self, Methods};
use crate::parse::Parsed;
use crate::parse::ast::{self, SetValue, TransactionModes};
use crate::plan;
use crate::text::FormatSettings;
use crate::types::SqlType;
pub(crate) use alter::{Alter, null};
use binder::Binder;
pub(crate) use binder::RELATION_COUNT_MAX;
pub use ddl::{derived_name, first_free};
pub(crate) use dml::without_positions;
pub(crate) use foreign_key::ITSELF;
use orrery_base::kv::TableLock;
use orrery_base::{Error, Result, SqlState};
pub(crate) use sequence::serial_default;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What of a session's settings a plan depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BindSettings {
    /// What the plan may be made of.
    pub methods: Methods,
    /// How literals are read; without a time.
    pub format: FormatSettings,
}

/// A bound statement.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one value a statement, moved a few times")]
pub enum Bound {
    /// Reads or changes rows: planned.
    Dml(plan::Statement),
    /// Changes the schema.
    Ddl(Ddl),
    /// Concerns the session or the engine.
    Control(Control),
}

/// A statement that is the engine's own affair.
#[derive(Clone, Debug)]
pub enum Control {
    /// BEGIN, START TRANSACTION
    Begin(TransactionModes),
    /// COMMIT, END
    Commit {
        /// AND CHAIN
        chain: bool,
    },
    /// ROLLBACK, ABORT
    Rollback {
        /// AND CHAIN
        chain: bool,
    },
    /// DECLARE
    Declare(ast::Declare),
    /// FETCH, MOVE
    Fetch(ast::Fetch),
    /// CLOSE name, or ALL
    Close(Option<String>),
    /// REINDEX: there is nothing to do.
    Reindex,
    /// SAVEPOINT
    Savepoint(String),
    /// RELEASE SAVEPOINT
    Release(String),
    /// ROLLBACK TO SAVEPOINT
    RollbackTo(String),
    /// SET TRANSACTION; `session`: SET SESSION CHARACTERISTICS
    SetTransaction {
        /// What.
        modes: TransactionModes,
        /// For all transactions to come.
        session: bool,
    },
    /// SET name
    Set {
        /// Which, folded to lower case.
        name: String,
        /// To what.
        value: SetValue,
        /// LOCAL: until the transaction ends.
        local: bool,
    },
    /// ALTER SYSTEM SET, RESET
    AlterSystem {
        /// Which, folded to lower case.
        name: String,
        /// To what.
        value: SetValue,
    },
    /// RESET name, or ALL
    Reset(Option<String>),
    /// SHOW name, or ALL
    Show(Option<String>),
    /// PREPARE
    Prepare {
        /// Its name.
        name: String,
        /// Types of its parameters, as far as given.
        types: Vec<SqlType>,
        /// What is prepared.
        statement: Arc<Parsed>,
    },
    /// EXECUTE: see [`execute_arguments`].
    Execute {
        /// Which.
        name: String,
        /// Its arguments.
        args: Vec<ast::Expr>,
    },
    /// DEALLOCATE name, or ALL
    Deallocate(Option<String>),
    /// EXPLAIN: bind `statement` with [`bind`], then [`crate::explain::text`].
    Explain {
        /// How.
        options: ast::ExplainOptions,
        /// Which.
        statement: Arc<Parsed>,
    },
    /// ANALYZE: all tables when none is named.
    Analyze(Vec<Arc<Table>>),
    /// VACUUM: there is nothing to reclaim.
    Vacuum {
        /// ANALYZE too.
        analyze: bool,
        /// Which.
        tables: Vec<Arc<Table>>,
    },
    /// CREATE TABLE AS, SELECT INTO
    TableAs(TableAs),
    /// CHECKPOINT
    Checkpoint,
    /// LOCK TABLE
    LockTable {
        /// Which.
        tables: Vec<Arc<Table>>,
        /// How.
        mode: TableLock,
        /// NOWAIT
        nowait: bool,
    },
    /// COPY FROM
    Copy(CopyFrom),
    /// COPY TO
    CopyTo(CopyTo),
}

/// A table made of a query.
#[derive(Clone, Debug)]
pub struct TableAs {
    /// CREATE TABLE; or the notice that it is there.
    pub table: Ddl,
    /// The INSERT that fills it, to be bound when the table is there. (REFRESH MATERIALIZED VIEW empties a table and fills it anew.)
    pub insert: Option<Arc<Parsed>>,
}

/// COPY table FROM: the values of `columns` come from the text, those of the others from `defaults`.
#[derive(Clone, Debug)]
pub struct CopyFrom {
    /// Into which table.
    pub table: Arc<Table>,
    /// The ordinals the text gives, in its order.
    pub columns: Vec<usize>,
    /// Of columns of users' types, by their places in the text: the value, made of the text as a parameter of that number.
    pub read: BTreeMap<usize, Expr>,
    /// For every column of the table, what it gets when the text does not give it (cast already; no columns in it).
    pub defaults: Vec<Expr>,
    /// Generated columns over the table's columns.
    pub generated: Vec<(usize, Expr)>,
    /// CHECK constraints over the table's columns.
    pub checks: Vec<(String, Expr)>,
    /// Foreign keys, if there are any.
    pub relations: Option<Arc<plan::Relations>>,
    /// A file's name; `None` is STDIN.
    pub file: Option<String>,
    /// How the text is laid out.
    pub format: CopyFormat,
}

/// COPY … TO: rows to text.
#[derive(Clone, Debug)]
pub struct CopyTo {
    /// What gives the rows.
    pub source: Arc<Parsed>,
    /// A file's name; `None` is STDOUT.
    pub file: Option<String>,
    /// How the text is laid out.
    pub format: CopyFormat,
}

/// Which values CSV quotes anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForceQuote {
    /// None.
    #[default]
    Never,
    /// Those of all columns, but NULL.
    All,
    /// Those of these columns.
    Of(Vec<ast::Name>),
}

/// The layout of COPY's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// CSV; otherwise PostgreSQL's text format.
    pub csv: bool,
    /// The first line is names, to be skipped.
    pub header: bool,
    /// They must be those of the columns.
    pub header_match: bool,
    /// Between values.
    pub delimiter: u8,
    /// What stands for NULL, unquoted.
    pub null: String,
    /// CSV's quote.
    pub quote: u8,
    /// CSV's escape inside quotes.
    pub escape: u8,
    /// FORCE_QUOTE
    pub force_quote: ForceQuote,
}

/// Binds a statement; one of rows is planned too. `param_types`: those given beforehand (`Unknown` where not); the rest
/// follow from use (42P18 where they do not).
pub fn bind(
    parsed: &Parsed,
    catalog: &Catalog,
    param_types: &[SqlType],
    settings: BindSettings,
) -> Result<Bound> {
    let mut binder = Binder::new(catalog, param_types, parsed.param_count as usize);
    (binder.methods, binder.format) = (settings.methods, settings.format);
    binder.allows_changes = true;
    binder.defines = defines(&parsed.statement);
    let control = |control| Ok(Bound::Control(control));
    match &parsed.statement {
        ast::Statement::Query(query) => bind_query(binder, query),
        ast::Statement::Insert(insert) => bind_insert(binder, insert),
        ast::Statement::Update(update) => bind_update(binder, update),
        ast::Statement::Delete(delete) => bind_delete(binder, delete),
        ast::Statement::Merge(merge) => merge::bind_merge(binder, merge),
        ast::Statement::CreateView(create) => {
            // It has no parameters, whatever the session would give.
            binder.params.clear();
            binder.allows_changes = false;
            binder.create_view(create).map(Bound::Ddl)
        }
        ast::Statement::CreateTable(_)
        | ast::Statement::DropTable { .. }
        | ast::Statement::AlterTable(_)
        | ast::Statement::RenameIndex { .. }
        | ast::Statement::CreateIndex(_)
        | ast::Statement::DropIndex { .. }
        | ast::Statement::DropView { .. }
        | ast::Statement::Schema(_)
        | ast::Statement::Comment(_)
        | ast::Statement::CreateType(_)
        | ast::Statement::AlterType(_)
        | ast::Statement::DropType { .. }
        | ast::Statement::CreateSequence(_)
        | ast::Statement::AlterSequence(_)
        | ast::Statement::DropSequence { .. }
        | ast::Statement::Truncate { .. } => bind_definition(binder, &parsed.statement).map(Bound::Ddl),
        ast::Statement::Copy(copy) => control(Control::Copy(binder.copy(copy)?)),
        ast::Statement::CopyTo(copy) => control(Control::CopyTo(binder.copy_to(copy, parsed)?)),
        ast::Statement::Begin(modes) => control(Control::Begin(*modes)),
        ast::Statement::Commit { chain } => control(Control::Commit { chain: *chain }),
        ast::Statement::Rollback { chain } => control(Control::Rollback { chain: *chain }),
        ast::Statement::Declare(declare) => control(Control::Declare(declare.clone())),
        ast::Statement::Fetch(fetch) => control(Control::Fetch(fetch.clone())),
        ast::Statement::Close(name) => control(Control::Close(name.as_ref().map(|name| name.text.clone()))),
        ast::Statement::Reindex { names, index } => {
            binder.check_reindex(names, *index)?;
            control(Control::Reindex)
        }
        ast::Statement::Savepoint(name) => control(Control::Savepoint(name.text.clone())),
        ast::Statement::Release(name) => control(Control::Release(name.text.clone())),
        ast::Statement::RollbackTo(name) => control(Control::RollbackTo(name.text.clone())),
        ast::Statement::SetTransaction { modes, session } => {
            control(Control::SetTransaction { modes: *modes, session: *session })
        }
        ast::Statement::Set { name, value, local } => {
            control(Control::Set { name: setting(name), value: value.clone(), local: *local })
        }
        ast::Statement::Reset(name) => control(Control::Reset(name.as_ref().map(setting))),
        ast::Statement::Show(name) => control(Control::Show(name.as_ref().map(setting))),
        ast::Statement::Prepare { name, types, statement } => {
            let (name, types, statement) = (name.text.clone(), types.clone(), statement.clone());
            control(Control::Prepare { name, types, statement })
        }
        ast::Statement::Execute { name, args } => {
            control(Control::Execute { name: name.text.clone(), args: args.clone() })
        }
        ast::Statement::Deallocate(name) => {
            control(Control::Deallocate(name.as_ref().map(|name| name.text.clone())))
        }
        ast::Statement::Explain { options, statement } => {
            control(Control::Explain { options: *options, statement: statement.clone() })
        }
        ast::Statement::Analyze(names) if names.is_empty() => control(Control::Analyze(binder.all_tables())),
        ast::Statement::Analyze(names) => control(Control::Analyze(tables(&binder, names)?)),
        ast::Statement::Vacuum { analyze, tables: names } => {
            let named = tables(&binder, names)?;
            let tables = if names.is_empty() { binder.all_tables() } else { named };
            control(Control::Vacuum { analyze: *analyze, tables })
        }
        ast::Statement::CreateTableAs(create) => {
            binder.allows_changes = false;
            control(binder.table_as(create, parsed)?)
        }
        ast::Statement::Refresh { name, concurrently, with_data } => {
            control(binder.refresh(name, *concurrently, *with_data, parsed)?)
        }
        ast::Statement::Checkpoint => control(Control::Checkpoint),
        ast::Statement::AlterSystem { name, value } => {
            control(Control::AlterSystem { name: setting(name), value: value.clone() })
        }
        ast::Statement::LockTable(lock) => {
            let tables = lock_table::tables(&mut binder, &lock.names)?;
            control(Control::LockTable { tables, mode: lock.mode, nowait: lock.nowait })
        }
    }
}

/// Statements that define something.
fn bind_definition(mut binder: Binder<'_>, statement: &ast::Statement) -> Result<Ddl> {
    match statement {
        ast::Statement::CreateTable(create) => binder.new_table(create),
        ast::Statement::DropTable { names, if_exists, cascade, materialized } => {
            binder.drop_table(names, *if_exists, *cascade, *materialized)
        }
        ast::Statement::AlterTable(alter) => binder.alter_table(alter),
        ast::Statement::RenameIndex { name, if_exists, to } => binder.rename_index(name, *if_exists, to),
        ast::Statement::CreateIndex(create) => binder.create_index(create),
        ast::Statement::DropIndex { names, if_exists } => binder.drop_index(names, *if_exists),
        ast::Statement::DropView { names, if_exists, cascade } => {
            binder.drop_view(names, *if_exists, *cascade)
        }
        ast::Statement::Schema(statement) => binder.schema_statement(statement),
        ast::Statement::Comment(comment) => binder.comment(comment),
        ast::Statement::CreateType(create) => binder.create_type(create),
        ast::Statement::AlterType(alter) => binder.alter_type(alter),
        ast::Statement::DropType { names, if_exists, domain } => {
            binder.drop_types(names, *if_exists, *domain)
        }
        ast::Statement::CreateSequence(create) => binder.create_sequence(create),
        ast::Statement::AlterSequence(alter) => binder.alter_sequence(alter),
        ast::Statement::Truncate { names, restart_identity, cascade } => {
            binder.truncate(names, *restart_identity, *cascade)
        }
        ast::Statement::DropSequence { names, if_exists, cascade } => {
            binder.drop_sequence(names, *if_exists, *cascade)
        }
        _ => Err(Error::internal("a statement that defines nothing")),
    }
}

/// Settings are named without regard to case, quoted or not.
fn setting(name: &ast::Name) -> String {
    name.text.to_lowercase()
}

fn tables(binder: &Binder<'_>, names: &[ast::Name]) -> Result<Vec<Arc<Table>>> {
    let mut tables: Vec<Arc<Table>> = Vec::with_capacity(names.len());
    for name in names {
        let table = binder.table(name)?;
        if !tables.iter().any(|known| known.id == table.id) {
            tables.push(table);
        }
    }
    Ok(tables)
}

/// Whether the statement's texts are stored, to be bound anew under other settings.
fn defines(statement: &ast::Statement) -> bool {
    matches!(
        statement,
        ast::Statement::CreateTable(_)
            | ast::Statement::CreateView(_)
            | ast::Statement::CreateIndex(_)
            | ast::Statement::AlterTable(_)
            | ast::Statement::CreateType(_)
    ) || matches!(statement, ast::Statement::CreateTableAs(create) if create.materialized.is_some())
}

/// What the optimizer needs, when all parameters have types.
fn finish(binder: Binder<'_>, query: &crate::plan::logical::Query) -> Result<optimize::Input> {
    if !binder.is_part {
        binder.check_params()?;
    }
    if !binder.whole_rows.is_empty() {
        return Err(Error::unsupported("a table's row as a value in this place"));
    }
    comparable::check(&binder.statement.columns, &query.root)?;
    for subquery in &binder.statement.subqueries {
        comparable::check(&binder.statement.columns, &subquery.root)?;
    }
    Ok(optimize::Input { statement: binder.statement, param_types: binder.params, methods: binder.methods })
}

fn bind_query(mut binder: Binder<'_>, query: &ast::Query) -> Result<Bound> {
    let mut query = binder.query(query)?;
    binder.show_rows(&mut query)?;
    let changes = std::mem::take(&mut binder.changes);
    let plan = optimize::plan(finish(binder, &query)?, query)?;
    changes::with_changes(changes, plan::Statement::Query(plan))
}

fn bind_insert(mut binder: Binder<'_>, insert: &ast::Insert) -> Result<Bound> {
    let dml::BoundInsert { table, source, generated, checks, skip, conflict_update, returning } =
        binder.insert(insert)?;
    let relations = binder.relations(&table, conflict_update.is_some())?;
    let changes = std::mem::take(&mut binder.changes);
    let source = optimize::plan(finish(binder, &source)?, source)?;
    changes::with_changes(
        changes,
        plan::Statement::Insert(plan::Insert {
            table,
            source,
            generated,
            checks,
            skip,
            conflict_update,
            relations,
            returning,
        }),
    )
}

fn bind_update(mut binder: Binder<'_>, update: &ast::Update) -> Result<Bound> {
    let dml::BoundChange { table, source, recheck, assignments, generated, checks, returning } =
        binder.update(update)?;
    let relations = binder.relations(&table, true)?;
    let changes = std::mem::take(&mut binder.changes);
    let source = optimize::plan(finish(binder, &source)?, source)?;
    let recheck = recheck.map(plan::Recheck);
    changes::with_changes(
        changes,
        plan::Statement::Update(plan::Update {
            table,
            source,
            recheck,
            assignments,
            generated,
            checks,
            relations,
            returning,
        }),
    )
}

fn bind_delete(mut binder: Binder<'_>, delete: &ast::Delete) -> Result<Bound> {
    let dml::BoundChange { table, source, recheck, assignments: _, generated: _, checks: _, returning } =
        binder.delete(delete)?;
    let relations = binder.relations(&table, true)?;
    let changes = std::mem::take(&mut binder.changes);
    let source = optimize::plan(finish(binder, &source)?, source)?;
    let recheck = recheck.map(plan::Recheck);
    changes::with_changes(
        changes,
        plan::Statement::Delete(plan::Delete { table, source, recheck, relations, returning }),
    )
}

/// Binds EXECUTE's arguments to the prepared statement's parameter types: expressions without columns, for
/// `eval::constant`. A wrong number is 42601.
pub fn execute_arguments(
    args: &[ast::Expr],
    param_types: &[SqlType],
    catalog: &Catalog,
    settings: BindSettings,
) -> Result<Vec<Expr>> {
    if args.len() != param_types.len() {
        let message = "wrong number of parameters for prepared statement";
        let detail = format!("Expected {} parameters but got {}.", param_types.len(), args.len());
        return Err(Error::new(SqlState::SYNTAX_ERROR, message).with_detail(detail));
    }
    let mut binder = Binder::new(catalog, &[], 0);
    binder.format = settings.format;
    binder.level.forbidden = Some("EXECUTE parameters");
    let scope = Rc::new(scope::Scope::default());
    let mut bound = Vec::with_capacity(args.len());
    for (index, (arg, ty)) in args.iter().zip(param_types).enumerate() {
        let value = binder.expr(&scope, arg)?;
        if value.any(&mut |it| matches!(it, Expr::Subquery { .. })) {
            return Err(Error::unsupported("subquery in EXECUTE parameters").at(arg.at));
        }
        let from = value.ty();
        let value =
            binder.coerce(value, *ty, CastContext::Assignment, expr::location(arg)).map_err(|error| {
                if error.code() != SqlState::CANNOT_COERCE {
                    return error;
                }
                let message = format!(
                    "parameter ${} of type {} cannot be coerced to the expected type {}",
                    index + 1,
                    from.base_name(),
                    ty.base_name()
                );
                Error::new(SqlState::DATATYPE_MISMATCH, message).at(expr::location(arg))
            })?;
        bound.push(value);
    }
    Ok(bound)
}
