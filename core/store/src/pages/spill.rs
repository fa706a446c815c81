//! Trees of writes that are not committed yet, or not yet merged: what a large transaction puts down when it outgrows its
//! memory. They lie in the data file beside everything else and are read as any tree is, but no superblock reaches them: after a crash
//! their units are free. Hence nothing of them is synced.
//!
//! - S1: their units are taken in the bitmap of busy units (F1) and in no other, from before the first write until
//!   [`SpilledTrees`] is dropped, with whom nobody can read them any more.
//!
//! What they hold is the caller's business: here a value is bytes.

use super::free_space::Extent;
use super::history::History;
use super::merge::{TreeRoot, merge_tree};
use super::tree::TreeVersion;
use super::writer::PageWriter;
use super::{PageStore, RunCursor, StoreState};
use orrery_base::task::lock;
use orrery_base::{Cx, Error, Result, SqlState, TreeId, probe};
use std::sync::Arc;

/// Some trees that nothing on the disk points to. Dropping it frees their pages.
pub struct SpilledTrees {
    store: Arc<PageStore>,
    version: Arc<TreeVersion>,
    extents: Vec<Extent>,
}

impl SpilledTrees {
    /// How they are read.
    pub fn version(&self) -> &Arc<TreeVersion> {
        &self.version
    }
}

impl Drop for SpilledTrees {
    fn drop(&mut self) {
        let mut state = lock(&self.store.state);
        for extent in self.extents.drain(..) {
            (0..extent.count).for_each(|unit| self.store.pool.remove(extent.start + unit));
            state.free.give_back(extent);
        }
    }
}

/// Writes a run as trees of its own. Errors: 53100, 58030 after a failed sync, the disk's; what was written is free again. Suspends on the
/// disk; dropping it leaves the units that had writes in flight taken until the next open (W1).
pub async fn spill(store: &Arc<PageStore>, cx: &Cx, run: &mut dyn RunCursor) -> Result<SpilledTrees> {
    if store.is_poisoned() {
        return Err(Error::new(
            SqlState::IO_ERROR,
            "a sync of the data file failed: open the database again",
        ));
    }
    // A page's number and version together are used once.
    let sequence = {
        let mut state = lock(&store.state);
        state.last_version += 1;
        state.last_version
    };
    let mut writer = PageWriter::new(store, cx, sequence);
    match write_trees(&mut writer, run).await {
        Ok(roots) => {
            let version = Arc::new(TreeVersion {
                sequence,
                state: StoreState::default(),
                roots,
                meta: None,
                free_space_extents: Vec::new(),
                history: Arc::new(History::default()),
            });
            Ok(SpilledTrees { store: store.clone(), version, extents: writer.settle_unpublished() })
        }
        Err(error) => {
            probe!(cx.world(), "spill: failed, and its pages were given back");
            writer.abandon(false).await;
            Err(error)
        }
    }
}

async fn write_trees(
    writer: &mut PageWriter<'_>,
    run: &mut dyn RunCursor,
) -> Result<Vec<(TreeId, TreeRoot)>> {
    let mut roots = Vec::new();
    while let Some(tree) = run.entry().map(|entry| entry.tree) {
        if let Some(root) = merge_tree(writer, run, tree, None, None).await?.root {
            roots.push((tree, root));
        }
    }
    writer.finish().await?;
    Ok(roots)
}
