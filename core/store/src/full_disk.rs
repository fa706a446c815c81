//! The full disk (I6): what is made sure before the log grows, and how room is made when it cannot.
//!
//! 1. Log is admitted only as far as the data file has room, allocated already, for the checkpoint that will fold it.
//!    So a full disk is met by a statement, before anything is sequenced, and never by the log's end.
//! 2. A checkpoint that finds no places for all of its pages is merged in parts. After each part both generations are
//!    put at one root, so that the pages which the part replaced are the places of the next one: what it takes beyond
//!    that is only what the trees gain. The superblock keeps the old log position and commit timestamp until the last
//!    part: after a crash everything is replayed over the trees that hold some of it already, which changes nothing.
//! 3. A commit that only takes away may use the last of the log ([`crate::log::space`] keeps it). Its own checkpoint
//!    gains nothing, so it needs no room beyond rule 2's.
//!
//! What it is not: room for a reader that pins old pages for long, nor for one long value whose extent finds no place in
//! one piece; then a checkpoint can still meet a full disk, and is dropped whole.

use crate::log::space::Segment;
use crate::mem::Footprint;
use crate::mem::merge::MergedRun;
use crate::mem::view::Layer;
use crate::observe::CheckpointReason;
use crate::pages::{CheckpointReport, HistoryPlan, PageStore, RunCursor, RunEntry, StoreState};
use crate::recovery::remove_segments;
use crate::store::Store;
use orrery_base::disk::{DiskErrorKind, DiskOp, FileId};
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState, TreeId, buggify, probe};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long after a failed attempt to make room the next one waits.
const RETRY_MICROS: u64 = 1_000_000;
/// Entries of the first part of a checkpoint.
const FIRST_PART_ENTRIES: u64 = 4096;
/// Bytes of log that are admitted at a time while there is little in the layers.
const ADMITTED_BYTES_FIRST: u64 = 128 << 10;
/// Bytes of log that are admitted at a time at least, where there is that much of it.
const ADMITTED_BYTES_MIN: u64 = 64 << 10;

/// How the log must grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// Bytes of the item that is to be planned.
    pub bytes: u64,
    /// A large write follows at once: filling the segment first would only write everything twice.
    pub is_bulk: bool,
    /// Writes that are in no layer yet and will be.
    pub unfolded: Footprint,
    /// The item takes away, so it may use what the log keeps.
    pub makes_room: bool,
}

/// A part of a run.
struct PartOf<'r> {
    run: &'r mut MergedRun,
    left: u64,
}

impl RunCursor for PartOf<'_> {
    fn entry(&self) -> Option<RunEntry<'_>> {
        if self.left == 0 { None } else { self.run.entry() }
    }

    fn advance(&mut self) {
        self.run.advance();
        self.left -= 1;
    }

    fn is_hungry(&self) -> bool {
        self.run.is_hungry()
    }

    fn feed<'a>(&'a mut self, store: &'a PageStore, cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        self.run.feed(store, cx)
    }
}

fn is_full<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.code() == SqlState::DISK_FULL)
}

impl Store {
    /// Makes sure that the log has room for an item, and the data file for its checkpoint, before anything is sequenced;
    /// on a full disk it folds first what is there. `true`: the item may take what is kept. Errors: 53100, the disk's.
    pub(crate) fn grow_log<'a>(
        self: &'a Arc<Self>,
        cx: &'a Cx,
        growth: Growth,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let _passage = self.growing.enter().await;
            let mut grown = self.grow_alone(cx, growth).await;
            if is_full(&grown) && self.may_take_kept(growth) {
                return Ok(true);
            }
            if is_full(&grown) && Box::pin(self.make_space(cx, growth.makes_room)).await? {
                grown = self.grow_alone(cx, growth).await;
                if is_full(&grown) {
                    // Folding gained too little: the next statements need not try it.
                    self.starved_not_before.store(cx.now() + RETRY_MICROS, Ordering::Relaxed);
                    if self.may_take_kept(growth) {
                        return Ok(true);
                    }
                } else {
                    probe!(self.world, "log: room was made on a full disk");
                }
            }
            grown?;
            self.declare_log(cx).await?;
            Ok(false)
        })
    }

    /// Rule 3.
    fn may_take_kept(&self, growth: Growth) -> bool {
        let sequencer = lock(&self.sequencer);
        let has_room = sequencer
            .log
            .as_ref()
            .is_some_and(|log| !log.is_superblock_clean && log.space.has_room(growth.bytes, true));
        if growth.makes_room && has_room {
            probe!(self.world, "log: what is kept for a full disk is used");
        }
        growth.makes_room && has_room
    }

    async fn grow_alone(&self, cx: &Cx, growth: Growth) -> Result<()> {
        if let Some(segment) = self.segment_to_allocate(growth)? {
            let segment = self.allocate_segment(cx, segment, growth).await?;
            let mut sequencer = lock(&self.sequencer);
            let log = sequencer.log.as_mut().expect("the log stays");
            log.space.grown(segment, growth.is_bulk);
        }
        self.admit(cx, growth).await
    }

    /// Rule 1: admits as much log as checkpoints have room for, the item and some more at least: a disk that is nearly
    /// full must not be asked for every commit. Errors: 53100, the disk's.
    async fn admit(&self, cx: &Cx, growth: Growth) -> Result<()> {
        let mut unfolded = growth.unfolded;
        unfolded += self.views.current().0.footprint();
        let room = {
            let sequencer = lock(&self.sequencer);
            unfolded += sequencer.uninstalled();
            sequencer.log.as_ref().map_or(0, |log| log.space.room())
        };
        let page_bytes = unfolded.page_bytes(self.pages.page_unit_bytes() as u64);
        let least = growth.bytes.max(ADMITTED_BYTES_MIN.min(room));
        // Not far ahead of its use: the data file need not grow for it long before.
        let step = (unfolded.bytes / 4).max(ADMITTED_BYTES_FIRST).min(room);
        for admitted in [step.max(least), least] {
            // What will be written is not known: values that just do not fit into leaves take four times their bytes.
            let reserved = self.pages.reserve(cx, page_bytes + 4 * admitted).await;
            if !is_full(&reserved) || admitted == least {
                reserved?;
                let mut sequencer = lock(&self.sequencer);
                sequencer.log.as_mut().expect("the log stays").space.admit(admitted);
                return Ok(());
            }
            probe!(self.world, "log: less is admitted on a full disk");
        }
        Err(Error::internal("the last amount is tried and answered"))
    }

    /// Makes sure that a piece of a write set of this size leaves the room that rule 1 promised. Errors: 53100, the disk's.
    pub(crate) async fn reserve_for_spill(&self, cx: &Cx, piece: Footprint) -> Result<()> {
        let mut unfolded = self.views.current().0.footprint();
        let admitted = {
            let sequencer = lock(&self.sequencer);
            unfolded += sequencer.uninstalled();
            sequencer.log.as_ref().map_or(0, |log| log.space.room())
        };
        unfolded += piece;
        let page_bytes = unfolded.page_bytes(self.pages.page_unit_bytes() as u64);
        self.pages.reserve(cx, page_bytes + 4 * admitted.min(ADMITTED_BYTES_FIRST)).await
    }

    /// The segment to be made; `None` when there is room, or an idle one was taken.
    fn segment_to_allocate(&self, growth: Growth) -> Result<Option<Segment>> {
        let mut sequencer = lock(&self.sequencer);
        sequencer.check_poison()?;
        let log = sequencer.log.as_mut().ok_or_else(|| Error::internal("there is no log to grow"))?;
        if log.space.has_room(growth.bytes, false) && !log.space.wants_ready() {
            return Ok(None);
        }
        let len = log.space.len_for(growth.bytes);
        Ok(log.space.grow(len, growth.is_bulk).err())
    }

    /// Allocates a segment; on a nearly full disk just as much as is needed. Errors: 53100, the disk's.
    async fn allocate_segment(&self, cx: &Cx, mut segment: Segment, growth: Growth) -> Result<Segment> {
        let (file, fill) = (FileId::Log(segment.file), !growth.is_bulk);
        let len_min = {
            let sequencer = lock(&self.sequencer);
            let log = sequencer.log.as_ref().expect("the log stays");
            log.space.len_for(growth.bytes)
        };
        let error = match cx.disk(DiskOp::Allocate { file, len: segment.len, fill }).await {
            Ok(_) => return Ok(segment),
            Err(error) => error,
        };
        // Whatever the failed attempt left behind is only in the way.
        let removed = cx.disk(DiskOp::Remove { file }).await;
        if error.kind != DiskErrorKind::Full || removed.is_err() || len_min >= segment.len {
            return Err(error.into());
        }
        probe!(self.world, "log: smaller segment on a full disk");
        segment.len = len_min;
        match cx.disk(DiskOp::Allocate { file, len: segment.len, fill }).await {
            Ok(_) => Ok(segment),
            Err(error) => {
                let _ = cx.disk(DiskOp::Remove { file }).await;
                Err(error.into())
            }
        }
    }

    /// Folds what is there and frees all log and pages that only the older generation needs. `false`: there is nothing to
    /// gain. Where the disk is too full even for that, it may have gained a part. Errors: the disk's.
    async fn make_space(self: &Arc<Self>, cx: &Cx, is_urgent: bool) -> Result<bool> {
        if !is_urgent && cx.now() < self.starved_not_before.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let _passage = self.checkpointing.enter().await;
        let has_writes = {
            let (view, _) = self.views.current();
            !view.active().is_empty() || view.layers.len() > 1
        };
        let is_lagging = {
            let generations = lock(&self.generations);
            generations.older < generations.newer
        };
        let is_declared = lock(&self.sequencer).log.as_ref().is_some_and(|log| !log.is_superblock_clean);
        let is_over = self.is_closed.load(Ordering::Acquire) || self.is_poisoned();
        if is_over || !is_declared || !(has_writes || is_lagging) {
            return Ok(false);
        }
        if has_writes {
            let folded = self.checkpoint_alone(cx, CheckpointReason::Disk).await;
            if !is_full(&folded) {
                folded?;
            }
        }
        self.level_generations(cx).await?;
        Ok(true)
    }

    /// Puts the older generation at the newer one's root: what only it held is free. Inside the checkpoints' gate.
    async fn level_generations(&self, cx: &Cx) -> Result<()> {
        let state = self.pages.newest_state();
        let sealed = self.pages.seal(cx, state.clone()).await;
        sealed.inspect_err(|error| self.poison_if_pages_are(error))?;
        remove_segments(cx, self.after_superblock(&state)).await
    }

    /// Rule 2: merges frozen layers in as many parts as it takes. Errors: 53100 (parts may be in the trees, the layers
    /// stay over them), the disk's.
    pub(crate) async fn merge_in_parts(
        &self,
        cx: &Cx,
        layers: &[Arc<Layer>],
        state: &StoreState,
    ) -> Result<CheckpointReport> {
        probe!(self.world, "checkpoint: in parts on a full disk");
        let old = self.pages.newest_state();
        let part_state = StoreState {
            log_position: old.log_position,
            commit_timestamp: old.commit_timestamp,
            ..state.clone()
        };
        // All that the parts hold must be replayed after a crash, so all of it is durable first.
        let batch_no = lock(&self.sequencer).installed.batch_no;
        // A checkpoint that failed has freed nothing, but the one before it may have.
        self.level_generations(cx).await?;
        let mut run = MergedRun::new(layers.to_vec());
        self.skip(cx, &mut run, 0).await?;
        let mut dropped: Vec<TreeId> = run.dropped_trees().keys().copied().collect();
        // The history goes first: it is what the disk can do without.
        let plan = HistoryPlan { to: state.commit_timestamp, ..HistoryPlan::default() };
        let is_small = buggify!(self.world, "checkpoint: small parts");
        let (mut done_count, mut part_count) = (0, if is_small { 3 } else { FIRST_PART_ENTRIES });
        while run.entry().is_some() || !dropped.is_empty() {
            let mut part = PartOf { run: &mut run, left: part_count };
            let merged =
                self.merge_part(cx, &mut part, (&dropped, &plan), part_state.clone(), batch_no).await;
            let taken_count = part_count - part.left;
            match merged {
                Ok(_) => {
                    self.show_merged(&[]);
                    self.level_generations(cx).await?;
                    dropped.clear();
                    done_count += taken_count;
                    part_count *= 2;
                }
                Err(error) if error.code() == SqlState::DISK_FULL && taken_count > 1 => {
                    part_count = (taken_count / 8).max(1);
                    run = MergedRun::new(layers.to_vec());
                    self.skip(cx, &mut run, done_count).await?;
                }
                Err(error) => return Err(error),
            }
            cx.yield_now().await;
        }
        let mut nothing = PartOf { run: &mut run, left: 0 };
        let report = self.merge_part(cx, &mut nothing, (&[], &plan), state.clone(), batch_no).await?;
        self.show_merged(layers);
        Ok(CheckpointReport { entry_count: done_count, ..report })
    }

    /// Goes over the first entries of a run.
    async fn skip(&self, cx: &Cx, run: &mut MergedRun, count: u64) -> Result<()> {
        for index in 0..=count {
            if index > 0 {
                run.advance();
            }
            if run.is_hungry() {
                run.feed(&self.pages, cx).await?;
            }
        }
        Ok(())
    }

    async fn merge_part(
        &self,
        cx: &Cx,
        part: &mut PartOf<'_>,
        (dropped, plan): (&[TreeId], &HistoryPlan),
        state: StoreState,
        batch_no: u64,
    ) -> Result<CheckpointReport> {
        let before_superblock: BoxFuture<'_, Result<()>> = Box::pin(self.sync_log(cx, batch_no));
        self.pages.checkpoint(cx, part, dropped, plan, state, before_superblock).await
    }
}
