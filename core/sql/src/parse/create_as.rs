//! Tables made of queries: CREATE TABLE AS and SELECT INTO; and VACUUM.

use super::ast::{CreateTableAs, Name, Statement};
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::{Error, Result, SqlState};

/// INTO in a SELECT list.
pub(super) struct Into {
    /// The table to be made.
    name: Name,
    temporary: bool,
    /// Where it stands.
    at: u32,
    /// How deep.
    depth: usize,
}

impl Parser<'_> {
    /// What follows the name in CREATE TABLE … AS; `None`: it is a CREATE TABLE of the other kind.
    pub(super) fn table_of_query(
        &mut self,
        name: &Name,
        if_not_exists: bool,
        temporary: bool,
    ) -> Result<Option<CreateTableAs>> {
        let mut columns = Vec::new();
        if self.is_punct(b'(')? {
            let after_first = self.peek_at(2)?.kind;
            if !matches!(after_first, Kind::Punct(b',' | b')')) {
                return Ok(None);
            }
            columns = self.name_list()?;
        }
        if temporary && !self.is_punct(b'(')? {
            self.on_commit()?;
        }
        for word in ["with", "without", "on", "tablespace", "using"] {
            if self.is_word(word)? {
                return if columns.is_empty() { Ok(None) } else { self.refuse("storage options") };
            }
        }
        if columns.is_empty() && !self.is_word("as")? {
            return Ok(None);
        }
        self.expect("as")?;
        self.refuse_word("execute", "CREATE TABLE AS EXECUTE")?;
        let query = self.query()?;
        let with_data = self.with_data()?;
        let (name, query) = (name.clone(), Box::new(query));
        let materialized = None;
        Ok(Some(CreateTableAs { name, temporary, if_not_exists, columns, query, with_data, materialized }))
    }

    /// What follows CREATE MATERIALIZED VIEW.
    pub(super) fn create_materialized(&mut self) -> Result<Statement> {
        let if_not_exists = self.accept_all(&["if", "not", "exists"])?;
        let name = self.table_name()?;
        let columns = if self.is_punct(b'(')? { self.name_list()? } else { Vec::new() };
        for word in ["using", "with", "tablespace"] {
            self.refuse_word(word, "storage options")?;
        }
        self.expect("as")?;
        let start = self.peek()?.start;
        let query = Box::new(self.query()?);
        let materialized = Some(self.text[start..self.last_end].to_owned());
        let (temporary, with_data) = (false, self.with_data()?);
        let create =
            CreateTableAs { name, temporary, if_not_exists, columns, query, with_data, materialized };
        Ok(Statement::CreateTableAs(create))
    }

    /// What follows REFRESH.
    pub(super) fn refresh(&mut self) -> Result<Statement> {
        self.expect("materialized")?;
        self.expect("view")?;
        let concurrently = self.accept("concurrently")?;
        let name = self.table_name()?;
        Ok(Statement::Refresh { name, concurrently, with_data: self.with_data()? })
    }

    /// WITH [NO] DATA, or nothing.
    fn with_data(&mut self) -> Result<bool> {
        if self.accept_all(&["with", "no", "data"])? {
            return Ok(false);
        }
        self.accept_all(&["with", "data"])?;
        Ok(true)
    }

    /// INTO in a SELECT list, if it is there: noted, for the statement's end ([`Parser::with_into`]).
    pub(super) fn select_into_clause(&mut self) -> Result<()> {
        let at = self.at()?;
        if !self.accept("into")? {
            return Ok(());
        }
        self.refuse_word("unlogged", "SELECT INTO UNLOGGED")?;
        // Tables may bear these names.
        let next = self.peek_at(1)?.kind;
        let is_word = matches!(next, Kind::Word | Kind::Quoted) && !self.is_word_at(1, "from")?;
        let temporary = is_word && (self.accept("temp")? || self.accept("temporary")?);
        self.accept("table")?;
        let name = self.table_name()?;
        if self.into.is_some() {
            return Err(misplaced().at(at));
        }
        self.into = Some(Into { name, temporary, at, depth: self.depth });
        Ok(())
    }

    /// A statement that ends here, and what INTO makes of it. Errors: 42601 when INTO stands in a query that is not the whole
    /// statement.
    pub(super) fn with_into(&mut self, statement: Statement) -> Result<Statement> {
        let Some(Into { name, temporary, at, depth }) = self.into.take() else { return Ok(statement) };
        match statement {
            Statement::Query(query) if depth == self.select_depth_min => {
                let query = Box::new(query);
                let (columns, if_not_exists, with_data) = (Vec::new(), false, true);
                let materialized = None;
                let create =
                    CreateTableAs { name, temporary, if_not_exists, columns, query, with_data, materialized };
                Ok(Statement::CreateTableAs(create))
            }
            _ => Err(misplaced().at(at)),
        }
    }

    /// What follows VACUUM. There is nothing to reclaim (a checkpoint keeps what somebody may read, and nothing else), so
    /// only ANALYZE is of meaning.
    pub(super) fn vacuum(&mut self) -> Result<Statement> {
        let mut analyze = false;
        if self.accept_punct(b'(')? {
            for option in self.list(|parser| parser.label())? {
                match option.text.as_str() {
                    "analyze" => analyze = true,
                    "full" | "freeze" | "verbose" | "disable_page_skipping" => {}
                    _ => return Err(Error::unsupported(format!("VACUUM {}", option.text)).at(option.at)),
                }
            }
            self.expect_punct(b')')?;
        } else {
            for word in ["full", "freeze", "verbose"] {
                self.accept(word)?;
            }
            analyze = self.accept("analyze")? || self.accept("analyse")?;
        }
        let next = self.peek()?;
        let tables = match next.kind {
            Kind::End | Kind::Punct(b';') => Vec::new(),
            _ => self.list(|parser| parser.table_name())?,
        };
        if self.is_punct(b'(')? {
            return self.refuse("VACUUM of single columns");
        }
        Ok(Statement::Vacuum { analyze, tables })
    }
}

fn misplaced() -> Error {
    Error::new(SqlState::SYNTAX_ERROR, "SELECT ... INTO is not allowed here")
}
