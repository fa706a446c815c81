//! EXPLAIN: a plan as PostgreSQL shows it. Nodes are numbered as the executor's counters are: the root's tree in
//! pre-order, then each subquery's tree.
//!
//! Projections have no line of their own (their columns print as what they compute), and a filter on top of a join or an
//! aggregation is a line of that node. A lookup join prints as a nested loop over an index scan. There are no widths.

mod expression;

use crate::catalog::Table;
use crate::exec::RunMetrics;
use crate::exec::metrics::NodeMetrics;
use crate::exec::query::inputs;
use crate::expr::{Expr, SubqueryUse};
use crate::plan::{JoinKind, KeyBounds, Op, Plan, PlanNode, Statement};
use expression::{list, print, print_aggregate};
use std::collections::BTreeMap;

/// The lines of EXPLAIN; with `metrics` those of EXPLAIN ANALYZE. `costs`: with what was estimated.
pub fn text(statement: &Statement, costs: bool, metrics: Option<&RunMetrics>) -> Vec<String> {
    let (plan, change) = match statement {
        Statement::Query(plan) => (plan, None),
        Statement::Insert(insert) => (&insert.source, Some(("Insert", &insert.table))),
        Statement::Update(update) => (&update.source, Some(("Update", &update.table))),
        Statement::Delete(delete) => (&delete.source, Some(("Delete", &delete.table))),
        Statement::Merge(merge) => (&merge.source, Some(("Merge", &merge.table))),
        Statement::With(with) => return text(&with.main, costs, metrics),
    };
    let mut printer = Printer::new(plan, costs, metrics);
    match change {
        None => printer.tree(&plan.root, 0, 0, Some(plan)),
        Some((word, table)) => {
            let cost = plan.root.cost_estimate;
            let notes = printer.notes((cost, cost), 0.0, None);
            printer.line(0, true, format!("{word} on {}{notes}", table.name));
            printer.subqueries(plan, 0);
            printer.tree(&plan.root, 0, 1, None);
        }
    }
    printer.lines
}

struct Printer<'a> {
    metrics: Option<&'a RunMetrics>,
    with_costs: bool,
    /// What each scanned table is called, by node number.
    aliases: BTreeMap<usize, String>,
    /// Whether columns need their table's name.
    qualified: bool,
    lines: Vec<String>,
}

/// A node as it prints: filters and projections above it taken in.
struct Shown<'p> {
    node: &'p PlanNode,
    number: usize,
    /// The outermost of the nodes taken in: its estimates count.
    outer: &'p PlanNode,
    outer_number: usize,
    /// A filter taken in.
    filter: Option<&'p Expr>,
}

impl<'a> Printer<'a> {
    fn new(plan: &Plan, with_costs: bool, metrics: Option<&'a RunMetrics>) -> Self {
        let (aliases, qualified, lines) = (BTreeMap::new(), false, Vec::new());
        let mut printer = Printer { metrics, with_costs, aliases, qualified, lines };
        let mut uses = BTreeMap::new();
        let mut number = 0;
        for node in std::iter::once(&plan.root).chain(&plan.subqueries) {
            printer.name_tables(node, number, &mut uses);
            number += node_count(node);
        }
        printer.qualified = printer.aliases.len() > 1;
        printer
    }

    fn name_tables(&mut self, node: &PlanNode, number: usize, uses: &mut BTreeMap<String, usize>) {
        if let Op::TableScan { table, .. } | Op::IndexScan { table, .. } | Op::IndexJoin { table, .. } =
            &node.op
        {
            let count = uses.entry(table.name.clone()).or_default();
            let alias = if *count == 0 { table.name.clone() } else { format!("{}_{count}", table.name) };
            *count += 1;
            self.aliases.insert(number, alias);
        }
        for (input, number) in numbered_inputs(node, number) {
            self.name_tables(input, number, uses);
        }
    }

    fn line(&mut self, depth: usize, is_head: bool, text: String) {
        // Heads below the root stand behind an arrow, six columns a level; their details two further.
        let indent = match (depth, is_head) {
            (0, true) => String::new(),
            (depth, true) => format!("{}->  ", " ".repeat(6 * depth - 4)),
            (depth, false) => " ".repeat(6 * depth + 2),
        };
        self.lines.push(format!("{indent}{text}"));
    }

    fn detail(&mut self, depth: usize, label: &str, text: &str) {
        self.line(depth, false, format!("{label}: {text}"));
    }

    /// Prints a tree. `with`: the plan whose subqueries stand under this node.
    fn tree(&mut self, node: &PlanNode, number: usize, depth: usize, with: Option<&Plan>) {
        let shown = take_in(node, number);
        let head = self.head(&shown);
        let estimates = self.estimates(&shown);
        self.line(depth, true, format!("{head}{estimates}"));
        self.details(&shown, depth);
        if let Some(plan) = with {
            self.subqueries(plan, depth);
        }
        let inputs = numbered_inputs(shown.node, shown.number);
        for (index, (input, number)) in inputs.into_iter().enumerate() {
            if index == 1 && matches!(shown.node.op, Op::HashJoin { .. }) {
                let below = take_in(input, number);
                let estimates = self.estimates(&below);
                self.line(depth + 1, true, format!("Hash{estimates}"));
                self.tree(input, number, depth + 2, None);
            } else {
                self.tree(input, number, depth + 1, None);
            }
        }
        if let Op::IndexJoin { .. } = shown.node.op {
            self.lookup(&shown, depth + 1);
        }
    }

    fn subqueries(&mut self, plan: &Plan, depth: usize) {
        let mut uses = vec![None; plan.subqueries.len()];
        for node in std::iter::once(&plan.root).chain(&plan.subqueries) {
            each_expr(node, &mut |expr| {
                if let Expr::Subquery { index, kind, args, .. } = expr
                    && let Some(found) = uses.get_mut(*index)
                {
                    let is_init =
                        args.is_empty() && matches!(kind, SubqueryUse::Scalar | SubqueryUse::Exists);
                    *found = Some(if is_init { "InitPlan" } else { "SubPlan" });
                }
            });
        }
        let mut number = node_count(&plan.root);
        for (index, node) in plan.subqueries.iter().enumerate() {
            // One that became a join is left as nothing.
            let is_gone = matches!(&node.op, Op::Values { rows } if rows.is_empty()) && uses[index].is_none();
            if !is_gone {
                self.line(depth, false, format!("{} {}", uses[index].unwrap_or("InitPlan"), index + 1));
                self.tree(node, number, depth + 1, None);
            }
            number += node_count(node);
        }
    }

    fn estimates(&self, shown: &Shown<'_>) -> String {
        let (node, rows) = (shown.outer, shown.outer.row_estimate.round().max(0.0));
        let start = start_cost(shown.node).min(node.cost_estimate);
        let actual = self.metrics.map(|metrics| (rows_given(metrics, shown.outer_number), 1));
        self.notes((start, node.cost_estimate), rows, actual)
    }

    /// What stands behind a line: what was estimated, and what came: rows and loops.
    fn notes(&self, (start, total): (f64, f64), rows: f64, actual: Option<(u64, u64)>) -> String {
        let mut notes = String::new();
        if self.with_costs {
            notes.push_str(&format!("  (cost={} rows={rows:.0})", costs(start, total)));
        }
        if let Some((rows, loops)) = actual {
            let gap = if self.with_costs { " " } else { "  " };
            notes.push_str(&match loops {
                0 => format!("{gap}(never executed)"),
                loops => format!("{gap}(actual rows={rows} loops={loops})"),
            });
        }
        notes
    }

    fn head(&self, shown: &Shown<'_>) -> String {
        let kind_of = |kind: &JoinKind| match kind {
            JoinKind::Inner => "",
            JoinKind::Left => " Left",
            JoinKind::Full => " Full",
            JoinKind::Semi => " Semi",
            JoinKind::Anti => " Anti",
        };
        match &shown.node.op {
            Op::Values { rows } if rows.iter().all(Vec::is_empty) => "Result".to_owned(),
            Op::Values { .. } => "Values Scan on \"*VALUES*\"".to_owned(),
            Op::TableScan { table, bounds, reverse, .. } => {
                let on = self.on(table, shown.number);
                match (bounds.is_unbounded(), reverse) {
                    (true, false) => format!("Seq Scan {on}"),
                    (_, true) => format!("Index Scan Backward using {} {on}", key_name(table, None)),
                    (false, false) => format!("Index Scan using {} {on}", key_name(table, None)),
                }
            }
            Op::IndexScan { table, index, reverse, covering, .. } => {
                let only = if *covering { " Only" } else { "" };
                let backward = if *reverse { " Backward" } else { "" };
                let name = key_name(table, Some(*index));
                format!("Index{only} Scan{backward} using {name} {}", self.on(table, shown.number))
            }
            Op::GenerateSeries { function, .. } => {
                format!("Function Scan on {}", function.map_or("generate_series", |it| it.signature.name))
            }
            Op::LiveScan { view, .. } => format!("Live Scan on {}.{}", view.schema, view.name),
            Op::Window { .. } => "WindowAgg".to_owned(),
            Op::Recursive { .. } => "Recursive Union".to_owned(),
            Op::Working { .. } => "WorkTable Scan".to_owned(),
            Op::Filter { .. } => "Subquery Scan".to_owned(),
            Op::Project { .. } => "Result".to_owned(),
            Op::NestedLoopJoin { kind, .. } | Op::IndexJoin { kind, .. } | Op::Apply { kind, .. } => {
                match kind {
                    JoinKind::Inner => "Nested Loop".to_owned(),
                    kind => format!("Nested Loop{} Join", kind_of(kind)),
                }
            }
            Op::HashJoin { kind, .. } => format!("Hash{} Join", kind_of(kind)),
            Op::Aggregate { groups, sorted, .. } => match (groups.is_empty(), sorted) {
                (true, _) => "Aggregate".to_owned(),
                (false, true) => "GroupAggregate".to_owned(),
                (false, false) => "HashAggregate".to_owned(),
            },
            Op::Sort { .. } => "Sort".to_owned(),
            Op::Limit { .. } => "Limit".to_owned(),
            Op::LockRows { .. } => "LockRows".to_owned(),
            Op::Distinct { .. } => "HashAggregate".to_owned(),
            Op::Append { .. } => "Append".to_owned(),
        }
    }

    fn on(&self, table: &Table, number: usize) -> String {
        match self.aliases.get(&number) {
            Some(alias) if *alias != table.name => format!("on {} {alias}", table.name),
            _ => format!("on {}", table.name),
        }
    }

    fn details(&mut self, shown: &Shown<'_>, depth: usize) {
        let (node, number) = (shown.node, shown.number);
        let own = self.names(node, number);
        let inputs: Vec<Vec<String>> = numbered_inputs(node, number)
            .into_iter()
            .map(|(input, number)| self.names(input, number))
            .collect();
        let both = || inputs.concat();
        match &node.op {
            Op::TableScan { table, bounds, filter, .. } => {
                self.bounds(table, None, bounds, number, depth);
                self.predicate(depth, "Filter", filter.as_ref(), &own);
            }
            Op::IndexScan { table, index, bounds, filter, .. } => {
                self.bounds(table, Some(*index), bounds, number, depth);
                self.predicate(depth, "Filter", filter.as_ref(), &own);
            }
            Op::NestedLoopJoin { on, .. } => self.predicate(depth, "Join Filter", on.as_ref(), &both()),
            Op::Apply { on, args, .. } => {
                let text =
                    |(slot, arg): &(usize, Expr)| format!("${} = {}", slot + 1, print(arg, &inputs[0]));
                self.detail(depth, "Params", &args.iter().map(text).collect::<Vec<_>>().join(", "));
                self.predicate(depth, "Join Filter", on.as_ref(), &both());
            }
            Op::HashJoin { left_keys, right_keys, residual, .. } => {
                let pair = |(left, right): (&Expr, &Expr)| {
                    format!("({} = {})", print(left, &inputs[0]), print(right, &inputs[1]))
                };
                let pairs: Vec<String> = left_keys.iter().zip(right_keys).map(pair).collect();
                let condition = pairs.join(" AND ");
                let condition = if pairs.len() > 1 { format!("({condition})") } else { condition };
                self.detail(depth, "Hash Cond", &condition);
                self.predicate(depth, "Join Filter", residual.as_ref(), &both());
            }
            Op::IndexJoin { table, columns, residual, .. } => {
                let mut names = inputs.concat();
                names.extend(self.table_names(table, columns, number));
                self.predicate(depth, "Join Filter", residual.as_ref(), &names);
            }
            Op::Aggregate { groups, .. } if !groups.is_empty() => {
                self.detail(depth, "Group Key", &list(groups, &inputs[0]));
            }
            Op::Distinct { .. } => self.detail(depth, "Group Key", &own.join(", ")),
            Op::Sort { keys, limit, .. } => {
                let key = |key: &crate::plan::SortKey| {
                    let direction = if key.descending { " DESC" } else { "" };
                    let nulls = match (key.descending, key.nulls_first) {
                        (false, true) => " NULLS FIRST",
                        (true, false) => " NULLS LAST",
                        _ => "",
                    };
                    format!("{}{direction}{nulls}", print(&key.expr, &inputs[0]))
                };
                self.detail(depth, "Sort Key", &keys.iter().map(key).collect::<Vec<_>>().join(", "));
                if limit.is_some() {
                    self.detail(depth, "Sort Method", "top-N heapsort");
                }
            }
            Op::Filter { predicate, .. } => self.predicate(depth, "Filter", Some(predicate), &inputs[0]),
            _ => {}
        }
        self.predicate(depth, "Filter", shown.filter, &own);
        self.counters(shown, depth);
    }

    /// What only a run tells.
    fn counters(&mut self, shown: &Shown<'_>, depth: usize) {
        let Some(metrics) = self.metrics else { return };
        if shown.filter.is_some() {
            let removed =
                rows_given(metrics, shown.number).saturating_sub(rows_given(metrics, shown.outer_number));
            self.detail(depth, "Rows Removed by Filter", &removed.to_string());
        }
    }

    fn predicate(&mut self, depth: usize, label: &str, predicate: Option<&Expr>, names: &[String]) {
        if let Some(predicate) = predicate {
            self.detail(depth, label, &print(predicate, names));
        }
    }

    fn bounds(
        &mut self,
        table: &Table,
        index: Option<usize>,
        bounds: &KeyBounds,
        number: usize,
        depth: usize,
    ) {
        let names = self.key_columns(table, index, number);
        let mut texts = Vec::new();
        for (name, value) in names.iter().zip(&bounds.equal) {
            texts.push(format!("({name} = {})", print(value, &[])));
        }
        let next = names.get(bounds.equal.len()).map_or("?", String::as_str);
        if let Some((value, inclusive)) = &bounds.lower {
            texts.push(format!("({next} >{} {})", if *inclusive { "=" } else { "" }, print(value, &[])));
        }
        if let Some((value, inclusive)) = &bounds.upper {
            texts.push(format!("({next} <{} {})", if *inclusive { "=" } else { "" }, print(value, &[])));
        }
        match texts.len() {
            0 => {}
            1 => self.detail(depth, "Index Cond", &texts[0]),
            _ => self.detail(depth, "Index Cond", &format!("({})", texts.join(" AND "))),
        }
    }

    /// The inner side of a lookup join.
    fn lookup(&mut self, shown: &Shown<'_>, depth: usize) {
        let Op::IndexJoin { outer, table, index, keys, .. } = &shown.node.op else { return };
        let lookups = outer.row_estimate.max(1.0);
        let each = ((shown.node.cost_estimate - outer.cost_estimate) / lookups).max(0.0);
        let rows = (shown.node.row_estimate / lookups).round().max(1.0);
        let head = format!("Index Scan using {} {}", key_name(table, *index), self.on(table, shown.number));
        let actual = self.metrics.map(|metrics| {
            let NodeMetrics { lookups, looked_up_rows, .. } = metrics.node(shown.number);
            // Of one loop, as PostgreSQL prints it: rounded.
            ((looked_up_rows + lookups / 2) / lookups.max(1), lookups)
        });
        let notes = self.notes((0.0, each), rows, actual);
        self.line(depth, true, format!("{head}{notes}"));
        let names = self.key_columns(table, *index, shown.number);
        let outer_names = self.names(outer, shown.number + 1);
        let texts: Vec<String> = names
            .iter()
            .zip(keys)
            .map(|(name, key)| format!("({name} = {})", print(key, &outer_names)))
            .collect();
        let text = if texts.len() > 1 { format!("({})", texts.join(" AND ")) } else { texts.concat() };
        self.detail(depth, "Index Cond", &text);
    }

    fn column_name(&self, table: &Table, ordinal: usize, number: usize) -> String {
        let name = table.columns.get(ordinal).map_or("ctid", |column| column.name.as_str());
        match self.aliases.get(&number).filter(|_| self.qualified) {
            Some(alias) => format!("{alias}.{name}"),
            None => name.to_owned(),
        }
    }

    fn table_names(&self, table: &Table, columns: &[usize], number: usize) -> Vec<String> {
        columns.iter().map(|ordinal| self.column_name(table, *ordinal, number)).collect()
    }

    fn key_columns(&self, table: &Table, index: Option<usize>, number: usize) -> Vec<String> {
        let ordinals: Vec<usize> = match index {
            None => table.primary_key.clone(),
            Some(index) => table.indexes[index].columns.iter().map(|column| column.ordinal).collect(),
        };
        // Index conditions are about one table: no need to name it, unless the other side is another's.
        self.table_names(table, &ordinals, number)
    }

    /// The texts of a node's output columns.
    fn names(&self, node: &PlanNode, number: usize) -> Vec<String> {
        let inputs = numbered_inputs(node, number);
        let input = |at: usize| self.names(inputs[at].0, inputs[at].1);
        match &node.op {
            Op::Values { .. } => (1..=node.fields.len()).map(|n| format!("column{n}")).collect(),
            Op::TableScan { table, columns, .. } | Op::IndexScan { table, columns, .. } => {
                self.table_names(table, columns, number)
            }
            Op::GenerateSeries { function, .. } => {
                vec![function.map_or("generate_series", |it| it.signature.name).to_owned()]
            }
            Op::Working { .. } => (1..=node.fields.len()).map(|n| format!("column{n}")).collect(),
            Op::LiveScan { view, columns } => {
                columns.iter().map(|&ordinal| view.columns[ordinal].0.to_owned()).collect()
            }
            Op::Recursive { .. } => input(0),
            Op::Window { calls, .. } => {
                let mut names = input(0);
                let below = names.clone();
                names.extend(calls.iter().map(|call| expression::print_window(call, &below)));
                names
            }
            Op::Filter { .. }
            | Op::Sort { .. }
            | Op::Limit { .. }
            | Op::LockRows { .. }
            | Op::Distinct { .. } => input(0),
            Op::Project { exprs, .. } => {
                let below = input(0);
                exprs.iter().map(|expr| print(expr, &below)).collect()
            }
            Op::NestedLoopJoin { kind, .. } | Op::HashJoin { kind, .. } | Op::Apply { kind, .. } => {
                let mut names = input(0);
                if kind.has_right() {
                    names.extend(input(1));
                }
                names
            }
            Op::IndexJoin { table, columns, kind, .. } => {
                let mut names = input(0);
                if matches!(kind, JoinKind::Inner | JoinKind::Left) {
                    names.extend(self.table_names(table, columns, number));
                }
                names
            }
            Op::Aggregate { groups, aggregates, .. } => {
                let below = input(0);
                let groups = groups.iter().map(|group| print(group, &below));
                groups.chain(aggregates.iter().map(|call| print_aggregate(call, &below))).collect()
            }
            Op::Append { .. } if inputs.is_empty() => Vec::new(),
            Op::Append { .. } => input(0),
        }
    }
}

/// Goes down through projections and one filter to what prints.
fn take_in(outer: &PlanNode, outer_number: usize) -> Shown<'_> {
    let mut shown = Shown { node: outer, number: outer_number, outer, outer_number, filter: None };
    loop {
        match &shown.node.op {
            Op::Project { input, .. } => {
                shown.node = input;
                shown.number += 1;
            }
            Op::Filter { input, predicate } if shown.filter.is_none() && holds_filter(input) => {
                // From here on the filter's estimates count, whatever projects its rows.
                shown.filter = Some(predicate);
                shown.outer_number = shown.number;
                shown.node = input;
                shown.number += 1;
                return shown;
            }
            _ => return shown,
        }
    }
}

/// The rows a node gave; none when it never ran.
fn rows_given(metrics: &RunMetrics, number: usize) -> u64 {
    metrics.node(number).rows
}

/// Whether a filter above the node may print as a line of it.
fn holds_filter(node: &PlanNode) -> bool {
    matches!(
        node.op,
        Op::Aggregate { .. }
            | Op::HashJoin { .. }
            | Op::NestedLoopJoin { .. }
            | Op::IndexJoin { .. }
            | Op::Apply { .. }
            | Op::GenerateSeries { .. }
            | Op::LiveScan { .. }
            | Op::Values { .. }
    )
}

/// The cost before the first row comes.
fn start_cost(node: &PlanNode) -> f64 {
    match &node.op {
        Op::Sort { .. } => node.cost_estimate,
        Op::Aggregate { input, sorted: false, .. } | Op::Distinct { input } => input.cost_estimate,
        Op::HashJoin { left, right, .. } => right.cost_estimate + start_cost(left),
        Op::Aggregate { input, .. }
        | Op::Filter { input, .. }
        | Op::Project { input, .. }
        | Op::LockRows { input, .. }
        | Op::Limit { input, .. } => start_cost(input),
        _ => 0.0,
    }
}

fn costs(start: f64, total: f64) -> String {
    format!("{start:.2}..{total:.2}")
}

fn key_name(table: &Table, index: Option<usize>) -> String {
    match index {
        Some(index) => table.indexes[index].name.clone(),
        None => table.primary_key_name.clone().unwrap_or_else(|| format!("{}_pkey", table.name)),
    }
}

/// A node's inputs with their numbers.
fn numbered_inputs(node: &PlanNode, number: usize) -> Vec<(&PlanNode, usize)> {
    let mut next = number + 1;
    let number_of = |input: &PlanNode| {
        let number = next;
        next += node_count(input);
        number
    };
    let all = inputs(node);
    let numbers: Vec<usize> = all.iter().copied().map(number_of).collect();
    all.into_iter().zip(numbers).collect()
}

fn node_count(node: &PlanNode) -> usize {
    1 + inputs(node).into_iter().map(node_count).sum::<usize>()
}

/// Calls `f` for every expression in the tree and for all in it.
fn each_expr(node: &PlanNode, f: &mut dyn FnMut(&Expr)) {
    let mut own: Vec<&Expr> = Vec::new();
    match &node.op {
        Op::Values { rows } => own.extend(rows.iter().flatten()),
        Op::TableScan { bounds, filter, .. } | Op::IndexScan { bounds, filter, .. } => {
            own.extend(bounds.equal.iter().chain(filter));
            own.extend(bounds.lower.iter().chain(&bounds.upper).map(|it| &it.0));
        }
        Op::GenerateSeries { args, .. } => own.extend(args),
        Op::Filter { predicate, .. } => own.push(predicate),
        Op::Project { exprs, .. } => own.extend(exprs),
        Op::NestedLoopJoin { on, .. } => own.extend(on),
        Op::Apply { on, args, .. } => own.extend(on.iter().chain(args.iter().map(|arg| &arg.1))),
        Op::HashJoin { left_keys, right_keys, residual, .. } => {
            own.extend(left_keys.iter().chain(right_keys).chain(residual));
        }
        Op::IndexJoin { keys, residual, .. } => own.extend(keys.iter().chain(residual)),
        Op::Aggregate { groups, aggregates, .. } => {
            own.extend(groups);
            aggregates.iter().for_each(|call| own.extend(call.args.iter().chain(&call.filter)));
        }
        Op::Sort { keys, .. } => own.extend(keys.iter().map(|key| &key.expr)),
        Op::Window { partition, order, calls, .. } => {
            own.extend(partition);
            own.extend(order.iter().map(|key| &key.expr));
            own.extend(calls.iter().flat_map(|call| call.exprs()));
        }
        Op::Limit { limit, offset, .. } => own.extend(limit.iter().chain(offset)),
        Op::LockRows { recheck, .. } => own.extend(recheck),
        Op::Distinct { .. }
        | Op::Append { .. }
        | Op::Recursive { .. }
        | Op::Working { .. }
        | Op::LiveScan { .. } => {}
    }
    own.into_iter().for_each(|expr| each(expr, f));
    inputs(node).into_iter().for_each(|input| each_expr(input, f));
}

fn each(expr: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(expr);
    expr.children(|child| each(child, f));
}
