//! Statements other than SELECT and schema changes.

use super::Parsed;
use super::ast::{
    AssignedPart, Assignment, CommonTable, CopyValue, Delete, ExplainOptions, Expr, ExprKind, Level, Name,
    SetValue, Statement, TransactionModes, Update,
};
use super::lexer::Kind;
use super::parser::{self, First, Parser};
use super::{char_count, keywords, shift};
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

impl Parser<'_> {
    /// A whole statement.
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let token = self.peek()?;
        if token.kind == Kind::Punct(b'(') || self.at_query()? {
            return self.query_statement();
        }
        if token.kind != Kind::Word {
            return Err(self.unexpected(token));
        }
        let word = self.slice(token).to_ascii_lowercase();
        self.take()?;
        match word.as_str() {
            "insert" => self.insert(Vec::new()).map(Statement::Insert),
            "update" => self.update(Vec::new()).map(Statement::Update),
            "delete" => self.delete(Vec::new()).map(Statement::Delete),
            "merge" => self.merge(Vec::new()).map(Statement::Merge),
            "create" => self.create(token.at),
            "drop" => self.drop(token.at),
            "alter" => self.alter(token.at),
            "truncate" => self.truncate(),
            "vacuum" => self.vacuum(),
            "lock" => self.lock_table(),
            "comment" => self.comment(),
            "copy" => self.copy(),
            "refresh" => self.refresh(),
            "begin" | "start" => self.begin(word == "start"),
            "commit" | "end" => self.transaction_end().map(|chain| Statement::Commit { chain }),
            "abort" => self.transaction_end().map(|chain| Statement::Rollback { chain }),
            "rollback" => self.rollback(),
            "savepoint" => Ok(Statement::Savepoint(self.name()?)),
            "release" => {
                self.accept("savepoint")?;
                Ok(Statement::Release(self.name()?))
            }
            "set" => self.set(),
            "reset" => {
                Ok(Statement::Reset(if self.accept("all")? { None } else { Some(self.setting_name()?) }))
            }
            "show" => self.show(),
            "prepare" => self.prepare(),
            "execute" => self.execute(),
            "deallocate" => {
                self.accept("prepare")?;
                Ok(Statement::Deallocate(if self.accept("all")? { None } else { Some(self.name()?) }))
            }
            "declare" => self.declare(),
            "fetch" => self.fetch(false),
            "move" => self.fetch(true),
            "close" => Ok(Statement::Close(if self.accept("all")? { None } else { Some(self.name()?) })),
            "reindex" => self.reindex(),
            "explain" => self.explain(),
            "analyze" | "analyse" => self.analyze(),
            "checkpoint" => Ok(Statement::Checkpoint),
            other if keywords::is_unsupported_statement(other) => {
                Err(Error::unsupported(other.to_uppercase()).at(token.at))
            }
            _ => Err(self.unexpected(token)),
        }
    }

    pub(super) fn query_statement(&mut self) -> Result<Statement> {
        if self.is_word("with")? {
            // WITH may stand before a change of rows too; only looking past it would tell.
            let at = self.at()?;
            let mut query = self.with_clause()?;
            if self.accept("insert")? {
                return self.insert(query).map(Statement::Insert);
            }
            if self.accept("update")? {
                return self.update(query).map(Statement::Update);
            }
            if self.accept("delete")? {
                return self.delete(query).map(Statement::Delete);
            }
            if self.accept("merge")? {
                return self.merge(query).map(Statement::Merge);
            }
            let mut rest = self.query()?;
            query.append(&mut rest.with);
            return Ok(Statement::Query(super::ast::Query { with: query, at, ..rest }));
        }
        Ok(Statement::Query(self.query()?))
    }

    /// A change of rows in WITH, if one begins here.
    pub(super) fn change(&mut self) -> Result<Option<Statement>> {
        self.refuse_word("merge", "MERGE in WITH or COPY")?;
        self.nested(|parser| {
            Ok(if parser.accept("insert")? {
                Some(Statement::Insert(parser.insert(Vec::new())?))
            } else if parser.accept("update")? {
                Some(Statement::Update(parser.update(Vec::new())?))
            } else if parser.accept("delete")? {
                Some(Statement::Delete(parser.delete(Vec::new())?))
            } else {
                None
            })
        })
    }

    pub(super) fn alias(&mut self) -> Result<Option<Name>> {
        Ok(if self.accept("as")? { Some(self.name()?) } else { self.accept_name()? })
    }

    pub(super) fn is_query_in_parens(&mut self) -> Result<bool> {
        for word in ["select", "with", "values", "table"] {
            if self.is_word_at(1, word)? {
                return Ok(true);
            }
        }
        Ok(self.peek_at(1)?.kind == Kind::Punct(b'('))
    }

    pub(super) fn returning(&mut self) -> Result<Option<Vec<super::ast::SelectItem>>> {
        Ok(if self.accept("returning")? { Some(self.select_items()?) } else { None })
    }

    fn update(&mut self, with: Vec<CommonTable>) -> Result<Update> {
        let table = self.table_with_only()?;
        let alias = if self.is_word("set")? { None } else { self.alias()? };
        self.expect("set")?;
        let assignments = self.list(|parser| parser.assignments())?.into_iter().flatten().collect();
        let from = if self.accept("from")? { self.list(|parser| parser.table_expr())? } else { Vec::new() };
        let filter = self.where_clause()?;
        let returning = self.returning()?;
        Ok(Update { with, table, alias, assignments, from, filter, returning })
    }

    /// One item of SET, of one column or of several.
    pub(super) fn assignments(&mut self) -> Result<Vec<Assignment>> {
        let at = self.at()?;
        if !self.accept_punct(b'(')? {
            let (column, part) = self.assigned_column()?;
            self.expect_equals()?;
            return Ok(vec![Assignment { column, part, value: self.expr()? }]);
        }
        let columns = self.list(|parser| parser.assigned_column())?;
        self.expect_punct(b')')?;
        self.expect_equals()?;
        self.accept("row")?;
        if self.is_query_in_parens()? && self.peek_at(1)?.kind != Kind::Punct(b'(') {
            let at = self.at()?;
            self.expect_punct(b'(')?;
            let query = Arc::new(self.query()?);
            self.expect_punct(b')')?;
            let width = columns.len();
            let of_column = |(place, (column, part)): (usize, (Name, AssignedPart))| {
                let kind = ExprKind::SubqueryPart { query: query.clone(), part: place, width };
                Assignment { column, part, value: Expr { kind, at } }
            };
            return Ok(columns.into_iter().enumerate().map(of_column).collect());
        }
        if !self.is_punct(b'(')? {
            return self.refuse("assignment to several columns from anything but a row");
        }
        self.expect_punct(b'(')?;
        let values = self.list(|parser| parser.expr())?;
        self.expect_punct(b')')?;
        if columns.len() != values.len() {
            let message = "number of columns does not match number of values";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let pairs = columns.into_iter().zip(values);
        Ok(pairs.map(|((column, part), value)| Assignment { column, part, value }).collect())
    }

    /// A column to assign to, and what of it is meant.
    fn assigned_column(&mut self) -> Result<(Name, AssignedPart)> {
        let column = self.name()?;
        let mut part = AssignedPart::Whole;
        while self.accept_punct(b'.')? {
            self.label()?;
            part = AssignedPart::Field;
        }
        if self.accept_punct(b'[')? {
            let subscripts = self.subscripts()?;
            if matches!(part, AssignedPart::Whole) {
                part = AssignedPart::Elements(subscripts);
            }
            if self.is_punct(b'.')? {
                return self.refuse("assignment to a field of an element");
            }
        }
        Ok((column, part))
    }

    fn expect_equals(&mut self) -> Result<()> {
        if self.accept_operator("=")? {
            return Ok(());
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }

    fn delete(&mut self, with: Vec<CommonTable>) -> Result<Delete> {
        self.expect("from")?;
        let table = self.table_with_only()?;
        let alias = self.alias()?;
        let using = if self.accept("using")? { self.list(|parser| parser.table_expr())? } else { Vec::new() };
        let filter = self.where_clause()?;
        let returning = self.returning()?;
        Ok(Delete { with, table, alias, using, filter, returning })
    }

    pub(super) fn where_clause(&mut self) -> Result<Option<Expr>> {
        if !self.accept("where")? {
            return Ok(None);
        }
        if self.is_word("current")? && self.is_word_at(1, "of")? {
            return self.refuse("WHERE CURRENT OF");
        }
        Ok(Some(self.expr()?))
    }

    fn truncate(&mut self) -> Result<Statement> {
        self.accept("table")?;
        let names = self.list(|parser| parser.table_with_only())?;
        let restart_identity = self.accept_all(&["restart", "identity"])?;
        if !restart_identity {
            self.accept_all(&["continue", "identity"])?;
        }
        let cascade = self.accept("cascade")?;
        if !cascade {
            self.accept("restrict")?;
        }
        Ok(Statement::Truncate { names, restart_identity, cascade })
    }

    fn begin(&mut self, start: bool) -> Result<Statement> {
        if start {
            self.expect("transaction")?;
        } else if !self.accept("work")? {
            self.accept("transaction")?;
        }
        Ok(Statement::Begin(self.transaction_modes(false)?))
    }

    fn transaction_modes(&mut self, required: bool) -> Result<TransactionModes> {
        let mut modes = TransactionModes::default();
        let mut needed = required;
        loop {
            if self.accept_all(&["isolation", "level"])? {
                modes.isolation = Some(self.isolation_level()?);
            } else if self.accept_all(&["read", "only"])? {
                modes.read_only = Some(true);
            } else if self.accept_all(&["read", "write"])? {
                modes.read_only = Some(false);
            } else if self.accept("deferrable")? {
                modes.deferrable = Some(true);
            } else if self.accept_all(&["not", "deferrable"])? {
                modes.deferrable = Some(false);
            } else if needed {
                let next = self.peek()?;
                return Err(self.unexpected(next));
            } else {
                return Ok(modes);
            }
            needed = self.accept_punct(b',')?;
        }
    }

    fn isolation_level(&mut self) -> Result<Level> {
        if self.accept("serializable")? {
            return Ok(Level::Serializable);
        }
        if self.accept_all(&["repeatable", "read"])? {
            return Ok(Level::RepeatableRead);
        }
        if self.accept_all(&["read", "committed"])? {
            return Ok(Level::ReadCommitted);
        }
        if self.accept_all(&["read", "uncommitted"])? {
            return Ok(Level::ReadUncommitted);
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }

    /// What follows COMMIT and ROLLBACK: whether AND CHAIN.
    fn transaction_end(&mut self) -> Result<bool> {
        self.refuse_word("prepared", "two-phase commit")?;
        if !self.accept("work")? {
            self.accept("transaction")?;
        }
        if self.accept_all(&["and", "chain"])? {
            return Ok(true);
        }
        self.accept_all(&["and", "no", "chain"])?;
        Ok(false)
    }

    fn rollback(&mut self) -> Result<Statement> {
        let chain = self.transaction_end()?;
        if chain || !self.accept("to")? {
            return Ok(Statement::Rollback { chain });
        }
        self.accept("savepoint")?;
        Ok(Statement::RollbackTo(self.name()?))
    }

    fn set(&mut self) -> Result<Statement> {
        if self.accept_all(&["session", "characteristics", "as"])? {
            self.expect("transaction")?;
            return Ok(Statement::SetTransaction { modes: self.transaction_modes(true)?, session: true });
        }
        if self.accept("transaction")? {
            self.refuse_word("snapshot", "SET TRANSACTION SNAPSHOT")?;
            return Ok(Statement::SetTransaction { modes: self.transaction_modes(true)?, session: false });
        }
        let local = self.accept("local")?;
        if !local {
            self.accept("session")?;
        }
        self.refuse_word("role", "SET ROLE")?;
        self.refuse_word("constraints", "SET CONSTRAINTS")?;
        self.refuse_word("authorization", "SET SESSION AUTHORIZATION")?;
        let at = self.at()?;
        let name = if self.accept_all(&["time", "zone"])? {
            Name { text: "timezone".to_owned(), at }
        } else if self.accept("schema")? {
            Name { text: "search_path".to_owned(), at }
        } else {
            let name = self.setting_name()?;
            if !self.accept("to")? && !self.accept_operator("=")? {
                let next = self.peek()?;
                return Err(self.unexpected(next));
            }
            name
        };
        let value = if self.accept("default")? {
            SetValue::Default
        } else {
            SetValue::Values(self.list(|parser| parser.setting_value())?)
        };
        Ok(Statement::Set { name, value, local })
    }

    /// What follows ALTER SYSTEM.
    pub(super) fn alter_system(&mut self) -> Result<Statement> {
        if self.accept("reset")? {
            return Ok(Statement::AlterSystem { name: self.setting_name()?, value: SetValue::Default });
        }
        self.expect("set")?;
        match self.set()? {
            Statement::Set { name, value, local: false } => Ok(Statement::AlterSystem { name, value }),
            _ => self.refuse("ALTER SYSTEM"),
        }
    }

    fn setting_name(&mut self) -> Result<Name> {
        if self.accept_all(&["time", "zone"])? {
            return Ok(Name { text: "timezone".to_owned(), at: 0 });
        }
        let mut name = self.label()?;
        while self.accept_punct(b'.')? {
            name.text = format!("{}.{}", name.text, self.label()?.text);
        }
        Ok(name)
    }

    fn setting_value(&mut self) -> Result<String> {
        let sign = if self.accept_operator("-")? { "-" } else { "" };
        let next = self.peek()?;
        let text = match next.kind {
            Kind::String | Kind::EscapeString | Kind::DollarString => return self.string(),
            Kind::Number => self.slice(next).to_owned(),
            Kind::Word | Kind::Quoted => return Ok(self.label()?.text),
            _ => return Err(self.unexpected(next)),
        };
        self.take()?;
        Ok(format!("{sign}{text}"))
    }

    fn show(&mut self) -> Result<Statement> {
        if self.accept("all")? {
            return Ok(Statement::Show(None));
        }
        if self.accept_all(&["transaction", "isolation", "level"])? {
            return Ok(Statement::Show(Some(Name { text: "transaction_isolation".to_owned(), at: 0 })));
        }
        Ok(Statement::Show(Some(self.setting_name()?)))
    }

    fn prepare(&mut self) -> Result<Statement> {
        self.refuse_word("transaction", "two-phase commit")?;
        let name = self.name()?;
        let mut types = Vec::new();
        if self.accept_punct(b'(')? {
            types = self.list(|parser| {
                Ok(if parser.accept("unknown")? {
                    crate::types::SqlType::Unknown
                } else {
                    parser.type_name()?
                })
            })?;
            self.expect_punct(b')')?;
        }
        self.expect("as")?;
        Ok(Statement::Prepare { name, types, statement: self.inner_statement()? })
    }

    fn execute(&mut self) -> Result<Statement> {
        let name = self.name()?;
        let mut args = Vec::new();
        if self.accept_punct(b'(')? {
            args = self.list(|parser| parser.expr())?;
            self.expect_punct(b')')?;
        }
        Ok(Statement::Execute { name, args })
    }

    fn explain(&mut self) -> Result<Statement> {
        let mut options = ExplainOptions { analyze: false, costs: true, summary: false };
        let mut summary = None;
        if self.is_punct(b'(')? && !self.is_query_in_parens()? {
            self.take()?;
            for (name, value) in self.list(|parser| parser.copy_option())? {
                let word = match &value {
                    CopyValue::None => "true",
                    CopyValue::Word(word) | CopyValue::String(word) => word.as_str(),
                    CopyValue::Star | CopyValue::Names(_) => "(…)",
                };
                let on = matches!(word, "true" | "on" | "1");
                match (name.text.as_str(), word.to_ascii_lowercase().as_str()) {
                    ("analyze", _) => options.analyze = on,
                    ("costs", _) => options.costs = on,
                    ("summary", _) => summary = Some(on),
                    ("format", "text") => {}
                    // What is printed anyway, or never, as asked.
                    ("timing", _) => {}
                    ("verbose" | "buffers" | "wal" | "settings", _) if !on => {}
                    (other, _) => {
                        let what = format!("EXPLAIN option {other} {word}");
                        return Err(Error::unsupported(what).at(name.at));
                    }
                }
            }
            self.expect_punct(b')')?;
        } else {
            options.analyze = self.accept("analyze")? || self.accept("analyse")?;
            self.refuse_word("verbose", "EXPLAIN VERBOSE")?;
        }
        options.summary = summary.unwrap_or(options.analyze);
        Ok(Statement::Explain { options, statement: self.inner_statement()? })
    }

    /// A statement inside another, with a text of its own.
    pub(super) fn inner_statement(&mut self) -> Result<Arc<Parsed>> {
        let start = self.peek()?;
        let offset_chars = char_count(&self.text[..start.start]);
        let rest = &self.text[start.start..];
        let First { statement, as_of, param_count, len } =
            self.nested(|_| parser::statement(rest).map_err(|error| shift(error, offset_chars)))?;
        if matches!(statement, Statement::Explain { .. } | Statement::Prepare { .. }) {
            return Err(self.unexpected(start));
        }
        self.skip_to(start.start + len, start.at + char_count(&rest[..len]));
        let text = Arc::from(&rest[..len]);
        Ok(Arc::new(Parsed { text, offset_chars, offset_bytes: start.start, statement, as_of, param_count }))
    }

    fn analyze(&mut self) -> Result<Statement> {
        if self.is_punct(b'(')? {
            return self.refuse("ANALYZE options");
        }
        self.refuse_word("verbose", "ANALYZE VERBOSE")?;
        let next = self.peek()?;
        if matches!(next.kind, Kind::End | Kind::Punct(b';')) {
            return Ok(Statement::Analyze(Vec::new()));
        }
        let names = self.list(|parser| parser.table_name())?;
        if self.is_punct(b'(')? {
            return self.refuse("ANALYZE of single columns");
        }
        Ok(Statement::Analyze(names))
    }
}
