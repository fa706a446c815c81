//! The structural check.
use super::*;
/// See [`PageStore::check`].
pub async fn check(_store: &PageStore, _cx: &Cx, _report: &mut (dyn FnMut(CheckFinding) + Send)) -> Result<CheckSummary> {
    Err(orrery_base::Error::unsupported("the structural check"))
}
