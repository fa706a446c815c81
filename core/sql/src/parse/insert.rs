//! INSERT with ON CONFLICT.

use super::ast::{CommonTable, ConflictTarget, ConflictUpdate, IndexKey, Insert, InsertSource, OnConflict};
use super::parser::Parser;
use orrery_base::Result;

impl Parser<'_> {
    pub(super) fn insert(&mut self, with: Vec<CommonTable>) -> Result<Insert> {
        self.expect("into")?;
        let table = self.table_name()?;
        let alias = if self.accept("as")? { Some(self.name()?) } else { None };
        let mut columns = Vec::new();
        if self.is_punct(b'(')? && !self.is_query_in_parens()? {
            self.expect_punct(b'(')?;
            columns = self.list(|parser| {
                let column = parser.name()?;
                if parser.is_punct(b'.')? || parser.is_punct(b'[')? {
                    return parser.refuse("assignment to a part of a column");
                }
                Ok(column)
            })?;
            self.expect_punct(b')')?;
        }
        let mut override_identity = false;
        if self.accept("overriding")? {
            if !self.accept("system")? {
                return self.refuse("OVERRIDING USER VALUE");
            }
            self.expect("value")?;
            override_identity = true;
        }
        let source = if self.accept("default")? {
            self.expect("values")?;
            InsertSource::Defaults
        } else {
            InsertSource::Query(Box::new(self.query()?))
        };
        let on_conflict = self.on_conflict()?;
        let returning = self.returning()?;
        Ok(Insert { with, table, alias, columns, source, override_identity, on_conflict, returning })
    }

    fn on_conflict(&mut self) -> Result<Option<OnConflict>> {
        let start = self.at()?;
        if !self.accept_all(&["on", "conflict"])? {
            return Ok(None);
        }
        let at = self.at()?;
        let target = if self.accept_all(&["on", "constraint"])? {
            ConflictTarget::Constraint(self.name()?)
        } else if self.accept_punct(b'(')? {
            let keys = self.list(|parser| parser.conflict_key())?;
            self.expect_punct(b')')?;
            let filter = self.where_clause()?;
            ConflictTarget::Keys { keys, filter, at }
        } else {
            ConflictTarget::All
        };
        self.expect("do")?;
        let mut update = None;
        if self.accept("update")? {
            self.expect("set")?;
            let assignments = self.list(|parser| parser.assignments())?.into_iter().flatten().collect();
            update = Some(ConflictUpdate { assignments, filter: self.where_clause()? });
        } else {
            self.expect("nothing")?;
        }
        Ok(Some(OnConflict { target, update, at: start }))
    }

    fn conflict_key(&mut self) -> Result<IndexKey> {
        let key = self.index_key()?;
        if !self.is_punct(b',')? && !self.is_punct(b')')? {
            return self.refuse("ON CONFLICT with a collation or an operator class");
        }
        Ok(key)
    }
}
