//! What statements did, by their texts without literals: `orrery.statements`.
//!
//! - S1: a bounded number of texts, of bounded length. When there is one too many, those that were used least recently go, a twentieth at
//!   once; which those are depends on the order of statements only (L2).
//! - S2: time is the driver's: from the clock of a task's first poll to the clock it tells when the task has ended
//!   (`Cx::at_end`). Reading a result counts while rows are made, not while the caller looks at them.
//! - S3: statements that are answered on the caller's stack ([`crate::point`]) are counted, not timed; a session counts them by itself, so
//!   that sessions do not meet at a counter, and hands the counts over before its next statement of another kind.

use crate::plans::Prepared;
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{Cx, sorting};
use orrery_sql::parse::normal_text;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Texts remembered (S1).
const TEXT_COUNT_MAX: usize = 1000;
/// Bytes of a text, about.
const TEXT_BYTES_MAX: usize = 2 << 10;
/// Bytes that a text takes beside its own.
const ENTRY_BYTES: usize = 256;

/// Bytes that all of it may take, about.
pub(crate) const BYTES_MAX: usize = TEXT_COUNT_MAX * (TEXT_BYTES_MAX + ENTRY_BYTES);

/// All of a database.
#[derive(Default)]
pub(crate) struct Statements {
    texts: Mutex<BTreeMap<Arc<str>, Arc<StatementFigures>>>,
    uses: AtomicU64,
}

/// One text's.
pub(crate) struct StatementFigures {
    text: Arc<str>,
    is_listed: AtomicBool,
    used: AtomicU64,
    figures: Mutex<Figures>,
}

/// What is known of one text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) rows: u64,
    pub(crate) timed_calls: u64,
    pub(crate) micros: u64,
    pub(crate) micros_min: u64,
    pub(crate) micros_max: u64,
    pub(crate) spilled_bytes: u64,
}

impl Statements {
    /// A statement begins.
    pub(crate) fn begin(self: &Arc<Self>, prepared: &Prepared) -> Arc<StatementRun> {
        Arc::new(StatementRun {
            statements: self.clone(),
            figures: self.of(prepared),
            micros: AtomicU64::new(0),
            is_timed: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            spilled_bytes: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
        })
    }

    /// Statements that were answered on the caller's stack (S3).
    pub(crate) fn add_calls(&self, prepared: &Prepared, calls: u64, rows: u64) {
        let figures = self.of(prepared);
        self.add(&figures, |all| {
            all.calls += calls;
            all.rows += rows;
        });
    }

    /// All texts in order, and the bytes that they take, about.
    pub(crate) fn list(&self) -> (Vec<(Arc<str>, Figures)>, usize) {
        let texts = lock(&self.texts);
        let all = texts.values().map(|it| (it.text.clone(), *lock(&it.figures))).collect();
        (all, texts.keys().map(|text| text.len() + ENTRY_BYTES).sum())
    }

    fn of(&self, prepared: &Prepared) -> Arc<StatementFigures> {
        let known = prepared.figures.get_or_init(|| {
            let text: Arc<str> = normal_text(prepared.text(), TEXT_BYTES_MAX).into();
            let fresh = || {
                Arc::new(StatementFigures {
                    text: text.clone(),
                    is_listed: AtomicBool::new(false),
                    used: AtomicU64::new(0),
                    figures: Mutex::default(),
                })
            };
            lock(&self.texts).get(&text).cloned().unwrap_or_else(fresh)
        });
        known.clone()
    }

    fn add(&self, figures: &Arc<StatementFigures>, add: impl FnOnce(&mut Figures)) {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        figures.used.store(used, Ordering::Relaxed);
        if figures.is_listed.load(Ordering::Acquire) {
            add(&mut lock(&figures.figures));
            return;
        }
        let mut texts = lock(&self.texts);
        let listed = texts.entry(figures.text.clone()).or_insert_with(|| figures.clone()).clone();
        listed.is_listed.store(true, Ordering::Release);
        listed.used.store(used, Ordering::Relaxed);
        add(&mut lock(&listed.figures));
        if texts.len() > TEXT_COUNT_MAX {
            forget_oldest(&mut texts);
        }
    }
}

fn forget_oldest(texts: &mut BTreeMap<Arc<str>, Arc<StatementFigures>>) {
    let mut uses: Vec<u64> = texts.values().map(|it| it.used.load(Ordering::Relaxed)).collect();
    sorting::sort(&mut uses);
    let kept = uses[TEXT_COUNT_MAX / 20];
    texts.retain(|_, it| {
        let stays = it.used.load(Ordering::Relaxed) > kept;
        if !stays {
            // Should it be used again, it begins anew.
            it.is_listed.store(false, Ordering::Release);
            *lock(&it.figures) = Figures::default();
        }
        stays
    });
}

/// A statement under way. When the last who has part in it lets go, it is counted.
pub(crate) struct StatementRun {
    statements: Arc<Statements>,
    figures: Arc<StatementFigures>,
    micros: AtomicU64,
    is_timed: AtomicBool,
    rows: AtomicU64,
    spilled_bytes: AtomicU64,
    has_failed: AtomicBool,
}

impl StatementRun {
    /// A task works for it, from now to its end (S2).
    pub(crate) fn measure(self: &Arc<Self>, cx: &Cx) {
        let (run, begun) = (self.clone(), cx.now());
        cx.at_end(Box::new(move |now: Micros| {
            run.micros.fetch_add(now.saturating_sub(begun), Ordering::Relaxed);
            run.is_timed.store(true, Ordering::Relaxed);
        }));
    }

    /// It gave or changed so many rows.
    pub(crate) fn rows(&self, count: u64) {
        self.rows.fetch_add(count, Ordering::Relaxed);
    }

    /// It wrote so much to temporary files.
    pub(crate) fn spilled(&self, bytes: u64) {
        self.spilled_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It ended with an error.
    pub(crate) fn failed(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for StatementRun {
    fn drop(&mut self) {
        let micros = *self.micros.get_mut();
        self.statements.add(&self.figures, |all| {
            all.calls += 1;
            all.errors += u64::from(*self.has_failed.get_mut());
            all.rows += *self.rows.get_mut();
            all.spilled_bytes += *self.spilled_bytes.get_mut();
            if *self.is_timed.get_mut() {
                all.micros_min = if all.timed_calls == 0 { micros } else { all.micros_min.min(micros) };
                all.micros_max = all.micros_max.max(micros);
                all.timed_calls += 1;
                all.micros += micros;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_sql::parse;

    fn prepared(text: &str) -> Prepared {
        Prepared::new(Arc::new(parse::statements(text).unwrap().pop().unwrap()), Vec::new())
    }

    #[test]
    fn counts_by_normal_text_and_forgets_the_oldest() {
        let statements = Arc::new(Statements::default());
        let first = prepared("select 1 as c0");
        statements.add_calls(&first, 2, 2);
        statements.add_calls(&prepared("SELECT   2 AS c0"), 1, 1);
        assert_eq!(
            statements.list().0,
            [("select ? as c0".into(), Figures { calls: 3, rows: 3, ..Figures::default() })]
        );
        let used = prepared("select 1 as kept");
        for number in 0..3 * TEXT_COUNT_MAX {
            drop(statements.begin(&prepared(&format!("select 1 as c{number}"))));
            drop(statements.begin(&used));
            let (all, bytes) = statements.list();
            assert!(all.len() <= TEXT_COUNT_MAX && bytes <= BYTES_MAX);
        }
        let all = statements.list().0;
        let calls = |text: &str| all.iter().find(|it| &*it.0 == text).map(|it| it.1.calls);
        assert_eq!(calls("select ? as kept"), Some(3 * TEXT_COUNT_MAX as u64), "what is used stays");
        assert_eq!(calls("select ? as c0"), None);
        statements.add_calls(&first, 1, 1);
        let again = statements.list().0.into_iter().find(|it| &*it.0 == "select ? as c0").unwrap().1;
        assert_eq!(again.calls, 1, "what was forgotten begins anew");
    }
}
