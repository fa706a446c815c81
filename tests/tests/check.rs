//! `check` holds indexes against their tables (I8): each kind of mismatch, made on purpose below SQL, is found and named.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_drivers::{Driver, MemoryDriver, run};
use orrery_engine::base::kv::{Flow, Isolation, KeyRange, ReadMode, RowRef, RowSink, Transaction};
use orrery_engine::base::{Error, Result, TreeId};
use orrery_engine::sql::ddl::load_catalog;
use orrery_engine::store::TxnOptions;
use orrery_engine::{Database, DatabaseOptions, Task};
use std::sync::Arc;

/// A key, and what to put there (`None`: delete it).
type Change = (TreeId, Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

struct Opened {
    driver: Arc<MemoryDriver>,
    database: Database,
}

impl Opened {
    fn new() -> Opened {
        let driver = Arc::new(MemoryDriver::new());
        let open = Database::open(driver.world(), DatabaseOptions::default());
        let database = run(&*driver, open).unwrap();
        let opened = Opened { driver, database };
        opened.sql(
            "create table t (id integer primary key, a integer, b text);
             create index t_a on t (a desc); create unique index t_b on t (b);
             insert into t select g, g % 7, case when g % 3 = 0 then null else 'row ' || g end from generate_series(1, 50) g",
        );
        opened
    }

    fn sql(&self, text: &str) {
        let session = self.database.session();
        for statement in session.parse(text).unwrap() {
            run(&*self.driver, session.execute(&statement, Vec::new())).unwrap();
        }
    }

    /// Everything in one of the trees of `t`: its rows (`None`) or an index.
    fn entries(&self, index: Option<&'static str>) -> (TreeId, Vec<Entry>) {
        let store = self.database.store().clone();
        let task = Task::new(self.driver.world(), move |cx| async move {
            let options = TxnOptions { isolation: Isolation::RepeatableRead, read_only: true };
            let txn = store.begin(options, cx.now())?;
            txn.begin_statement()?;
            let catalog = load_catalog(&cx, &*txn).await?;
            let table = catalog.table("t").expect("it was made").clone();
            let named = |name| table.indexes.iter().find(|it| it.name == name).expect("it was made").tree;
            let tree = index.map_or(table.tree, named);
            let mut all = All(Vec::new());
            let mut scan = txn.scan(tree, KeyRange::all(), ReadMode::Snapshot, false)?;
            while scan.next_batch(&cx, &mut all).await? {}
            drop(scan);
            txn.rollback();
            Ok::<_, Error>((tree, all.0))
        });
        run(&*self.driver, task).unwrap()
    }

    /// Writes past SQL.
    fn change(&self, changes: Vec<Change>) {
        let store = self.database.store().clone();
        let task = Task::new(self.driver.world(), move |cx| async move {
            let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: false };
            let txn = store.begin(options, cx.now())?;
            for (tree, key, value) in changes {
                match value {
                    Some(value) => txn.put(tree, &key, &value)?,
                    None => txn.delete(tree, &key)?,
                }
            }
            txn.commit(&cx).await.map(drop)
        });
        run(&*self.driver, task).unwrap();
    }

    fn findings(&self) -> String {
        let (summary, findings) = run(&*self.driver, self.database.check()).unwrap();
        assert_eq!(summary.finding_count, findings.len() as u64);
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }
}

struct All(Vec<(Vec<u8>, Vec<u8>)>);

impl RowSink for All {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(Flow::More)
    }
}

#[test]
fn a_sound_database_has_no_findings() {
    let opened = Opened::new();
    assert_eq!(opened.findings(), "");
    opened.sql("update t set a = a + 1, b = b || '!' where id > 20; delete from t where id < 10");
    assert_eq!(opened.findings(), "");
}

#[test]
fn a_missing_entry_is_found() {
    for name in ["t_a", "t_b"] {
        let opened = Opened::new();
        let (tree, entries) = opened.entries(Some(name));
        opened.change(vec![(tree, entries[3].0.clone(), None)]);
        let found = opened.findings();
        assert!(found.contains(&format!("index {name} of table t: no entry for row")), "{found}");
        assert!(found.contains("it has 49 entries, and the table 50 rows"), "{found}");
    }
}

#[test]
fn an_entry_too_many_or_of_another_row_is_found() {
    let opened = Opened::new();
    let (tree, entries) = opened.entries(Some("t_b"));
    let (key, value) = entries[0].clone();
    opened.change(vec![(tree, [key.as_slice(), &[1]].concat(), Some(value))]);
    let found = opened.findings();
    assert!(found.contains("index t_b of table t: it has 51 entries, and the table 50 rows"), "{found}");
    let opened = Opened::new();
    opened.change(vec![(tree, key, Some(entries[1].1.clone()))]);
    let found = opened.findings();
    assert!(found.contains("leads to"), "{found}");
}

#[test]
fn a_row_under_another_key_and_a_row_that_is_none_are_found() {
    let opened = Opened::new();
    let (tree, rows) = opened.entries(None);
    opened.change(vec![(tree, rows[0].0.clone(), Some(rows[1].1.clone()))]);
    let found = opened.findings();
    assert!(found.contains("its primary key is"), "{found}");
    let opened = Opened::new();
    opened.change(vec![(tree, rows[0].0.clone(), Some(vec![1, 2, 3]))]);
    let found = opened.findings();
    assert!(found.starts_with("table t, row "), "{found}");
}
