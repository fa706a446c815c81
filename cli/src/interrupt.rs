//! Ctrl-C: cancels the statement that runs; a second one, or one while nothing runs, ends the process. (While a line is
//! being typed the terminal is in raw mode, and Ctrl-C reaches the line editor instead.)

use std::sync::{Arc, Mutex, PoisonError};

use crate::db::Canceller;
use crate::error::{Result, ShellError};

/// The exit status of a process that an interrupt ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// What an interrupt does now.
#[derive(Clone, Default)]
pub struct Interrupts {
    running: Arc<Mutex<Option<Canceller>>>,
}

impl Interrupts {
    /// Takes over the process's interrupts. Once a process.
    ///
    /// # Errors
    /// The system refuses.
    pub fn install() -> Result<Self> {
        let interrupts = Interrupts::default();
        let handled = interrupts.clone();
        let handler = move || {
            if !handled.cancel() {
                std::process::exit(INTERRUPTED);
            }
        };
        ctrlc::set_handler(handler).map_err(|e| ShellError::Usage(format!("cannot handle Ctrl-C: {e}")))?;
        Ok(interrupts)
    }

    /// While the answer lives, an interrupt calls `canceller`.
    pub fn statement(&self, canceller: Canceller) -> Statement {
        *lock(&self.running) = Some(canceller);
        Statement { running: Arc::clone(&self.running) }
    }

    /// Cancels the statement that runs, once; `false` if there is none to cancel.
    fn cancel(&self) -> bool {
        let canceller = lock(&self.running).take();
        canceller.map(|cancel| cancel()).is_some()
    }
}

/// A statement that runs.
pub struct Statement {
    running: Arc<Mutex<Option<Canceller>>>,
}

impl Drop for Statement {
    fn drop(&mut self) {
        *lock(&self.running) = None;
    }
}

fn lock(running: &Mutex<Option<Canceller>>) -> std::sync::MutexGuard<'_, Option<Canceller>> {
    // The value is whole at every moment, so a poisoned lock is as good as another.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_statement_is_cancelled_once_and_only_while_it_runs() {
        let interrupts = Interrupts::default();
        assert!(!interrupts.cancel());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let statement = interrupts.statement(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        assert!(interrupts.cancel());
        assert!(!interrupts.cancel());
        drop(statement);
        assert!(!interrupts.cancel());
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
