//! A case from a seed: tables, rows, indexes, and queries over them.
//!
//! Every query is valid in both dialects and has one right answer as a bag of rows: a limit comes with an order over all
//! columns, a window function that counts rows is ordered by keys, numbers stay small.

use super::draw::Draw;
use super::query::{Expr, From, Query, Source, Ty};

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// As CREATE TABLE says it.
    pub sql_type: &'static str,
    /// What it holds.
    pub ty: Ty,
}

/// A table with its rows, as SQL literals.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns; the first is `id`, the primary key.
    pub columns: Vec<Column>,
    /// Rows of literals.
    pub rows: Vec<Vec<String>>,
    /// Indexes: the columns' numbers, and whether they run downwards.
    pub indexes: Vec<Vec<(usize, bool)>>,
}

impl Table {
    /// CREATE TABLE.
    pub fn create(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|it| format!("{} {}", it.name, it.sql_type)).collect();
        format!("CREATE TABLE {} ({}, PRIMARY KEY (id))", self.name, columns.join(", "))
    }

    /// INSERT statements of some rows each.
    pub fn inserts(&self) -> Vec<String> {
        let values = |rows: &[Vec<String>]| {
            let rows: Vec<String> = rows.iter().map(|row| format!("({})", row.join(", "))).collect();
            format!("INSERT INTO {} VALUES {}", self.name, rows.join(", "))
        };
        self.rows.chunks(200).map(values).collect()
    }

    /// CREATE INDEX statements.
    pub fn create_indexes(&self) -> Vec<String> {
        let index = |(number, keys): (usize, &Vec<(usize, bool)>)| {
            let keys: Vec<String> = keys
                .iter()
                .map(|(column, down)| {
                    format!("{}{}", self.columns[*column].name, if *down { " DESC" } else { "" })
                })
                .collect();
            format!("CREATE INDEX {}_i{number} ON {} ({})", self.name, self.name, keys.join(", "))
        };
        self.indexes.iter().enumerate().map(index).collect()
    }
}

/// A name that expressions may use: alias, columns, and which of them is unique.
#[derive(Clone)]
struct Visible {
    alias: String,
    columns: Vec<(String, Ty)>,
    key: Option<String>,
}

/// Makes queries over tables.
pub struct Generator<'a> {
    rng: &'a mut Draw,
    tables: &'a [Table],
    /// Names of WITH, their columns, and how many rows they may have.
    ctes: Vec<(String, Vec<Ty>, usize)>,
    alias_count: usize,
    /// How deep this query is nested.
    depth: u32,
    /// Rows of the enclosing queries' FROM, multiplied.
    weight: usize,
    /// How many rows the query made last may have.
    last_rows: usize,
}

/// Tables with rows.
pub fn tables(rng: &mut Draw) -> Vec<Table> {
    let count = rng.range(2..5);
    let big = if rng.chance(1, 12) { rng.below(count) } else { count };
    (0..count).map(|number| table(rng, number, number == big)).collect()
}

fn table(rng: &mut Draw, number: u64, is_big: bool) -> Table {
    let mut columns = vec![Column { name: "id".into(), sql_type: "INTEGER", ty: Ty::Int }];
    let others = rng.range(1..5);
    for other in 0..others {
        let (sql_type, ty) = *rng.pick(&[
            ("INTEGER", Ty::Int),
            ("INTEGER", Ty::Int),
            ("BIGINT", Ty::Int),
            ("TEXT", Ty::Text),
            ("DOUBLE PRECISION", Ty::Real),
        ]);
        columns.push(Column { name: format!("{}{other}", ["k", "v"][rng.below(2) as usize]), sql_type, ty });
    }
    let row_count = if is_big { rng.range(1000..2600) } else { *rng.pick(&[0, 1, 3, 8, 20, 40, 40]) };
    let spread = if is_big { *rng.pick(&[7, 200]) } else { *rng.pick(&[3, 8, 30]) };
    let mut ids: Vec<u64> = (0..row_count).collect();
    if rng.chance(1, 2) {
        rng.shuffle(&mut ids);
    }
    let rows = ids
        .into_iter()
        .map(|id| {
            let mut row = vec![id.to_string()];
            row.extend(columns[1..].iter().map(|column| value(rng, column.ty, spread)));
            row
        })
        .collect();
    let mut indexes = Vec::new();
    for _ in 0..rng.below(4) {
        let mut keys: Vec<(usize, bool)> = Vec::new();
        for _ in 0..rng.range(1..4) {
            let column = rng.below(columns.len() as u64) as usize;
            if keys.iter().all(|key| key.0 != column) {
                keys.push((column, rng.chance(1, 4)));
            }
        }
        indexes.push(keys);
    }
    Table { name: format!("t{number}"), columns, rows, indexes }
}

const WORDS: [&str; 10] = ["'a'", "'b'", "'ab'", "'abc'", "''", "'B'", "'a b'", "'zz'", "'ba'", "'%'"];

/// A value of a column, NULL now and then.
pub fn value(rng: &mut Draw, ty: Ty, spread: u64) -> String {
    if rng.chance(1, 7) { "NULL".into() } else { literal(rng, ty, spread) }
}

fn literal(rng: &mut Draw, ty: Ty, spread: u64) -> String {
    match ty {
        Ty::Int | Ty::Bool => (rng.below(spread) as i64 - spread as i64 / 4).to_string(),
        Ty::Text => (*rng.pick(&WORDS)).to_owned(),
        Ty::Real => format!("{}e0", (rng.below(spread * 2) as f64 - spread as f64 / 2.0) / 2.0),
    }
}

const COMPARE: [&str; 6] = ["({} = {})", "({} <> {})", "({} < {})", "({} <= {})", "({} > {})", "({} >= {})"];

impl<'a> Generator<'a> {
    /// Over these tables.
    pub fn new(rng: &'a mut Draw, tables: &'a [Table]) -> Self {
        Generator { rng, tables, ctes: Vec::new(), alias_count: 0, depth: 0, weight: 1, last_rows: 1 }
    }

    /// A query.
    pub fn statement(&mut self) -> Query {
        (self.depth, self.weight) = (0, 1);
        self.ctes.clear();
        let mut with = Vec::new();
        while self.rng.chance(1, 6) && with.len() < 2 {
            let query = self.query(&[], None);
            let name = format!("w{}", with.len());
            self.ctes.push((name.clone(), query.types(), self.last_rows));
            with.push((name, query));
        }
        let mut query = self.query(&[], None);
        query.with = with;
        query
    }

    /// A statement that changes rows; `number` makes its new ids its own.
    pub fn change(&mut self, number: u64) -> String {
        // No subqueries: SQLite lets them see rows changed already.
        (self.depth, self.weight) = (3, 1);
        self.ctes.clear();
        let table = self.rng.pick(self.tables).clone();
        let columns = table.columns.iter().map(|it| (it.name.clone(), it.ty)).collect();
        let visible = [Visible { alias: "x".into(), columns, key: None }];
        let filter = self.condition(&visible, 3);
        let name = &table.name;
        match self.rng.below(4) {
            0 => format!("DELETE FROM {name} AS x WHERE {filter}"),
            1 => {
                let values: Vec<String> =
                    table.columns[1..].iter().map(|it| self.expr(&visible, it.ty, 2).to_string()).collect();
                // Ids that others may have: those rows are passed over.
                let id =
                    if self.one_in(3) { "x.id + 3".into() } else { format!("x.id + {}", number * 10_000) };
                let into: Vec<&str> = table.columns.iter().map(|it| it.name.as_str()).collect();
                format!(
                    "INSERT INTO {name} ({}) SELECT {id}, {} FROM {name} AS x WHERE {filter} \
                     ON CONFLICT (id) DO NOTHING",
                    into.join(", "),
                    values.join(", "),
                )
            }
            _ => {
                let column = self.rng.pick(&table.columns[1..]).clone();
                let value = self.expr(&visible, column.ty, 3);
                format!("UPDATE {name} AS x SET {} = {value} WHERE {filter}", column.name)
            }
        }
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.rng.chance(1, count)
    }

    fn ty(&mut self) -> Ty {
        *self.rng.pick(&[Ty::Int, Ty::Int, Ty::Text, Ty::Real])
    }

    /// A query with these columns (`None`: any), in which `outer` is visible.
    fn query(&mut self, outer: &[Visible], types: Option<&[Ty]>) -> Query {
        let weight = self.weight;
        self.depth += 1;
        let mut query = Query::default();
        let own = self.from(outer, &mut query);
        let mut visible = outer.to_vec();
        visible.extend(own.iter().cloned());
        if self.rng.chance(3, 5) {
            query.filter = Some(self.condition(&visible, 3));
        }
        let types = match types {
            Some(types) => types.to_vec(),
            None => (0..self.rng.range(1..4)).map(|_| self.ty()).collect(),
        };
        if self.one_in(3) && !own.is_empty() {
            self.grouped(&mut query, &own, &types);
        } else {
            let windows = self.one_in(4) && !own.is_empty();
            for ty in &types {
                let item = match ty {
                    Ty::Int | Ty::Real if windows => self.window(&own, *ty),
                    _ => self.expr(&visible, *ty, 3),
                };
                query.items.push(item);
            }
            query.distinct = self.one_in(6);
        }
        if self.depth < 4 && self.one_in(10) {
            let how = *self.rng.pick(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
            let mut other = self.query(outer, Some(&types));
            if other.set.is_none() {
                (other.order, other.limit) = (Vec::new(), None);
                query.set = Some((how, Box::new(other)));
            }
        }
        let mut rows =
            if query.is_grouped() && query.group.is_empty() { 1 } else { self.weight / weight.max(1) };
        if query.set.is_some() {
            rows += self.last_rows;
        }
        if self.one_in(5) {
            self.limit(&mut query);
            rows = rows.min(12);
        }
        self.last_rows = rows;
        self.depth -= 1;
        self.weight = weight;
        query
    }

    fn limit(&mut self, query: &mut Query) {
        let mut columns: Vec<usize> = (0..query.items.len()).collect();
        self.rng.shuffle(&mut columns);
        let ways = ["NULLS LAST", "DESC NULLS LAST", "NULLS FIRST", "DESC NULLS FIRST"];
        query.order = columns.into_iter().map(|column| (column, *self.rng.pick(&ways))).collect();
        let offset = if self.one_in(3) { self.rng.below(5) } else { 0 };
        query.limit = Some((self.rng.below(12), offset));
    }

    fn from(&mut self, outer: &[Visible], query: &mut Query) -> Vec<Visible> {
        let mut own: Vec<Visible> = Vec::new();
        let is_deep = self.depth > 2;
        let count = if is_deep { 1 } else { *self.rng.pick(&[1, 1, 2, 2, 2, 3]) };
        for _ in 0..count {
            self.alias_count += 1;
            let alias = format!("x{}", self.alias_count);
            let (source, columns, key, rows) = self.source(&alias);
            // Results stay small: what would multiply too much is left out.
            if self.weight * rows > 30_000 {
                continue;
            }
            self.weight *= rows.max(1);
            let mut visible: Vec<Visible> = outer.to_vec();
            visible.extend(own.iter().cloned());
            let new = Visible { alias: alias.clone(), columns, key };
            let join = *self.rng.pick(&[
                "JOIN",
                "JOIN",
                "LEFT JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
                "CROSS JOIN",
            ]);
            let on = (join != "CROSS JOIN").then(|| self.join_condition(&visible, &own, &new));
            own.push(new);
            query.from.push(From { join, source, alias, on });
        }
        own
    }

    fn source(&mut self, alias: &str) -> (Source, Vec<(String, Ty)>, Option<String>, usize) {
        if self.depth < 3 && self.one_in(5) {
            let query = self.query(&[], None);
            let columns = named(&query.types());
            return (Source::Query(Box::new(query)), columns, None, self.last_rows);
        }
        if !self.ctes.is_empty() && self.one_in(2) {
            let (name, types, rows) = self.rng.pick(&self.ctes).clone();
            return (Source::Name(name), named(&types), None, rows);
        }
        let table = self.rng.pick(self.tables);
        let columns = table.columns.iter().map(|it| (it.name.clone(), it.ty)).collect();
        (Source::Name(table.name.clone()), columns, Some(format!("{alias}.id")), table.rows.len())
    }

    /// Mostly an equality between the sides; anything now and then.
    fn join_condition(&mut self, visible: &[Visible], own: &[Visible], new: &Visible) -> Expr {
        let mut all = visible.to_vec();
        all.push(new.clone());
        if own.is_empty() || self.one_in(5) {
            return self.condition(&all, 2);
        }
        let ty = self.ty();
        let (Some(left), Some(right)) = (self.column(own, ty), self.column(std::slice::from_ref(new), ty))
        else {
            return self.condition(&all, 2);
        };
        let form = if self.one_in(6) { *self.rng.pick(&COMPARE) } else { COMPARE[0] };
        let equality = Expr::of(form, vec![left, right], Ty::Bool);
        if self.one_in(3) {
            let more = self.condition(&all, 1);
            return Expr::of("({} AND {})", vec![equality, more], Ty::Bool);
        }
        equality
    }

    fn grouped(&mut self, query: &mut Query, own: &[Visible], types: &[Ty]) {
        for _ in 0..self.rng.below(3) {
            let ty = self.ty();
            let key = self.column(own, ty);
            // A literal there would be the number of an output column.
            query.group.extend(key);
        }
        for ty in types {
            let of_type: Vec<Expr> = query.group.iter().filter(|it| it.ty == *ty).cloned().collect();
            let item = if !of_type.is_empty() && self.one_in(2) {
                self.rng.pick(&of_type).clone()
            } else {
                self.aggregate(own, *ty)
            };
            query.items.push(item);
        }
        if self.one_in(4) {
            let ty = self.ty();
            let (left, right) = (self.aggregate(own, ty), self.expr(&[], ty, 1));
            query.having = Some(Expr::of(*self.rng.pick(&COMPARE), vec![left, right], Ty::Bool));
        }
    }

    fn aggregate(&mut self, own: &[Visible], ty: Ty) -> Expr {
        let filter = if self.one_in(5) { " FILTER (WHERE {})" } else { "" };
        let (form, mut args) = match ty {
            Ty::Int if self.one_in(3) => ("count(*)".to_owned(), Vec::new()),
            Ty::Int if self.one_in(3) => {
                let of = self.ty();
                let distinct = if self.one_in(3) { "DISTINCT " } else { "" };
                (format!("count({distinct}{{}})"), vec![self.expr(own, of, 2)])
            }
            _ => {
                let name = if ty == Ty::Text || self.one_in(2) { ["min", "max"] } else { ["sum", "sum"] };
                let distinct = if self.one_in(6) { "DISTINCT " } else { "" };
                let name = *self.rng.pick(&name);
                (format!("{name}({distinct}{{}})"), vec![self.expr(own, ty, 2)])
            }
        };
        if !filter.is_empty() {
            args.push(self.condition(own, 1));
        }
        // PostgreSQL's sum of bigint is numeric, which divides in another way.
        let form = form + filter;
        Expr::of(if ty == Ty::Int { format!("CAST({form} AS BIGINT)") } else { form }, args, ty)
    }

    /// A window function whose value does not hang on the order of peers.
    fn window(&mut self, own: &[Visible], ty: Ty) -> Expr {
        let keys: Option<Vec<String>> = own.iter().map(|it| it.key.clone()).collect();
        let mut args = Vec::new();
        let mut over = Vec::new();
        if self.one_in(2) {
            let ty = self.ty();
            args.extend(self.column(own, ty));
            if args.len() == 1 {
                over.push("PARTITION BY {}".to_owned());
            }
        }
        let is_total = keys.is_some() && self.one_in(2);
        let order = match keys.filter(|_| is_total) {
            Some(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| format!("{key} NULLS FIRST")).collect();
                Some(keys.join(", "))
            }
            None if self.one_in(2) => {
                let ty = self.ty();
                self.column(own, ty).map(|key| format!("{key} NULLS LAST"))
            }
            None => None,
        };
        let frame = match (&order, is_total) {
            (None, _) => "",
            (Some(_), true) => *self.rng.pick(&[
                "",
                " ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING",
                " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
                " ROWS BETWEEN 3 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW",
                " GROUPS BETWEEN 2 PRECEDING AND CURRENT ROW",
            ]),
            (Some(_), false) => *self.rng.pick(&[
                "",
                " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                " GROUPS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE GROUP",
                " RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            ]),
        };
        if let Some(order) = &order {
            over.push(format!("ORDER BY {order}{frame}"));
        }
        let ordered = order.is_some();
        let call = match self.rng.below(7) {
            0 if ty == Ty::Int && is_total => "row_number()".to_owned(),
            1 if ty == Ty::Int && ordered => "rank()".to_owned(),
            2 if ty == Ty::Int && ordered => "dense_rank()".to_owned(),
            3 if ty == Ty::Int => "count(*)".to_owned(),
            4 if is_total => {
                args.insert(0, self.expr(own, ty, 1));
                (*self.rng.pick(&["lag({}, 2)", "lead({})", "first_value({})", "last_value({})"])).to_owned()
            }
            _ => {
                args.insert(0, self.expr(own, ty, 1));
                (*self.rng.pick(&["sum({})", "min({})", "max({})"])).to_owned()
            }
        };
        let form = format!("{call} OVER ({})", over.join(" "));
        Expr::of(if ty == Ty::Int { format!("CAST({form} AS BIGINT)") } else { form }, args, ty)
    }

    fn column(&mut self, visible: &[Visible], ty: Ty) -> Option<Expr> {
        let mut columns = Vec::new();
        for it in visible {
            let of_type = it.columns.iter().filter(|column| column.1 == ty);
            columns.extend(of_type.map(|column| format!("{}.{}", it.alias, column.0)));
        }
        (!columns.is_empty()).then(|| Expr::leaf(self.rng.pick(&columns).clone(), ty))
    }

    fn leaf(&mut self, visible: &[Visible], ty: Ty) -> Expr {
        if self.rng.chance(3, 4)
            && let Some(column) = self.column(visible, ty)
        {
            return column;
        }
        if self.one_in(12) {
            return Expr::leaf(ty.literals()[1], ty);
        }
        let literal = literal(self.rng, ty, 8);
        Expr::leaf(if literal.starts_with('-') { format!("({literal})") } else { literal }, ty)
    }

    /// An expression of a type in which at most `budget` operators are nested.
    fn expr(&mut self, visible: &[Visible], ty: Ty, budget: u32) -> Expr {
        if ty == Ty::Bool {
            return self.condition(visible, budget);
        }
        if budget == 0 || self.rng.chance(2, 5) {
            return self.leaf(visible, ty);
        }
        if self.depth < 3 && self.one_in(12) {
            return self.scalar_query(visible, ty);
        }
        let less = budget - 1;
        match self.rng.below(4) {
            0 => {
                let test = self.condition(visible, less);
                let (a, b) = (self.expr(visible, ty, less), self.expr(visible, ty, less));
                Expr::of("CASE WHEN {} THEN {} ELSE {} END", vec![test, a, b], ty)
            }
            1 => {
                let form = *self.rng.pick(&["coalesce({}, {})", "nullif({}, {})"]);
                Expr::of(form, vec![self.expr(visible, ty, less), self.expr(visible, ty, less)], ty)
            }
            _ => self.operator(visible, ty, less),
        }
    }

    fn operator(&mut self, visible: &[Visible], ty: Ty, less: u32) -> Expr {
        let form = match ty {
            Ty::Int => *self.rng.pick(&[
                "({} + {})",
                "({} - {})",
                "({} * 2)",
                "({} / 3)",
                "({} % 4)",
                "abs({})",
                "(- {})",
                "length({t})",
            ]),
            Ty::Real => *self.rng.pick(&["({} + {})", "({} - {})", "({} * 0.5e0)", "abs({})", "({i} + {})"]),
            Ty::Text | Ty::Bool => *self.rng.pick(&[
                "({} || {})",
                "upper({})",
                "lower({})",
                "substr({}, 1, 2)",
                "replace({}, 'a', 'xy')",
                "trim({})",
                "CAST({i} AS TEXT)",
            ]),
        };
        let mut args = Vec::new();
        for place in form.split('{').skip(1) {
            let of = match place.as_bytes().first() {
                Some(b't') => Ty::Text,
                Some(b'i') => Ty::Int,
                _ => ty,
            };
            args.push(self.expr(visible, of, less));
        }
        Expr::of(form, args, ty)
    }

    /// One row, whatever the data: an aggregate, or the first row of an order.
    fn scalar_query(&mut self, visible: &[Visible], ty: Ty) -> Expr {
        let weight = self.weight;
        self.depth += 1;
        let mut query = Query::default();
        let own = self.from(visible, &mut query);
        let mut all = visible.to_vec();
        all.extend(own.iter().cloned());
        if self.rng.chance(4, 5) {
            query.filter = Some(self.condition(&all, 2));
        }
        if self.one_in(4) {
            query.items.push(self.expr(&all, ty, 1));
            query.order = vec![(0, "NULLS LAST")];
            query.limit = Some((1, 0));
        } else {
            query.items.push(self.aggregate(&own, ty));
        }
        self.depth -= 1;
        self.weight = weight;
        Expr::with("({q})", Vec::new(), query, ty)
    }

    /// A condition.
    fn condition(&mut self, visible: &[Visible], budget: u32) -> Expr {
        if budget > 1 && self.depth < 3 && self.one_in(8) {
            return self.query_condition(visible, budget - 1);
        }
        if budget > 0 && self.rng.chance(2, 5) {
            let less = budget - 1;
            let form = *self.rng.pick(&["({} AND {})", "({} OR {})", "(NOT {})", "({} AND {})"]);
            let count = form.matches("{}").count();
            let args = (0..count).map(|_| self.condition(visible, less)).collect();
            return Expr::of(form, args, Ty::Bool);
        }
        let (ty, less) = (self.ty(), budget.saturating_sub(1));
        let form = match self.rng.below(10) {
            0 => "({} IS NULL)",
            1 => "({} IS NOT NULL)",
            2 => "({} BETWEEN {} AND {})",
            3 => *self.rng.pick(&["({} IN ({}, {}))", "({} NOT IN ({}, {}))"]),
            4 => *self.rng.pick(&["({} IS DISTINCT FROM {})", "({} IS NOT DISTINCT FROM {})"]),
            5 if ty == Ty::Text => {
                *self.rng.pick(&["({} LIKE 'a%')", "({} LIKE '%b')", "({} LIKE '_b%')", "({} NOT LIKE '%')"])
            }
            _ => *self.rng.pick(&COMPARE),
        };
        let count = form.matches("{}").count();
        let args = (0..count).map(|_| self.expr(visible, ty, less)).collect();
        Expr::of(form, args, Ty::Bool)
    }

    fn query_condition(&mut self, visible: &[Visible], less: u32) -> Expr {
        match self.rng.below(3) {
            0 => {
                let mut query = self.query(visible, Some(&[Ty::Int]));
                // SQLite forgets it there, although OFFSET counts what it leaves.
                query.distinct = false;
                let form = *self.rng.pick(&["(EXISTS ({q}))", "(NOT EXISTS ({q}))"]);
                Expr::with(form, Vec::new(), query, Ty::Bool)
            }
            1 => {
                let ty = self.ty();
                let left = self.expr(visible, ty, less);
                let query = self.query(visible, Some(&[ty]));
                let form = *self.rng.pick(&["({} IN ({q}))", "({} NOT IN ({q}))"]);
                Expr::with(form, vec![left], query, Ty::Bool)
            }
            _ => {
                let types = [self.ty(), self.ty()];
                let left = types.iter().map(|ty| self.expr(visible, *ty, less)).collect();
                let query = self.query(visible, Some(&types));
                let form = *self.rng.pick(&["(({}, {}) IN ({q}))", "(({}, {}) NOT IN ({q}))"]);
                Expr::with(form, left, query, Ty::Bool)
            }
        }
    }
}

fn named(types: &[Ty]) -> Vec<(String, Ty)> {
    types.iter().enumerate().map(|(index, ty)| (format!("c{index}"), *ty)).collect()
}
