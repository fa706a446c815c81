//! SELECT and what it is made of.

use super::ast::{
    Alias, CommonTable, Expr, ExprKind, JoinCondition, JoinKind, Locking, Name, OrderItem, Query, Select,
    SelectItem, SetExpr, SetKind, TableExpr,
};
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::kv::{RowLock, Wait};
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// Columns that the query defines for a function: names and types.
type Definitions = Vec<(Name, super::ast::TypeName)>;

impl Parser<'_> {
    /// A query with WITH, ORDER BY and LIMIT.
    pub(super) fn query(&mut self) -> Result<Query> {
        self.nested(|parser| {
            let at = parser.at()?;
            let with = parser.with_clause()?;
            let body = parser.set_expr()?;
            parser.query_tail(with, body, at)
        })
    }

    /// A query whose first operand was taken already (in its parentheses).
    pub(super) fn query_from(&mut self, first: Query) -> Result<Query> {
        self.nested(|parser| {
            let at = first.at;
            let left = parser.intersections(SetExpr::Query(Box::new(first)))?;
            let body = parser.unions(left)?;
            parser.query_tail(Vec::new(), body, at)
        })
    }

    fn query_tail(&mut self, with: Vec<CommonTable>, body: SetExpr, at: u32) -> Result<Query> {
        let order_by =
            if self.is_word("order")? && self.is_word_at(1, "by")? { self.order_by()? } else { Vec::new() };
        let mut limit = None;
        let mut offset = None;
        let mut with_ties = false;
        let mut locks = Vec::new();
        loop {
            if limit.is_none() && self.accept("limit")? {
                limit = Some(if self.accept("all")? { null(self.at()?) } else { self.expr()? });
            } else if offset.is_none() && self.accept("offset")? {
                offset = Some(self.expr()?);
                if !self.accept("rows")? {
                    self.accept("row")?;
                }
            } else if limit.is_none() && self.accept("fetch")? {
                let (count, ties) = self.fetch_count()?;
                (limit, with_ties) = (Some(count), ties);
            } else if self.is_word("for")? {
                locks.extend(self.locking()?);
            } else {
                break;
            }
        }
        Ok(Query { with, body, order_by, limit, offset, with_ties, locks, at })
    }

    /// FOR UPDATE and its kin; `None`: FOR READ ONLY, which asks for nothing.
    fn locking(&mut self) -> Result<Option<Locking>> {
        let at = self.at()?;
        let lock = if self.accept_all(&["for", "update"])? {
            RowLock::Update
        } else if self.accept_all(&["for", "no", "key", "update"])? {
            RowLock::NoKeyUpdate
        } else if self.accept_all(&["for", "share"])? {
            RowLock::Share
        } else if self.accept_all(&["for", "key", "share"])? {
            RowLock::KeyShare
        } else if self.accept_all(&["for", "read", "only"])? {
            return Ok(None);
        } else {
            self.take()?;
            let next = self.peek()?;
            return Err(self.unexpected(next));
        };
        let of = if self.accept("of")? { self.list(|parser| parser.table_name())? } else { Vec::new() };
        let wait = if self.accept("nowait")? {
            Wait::Nowait
        } else if self.accept_all(&["skip", "locked"])? {
            Wait::Skip
        } else {
            Wait::Block
        };
        Ok(Some(Locking { lock, wait, of, at }))
    }

    /// The count of FETCH, and whether WITH TIES was said.
    fn fetch_count(&mut self) -> Result<(Expr, bool)> {
        if !self.accept("first")? {
            self.expect("next")?;
        }
        let at = self.at()?;
        let count = if self.is_word("row")? || self.is_word("rows")? {
            Expr { kind: ExprKind::Number("1".to_owned()), at }
        } else {
            self.expr()?
        };
        if !self.accept("rows")? {
            self.expect("row")?;
        }
        if self.accept_all(&["with", "ties"])? {
            return Ok((count, true));
        }
        self.expect("only")?;
        Ok((count, false))
    }

    /// WITH, if there is one.
    pub(super) fn with_clause(&mut self) -> Result<Vec<CommonTable>> {
        if !self.accept("with")? {
            return Ok(Vec::new());
        }
        let recursive = self.accept("recursive")?;
        self.list(|parser| {
            let name = parser.name()?;
            let mut columns = if parser.is_punct(b'(')? { parser.name_list()? } else { Vec::new() };
            parser.expect("as")?;
            // Whether it is kept or inlined changes no answer.
            if !parser.accept("materialized")? {
                parser.accept_all(&["not", "materialized"])?;
            }
            parser.expect_punct(b'(')?;
            let at = parser.at()?;
            let change = parser.change()?.map(Arc::new);
            let mut query = if change.is_some() { Query::empty(at) } else { parser.query()? };
            parser.expect_punct(b')')?;
            if recursive && change.is_none() {
                query = parser.search_and_cycle(&name, &mut columns, query)?;
            }
            let query = Arc::new(query);
            Ok(CommonTable { name, columns, query, change, recursive })
        })
    }

    pub(super) fn order_by(&mut self) -> Result<Vec<OrderItem>> {
        self.expect("order")?;
        self.expect("by")?;
        self.list(|parser| {
            let expr = parser.expr()?;
            let descending = parser.sort_direction()?;
            let nulls_first = if parser.accept("nulls")? {
                let first = parser.accept("first")?;
                if !first {
                    parser.expect("last")?;
                }
                Some(first)
            } else {
                None
            };
            Ok(OrderItem { expr, descending, nulls_first })
        })
    }

    /// ASC, DESC or USING an operator: whether descending. Errors: 0A000 for operators that are not `<` or `>`.
    fn sort_direction(&mut self) -> Result<bool> {
        if self.accept("using")? {
            let at = self.at()?;
            if self.accept_operator("<")? {
                return Ok(false);
            }
            if self.accept_operator(">")? {
                return Ok(true);
            }
            return Err(Error::unsupported("ORDER BY USING this operator").at(at));
        }
        let descending = self.accept("desc")?;
        if !descending {
            self.accept("asc")?;
        }
        Ok(descending)
    }

    fn set_expr(&mut self) -> Result<SetExpr> {
        let first = self.set_operand()?;
        let left = self.intersections(first)?;
        self.unions(left)
    }

    fn unions(&mut self, mut left: SetExpr) -> Result<SetExpr> {
        loop {
            let kind = if self.is_word("union")? {
                SetKind::Union
            } else if self.is_word("except")? {
                SetKind::Except
            } else {
                return Ok(left);
            };
            let at = self.take()?.at;
            let all = self.set_quantifier()?;
            let operand = self.set_operand()?;
            let right = self.intersections(operand)?;
            self.grow(at)?;
            left = SetExpr::SetOperation { kind, all, left: Box::new(left), right: Box::new(right), at };
        }
    }

    fn intersections(&mut self, mut left: SetExpr) -> Result<SetExpr> {
        while self.is_word("intersect")? {
            let at = self.take()?.at;
            let all = self.set_quantifier()?;
            let right = self.set_operand()?;
            self.grow(at)?;
            left = SetExpr::SetOperation {
                kind: SetKind::Intersect,
                all,
                left: Box::new(left),
                right: Box::new(right),
                at,
            };
        }
        Ok(left)
    }

    fn set_quantifier(&mut self) -> Result<bool> {
        let all = self.accept("all")?;
        if !all {
            self.accept("distinct")?;
        }
        Ok(all)
    }

    fn set_operand(&mut self) -> Result<SetExpr> {
        let at = self.at()?;
        if self.accept_punct(b'(')? {
            let query = self.query()?;
            self.expect_punct(b')')?;
            return Ok(SetExpr::Query(Box::new(query)));
        }
        if self.accept("values")? {
            let rows = self.list(|parser| {
                parser.expect_punct(b'(')?;
                let row = parser.list(|parser| parser.expr())?;
                parser.expect_punct(b')')?;
                Ok(row)
            })?;
            return Ok(SetExpr::Values { rows, at });
        }
        if self.accept("table")? {
            let name = self.table_with_only()?;
            let from = vec![TableExpr::Table { name, alias: None }];
            let items = vec![SelectItem::Star { table: None, at }];
            let select = Select { items, from, ..Select::empty(at) };
            return Ok(SetExpr::Select(Box::new(select)));
        }
        self.expect("select")?;
        Ok(SetExpr::Select(Box::new(self.select(at)?)))
    }

    fn select(&mut self, at: u32) -> Result<Select> {
        self.select_depth_min = self.select_depth_min.min(self.depth);
        let distinct = self.accept("distinct")?;
        let mut distinct_on = Vec::new();
        if distinct && self.accept("on")? {
            self.expect_punct(b'(')?;
            distinct_on = self.list(|parser| parser.expr())?;
            self.expect_punct(b')')?;
        } else if !distinct {
            self.accept("all")?;
        }
        let next = self.peek()?;
        let empty = matches!(next.kind, Kind::End | Kind::Punct(b';' | b')')) || self.is_word("from")?;
        let items = if empty { Vec::new() } else { self.select_items()? };
        self.select_into_clause()?;
        let from = if self.accept("from")? { self.list(|parser| parser.table_expr())? } else { Vec::new() };
        self.as_of_clause()?;
        let filter = if self.accept("where")? { Some(self.expr()?) } else { None };
        let mut group_by = Vec::new();
        let mut group_distinct = false;
        if self.accept_all(&["group", "by"])? {
            group_distinct = self.accept("distinct")?;
            if !group_distinct {
                self.accept("all")?;
            }
            group_by = self.list(|parser| parser.group_item())?;
        }
        let having = if self.accept("having")? { Some(self.expr()?) } else { None };
        let windows = self.window_clause()?;
        let distinct = distinct && distinct_on.is_empty();
        Ok(Select {
            distinct,
            distinct_on,
            items,
            from,
            filter,
            group_by,
            group_distinct,
            having,
            windows,
            at,
        })
    }

    /// Output columns, of SELECT or RETURNING.
    pub(super) fn select_items(&mut self) -> Result<Vec<SelectItem>> {
        self.list(|parser| {
            let at = parser.at()?;
            if parser.accept_operator("*")? {
                return Ok(SelectItem::Star { table: None, at });
            }
            let token = parser.peek()?;
            if matches!(token.kind, Kind::Word | Kind::Quoted) && parser.peek_at(1)?.kind == Kind::Punct(b'.')
            {
                let third = parser.peek_at(2)?;
                let is_cast = parser.peek_at(3)?.kind == Kind::DoubleColon;
                if third.kind == Kind::Operator && parser.slice(third) == "*" && !is_cast {
                    let table = parser.name()?;
                    parser.take()?;
                    parser.take()?;
                    return Ok(SelectItem::Star { table: Some(table), at });
                }
            }
            if let Some(table) = parser.star_with_schema()? {
                return Ok(SelectItem::Star { table: Some(table), at });
            }
            let expr = parser.expr()?;
            let alias =
                if parser.accept("as")? { Some(parser.label()?) } else { parser.accept_bare_alias()? };
            Ok(SelectItem::Expr { expr, alias })
        })
    }

    /// `schema.table.*`
    fn star_with_schema(&mut self) -> Result<Option<Name>> {
        let is_name = |kind| matches!(kind, Kind::Word | Kind::Quoted);
        let dot = Kind::Punct(b'.');
        if !is_name(self.peek()?.kind)
            || self.peek_at(1)?.kind != dot
            || !is_name(self.peek_at(2)?.kind)
            || self.peek_at(3)?.kind != dot
        {
            return Ok(None);
        }
        // What follows the second dot is a column or a star; only looking past it tells.
        let star = self.peek_at(4)?;
        if star.kind != Kind::Operator || self.slice(star) != "*" {
            return Ok(None);
        }
        let at = self.at()?;
        self.label()?;
        self.take()?;
        let table = Name { at, ..self.label()? };
        self.take()?;
        self.take()?;
        Ok(Some(table))
    }

    /// An item of FROM with its joins.
    pub(super) fn table_expr(&mut self) -> Result<TableExpr> {
        self.nested(|parser| {
            let first = parser.table_factor()?;
            parser.joins(first)
        })
    }

    fn joins(&mut self, mut left: TableExpr) -> Result<TableExpr> {
        while let Some((kind, natural)) = self.join_words()? {
            let at = self.at()?;
            let mut right = self.table_factor()?;
            let condition = if kind == JoinKind::Cross {
                JoinCondition::None
            } else if natural {
                JoinCondition::Natural
            } else {
                // `a JOIN b JOIN c ON … ON …`: the inner join comes first.
                if !self.is_word("on")? && !self.is_word("using")? {
                    right = self.nested(|parser| parser.joins(right))?;
                }
                self.join_condition()?
            };
            self.grow(at)?;
            left = TableExpr::Join { left: Box::new(left), right: Box::new(right), kind, condition, at };
            if self.is_word("on")? || self.is_word("using")? {
                break;
            }
        }
        Ok(left)
    }

    fn join_condition(&mut self) -> Result<JoinCondition> {
        if self.accept("using")? {
            let names = self.name_list()?;
            let is_named = !self.is_as_of()? && self.accept("as")?;
            let alias = if is_named { Some(self.name()?) } else { None };
            return Ok(JoinCondition::Using(names, alias));
        }
        self.expect("on")?;
        Ok(JoinCondition::On(self.expr()?))
    }

    /// The words of a join, if one is next: its kind and whether it is NATURAL.
    fn join_words(&mut self) -> Result<Option<(JoinKind, bool)>> {
        if self.accept_all(&["cross", "join"])? {
            return Ok(Some((JoinKind::Cross, false)));
        }
        let natural = self.accept("natural")?;
        if self.accept("join")? || self.accept_all(&["inner", "join"])? {
            return Ok(Some((JoinKind::Inner, natural)));
        }
        for (word, kind) in [("left", JoinKind::Left), ("right", JoinKind::Right), ("full", JoinKind::Full)] {
            if self.accept(word)? {
                self.accept("outer")?;
                self.expect("join")?;
                return Ok(Some((kind, natural)));
            }
        }
        if natural {
            let next = self.peek()?;
            return Err(self.unexpected(next));
        }
        Ok(None)
    }

    fn table_factor(&mut self) -> Result<TableExpr> {
        let lateral = self.accept("lateral")?;
        if !lateral && self.is_word("only")? {
            let name = self.table_with_only()?;
            return Ok(TableExpr::Table { name, alias: self.table_alias()? });
        }
        let at = self.at()?;
        if self.is_punct(b'(')? {
            let mut inner = self.parenthesised_table(at)?;
            match &mut inner {
                TableExpr::Subquery { lateral: is_lateral, .. } => *is_lateral = lateral,
                _ if lateral => {
                    return Err(
                        Error::new(SqlState::SYNTAX_ERROR, "LATERAL must stand before a subquery").at(at)
                    );
                }
                _ => {}
            }
            return Ok(inner);
        }
        if self.is_word("rows")? && self.is_word_at(1, "from")? {
            return self.refuse("ROWS FROM");
        }
        if self.is_word("pg_catalog")? && self.peek_at(3)?.kind == Kind::Punct(b'(') {
            // A function of ours: they have no other schema.
            self.take()?;
            self.expect_punct(b'.')?;
        }
        let token = self.peek()?;
        if matches!(token.kind, Kind::Word | Kind::Quoted) && self.peek_at(1)?.kind == Kind::Punct(b'(') {
            let name = self.function_name()?;
            self.expect_punct(b'(')?;
            let args = if self.is_punct(b')')? { Vec::new() } else { self.list(|parser| parser.expr())? };
            self.expect_punct(b')')?;
            let ordinality = self.accept_all(&["with", "ordinality"])?;
            let (alias, definitions) = self.function_alias()?;
            return Ok(TableExpr::Function { name, args, ordinality, alias, definitions });
        }
        if lateral {
            return Err(self.unexpected(token));
        }
        let name = self.table_name()?;
        if self.is_operator("*")? {
            self.take()?;
        }
        let alias = self.table_alias()?;
        self.refuse_word("tablesample", "TABLESAMPLE")?;
        Ok(TableExpr::Table { name, alias })
    }

    fn parenthesised_table(&mut self, at: u32) -> Result<TableExpr> {
        self.take()?;
        if self.at_query()? {
            let query = self.query()?;
            return self.derived_table(query, at);
        }
        let inner = self.table_expr()?;
        // `((SELECT …) UNION …)`: what looked like a joined table began a query.
        if let TableExpr::Subquery { query, alias: None, .. } = inner {
            let query = self.query_from(*query)?;
            return self.derived_table(query, at);
        }
        self.expect_punct(b')')?;
        if matches!(inner, TableExpr::Join { .. }) {
            return Ok(match self.table_alias()? {
                Some(alias) => TableExpr::Aliased { inner: Box::new(inner), alias },
                None => inner,
            });
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }

    fn derived_table(&mut self, query: Query, at: u32) -> Result<TableExpr> {
        self.expect_punct(b')')?;
        let alias = self.table_alias()?;
        Ok(TableExpr::Subquery { query: Box::new(query), lateral: false, alias, at })
    }

    /// What may follow a function: a name with columns' names, or with their definitions, which may stand alone.
    fn function_alias(&mut self) -> Result<(Option<Alias>, Definitions)> {
        let definitions = |parser: &mut Self| {
            parser.expect_punct(b'(')?;
            let all = parser.list(|parser| Ok((parser.name()?, parser.any_type_name()?)))?;
            parser.expect_punct(b')')?;
            Ok::<_, Error>(all)
        };
        if self.is_word("as")? && self.peek_at(1)?.kind == Kind::Punct(b'(') {
            self.take()?;
            return Ok((None, definitions(self)?));
        }
        let name = if self.accept("as")? { Some(self.name()?) } else { self.accept_name()? };
        let Some(name) = name else { return Ok((None, Vec::new())) };
        let mut alias = Alias { name, columns: Vec::new() };
        if !self.is_punct(b'(')? {
            return Ok((Some(alias), Vec::new()));
        }
        if matches!(self.peek_at(2)?.kind, Kind::Punct(b',' | b')')) {
            alias.columns = self.name_list()?;
            return Ok((Some(alias), Vec::new()));
        }
        let definitions = definitions(self)?;
        Ok((Some(alias), definitions))
    }
}

fn null(at: u32) -> Expr {
    Expr { kind: ExprKind::Null, at }
}

/// A derived table must be named (PostgreSQL before 16).
pub(crate) fn unnamed_subquery(at: u32) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, "subquery in FROM must have an alias")
        .with_hint("For example, FROM (SELECT ...) [AS] foo.")
        .at(at)
}
