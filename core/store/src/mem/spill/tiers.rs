//! Pieces of a transaction are merged in tiers, so that a read that no filter spares looks at a number of them that grows with the
//! logarithm of theirs: as soon as the newest so many are of one tier and lie over each other, they become one piece of the next tier.
//!
//! - T1: the merged piece has of each key what the merged ones have, newest first; of several writes of one statement the last.
//!   So whoever may see writes below a limit, or without those that were undone, sees the same.
//! - T2: it takes their place only if they all are there still, side by side: a rollback may have taken some away meanwhile.
//! - T3: pieces that lie beside each other, as a sorted load makes them, are not merged: their spans spare the reads already.

use super::{Feed, Filter, Footprint, Piece};
use crate::mem::key_hash;
use crate::pages::{LongValue, PageStore, RunCursor, RunEntry, encode_version, versions};
use orrery_base::kv::KeyRange;
use orrery_base::{BoxFuture, Cx, Error, Result, TreeId, probe};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A key's writes in a merged piece take no more than this: keys that are written again and again stay apart.
const VALUE_BYTES_MAX: u64 = 16 << 20;

/// The newest `count` of these pieces (oldest first), if they are to become one.
pub fn to_be_merged(pieces: &[Arc<Piece>], count: usize) -> Option<Vec<Arc<Piece>>> {
    let newest = &pieces[pieces.len().checked_sub(count.max(2))?..];
    let tier = newest[0].tier;
    let value_bytes: u64 = newest.iter().map(|it| it.value_bytes_max).sum();
    let fits = newest.iter().all(|it| it.tier == tier) && value_bytes <= VALUE_BYTES_MAX;
    (fits && lie_over_each_other(newest)).then(|| newest.to_vec())
}

/// Puts the merged piece into the place of those that it was made of (T2).
pub fn replace(pieces: &mut Vec<Arc<Piece>>, of: &[Arc<Piece>], merged: Piece) {
    let first = pieces.iter().position(|it| Arc::ptr_eq(it, &of[0]));
    let Some(first) = first.filter(|first| first + of.len() <= pieces.len()) else { return };
    let places = first..first + of.len();
    if pieces[places.clone()].iter().zip(of).all(|(one, other)| Arc::ptr_eq(one, other)) {
        pieces.splice(places, [Arc::new(merged)]);
    }
}

fn lie_over_each_other(pieces: &[Arc<Piece>]) -> bool {
    let overlap = |one: &Piece, other: &Piece| {
        one.spans.iter().any(|(tree, (least, greatest))| {
            other.spans.get(tree).is_some_and(|other| *least <= other.1 && other.0 <= *greatest)
        })
    };
    pieces.iter().enumerate().any(|(at, one)| pieces[at + 1..].iter().any(|other| overlap(one, other)))
}

impl Piece {
    /// What these pieces will take as one.
    pub fn footprint_of(pieces: &[Arc<Piece>]) -> Footprint {
        let mut footprint = Footprint::default();
        pieces.iter().for_each(|piece| footprint += piece.footprint);
        footprint
    }

    /// Makes one of pieces, oldest first; with a filter if that takes no more than `filter_bytes_max`. Errors: XX001; as
    /// [`PageStore::spill`].
    pub async fn merge(
        pages: &Arc<PageStore>,
        cx: &Cx,
        pieces: &[Arc<Piece>],
        filter_bytes_max: usize,
    ) -> Result<Piece> {
        let filter = Filter::with_capacity(pieces.iter().map(|piece| piece.key_count).sum());
        let filter = (filter.byte_count() <= filter_bytes_max).then_some(filter);
        let mut spans: BTreeMap<TreeId, (Vec<u8>, Vec<u8>)> = BTreeMap::new();
        for (tree, (least, greatest)) in pieces.iter().flat_map(|piece| &piece.spans) {
            let span = spans.entry(*tree).or_insert_with(|| (least.clone(), greatest.clone()));
            span.0 = span.0.clone().min(least.clone());
            span.1 = span.1.clone().max(greatest.clone());
        }
        let mut run = TierRun {
            pieces: pieces.iter().rev().cloned().collect(),
            trees: spans.keys().copied().collect(),
            filter,
            ..TierRun::default()
        };
        run.settle();
        // What is hungry has no tree yet.
        run.feed(pages, cx).await?;
        let trees = pages.spill(cx, &mut run).await?;
        probe!(cx.world(), "spill: pieces became one");
        Ok(Piece {
            trees,
            filter: run.filter,
            spans,
            marks: (
                pieces.iter().map(|it| it.marks.0).min().unwrap_or(0),
                pieces.iter().map(|it| it.marks.1).max().unwrap_or(0),
            ),
            footprint: Piece::footprint_of(pieces),
            tier: pieces.first().map_or(0, |it| it.tier) + 1,
            key_count: run.key_count,
            value_bytes_max: run.value_bytes_max,
        })
    }
}

/// The rows of pieces, merged.
#[derive(Default)]
struct TierRun {
    /// Newest first.
    pieces: Vec<Arc<Piece>>,
    trees: Vec<TreeId>,
    /// Which of the trees.
    tree: usize,
    /// Of this tree, newest first; none before it is begun.
    feeds: Vec<Feed>,
    is_hungry: bool,
    has_entry: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    long: Option<LongValue>,
    /// Damage: whoever feeds the run is told.
    error: Option<Error>,
    filter: Option<Filter>,
    key_count: usize,
    value_bytes_max: u64,
}

impl TierRun {
    /// Goes to the next row, or to where pages are needed.
    fn settle(&mut self) {
        (self.has_entry, self.is_hungry) = (false, false);
        while let Some(&tree) = self.trees.get(self.tree) {
            if self.feeds.is_empty() {
                let with_rows = self.pieces.iter().filter(|piece| piece.spans.contains_key(&tree));
                let feeds = with_rows.map(|piece| Feed::new(piece.clone(), tree, KeyRange::all(), false));
                self.feeds = feeds.collect();
            }
            if self.feeds.iter().any(Feed::is_hungry) {
                self.is_hungry = true;
                return;
            }
            let rows = self.feeds.iter().filter(|feed| feed.len() > 0).map(|feed| feed.row(0));
            let Some(least) = rows.map(|row| row.0).min() else {
                self.feeds.clear();
                self.tree += 1;
                continue;
            };
            self.key.clear();
            self.key.extend_from_slice(least);
            if let Err(error) = self.gather() {
                (self.error, self.is_hungry) = (Some(error), true);
                return;
            }
            if let Some(filter) = &self.filter {
                filter.insert(key_hash(tree, &self.key));
            }
            self.key_count += 1;
            self.value_bytes_max = self.value_bytes_max.max(self.value.len() as u64);
            self.has_entry = true;
            return;
        }
    }

    /// The writes of the key (T1).
    fn gather(&mut self) -> Result<()> {
        self.value.clear();
        let mut last = u64::MAX;
        for feed in self.feeds.iter().filter(|feed| feed.len() > 0 && feed.row(0).0 == self.key) {
            for version in versions(feed.row(0).1) {
                let (number, value) = version?;
                if number.0 < last {
                    last = number.0;
                    encode_version(&mut self.value, number, value);
                }
            }
        }
        Ok(())
    }

    /// Reads the pages that the feeds need.
    async fn read_pages(&mut self, store: &PageStore, cx: &Cx) -> Result<()> {
        let reader = store.reader();
        while self.is_hungry {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            let missing = {
                let pin = reader.pin();
                let mut missing = None;
                for feed in &mut self.feeds {
                    while feed.is_hungry() && missing.is_none() {
                        missing = feed.fill(store, &pin, self.long.as_ref())?;
                    }
                    if missing.is_some() {
                        break;
                    }
                }
                missing.map(|page| {
                    let hungry = self.feeds.iter().filter(|feed| feed.is_hungry());
                    (page, hungry.flat_map(|feed| feed.upcoming(store, &pin)).collect::<Vec<_>>())
                })
            };
            match missing {
                None => {
                    self.long = None;
                    self.settle();
                }
                Some((page, _)) if page.unit_count > 1 => {
                    self.long = Some(store.read_long(cx, page).await?);
                }
                Some((page, mut upcoming)) => {
                    upcoming.push(page);
                    store.load_all(cx, &upcoming).await?;
                }
            }
        }
        Ok(())
    }
}

impl RunCursor for TierRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        let tree = *self.trees.get(self.tree).filter(|_| self.has_entry)?;
        let timestamp = orrery_base::Timestamp::ZERO;
        Some(RunEntry { tree, key: &self.key, timestamp, value: Some(&self.value) })
    }

    fn advance(&mut self) {
        let TierRun { feeds, key, .. } = self;
        for feed in feeds.iter_mut().filter(|feed| feed.len() > 0) {
            if feed.row(0).0 == key.as_slice() {
                feed.pop();
            }
        }
        self.settle();
    }

    fn is_hungry(&self) -> bool {
        self.is_hungry
    }

    fn feed<'a>(&'a mut self, store: &'a PageStore, cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.read_pages(store, cx))
    }
}
