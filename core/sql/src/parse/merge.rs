//! MERGE.

use super::ast::{CommonTable, Merge, MergeAction, MergeClause};
use super::parser::Parser;
use orrery_base::Result;

impl Parser<'_> {
    /// What follows MERGE.
    pub(super) fn merge(&mut self, with: Vec<CommonTable>) -> Result<Merge> {
        self.expect("into")?;
        let table = self.table_with_only()?;
        let alias = if self.is_word("using")? { None } else { self.alias()? };
        self.expect("using")?;
        let source = self.table_expr()?;
        self.expect("on")?;
        let on = self.expr()?;
        let mut clauses = vec![self.merge_clause()?];
        while self.is_word("when")? {
            clauses.push(self.merge_clause()?);
        }
        Ok(Merge { with, table, alias, source, on, clauses })
    }

    fn merge_clause(&mut self) -> Result<MergeClause> {
        let at = self.at()?;
        self.expect("when")?;
        let matched = !self.accept("not")?;
        self.expect("matched")?;
        let condition = if self.accept("and")? { Some(self.expr()?) } else { None };
        self.expect("then")?;
        let action = if self.accept("do")? {
            self.expect("nothing")?;
            MergeAction::Nothing
        } else if !matched {
            self.merge_insert()?
        } else if self.accept("delete")? {
            MergeAction::Delete
        } else {
            self.expect("update")?;
            self.expect("set")?;
            let assignments = self.list(|parser| parser.assignments())?;
            MergeAction::Update(assignments.into_iter().flatten().collect())
        };
        Ok(MergeClause { matched, condition, action, at })
    }

    fn merge_insert(&mut self) -> Result<MergeAction> {
        self.expect("insert")?;
        let columns = if self.is_punct(b'(')? { self.name_list()? } else { Vec::new() };
        let mut override_identity = false;
        if self.accept("overriding")? {
            if !self.accept("system")? {
                return self.refuse("OVERRIDING USER VALUE");
            }
            self.expect("value")?;
            override_identity = true;
        }
        if self.accept("default")? {
            self.expect("values")?;
            return Ok(MergeAction::Insert { columns: Vec::new(), override_identity, values: Vec::new() });
        }
        self.expect("values")?;
        self.expect_punct(b'(')?;
        let values = self.list(|parser| parser.expr())?;
        self.expect_punct(b')')?;
        Ok(MergeAction::Insert { columns, override_identity, values })
    }
}
