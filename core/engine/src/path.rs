//! `search_path`: the catalog as a session sees it that looks for names elsewhere than in `public`, and errors as users read them.

use orrery_base::Error;
use orrery_base::task::lock;
use orrery_sql::catalog::{Catalog, SearchPath};
use orrery_sql::names;
use std::sync::{Arc, Mutex};

/// A session's path, and the newest catalog under it.
#[derive(Default)]
pub(crate) struct PathView {
    path: Option<SearchPath>,
    seen: Mutex<Option<(Arc<Catalog>, Arc<Catalog>)>>,
}

impl PathView {
    pub(crate) fn new(path: Option<SearchPath>) -> Self {
        PathView { path, seen: Mutex::default() }
    }

    /// Whether it is of this path.
    pub(crate) fn is_of(&self, path: Option<&SearchPath>) -> bool {
        self.path.as_ref() == path
    }

    /// The catalog under the path.
    pub(crate) fn view(&self, catalog: &Arc<Catalog>) -> Arc<Catalog> {
        if catalog.path == self.path {
            return catalog.clone();
        }
        let mut seen = lock(&self.seen);
        if let Some((base, view)) = &*seen
            && Arc::ptr_eq(base, catalog)
        {
            return view.clone();
        }
        let view = Arc::new(Catalog { path: self.path.clone(), ..(**catalog).clone() });
        *seen = Some((catalog.clone(), view.clone()));
        view
    }
}

/// An error as a user reads it: names as they are written.
pub(crate) fn shown_error(error: Error) -> Error {
    let has_stored = |text: &str| text.contains('\0');
    if !has_stored(error.message())
        && !error.detail().is_some_and(has_stored)
        && !error.hint().is_some_and(has_stored)
    {
        return error;
    }
    let mut shown = Error::new(error.code(), names::shown(error.message()));
    if let Some(position) = error.position() {
        shown = shown.at(position);
    }
    if let Some(detail) = error.detail() {
        shown = shown.with_detail(names::shown(detail));
    }
    if let Some(hint) = error.hint() {
        shown = shown.with_hint(names::shown(hint));
    }
    shown
}
