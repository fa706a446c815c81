//! Merging sorted runs: a few at a time, so that the blocks held stay few.
//!
//! Invariant S1: of equal keys, those of an earlier run come first; merged runs take the place of what they were made
//! of. So the sort is stable.

use super::Batch;
use super::query::Place;
use super::sort::{RUN_BLOCK_ROW_COUNT, interleave};
use super::spill::{SpillFile, SpillReader, data_types};
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BinaryArray};
use orrery_base::{Cx, Error, Result};

/// Runs merged at once.
const FAN_IN: usize = 16;

/// Merges runs into longer ones until [`FAN_IN`] or fewer are left.
pub async fn reduce(
    cx: &Cx,
    mut runs: Vec<SpillReader>,
    types: &[SqlType],
    limit: Option<usize>,
    place: &Place,
) -> Result<Vec<SpillReader>> {
    while runs.len() > FAN_IN {
        cx.world().probe("exec: sort merged runs in passes");
        let mut longer = Vec::new();
        let mut rest = runs.into_iter();
        loop {
            let some: Vec<_> = rest.by_ref().take(FAN_IN).collect();
            if some.is_empty() {
                break;
            }
            let mut merge = Merge::open(cx, some, types, limit).await?;
            let mut file: Option<SpillFile> = None;
            while let Some((mut block, keys)) = merge.next(cx).await? {
                block.columns.push(keys);
                let file = file.get_or_insert_with(|| SpillFile::new(place, data_types(&block), cx));
                file.write(cx, &block).await?;
            }
            if let Some(file) = file {
                longer.push(file.into_reader(cx).await?);
            }
        }
        runs = longer;
    }
    Ok(runs)
}

/// A merge under way.
pub struct Merge {
    runs: Vec<Run>,
    /// Numbers of runs that are not exhausted, as a binary heap: the run with the least row is first.
    heap: Vec<usize>,
    /// Blocks that rows picked lie in; those of the runs first.
    blocks: Vec<(Batch, BinaryArray)>,
    types: Vec<SqlType>,
    /// Rows still wanted.
    left: usize,
}

struct Run {
    reader: SpillReader,
    /// Where its block is in `blocks`.
    block: usize,
    row: usize,
}

impl Merge {
    /// Of runs in the order of their age.
    pub async fn open(
        cx: &Cx,
        readers: Vec<SpillReader>,
        types: &[SqlType],
        limit: Option<usize>,
    ) -> Result<Self> {
        let mut merge = Merge {
            runs: Vec::new(),
            heap: Vec::new(),
            blocks: Vec::new(),
            types: types.to_vec(),
            left: limit.unwrap_or(usize::MAX),
        };
        for reader in readers {
            merge.runs.push(Run { reader, block: 0, row: 0 });
            let number = merge.runs.len() - 1;
            if merge.load(cx, number).await? {
                merge.heap.push(number);
            }
        }
        for at in (0..merge.heap.len()).rev() {
            merge.sift_down(at);
        }
        Ok(merge)
    }

    /// Reads the next block of a run; `false` at its end.
    async fn load(&mut self, cx: &Cx, number: usize) -> Result<bool> {
        let run = &mut self.runs[number];
        let Some(mut block) = run.reader.next(cx).await? else { return Ok(false) };
        let keys = block.columns.pop().ok_or_else(|| Error::internal("a run without keys"))?;
        (run.block, run.row) = (self.blocks.len(), 0);
        self.blocks.push((block, keys.as_binary::<i32>().clone()));
        Ok(true)
    }

    /// The next rows with their keys.
    pub async fn next(&mut self, cx: &Cx) -> Result<Option<(Batch, ArrayRef)>> {
        let mut picks = Vec::with_capacity(RUN_BLOCK_ROW_COUNT);
        while picks.len() < RUN_BLOCK_ROW_COUNT.min(self.left) {
            let Some(&number) = self.heap.first() else { break };
            let run = &mut self.runs[number];
            picks.push((run.block, run.row));
            run.row += 1;
            if run.row == self.blocks[run.block].1.value_offsets().len() - 1 && !self.load(cx, number).await?
            {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        if picks.is_empty() {
            return Ok(None);
        }
        self.left -= picks.len();
        cx.charge(64 * picks.len()).await?;
        let batches: Vec<&Batch> = self.blocks.iter().map(|(batch, _)| batch).collect();
        let rows = interleave(&batches, &picks, &self.types)?;
        let keys = picks.iter().map(|&(block, row)| self.blocks[block].1.value(row));
        let keys: ArrayRef = std::sync::Arc::new(BinaryArray::from_iter_values(keys));
        self.forget_blocks();
        Ok(Some((rows, keys)))
    }

    /// Keeps the blocks that runs are in.
    fn forget_blocks(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        for &number in &self.heap {
            let run = &mut self.runs[number];
            self.blocks.push(blocks[run.block].clone());
            run.block = self.blocks.len() - 1;
        }
    }

    fn is_less(&self, a: usize, b: usize) -> bool {
        let key = |number: usize| {
            let run = &self.runs[number];
            self.blocks[run.block].1.value(run.row)
        };
        (key(a), a) < (key(b), b)
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.is_less(self.heap[child], self.heap[least]) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}
