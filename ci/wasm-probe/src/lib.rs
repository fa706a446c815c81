//! A WASM module around the core, built only to look at its import section (L1): a core that reached for a file, a
//! clock or entropy would import it. `cargo xtask wasm` builds and reads it.
//!
//! It must reach the public doors of the core, or the linker would strip what the check is about: extend [`visit`] when a
//! door is added. It does not test behaviour, and its disk mostly refuses.
#![allow(unsafe_code, reason = "an exported symbol needs `#[unsafe(no_mangle)]`")]

use orrery_engine::base::disk::DiskReply;
use orrery_engine::base::{Error, Result, World};
use orrery_engine::{Database, DatabaseOptions, Execution, Session, Task};
use std::task::{Poll, Waker};

/// Enough for a task to come by all its refusals; the module is never run for longer.
const POLLS_MAX: u64 = 1_000;

/// Runs what it can reach and answers how far it came.
// SAFETY: no other symbol of this name is linked into the module.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_probe(seed: u64) -> u64 {
    match visit(seed) {
        Ok(rows) => rows,
        Err(error) => error.to_string().len() as u64,
    }
}

/// Goes through every door: open, statements, results, the chores, close.
fn visit(seed: u64) -> Result<u64> {
    let db = drive(Database::open(World::quiet(), DatabaseOptions::default()), seed)?;
    let session = db.session();
    let rows = statements(&session, seed)?;
    drive(db.housekeeping(), seed)?;
    drive(db.checkpoint(), seed)?;
    let (_, findings) = drive(db.check(), seed)?;
    drive(db.close(), seed)?;
    Ok(rows + findings.len() as u64)
}

/// The text is not a constant, so nothing of the parser, planner or executor can be left out.
fn statements(session: &Session, seed: u64) -> Result<u64> {
    let text = String::from_utf8_lossy(&seed.to_le_bytes()).into_owned();
    let mut row_count = 0;
    for prepared in session.parse(&text)? {
        let Execution::Rows(mut rows) = drive(session.execute(&prepared, Vec::new()), seed)? else {
            continue;
        };
        while let (next, Some(batch)) = drive(rows.next_batch(), seed)? {
            row_count += batch.row_count as u64;
            rows = next;
        }
        drop(drive(session.copy_in(&prepared), seed)?);
    }
    Ok(row_count)
}

/// Polls a task to its end. The seed's bits say which requests are said to be done; the others are refused.
fn drive<T>(mut task: Task<Result<T>>, seed: u64) -> Result<T> {
    for step in 0..POLLS_MAX {
        if let Poll::Ready(answer) = task.poll(Waker::noop(), seed.wrapping_add(step)) {
            return answer;
        }
        for request in task.take_requests() {
            if (seed >> (step % 64)) & 1 == 1 {
                request.complete(Ok(DiskReply::Done));
            }
        }
    }
    Err(Error::internal("the probe's patience is at its end"))
}
