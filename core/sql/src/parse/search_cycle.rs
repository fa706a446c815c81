//! SEARCH DEPTH FIRST and CYCLE of a WITH RECURSIVE query, said by means of columns that hold the rows on the way: as the standard
//! defines them. Both terms become derived tables with the query's column names, beside which the new columns are computed.

use super::ast::{Alias, Expr, ExprKind, Name, Query, Select, SelectItem, SetExpr, SetKind, TableExpr};
use super::expr::plain_call;
use super::parser::Parser;
use orrery_base::{Error, Result, SqlState};

/// The name of the derived tables.
const TERM: &str = "term of a recursion";

/// What stands behind the query.
#[derive(Default)]
struct Clauses {
    /// The columns of SEARCH, and the column it sets.
    search: Option<(Vec<Name>, Name)>,
    cycle: Option<Cycle>,
    at: u32,
}

struct Cycle {
    columns: Vec<Name>,
    mark: Name,
    /// What `mark` is on a cycle, and otherwise.
    values: (Expr, Expr),
    path: Name,
}

impl Parser<'_> {
    /// Takes SEARCH and CYCLE, if they come, and writes the query and its columns' names anew.
    pub(super) fn search_and_cycle(
        &mut self,
        name: &Name,
        columns: &mut Vec<Name>,
        query: Query,
    ) -> Result<Query> {
        let mut clauses = Clauses { at: self.at()?, ..Clauses::default() };
        if self.accept("search")? {
            self.refuse_word("breadth", "SEARCH BREADTH FIRST")?;
            for word in ["depth", "first", "by"] {
                self.expect(word)?;
            }
            let by = self.list(|parser| parser.name())?;
            self.expect("set")?;
            clauses.search = Some((by, self.name()?));
        }
        if self.accept("cycle")? {
            let by = self.list(|parser| parser.name())?;
            self.expect("set")?;
            let mark = self.name()?;
            let at = mark.at;
            let mut values =
                (Expr { kind: ExprKind::Bool(true), at }, Expr { kind: ExprKind::Bool(false), at });
            if self.accept("to")? {
                values.0 = self.expr()?;
                self.expect("default")?;
                values.1 = self.expr()?;
            }
            self.expect("using")?;
            clauses.cycle = Some(Cycle { columns: by, mark, values, path: self.name()? });
        }
        if clauses.search.is_none() && clauses.cycle.is_none() {
            return Ok(query);
        }
        if columns.is_empty() {
            *columns = names_of(&query.body).ok_or_else(|| {
                Error::unsupported("SEARCH or CYCLE of a query without names for its columns").at(clauses.at)
            })?;
        }
        clauses.check(columns)?;
        let query = clauses.rewritten(name, columns, query)?;
        columns.extend(clauses.new_columns());
        Ok(query)
    }
}

/// What the columns of a query's first part are called.
fn names_of(body: &SetExpr) -> Option<Vec<Name>> {
    match body {
        SetExpr::SetOperation { left, .. } => names_of(left),
        SetExpr::Query(query) => names_of(&query.body),
        SetExpr::Select(select) => {
            let name = |item: &SelectItem| match item {
                SelectItem::Expr { alias: Some(alias), .. } => Some(alias.clone()),
                SelectItem::Expr { expr: Expr { kind: ExprKind::Column { name, .. }, .. }, .. } => {
                    Some(name.clone())
                }
                _ => None,
            };
            select.items.iter().map(name).collect()
        }
        SetExpr::Values { .. } => None,
    }
}

impl Clauses {
    /// The columns that come behind the query's own.
    fn new_columns(&self) -> Vec<Name> {
        let cycle = self.cycle.iter().flat_map(|it| [it.mark.clone(), it.path.clone()]);
        self.search.iter().map(|it| it.1.clone()).chain(cycle).collect()
    }

    /// Errors: 42601, 42701.
    fn check(&self, columns: &[Name]) -> Result<()> {
        let wrong = |message: String, at: u32| Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        let lists = self.search.iter().map(|it| ("search", &it.0));
        let lists = lists.chain(self.cycle.iter().map(|it| ("cycle", &it.columns)));
        for (what, list) in lists {
            for (place, column) in list.iter().enumerate() {
                if columns.iter().all(|it| it.text != column.text) {
                    return wrong(
                        format!("{what} column \"{}\" not in WITH query column list", column.text),
                        self.at,
                    );
                }
                if list[..place].iter().any(|it| it.text == column.text) {
                    let message = format!("{what} column \"{}\" specified more than once", column.text);
                    return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).at(self.at));
                }
            }
        }
        let new = self.new_columns();
        for (place, column) in new.iter().enumerate() {
            let is_own = columns.iter().any(|it| it.text == column.text);
            if is_own || new[..place].iter().any(|it| it.text == column.text) {
                let message =
                    format!("column name \"{}\" already used in WITH query column list", column.text);
                return wrong(message, self.at);
            }
        }
        Ok(())
    }

    fn rewritten(&self, name: &Name, columns: &[Name], query: Query) -> Result<Query> {
        let refuse = || Error::unsupported("SEARCH or CYCLE of a query of this form").at(self.at);
        let Query { body, with, .. } = &query;
        let SetExpr::SetOperation { kind: SetKind::Union, all, left, right, at } = body else {
            let message =
                "with a SEARCH or CYCLE clause, the left and right sides of the UNION must be SELECTs";
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        };
        let (SetExpr::Select(_), SetExpr::Select(inner)) = (&**left, &**right) else {
            let message = "with a SEARCH or CYCLE clause, both sides of the UNION must be a SELECT";
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        };
        if !with.is_empty() || inner.distinct || !inner.group_by.is_empty() {
            return Err(refuse());
        }
        let alias = inner.from.iter().find_map(|item| alias_of(item, name)).ok_or_else(refuse)?;
        let first = self.first(columns, (**left).clone());
        let mut inner = (**inner).clone();
        for column in self.new_columns() {
            inner.items.push(item(self.column(&alias, &column)));
        }
        if let Some(cycle) = &self.cycle {
            let (left, right) = (self.column(&alias, &cycle.mark), cycle.values.0.clone());
            let op = "<>".to_owned();
            let goes_on = self.expr(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) });
            inner.filter = Some(match inner.filter.take() {
                None => goes_on,
                Some(filter) => self.expr(ExprKind::And(vec![filter, goes_on])),
            });
        }
        let next = self.next(columns, SetExpr::Select(Box::new(inner)));
        let body = SetExpr::SetOperation {
            kind: SetKind::Union,
            all: *all,
            left: Box::new(first),
            right: Box::new(next),
            at: *at,
        };
        Ok(Query { body, ..query })
    }

    fn expr(&self, kind: ExprKind) -> Expr {
        Expr { kind, at: self.at }
    }

    fn column(&self, table: &Name, name: &Name) -> Expr {
        self.expr(ExprKind::Column { table: Some(table.clone()), name: name.clone() })
    }

    fn term(&self) -> Name {
        Name { text: TERM.to_owned(), at: self.at }
    }

    /// The row of these columns.
    fn row(&self, columns: &[Name]) -> Expr {
        self.expr(ExprKind::Row(columns.iter().map(|it| self.column(&self.term(), it)).collect()))
    }

    fn select(&self, columns: &[Name], new: Vec<Expr>, names: Vec<Name>, body: SetExpr) -> SetExpr {
        let own = columns.iter().map(|it| item(self.column(&self.term(), it)));
        let query = Query { body, ..Query::empty(self.at) };
        let alias = Some(Alias { name: self.term(), columns: names });
        let from = TableExpr::Subquery { query: Box::new(query), lateral: false, alias, at: self.at };
        let items = own.chain(new.into_iter().map(item)).collect();
        SetExpr::Select(Box::new(Select { items, from: vec![from], ..Select::empty(self.at) }))
    }

    fn first(&self, columns: &[Name], body: SetExpr) -> SetExpr {
        let one = |columns: &[Name]| self.expr(ExprKind::Array(vec![self.row(columns)]));
        let mut new: Vec<Expr> = self.search.iter().map(|it| one(&it.0)).collect();
        if let Some(cycle) = &self.cycle {
            new.extend([cycle.values.1.clone(), one(&cycle.columns)]);
        }
        self.select(columns, new, columns.to_vec(), body)
    }

    fn next(&self, columns: &[Name], body: SetExpr) -> SetExpr {
        let longer = |path: &Name, columns: &[Name]| {
            let name = Name { text: "array_append".to_owned(), at: self.at };
            let args = vec![self.column(&self.term(), path), self.row(columns)];
            self.expr(plain_call(name, args))
        };
        let mut new: Vec<Expr> = self.search.iter().map(|it| longer(&it.1, &it.0)).collect();
        if let Some(Cycle { columns: by, values, path, .. }) = &self.cycle {
            let seen = self.expr(ExprKind::QuantifiedArray {
                input: Box::new(self.row(by)),
                op: "=".to_owned(),
                all: false,
                array: Box::new(self.column(&self.term(), path)),
            });
            let (branches, otherwise) = (vec![(seen, values.0.clone())], Some(Box::new(values.1.clone())));
            new.push(self.expr(ExprKind::Case { operand: None, branches, otherwise }));
            new.push(longer(path, by));
        }
        let names = columns.iter().cloned().chain(self.new_columns()).collect();
        self.select(columns, new, names, body)
    }
}

fn item(expr: Expr) -> SelectItem {
    SelectItem::Expr { expr, alias: None }
}

/// What the query's own name is called in an item of FROM.
fn alias_of(item: &TableExpr, name: &Name) -> Option<Name> {
    match item {
        TableExpr::Table { name: own, alias } if own.text == name.text => {
            Some(alias.as_ref().map_or(own, |alias| &alias.name).clone())
        }
        TableExpr::Join { left, right, .. } => alias_of(left, name).or_else(|| alias_of(right, name)),
        _ => None,
    }
}
