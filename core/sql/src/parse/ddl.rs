//! CREATE and DROP of tables and indexes.

use super::ast::{
    ColumnDef, CommonTable, Constraint, ConstraintKind, CreateIndex, CreateSequence, CreateTable, CreateView,
    Expr, ExprKind, IdentityDef, IndexKey, Like, Name, Query, References, Select, SelectItem,
    SequenceOptions, SetExpr, Statement, TableExpr,
};
use super::keywords;
use super::lexer::Kind;
use super::parser::Parser;
use crate::catalog::Action;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

impl Parser<'_> {
    /// What follows CREATE.
    pub(super) fn create(&mut self, at: u32) -> Result<Statement> {
        if self.accept("table")? {
            return self.create_table(false);
        }
        if let Some(words) = self.temporary_words()?
            && self.is_word_at(words, "table")?
        {
            for _ in 0..=words {
                self.take()?;
            }
            return self.create_table(true);
        }
        let or_replace = self.accept_all(&["or", "replace"])?;
        let temporary = self.temporary_view_or_sequence()?;
        if self.is_word("recursive")? && self.is_word_at(1, "view")? {
            self.take()?;
            self.take()?;
            let create = self.create_recursive_view(or_replace)?;
            return Ok(Statement::CreateView(CreateView { temporary, ..create }));
        }
        if self.accept("view")? {
            let create = self.create_view(or_replace)?;
            return Ok(Statement::CreateView(CreateView { temporary, ..create }));
        }
        if !or_replace && !temporary && self.accept_all(&["materialized", "view"])? {
            return self.create_materialized();
        }
        if !or_replace && self.accept("schema")? {
            return self.create_schema();
        }
        if !or_replace && self.accept("type")? {
            return self.create_type();
        }
        if !or_replace && self.accept("domain")? {
            return self.create_domain();
        }
        if !or_replace && self.accept("sequence")? {
            let create = self.create_sequence()?;
            return Ok(Statement::CreateSequence(CreateSequence { temporary, ..create }));
        }
        let unique = !or_replace && self.accept("unique")?;
        if !or_replace && self.accept("index")? {
            return Ok(Statement::CreateIndex(self.create_index(unique)?));
        }
        let next = self.peek()?;
        let what = self.slice(next).to_ascii_uppercase();
        if unique || next.kind != Kind::Word || !keywords::is_object(&what.to_ascii_lowercase()) {
            return Err(self.unexpected(next));
        }
        Err(Error::unsupported(format!("CREATE {what}")).at(at))
    }

    /// What follows DROP.
    pub(super) fn drop(&mut self, at: u32) -> Result<Statement> {
        if self.accept("schema")? {
            return self.drop_schema();
        }
        for (word, domain) in [("type", false), ("domain", true)] {
            if self.accept(word)? {
                return self.drop_type(domain);
            }
        }
        let materialized = self.accept_all(&["materialized", "view"])?;
        let table = materialized || self.accept("table")?;
        let view = !table && self.accept("view")?;
        let sequence = !table && !view && self.accept("sequence")?;
        if !table && !view && !sequence && !self.accept("index")? {
            let next = self.peek()?;
            let what = self.slice(next).to_ascii_uppercase();
            if next.kind != Kind::Word || !keywords::is_object(&what.to_ascii_lowercase()) {
                return Err(self.unexpected(next));
            }
            return Err(Error::unsupported(format!("DROP {what}")).at(at));
        }
        if !table && !view && !sequence {
            self.accept("concurrently")?;
        }
        let if_exists = self.accept_all(&["if", "exists"])?;
        let names = self.list(|parser| parser.table_name())?;
        if !table && !view && !sequence {
            self.refuse_word("cascade", "CASCADE")?;
        }
        let cascade = self.accept("cascade")?;
        if !cascade {
            self.accept("restrict")?;
        }
        Ok(if table {
            Statement::DropTable { names, if_exists, cascade, materialized }
        } else if view {
            Statement::DropView { names, if_exists, cascade }
        } else if sequence {
            Statement::DropSequence { names, if_exists, cascade }
        } else {
            Statement::DropIndex { names, if_exists }
        })
    }

    fn create_view(&mut self, or_replace: bool) -> Result<CreateView> {
        let name = self.table_name()?;
        let columns = if self.is_punct(b'(')? { self.name_list()? } else { Vec::new() };
        self.refuse_word("with", "view options")?;
        self.expect("as")?;
        let start = self.peek()?.start;
        let query = self.query()?;
        let text = self.text[start..self.last_end].to_owned();
        self.refuse_word("with", "WITH CHECK OPTION")?;
        Ok(CreateView { name, temporary: false, or_replace, columns, query, text })
    }

    /// RECURSIVE VIEW name (columns) AS query: the columns of a WITH RECURSIVE query of that name.
    fn create_recursive_view(&mut self, or_replace: bool) -> Result<CreateView> {
        let name = self.table_name()?;
        let columns = self.name_list()?;
        self.refuse_word("with", "view options")?;
        self.expect("as")?;
        let (start, at) = (self.peek()?.start, self.at()?);
        let inner = self.query()?;
        let inner_text = &self.text[start..self.last_end];
        let own = Name { text: crate::names::last(&name.text).to_owned(), at: name.at };
        let quoted = |name: &Name| format!("\"{}\"", name.text.replace('"', "\"\""));
        let list = columns.iter().map(quoted).collect::<Vec<_>>().join(", ");
        let shown = quoted(&own);
        let text = format!("WITH RECURSIVE {shown} ({list}) AS ({inner_text}) SELECT {list} FROM {shown}");
        self.refuse_word("with", "WITH CHECK OPTION")?;
        let item = |column: &Name| SelectItem::Expr {
            expr: Expr { kind: ExprKind::Column { table: None, name: column.clone() }, at: column.at },
            alias: None,
        };
        let select = Select {
            items: columns.iter().map(item).collect(),
            from: vec![TableExpr::Table { name: own.clone(), alias: None }],
            ..Select::empty(at)
        };
        let definition =
            CommonTable { name: own, columns, query: Arc::new(inner), change: None, recursive: true };
        let query = Query {
            with: vec![definition],
            body: SetExpr::Select(Box::new(select)),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            with_ties: false,
            locks: Vec::new(),
            at,
        };
        Ok(CreateView { name, temporary: false, or_replace, columns: Vec::new(), query, text })
    }

    /// Takes the words that make a view or a sequence temporary, if such a one follows.
    fn temporary_view_or_sequence(&mut self) -> Result<bool> {
        let Some(words) = self.temporary_words()? else { return Ok(false) };
        for what in ["view", "recursive", "sequence"] {
            if self.is_word_at(words, what)? {
                for _ in 0..words {
                    self.take()?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many words `[GLOBAL | LOCAL] TEMP[ORARY]` are, if they come next.
    fn temporary_words(&mut self) -> Result<Option<usize>> {
        let first = usize::from(self.is_word("global")? || self.is_word("local")?);
        let is_temporary = self.is_word_at(first, "temp")? || self.is_word_at(first, "temporary")?;
        Ok(is_temporary.then_some(first + 1))
    }

    /// ON COMMIT of a temporary table: only what needs nothing done. Errors: 0A000.
    pub(super) fn on_commit(&mut self) -> Result<()> {
        if !self.is_word("on")? || !self.is_word_at(1, "commit")? {
            return Ok(());
        }
        if self.accept_all(&["on", "commit", "preserve", "rows"])? {
            return Ok(());
        }
        let what = if self.is_word_at(2, "drop")? { "ON COMMIT DROP" } else { "ON COMMIT DELETE ROWS" };
        self.refuse(what)
    }

    fn create_table(&mut self, temporary: bool) -> Result<Statement> {
        let if_not_exists = self.accept_all(&["if", "not", "exists"])?;
        let name = self.table_name()?;
        if let Some(create) = self.table_of_query(&name, if_not_exists, temporary)? {
            return Ok(Statement::CreateTableAs(create));
        }
        let (columns, constraints) = (Vec::new(), Vec::new());
        let likes = Vec::new();
        let mut table = CreateTable { name, temporary, if_not_exists, columns, constraints, likes };
        for word in ["of", "partition"] {
            self.refuse_word(word, &format!("CREATE TABLE {}", word.to_uppercase()))?;
        }
        self.expect_punct(b'(')?;
        if !self.is_punct(b')')? {
            self.list(|parser| parser.table_element(&mut table))?;
        }
        self.expect_punct(b')')?;
        if temporary {
            self.on_commit()?;
        }
        for word in ["inherits", "partition", "using", "with", "without", "on", "tablespace", "as"] {
            self.refuse_word(word, &format!("{} in CREATE TABLE", word.to_uppercase()))?;
        }
        Ok(Statement::CreateTable(table))
    }

    pub(super) fn table_element(&mut self, table: &mut CreateTable) -> Result<()> {
        let at = self.at()?;
        let name = if self.accept("constraint")? { Some(self.name()?) } else { None };
        if let Some(kind) = self.table_constraint()? {
            let deferrable = self.constraint_end(matches!(kind, ConstraintKind::ForeignKey(_)))?;
            table.constraints.push(Constraint { name, kind, column: None, deferrable, at });
            return Ok(());
        }
        self.refuse_word("exclude", "EXCLUDE")?;
        if name.is_none() && self.accept("like")? {
            let like = self.like(table.columns.len())?;
            table.likes.push(like);
            return Ok(());
        }
        if name.is_some() {
            let next = self.peek()?;
            return Err(self.unexpected(next));
        }
        self.column(table)
    }

    /// What follows LIKE.
    fn like(&mut self, place: usize) -> Result<Like> {
        const PARTS: [&str; 9] = [
            "comments",
            "compression",
            "constraints",
            "defaults",
            "generated",
            "identity",
            "indexes",
            "statistics",
            "storage",
        ];
        let table = self.table_name()?;
        let mut including: Vec<String> = Vec::new();
        loop {
            let is_in = self.accept("including")?;
            if !is_in && !self.accept("excluding")? {
                return Ok(Like { place, table, including });
            }
            let next = self.peek()?;
            let word = self.slice(next).to_ascii_lowercase();
            if word != "all" && !PARTS.contains(&word.as_str()) {
                return Err(self.unexpected(next));
            }
            self.take()?;
            for part in PARTS.iter().filter(|part| word == "all" || **part == word) {
                including.retain(|it| it != part);
                including.extend(is_in.then(|| (*part).to_owned()));
            }
        }
    }

    fn table_constraint(&mut self) -> Result<Option<ConstraintKind>> {
        if self.accept_all(&["primary", "key"])? {
            self.refuse_word("using", "PRIMARY KEY USING INDEX")?;
            return Ok(Some(ConstraintKind::PrimaryKey(self.name_list()?)));
        }
        if self.accept("unique")? {
            self.unique_nulls()?;
            return Ok(Some(ConstraintKind::Unique(self.name_list()?)));
        }
        if self.accept("check")? {
            return Ok(Some(self.check_expr()?));
        }
        if self.accept_all(&["foreign", "key"])? {
            let columns = self.name_list()?;
            self.expect("references")?;
            return Ok(Some(ConstraintKind::ForeignKey(self.references(columns)?)));
        }
        Ok(None)
    }

    fn unique_nulls(&mut self) -> Result<()> {
        self.refuse_word("using", "UNIQUE USING INDEX")?;
        if self.is_word("nulls")? && self.is_word_at(1, "not")? {
            return self.refuse("NULLS NOT DISTINCT");
        }
        self.accept_all(&["nulls", "distinct"])?;
        Ok(())
    }

    fn check_expr(&mut self) -> Result<ConstraintKind> {
        self.expect_punct(b'(')?;
        let (text, expr) = self.expr_with_text()?;
        self.expect_punct(b')')?;
        if self.is_word("no")? && self.is_word_at(1, "inherit")? {
            return self.refuse("NO INHERIT");
        }
        Ok(ConstraintKind::Check(text, expr))
    }

    pub(super) fn expr_with_text(&mut self) -> Result<(String, Expr)> {
        let start = self.peek()?.start;
        let expr = self.expr()?;
        Ok((self.text[start..self.last_end].to_owned(), expr))
    }

    /// What may follow a constraint: whether it is deferrable, and deferred at first.
    fn constraint_end(&mut self, may_be_deferred: bool) -> Result<(bool, bool)> {
        for (word, what) in [("include", "INCLUDE"), ("with", "storage parameters"), ("using", "tablespace")]
        {
            self.refuse_word(word, what)?;
        }
        let (mut deferrable, mut deferred) = (None, None);
        loop {
            let at = self.at()?;
            let is_deferrable = self.is_word("deferrable")?;
            if (is_deferrable || self.is_word("initially")? && self.is_word_at(1, "deferred")?)
                && !may_be_deferred
            {
                return self.refuse("DEFERRABLE");
            }
            let again = if is_deferrable {
                self.take()?;
                deferrable.replace(true).is_some()
            } else if self.accept_all(&["not", "deferrable"])? {
                deferrable.replace(false).is_some()
            } else if self.accept_all(&["initially", "deferred"])? {
                deferred.replace(true).is_some()
            } else if self.accept_all(&["initially", "immediate"])? {
                deferred.replace(false).is_some()
            } else if self.is_word("not")? && self.is_word_at(1, "valid")? {
                return self.refuse("NOT VALID");
            } else {
                break;
            };
            let message = if again {
                "multiple DEFERRABLE/NOT DEFERRABLE clauses not allowed"
            } else if deferred == Some(true) && deferrable == Some(false) {
                "constraint declared INITIALLY DEFERRED must be DEFERRABLE"
            } else {
                continue;
            };
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let deferred = deferred == Some(true);
        Ok((deferrable == Some(true) || deferred, deferred))
    }

    /// What follows REFERENCES.
    fn references(&mut self, columns: Vec<Name>) -> Result<References> {
        let table = self.table_name()?;
        let target_columns = if self.is_punct(b'(')? { self.name_list()? } else { Vec::new() };
        let mut references = References {
            columns,
            table,
            target_columns,
            match_full: false,
            on_delete: Action::NoAction,
            delete_columns: Vec::new(),
            on_update: Action::NoAction,
        };
        if self.accept("match")? {
            self.refuse_word("partial", "MATCH PARTIAL")?;
            references.match_full = self.accept("full")?;
            if !references.match_full {
                self.expect("simple")?;
            }
        }
        while self.accept("on")? {
            if self.accept("delete")? {
                (references.on_delete, references.delete_columns) = self.reference_action(true)?;
            } else {
                self.expect("update")?;
                references.on_update = self.reference_action(false)?.0;
            }
        }
        Ok(references)
    }

    fn reference_action(&mut self, is_delete: bool) -> Result<(Action, Vec<Name>)> {
        if self.accept_all(&["no", "action"])? {
            return Ok((Action::NoAction, Vec::new()));
        }
        if self.accept("restrict")? {
            return Ok((Action::Restrict, Vec::new()));
        }
        if self.accept("cascade")? {
            return Ok((Action::Cascade, Vec::new()));
        }
        self.expect("set")?;
        let action = if self.accept("null")? {
            Action::SetNull
        } else {
            self.expect("default")?;
            Action::SetDefault
        };
        let has_columns = is_delete && self.is_punct(b'(')?;
        Ok((action, if has_columns { self.name_list()? } else { Vec::new() }))
    }

    pub(super) fn column(&mut self, table: &mut CreateTable) -> Result<()> {
        let name = self.name()?;
        let ty = self.column_type()?;
        let mut column = ColumnDef {
            name,
            ty: ty.ty,
            not_null: ty.serial,
            serial: ty.serial,
            null: false,
            default: None,
            identity: None,
            generated: None,
        };
        loop {
            let at = self.at()?;
            let constraint_name = if self.accept("constraint")? { Some(self.name()?) } else { None };
            if self.accept_all(&["not", "null"])? {
                column.not_null = true;
            } else if self.accept("null")? {
                column.null = true;
            } else if self.accept("default")? {
                if column.default.is_some() || column.serial {
                    let message =
                        format!("multiple default values specified for column \"{}\"", column.name.text);
                    return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
                }
                if column.generated.is_some() {
                    return Err(both("default and generation expression", &column, at));
                }
                if column.identity.is_some() {
                    return Err(both("default and identity", &column, at));
                }
                column.default = Some(self.default_expr()?);
            } else if self.accept("generated")? {
                self.generated(&mut column, at)?;
            } else if let Some(kind) = self.column_constraint(&column.name)? {
                let deferrable = self.constraint_end(matches!(kind, ConstraintKind::ForeignKey(_)))?;
                let column = Some(column.name.text.clone());
                table.constraints.push(Constraint { name: constraint_name, kind, column, deferrable, at });
                continue;
            } else {
                for (word, what) in
                    [("collate", "COLLATE"), ("compression", "COMPRESSION"), ("storage", "STORAGE")]
                {
                    self.refuse_word(word, what)?;
                }
                if constraint_name.is_some() {
                    let next = self.peek()?;
                    return Err(self.unexpected(next));
                }
                break;
            }
        }
        if column.null && column.not_null {
            let message =
                format!("conflicting NULL/NOT NULL declarations for column \"{}\"", column.name.text);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(column.name.at));
        }
        table.columns.push(column);
        Ok(())
    }

    /// DEFAULT takes a b_expr: `DEFAULT 1 NOT NULL` ends before NOT.
    fn default_expr(&mut self) -> Result<(String, Expr)> {
        let start = self.peek()?.start;
        let expr = self.bounded_expr()?;
        Ok((self.text[start..self.last_end].to_owned(), expr))
    }

    fn column_constraint(&mut self, column: &Name) -> Result<Option<ConstraintKind>> {
        if self.accept_all(&["primary", "key"])? {
            return Ok(Some(ConstraintKind::PrimaryKey(vec![column.clone()])));
        }
        if self.accept("unique")? {
            self.unique_nulls()?;
            return Ok(Some(ConstraintKind::Unique(vec![column.clone()])));
        }
        if self.accept("check")? {
            return Ok(Some(self.check_expr()?));
        }
        if self.accept("references")? {
            return Ok(Some(ConstraintKind::ForeignKey(self.references(vec![column.clone()])?)));
        }
        Ok(None)
    }

    fn generated(&mut self, column: &mut ColumnDef, at: u32) -> Result<()> {
        let always = self.always_or_default()?;
        self.expect("as")?;
        if !self.accept("identity")? {
            return self.generated_as(column, always, at);
        }
        if column.generated.is_some() {
            return Err(both("identity and generation expression", column, at));
        }
        if column.serial || column.default.is_some() {
            return Err(both("default and identity", column, at));
        }
        if column.identity.is_some() {
            let message = format!("multiple identity specifications for column \"{}\"", column.name.text);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let mut options = SequenceOptions::default();
        if self.accept_punct(b'(')? {
            options = self.sequence_options()?;
            self.expect_punct(b')')?;
        }
        column.identity = Some(IdentityDef { always, options });
        column.not_null = true;
        Ok(())
    }

    /// (expression) STORED
    fn generated_as(&mut self, column: &mut ColumnDef, always: bool, at: u32) -> Result<()> {
        self.expect_punct(b'(')?;
        let generated = self.expr_with_text()?;
        self.expect_punct(b')')?;
        self.expect("stored")?;
        if !always {
            let message = "for a generated column, GENERATED ALWAYS must be specified";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        if column.default.is_some() || column.serial {
            return Err(both("default and generation expression", column, at));
        }
        if column.identity.is_some() {
            return Err(both("identity and generation expression", column, at));
        }
        if column.generated.replace(generated).is_some() {
            let message =
                format!("multiple generation clauses specified for column \"{}\"", column.name.text);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        Ok(())
    }

    fn create_index(&mut self, unique: bool) -> Result<CreateIndex> {
        // The same index, but made under a lock: writers wait for it.
        self.accept("concurrently")?;
        let if_not_exists = self.accept_all(&["if", "not", "exists"])?;
        let name = if self.is_word("on")? { None } else { Some(self.name()?) };
        if if_not_exists && name.is_none() {
            let next = self.peek()?;
            return Err(self.unexpected(next));
        }
        self.expect("on")?;
        let table = self.table_with_only()?;
        let (at, mut is_hash) = (self.at()?, false);
        if self.accept("using")? {
            let method = self.name()?;
            is_hash = method.text == "hash";
            if method.text != "btree" && !is_hash {
                return Err(Error::unsupported(format!("index method {}", method.text)).at(at));
            }
        }
        self.expect_punct(b'(')?;
        let columns = self.list(|parser| parser.index_column())?;
        self.expect_punct(b')')?;
        if is_hash && (unique || columns.len() > 1) {
            let what = if unique { "unique" } else { "multicolumn" };
            let message = format!("access method \"hash\" does not support {what} indexes");
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        let (columns, classes) = columns.into_iter().map(|(key, down, class)| ((key, down), class)).unzip();
        self.unique_nulls()?;
        let include = if self.accept("include")? { self.name_list()? } else { Vec::new() };
        for (word, what) in [("with", "storage parameters"), ("tablespace", "TABLESPACE")] {
            self.refuse_word(word, what)?;
        }
        let predicate = if self.accept("where")? { Some(self.expr_with_text()?) } else { None };
        Ok(CreateIndex { name, if_not_exists, table, columns, classes, unique, include, predicate })
    }

    /// A column, an expression in parentheses, or a function's call.
    pub(super) fn index_key(&mut self) -> Result<IndexKey> {
        if self.is_punct(b'(')? {
            self.take()?;
            let (text, expr) = self.expr_with_text()?;
            self.expect_punct(b')')?;
            return Ok(IndexKey::Expr(text, expr));
        }
        if self.peek_at(1)?.kind == Kind::Punct(b'(') {
            let start = self.peek()?.start;
            let expr = self.expr_above(super::expr::power::CAST)?;
            return Ok(IndexKey::Expr(self.text[start..self.last_end].to_owned(), expr));
        }
        Ok(IndexKey::Column(self.name()?))
    }

    /// A key, whether it descends, and its operator class.
    fn index_column(&mut self) -> Result<(IndexKey, bool, Option<Name>)> {
        let key = self.index_key()?;
        self.refuse_word("collate", "COLLATE")?;
        let is_class = self.peek()?.kind == Kind::Word
            && !(self.is_word("asc")? || self.is_word("desc")? || self.is_word("nulls")?);
        let class = if is_class { Some(self.name()?) } else { None };
        let descending = self.accept("desc")?;
        if !descending {
            self.accept("asc")?;
        }
        if self.is_word("nulls")? {
            // Ascending keys have NULLs last, descending ones first; the other way round is not built.
            let at = self.at()?;
            self.take()?;
            let first = self.accept("first")?;
            if !first {
                self.expect("last")?;
            }
            if first != descending {
                return Err(Error::unsupported("this order of NULLs in an index").at(at));
            }
        }
        if !self.is_punct(b',')? && !self.is_punct(b')')? {
            return self.refuse("operator class options");
        }
        Ok((key, descending, class))
    }
}

fn both(what: &str, column: &ColumnDef, at: u32) -> Error {
    let message = format!("both {what} specified for column \"{}\"", column.name.text);
    Error::new(SqlState::SYNTAX_ERROR, message).at(at)
}
