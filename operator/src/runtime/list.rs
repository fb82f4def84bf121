//! How new a list of the API server has to be.

use kube::api::{ListParams, VersionMatch};

/// How new a list has to be. One that is as new as can be is answered only when the API server's cache of that kind has caught
/// up with etcd; where nothing of the kind has changed lately, it learns that by a notice it asks for every 100 ms (KEP-2340).
/// Seen: 77 ms in the middle, and 1 ms for one from the cache as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age<'a> {
    /// As new as can be: what it lacks was not there.
    Newest,
    /// Some moments old, perhaps: what it lacks is found by a later pass.
    Any,
    /// Not older than this version, of whatever object.
    Since(&'a str),
}

/// Parameters of a list of what bears these labels.
pub fn labelled(selector: &str, age: Age<'_>) -> ListParams {
    let params = ListParams::default().labels(selector);
    match age {
        Age::Newest => params,
        Age::Any => params.match_any(),
        Age::Since(version) => params.matching(VersionMatch::NotOlderThan).at(version),
    }
}
