//! LOCK TABLE.

use super::ast::{LockTable, Statement};
use super::parser::Parser;
use orrery_base::Result;
use orrery_base::kv::TableLock;

/// The modes as they are written; a longer one comes before what it begins with.
const MODES: [(&[&str], TableLock); 8] = [
    (&["access", "share"], TableLock::AccessShare),
    (&["access", "exclusive"], TableLock::AccessExclusive),
    (&["row", "share"], TableLock::RowShare),
    (&["row", "exclusive"], TableLock::RowExclusive),
    (&["share", "update", "exclusive"], TableLock::ShareUpdateExclusive),
    (&["share", "row", "exclusive"], TableLock::ShareRowExclusive),
    (&["share"], TableLock::Share),
    (&["exclusive"], TableLock::Exclusive),
];

impl Parser<'_> {
    /// Behind LOCK.
    pub(super) fn lock_table(&mut self) -> Result<Statement> {
        self.accept("table")?;
        let names = self.list(|parser| parser.table_with_only())?;
        let mut mode = TableLock::AccessExclusive;
        if self.accept("in")? {
            mode = self.lock_mode()?;
            self.expect("mode")?;
        }
        let nowait = self.accept("nowait")?;
        Ok(Statement::LockTable(LockTable { names, mode, nowait }))
    }

    fn lock_mode(&mut self) -> Result<TableLock> {
        for (words, mode) in MODES {
            if self.accept_all(words)? {
                return Ok(mode);
            }
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }
}
