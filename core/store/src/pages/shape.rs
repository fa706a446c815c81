//! What a tree is made of: pages by kind, and how full its leaves are. It walks the tree on the disk, past the pool, so that looking
//! does not wash the pool out; the version that is walked keeps its pages (I4).

use super::inner::InnerView;
use super::leaf::{LeafValue, LeafView, OVERFLOW_REF_BYTES, ROW_FIXED_BYTES};
use super::open::Loader;
use super::page::{self, HEADER_BYTES, PageKind};
use super::{PageStore, TreeVersion};
use orrery_base::{Cx, Result, TreeId};

/// See [`PageStore::tree_shape`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeShape {
    /// Pages above the leaves.
    pub inner_page_count: u64,
    /// Leaves.
    pub leaf_count: u64,
    /// Bytes of the leaves' pages.
    pub leaf_bytes: u64,
    /// Bytes of them that hold something.
    pub leaf_used_bytes: u64,
    /// Values that lie in pages of their own.
    pub long_value_count: u64,
}

pub(super) async fn shape(
    store: &PageStore,
    cx: &Cx,
    version: &TreeVersion,
    tree: TreeId,
) -> Result<TreeShape> {
    let mut shape = TreeShape::default();
    let Some(root) = version.root(tree) else { return Ok(shape) };
    let loader = Loader { cx, unit_bytes: store.unit_bytes, file_unit_count: store.file_unit_count() };
    let mut stack = vec![(root.ptr, root.height.max(1) - 1)];
    while let Some((ptr, level)) = stack.pop() {
        let page = loader.page(&ptr).await?;
        cx.charge(page.len()).await?;
        let kind = if level == 0 { PageKind::RowLeaf } else { PageKind::Inner };
        if page::kind_byte(&page) != kind as u8 {
            return Err(page::wrong_kind(&ptr, &page));
        }
        if level > 0 {
            shape.inner_page_count += 1;
            let inner = InnerView::new(&page);
            stack.extend((0..inner.len()).map(|child| (inner.child(child), level - 1)));
            continue;
        }
        let leaf = LeafView::new(&page);
        let mut used = HEADER_BYTES + leaf.prefix().len();
        for row in 0..leaf.len() {
            let suffix = leaf.suffix(row).len();
            let suffix = if suffix > super::heads::HEAD_BYTES { suffix } else { 0 };
            let value = match leaf.value(row) {
                LeafValue::Inline(value) => value.len(),
                LeafValue::Overflow(..) => {
                    shape.long_value_count += 1;
                    OVERFLOW_REF_BYTES
                }
            };
            used += ROW_FIXED_BYTES + suffix + value;
        }
        shape.leaf_count += 1;
        shape.leaf_bytes += page.len() as u64;
        shape.leaf_used_bytes += (used as u64).min(page.len() as u64);
    }
    Ok(shape)
}
