//! Drivers for tests: each wraps another and is nasty in one legal way. The whole suite is meant to run under each.
//!
//! What is legal: requests in flight together complete in any order (the rules of [`orrery_base::disk`]); a read or
//! write does less than asked, but at least one byte; a request fails. What they never do: lose a request, answer
//! before it was performed, or perform it twice.

use crate::Driver;
use orrery_base::World;
use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult};
use orrery_base::rng::Rng;
use orrery_base::task::{IoRequest, lock};
use orrery_base::time::Micros;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What a [`TestDriver`] does to requests.
#[derive(Clone, Debug)]
pub enum Nastiness {
    /// Completes one request at a time, and polls the task after each: every request is a suspension of its own.
    Suspend,
    /// Completes requests in an order drawn from the seed, some of them several polls later.
    Shuffle {
        /// Draws the order.
        seed: u64,
    },
    /// Fails one request and performs the others.
    Fail {
        /// Which, counted from 0 over all threads.
        nth: u64,
        /// How.
        kind: DiskErrorKind,
    },
    /// Reads and writes less than was asked, now and then.
    Shorten {
        /// Draws when, and how much less.
        seed: u64,
    },
}

/// See the module's head.
pub struct TestDriver<D> {
    inner: D,
    nastiness: Nastiness,
    rng: Mutex<Rng>,
    request_count: AtomicU64,
}

impl<D: Driver> TestDriver<D> {
    /// Wraps `inner`.
    pub fn new(inner: D, nastiness: Nastiness) -> Self {
        let seed = match nastiness {
            Nastiness::Shuffle { seed } | Nastiness::Shorten { seed } => seed,
            Nastiness::Suspend | Nastiness::Fail { .. } => 0,
        };
        TestDriver { inner, nastiness, rng: Mutex::new(Rng::new(seed)), request_count: AtomicU64::new(0) }
    }

    /// The driver inside.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// How many requests were made so far: with it a test fails each of them in turn.
    pub fn request_count(&self) -> u64 {
        self.request_count.load(Ordering::Relaxed)
    }

    fn shorten(&self, op: DiskOp) -> DiskOp {
        let cut = |len: usize| {
            let mut rng = lock(&self.rng);
            if len > 1 && rng.chance(1, 2) { 1 + rng.below(len as u64 - 1) as usize } else { len }
        };
        match op {
            DiskOp::Read { file, offset, len } => DiskOp::Read { file, offset, len: cut(len) },
            DiskOp::Write { file, offset, mut data } => {
                data.resize(cut(data.len()));
                DiskOp::Write { file, offset, data }
            }
            other => other,
        }
    }
}

impl<D: Driver> Driver for TestDriver<D> {
    fn perform(&self, op: DiskOp) -> DiskResult {
        let nth = self.request_count.fetch_add(1, Ordering::Relaxed);
        match self.nastiness {
            Nastiness::Fail { nth: failing, kind } if failing == nth => {
                Err(DiskError::new(kind, format!("request {nth} was made to fail")))
            }
            Nastiness::Shorten { .. } => self.inner.perform(self.shorten(op)),
            _ => self.inner.perform(op),
        }
    }

    fn perform_some(&self, waiting: &mut Vec<IoRequest>) {
        let index = match self.nastiness {
            Nastiness::Shuffle { .. } => lock(&self.rng).below(waiting.len() as u64) as usize,
            _ => 0,
        };
        let (op, completion) = waiting.remove(index).split();
        completion.complete(self.perform(op));
    }

    fn now(&self) -> Micros {
        self.inner.now()
    }

    fn world(&self) -> Arc<World> {
        match self.nastiness {
            Nastiness::Shorten { .. } => World::shortening(),
            _ => self.inner.world(),
        }
    }
}

/// Goes through every rule of the requests with `driver`, which must be empty: the one test that all drivers pass.
#[doc(hidden)]
pub fn exercise(driver: &impl Driver) {
    use orrery_base::AlignedBuf;
    use orrery_base::disk::FileId;
    use orrery_base::task::Task;
    let log = FileId::Log(7);
    let pattern: Vec<u8> = (0..20_000u32).map(|i| ((i * i) >> 3) as u8).collect();
    let expected = pattern.clone();
    let answer = driver.run(Task::new(driver.world(), move |cx| async move {
        let absent = cx.disk(DiskOp::Len { file: log }).await;
        assert!(matches!(absent, Err(DiskError { kind: DiskErrorKind::NotFound, .. })), "{absent:?}");
        cx.disk(DiskOp::Allocate { file: log, len: 10_000, fill: true }).await?;
        let zeros = cx.read(log, 9_000, 5_000).await?;
        assert_eq!(&*zeros, &[0; 1_000][..], "the file ends at 10,000");
        for (offset, part) in [(100, &pattern[..9_999]), (10_099, &pattern[9_999..])] {
            cx.write(log, offset, AlignedBuf::from(part)).await?;
        }
        // Four requests in flight together.
        let replies: Vec<_> = (0..4).map(|_| cx.submit(DiskOp::Sync { file: log })).collect();
        for reply in replies {
            reply.await?;
        }
        let back = cx.read(log, 100, 30_000).await?;
        assert_eq!(&*back, &expected[..]);
        cx.disk(DiskOp::Truncate { file: log, len: 50 }).await?;
        cx.write(FileId::Temp(1), 0, AlignedBuf::from(&b"scratch"[..])).await?;
        assert_eq!(&*cx.read(FileId::Temp(1), 3, 9).await?, b"atch");
        cx.write(FileId::Data, 3, AlignedBuf::from(&b"x"[..])).await?;
        let DiskReply::Files(files) = cx.disk(DiskOp::List).await? else { panic!("a list answers files") };
        assert_eq!(files, vec![(FileId::Data, 4), (log, 50), (FileId::Temp(1), 7)]);
        for file in [log, FileId::Temp(1), log] {
            cx.disk(DiskOp::Remove { file }).await?;
        }
        let DiskReply::Files(files) = cx.disk(DiskOp::List).await? else { panic!("a list answers files") };
        assert_eq!(files, vec![(FileId::Data, 4)]);
        Ok::<_, DiskError>(())
    }));
    answer.expect("every request succeeds");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDriver;
    use orrery_base::disk::FileId;
    use orrery_base::task::Task;

    #[test]
    fn nasty_drivers_keep_every_rule() {
        exercise(&TestDriver::new(MemoryDriver::new(), Nastiness::Suspend));
        for seed in 0..50 {
            exercise(&TestDriver::new(MemoryDriver::new(), Nastiness::Shuffle { seed }));
            exercise(&TestDriver::new(MemoryDriver::new(), Nastiness::Shorten { seed }));
        }
    }

    #[test]
    fn fails_exactly_the_nth() {
        for failing in 0..5 {
            let nastiness = Nastiness::Fail { nth: failing, kind: DiskErrorKind::Full };
            let driver = TestDriver::new(MemoryDriver::new(), nastiness);
            let outcomes = driver.run(Task::new(driver.world(), |cx| async move {
                let mut outcomes = vec![];
                for _ in 0..5 {
                    outcomes.push(
                        cx.disk(DiskOp::Allocate { file: FileId::Data, len: 1, fill: false }).await.is_ok(),
                    );
                }
                outcomes
            }));
            let expected: Vec<bool> = (0..5).map(|nth| nth != failing).collect();
            assert_eq!(outcomes, expected);
            assert_eq!(driver.request_count(), 5);
        }
    }

    #[test]
    fn shuffles_for_real() {
        let orders: std::collections::BTreeSet<Vec<u64>> = (0..20).map(order_under).collect();
        assert!(orders.len() > 5, "{orders:?}");
    }

    /// The order in which the lengths of files 0..4 were asked, seen by which the shuffled driver did first.
    fn order_under(seed: u64) -> Vec<u64> {
        struct Noting(Mutex<Vec<u64>>);
        impl Driver for Noting {
            fn perform(&self, op: DiskOp) -> DiskResult {
                let Some(FileId::Log(number)) = op.file() else { panic!("only logs are asked for") };
                lock(&self.0).push(number);
                Ok(DiskReply::Len(0))
            }
        }
        let driver = TestDriver::new(Noting(Mutex::default()), Nastiness::Shuffle { seed });
        driver.run(Task::new(driver.world(), |cx| async move {
            let replies: Vec<_> = (0..4).map(|i| cx.submit(DiskOp::Len { file: FileId::Log(i) })).collect();
            for reply in replies {
                reply.await.expect("performed");
            }
        }));
        driver.inner().0.lock().expect("not poisoned").clone()
    }
}
