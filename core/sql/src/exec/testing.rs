//! What the operators' tests run in: an in-memory disk, plans over literal rows, random rows, and naive comparisons.

use super::{Batch, Environment, ExecContext, Query, RunMetrics};
use crate::catalog::Sequence;
use crate::columns::datum_at;
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions;
use crate::functions::SessionSequences;
use crate::plan::{Field, Op, Plan, PlanNode};
use crate::types::SqlType;
use orrery_base::disk::{DiskOp, DiskReply, DiskResult, FileId};
use orrery_base::kv::{
    Isolation, KeyRange, Lookup, ReadMode, RowLock, Savepoint, Scan, TableLock, Transaction, Wait,
};
use orrery_base::rng::Rng;
use orrery_base::task::Task;
use orrery_base::{AlignedBuf, BoxFuture, Cx, Error, PagePtr, Result, Timestamp, TreeId, TxnId, World};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// A budget in which nothing spills.
pub const AMPLE: usize = 1 << 30;
/// A budget in which everything spills.
pub const TINY: usize = 6 << 10;

/// Operators that read no table need none.
struct NoTransaction;

fn none<T>() -> Result<T> {
    Err(Error::internal("no transaction here"))
}

impl Transaction for NoTransaction {
    fn id(&self) -> TxnId {
        TxnId(1)
    }
    fn isolation(&self) -> Isolation {
        Isolation::ReadCommitted
    }
    fn snapshot_timestamp(&self) -> Timestamp {
        Timestamp(1)
    }
    fn begin_statement(&self) -> Result<()> {
        none()
    }
    fn get(&self, _: TreeId, _: &[u8], _: ReadMode, _: &mut dyn FnMut(&[u8])) -> Result<Lookup> {
        none()
    }
    fn load<'a>(&'a self, _: &'a Cx, _: PagePtr) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { none() })
    }
    fn scan(&self, _: TreeId, _: KeyRange, _: ReadMode, _: bool) -> Result<Box<dyn Scan>> {
        none()
    }
    fn split(&self, _: TreeId, _: &KeyRange, _: usize) -> Vec<KeyRange> {
        Vec::new()
    }
    fn estimated_row_count(&self, _: TreeId) -> u64 {
        0
    }
    fn estimated_byte_count(&self, _: TreeId) -> u64 {
        0
    }
    fn put(&self, _: TreeId, _: &[u8], _: &[u8]) -> Result<()> {
        none()
    }
    fn delete(&self, _: TreeId, _: &[u8]) -> Result<()> {
        none()
    }
    fn drop_tree(&self, _: TreeId) -> Result<()> {
        none()
    }
    fn savepoint(&self) -> Savepoint {
        Savepoint(0)
    }
    fn rollback_to(&self, _: Savepoint) {}
    fn undo_writes_to(&self, _: Savepoint) {}
    fn try_lock(&self, _: TreeId, _: &[u8], _: RowLock) -> Result<bool> {
        none()
    }
    fn lock<'a>(
        &'a self,
        _: &'a Cx,
        _: TreeId,
        _: &'a [u8],
        _: RowLock,
        _: Wait,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { none() })
    }
    fn try_lock_table(&self, _: TreeId, _: TableLock) -> Result<bool> {
        none()
    }
    fn lock_table<'a>(&'a self, _: &'a Cx, _: TreeId, _: TableLock, _: Wait) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { none() })
    }
}

/// Counts temporary files and sequence values, and keeps the numbers of files given back.
#[derive(Default)]
struct Counting(AtomicU64, AtomicU64, Mutex<Vec<u64>>);

impl Environment for Counting {
    fn reserve<'a>(&'a self, _: &'a Cx, _: u32, count: u32) -> BoxFuture<'a, Result<Vec<(i64, u32)>>> {
        let first = self.1.fetch_add(u64::from(count), Atomic::Relaxed);
        Box::pin(async move { Ok(vec![(first as i64 + 1, count)]) })
    }
    fn position<'a>(&'a self, _: &'a Cx, _: &'a Sequence) -> BoxFuture<'a, Result<(i64, bool)>> {
        Box::pin(async { none() })
    }
    fn set_value<'a>(&'a self, _: &'a Cx, _: u32, _: &'a [(i64, bool)]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { none() })
    }
    fn new_value_id<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<u32>> {
        Box::pin(async { none() })
    }
    fn session_sequences(&self) -> Arc<SessionSequences> {
        Arc::default()
    }
    fn sequence_step(&self, _: u32) -> i64 {
        1
    }
    fn sequence_name(&self, _: u32) -> String {
        String::new()
    }
    fn advisory<'a>(
        &'a self,
        _: &'a Cx,
        _: &'a crate::functions::AdvisoryCall,
    ) -> BoxFuture<'a, Result<Vec<i64>>> {
        Box::pin(async { none() })
    }
    fn temp_file(&self) -> u64 {
        self.0.fetch_add(1, Atomic::Relaxed)
    }
    fn discard_temp(&self, file: u64) {
        self.2.lock().unwrap().push(file);
    }
}

/// Files in memory. Every third transfer is short.
#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<FileId, Vec<u8>>,
    pub written_bytes: usize,
    pub transfers: usize,
    /// Flips a bit in what is read.
    pub is_damaged: bool,
}

impl Disk {
    fn shortened(&mut self, len: usize) -> usize {
        self.transfers += 1;
        if self.transfers.is_multiple_of(3) { len.div_ceil(2) } else { len }
    }

    pub fn perform(&mut self, op: DiskOp) -> DiskResult {
        Ok(match op {
            DiskOp::Write { file, offset, data } => {
                let len = self.shortened(data.len());
                let bytes = self.files.entry(file).or_default();
                assert_eq!(bytes.len() as u64, offset, "files are written front to back");
                bytes.extend_from_slice(&data[..len]);
                self.written_bytes += len;
                DiskReply::Written(len)
            }
            DiskOp::Read { file, offset, len } => {
                let len = self.shortened(len);
                let bytes = &self.files[&file];
                let start = (offset as usize).min(bytes.len());
                let mut part = AlignedBuf::from(&bytes[start..bytes.len().min(start + len)]);
                if self.is_damaged && part.len() > 20 {
                    part[20] ^= 1;
                }
                DiskReply::Read(part)
            }
            DiskOp::Remove { file } => {
                self.files.remove(&file);
                DiskReply::Done
            }
            other => panic!("an operator asked for {other:?}"),
        })
    }
}

/// A context with this budget.
pub fn context(work_memory_bytes: usize) -> ExecContext {
    ExecContext {
        txn: Arc::new(NoTransaction),
        environment: Arc::new(Counting::default()),
        params: Arc::from([]),
        work_memory_bytes,
        transaction_start: 0,
        statement_start: 0,
        format: Default::default(),
        random: Default::default(),
        working: Vec::new(),
        metrics: None,
    }
    .with_metrics()
}

/// What a run gave.
pub struct Outcome {
    pub rows: Vec<Vec<Datum>>,
    pub metrics: RunMetrics,
    pub written_bytes: usize,
}

impl Outcome {
    /// All rows as text, sorted: to compare as multisets.
    pub fn sorted(&self) -> Vec<String> {
        sorted(&self.rows)
    }
}

/// Rows as text, sorted.
pub fn sorted(rows: &[Vec<Datum>]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort_unstable();
    rows
}

/// Runs a future to its end on an in-memory disk.
pub fn drive<T>(disk: &mut Disk, mut task: Task<T>) -> T {
    loop {
        let answer = task.poll(Waker::noop(), 1);
        for request in task.take_requests() {
            let (op, completion) = request.split();
            completion.complete(disk.perform(op));
        }
        if let Poll::Ready(answer) = answer {
            return answer;
        }
    }
}

/// Runs a plan. All temporary files must be gone afterwards.
pub fn run_plan(plan: Plan, budget: usize) -> Result<Outcome> {
    let mut disk = Disk::default();
    let outcome = run_on(&mut disk, plan, budget);
    assert!(disk.files.is_empty(), "temporary files were left behind");
    outcome.map(|outcome| Outcome { written_bytes: disk.written_bytes, ..outcome })
}

pub fn run_on(disk: &mut Disk, plan: Plan, budget: usize) -> Result<Outcome> {
    let types: Vec<SqlType> = plan.root.fields.iter().map(|field| field.ty).collect();
    let environment = Arc::new(Counting::default());
    let context = ExecContext { environment: environment.clone(), ..context(budget) };
    let counting = context.clone();
    let task: Task<Result<Vec<Batch>>> = Task::new(World::shortening(), |cx| async move {
        let mut query = Query::open(Arc::new(plan), context);
        let mut batches = Vec::new();
        while let Some(batch) = query.next(&cx).await? {
            batches.push(batch);
        }
        Ok(batches)
    });
    let batches = drive(disk, task);
    for file in environment.2.lock().unwrap().drain(..) {
        disk.files.remove(&FileId::Temp(file));
    }
    let batches: Vec<Batch> = batches?;
    let mut rows = Vec::new();
    for batch in &batches {
        assert!(batch.row_count > 0 && batch.columns.iter().all(|column| column.len() == batch.row_count));
        assert_eq!(batch.columns.len(), types.len());
        for row in 0..batch.row_count {
            let values = batch.columns.iter().zip(&types).map(|(column, &ty)| datum_at(column, ty, row));
            rows.push(values.collect::<Result<_>>()?);
        }
    }
    Ok(Outcome { rows, metrics: counting.metrics(), written_bytes: 0 })
}

/// Runs one node.
pub fn run(root: PlanNode, budget: usize) -> Result<Outcome> {
    run_plan(plan(root), budget)
}

/// A plan without subqueries.
pub fn plan(root: PlanNode) -> Plan {
    Plan { root, subqueries: Vec::new(), param_types: Vec::new(), tables: Vec::new(), sequences: Vec::new() }
}

/// A node with columns of these types.
pub fn node(op: Op, types: &[SqlType]) -> PlanNode {
    let field = |(index, &ty): (usize, &SqlType)| Field { name: format!("c{index}"), ty };
    PlanNode {
        op,
        fields: types.iter().enumerate().map(field).collect(),
        row_estimate: 1.0,
        cost_estimate: 1.0,
    }
}

/// A column.
pub fn column(id: usize, ty: SqlType) -> Expr {
    Expr::Column { id, ty }
}

/// A constant.
pub fn literal(value: Datum, ty: SqlType) -> Expr {
    Expr::Literal { value, ty }
}

/// An operator between two expressions of one type.
pub fn call(name: &str, left: Expr, right: Expr) -> Expr {
    let ty = left.ty().base();
    let found = functions::scalars(name).iter().find(|scalar| scalar.args == [ty, ty]);
    let function = found.expect("there is such an operator");
    Expr::Call { function, args: vec![left, right], ty: SqlType::Bool, position: 7 }
}

/// Literal rows.
pub fn values(rows: &[Vec<Datum>], types: &[SqlType]) -> PlanNode {
    let row =
        |row: &Vec<Datum>| row.iter().zip(types).map(|(value, &ty)| literal(value.clone(), ty)).collect();
    node(Op::Values { rows: rows.iter().map(row).collect() }, types)
}

/// Types of [`random_rows`].
pub const TYPES: [SqlType; 5] =
    [SqlType::Int8, SqlType::Int4, SqlType::Text, SqlType::Numeric, SqlType::Float8];

/// Rows of a unique number, and columns of repeated values with NULLs and values that are equal but look different.
pub fn random_rows(seed: u64, count: usize, spread: u64) -> Vec<Vec<Datum>> {
    let mut rng = Rng::new(seed);
    let numerics =
        ["1.5", "1.50", "-2", "-2.000", "0", "1e20", "NaN", "123456789012345678901234567890123456789012345"];
    let floats = [0.0, -0.0, f64::NAN, 1.5, -1e300, f64::INFINITY];
    let mut row = |number: usize| {
        let int = rng.below(spread) as i32 - (spread / 2) as i32;
        let text: Arc<str> =
            ["", "a", "a\0b", "ab", "zürich", "a rather long string indeed"][rng.below(6) as usize].into();
        let numeric = numerics[rng.below(8) as usize].parse().unwrap();
        let float = floats[rng.below(6) as usize];
        let mut nullable = |value: Datum| if rng.chance(1, 12) { Datum::Null } else { value };
        vec![
            Datum::Int8(number as i64),
            nullable(Datum::Int4(int)),
            nullable(Datum::Text(text)),
            nullable(Datum::Numeric(numeric)),
            nullable(Datum::Float8(float)),
        ]
    };
    (0..count).map(&mut row).collect()
}

/// SQL equality of two keys; `nulls_equal` as GROUP BY has it.
pub fn same(a: &Datum, b: &Datum, nulls_equal: bool) -> bool {
    match (a.is_null(), b.is_null()) {
        (true, true) => nulls_equal,
        (false, false) => a.order(b) == Ordering::Equal,
        _ => false,
    }
}
