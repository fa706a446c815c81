//! Windows: PARTITION BY, ORDER BY, frames; and the items of GROUP BY.

use super::ast::{Expr, FrameClause, FrameEdge, GroupItem, Name, WindowSpec};
use super::lexer::Kind;
use super::parser::Parser;
use crate::expr::{FrameExclude, FrameMode};
use orrery_base::{Error, Result, SqlState};

impl Parser<'_> {
    /// WINDOW, if there is one.
    pub(super) fn window_clause(&mut self) -> Result<Vec<(Name, WindowSpec)>> {
        if !self.accept("window")? {
            return Ok(Vec::new());
        }
        self.list(|parser| {
            let name = parser.name()?;
            parser.expect("as")?;
            Ok((name, parser.window_spec()?))
        })
    }

    /// A window in parentheses.
    pub(super) fn window_spec(&mut self) -> Result<WindowSpec> {
        let at = self.at()?;
        self.expect_punct(b'(')?;
        let mut spec =
            WindowSpec { base: None, partition_by: Vec::new(), order_by: Vec::new(), frame: None, at };
        let mut begins = self.is_punct(b')')?;
        for word in ["partition", "order", "rows", "range", "groups"] {
            begins = begins || self.is_word(word)?;
        }
        if !begins {
            spec.base = Some(self.name()?);
        }
        if self.accept("partition")? {
            self.expect("by")?;
            spec.partition_by = self.list(|parser| parser.expr())?;
        }
        if self.is_word("order")? {
            spec.order_by = self.order_by()?;
        }
        for (word, mode) in
            [("rows", FrameMode::Rows), ("range", FrameMode::Range), ("groups", FrameMode::Groups)]
        {
            let at = self.at()?;
            if self.accept(word)? {
                spec.frame = Some(self.frame_clause(mode, at)?);
                break;
            }
        }
        self.expect_punct(b')')?;
        Ok(spec)
    }

    fn frame_clause(&mut self, mode: FrameMode, at: u32) -> Result<FrameClause> {
        let at_start = self.at()?;
        let between = self.accept("between")?;
        let start = self.frame_edge()?;
        let end = if between {
            self.expect("and")?;
            self.frame_edge()?
        } else {
            FrameEdge::CurrentRow
        };
        let refuse = |message: &str| Err(Error::new(SqlState::WINDOWING_ERROR, message).at(at_start));
        match (&start, &end) {
            (FrameEdge::UnboundedFollowing, _) => {
                return refuse("frame start cannot be UNBOUNDED FOLLOWING");
            }
            (_, FrameEdge::UnboundedPreceding) => {
                return refuse("frame end cannot be UNBOUNDED PRECEDING");
            }
            (FrameEdge::CurrentRow, FrameEdge::Preceding(_)) => {
                return refuse("frame starting from current row cannot have preceding rows");
            }
            (FrameEdge::Following(_), FrameEdge::Preceding(_)) => {
                return refuse("frame starting from following row cannot have preceding rows");
            }
            (FrameEdge::Following(_), FrameEdge::CurrentRow) if between => {
                return refuse("frame starting from following row cannot have preceding rows");
            }
            (FrameEdge::Following(_), FrameEdge::CurrentRow) => {
                return refuse("frame starting from following row cannot end with current row");
            }
            _ => {}
        }
        let mut exclude = FrameExclude::Nothing;
        if self.accept("exclude")? {
            exclude = if self.accept_all(&["current", "row"])? {
                FrameExclude::CurrentRow
            } else if self.accept("group")? {
                FrameExclude::Group
            } else if self.accept("ties")? {
                FrameExclude::Ties
            } else {
                self.expect("no")?;
                self.expect("others")?;
                FrameExclude::Nothing
            };
        }
        Ok(FrameClause { mode, start, end, exclude, at })
    }

    fn frame_edge(&mut self) -> Result<FrameEdge> {
        if self.accept("unbounded")? {
            if self.accept("preceding")? {
                return Ok(FrameEdge::UnboundedPreceding);
            }
            self.expect("following")?;
            return Ok(FrameEdge::UnboundedFollowing);
        }
        if self.accept_all(&["current", "row"])? {
            return Ok(FrameEdge::CurrentRow);
        }
        let expr = self.expr()?;
        if self.accept("preceding")? {
            return Ok(FrameEdge::Preceding(expr));
        }
        self.expect("following")?;
        Ok(FrameEdge::Following(expr))
    }

    /// An item of GROUP BY.
    pub(super) fn group_item(&mut self) -> Result<GroupItem> {
        let at = self.at()?;
        for (word, is_rollup) in [("rollup", true), ("cube", false)] {
            if self.is_word(word)? && self.peek_at(1)?.kind == Kind::Punct(b'(') {
                self.take()?;
                self.expect_punct(b'(')?;
                let parts = self.list(|parser| parser.group_part())?;
                self.expect_punct(b')')?;
                return Ok(if is_rollup { GroupItem::Rollup(parts, at) } else { GroupItem::Cube(parts, at) });
            }
        }
        if self.is_word("grouping")? && self.is_word_at(1, "sets")? {
            self.take()?;
            self.take()?;
            self.expect_punct(b'(')?;
            let items = self.nested(|parser| parser.list(|parser| parser.group_item()))?;
            self.expect_punct(b')')?;
            return Ok(GroupItem::Sets(items));
        }
        let mut part = self.group_part()?;
        Ok(match part.len() {
            1 => GroupItem::Expr(part.pop().expect("there is one")),
            _ => GroupItem::List(part),
        })
    }

    /// An expression, or several in parentheses, or `()`.
    fn group_part(&mut self) -> Result<Vec<Expr>> {
        if self.is_punct(b'(')? && self.peek_at(1)?.kind == Kind::Punct(b')') {
            self.take()?;
            self.take()?;
            return Ok(Vec::new());
        }
        let expr = self.expr()?;
        Ok(match expr.kind {
            super::ast::ExprKind::Row(parts) => parts,
            _ => vec![expr],
        })
    }
}
