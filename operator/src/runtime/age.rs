//! How new what the API server answers has to be.

use kube::{
    Api,
    api::{GetParams, ListParams, VersionMatch},
    core::Status,
};
use serde::de::DeserializeOwned;

use super::client::{ApiError, within};

/// How new an answer has to be. An object as new as can be is read from etcd; beside a hundred promotions that took 60 ms, and 0 to 3
/// from the API server's cache. A list as new as can be is answered only when that cache has caught up with etcd; where nothing of
/// the kind has changed lately, it learns that by a notice it asks for every 100 ms (KEP-2340). Seen: 77 ms in the middle.
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

/// The object of this name, if it is there.
///
/// # Errors
/// What the API server answers.
pub async fn get<K>(api: &Api<K>, name: &str, age: Age<'_>) -> Result<Option<K>, ApiError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = match age {
        Age::Newest => GetParams::default(),
        Age::Any => GetParams::any(),
        Age::Since(version) => GetParams::at(version),
    };
    match within(api.get_with(name, &params)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status().is_some_and(Status::is_not_found) => Ok(None),
        Err(error) => Err(error),
    }
}
