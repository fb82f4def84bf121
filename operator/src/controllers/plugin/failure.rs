//! What failures mean for a release. Pure.

use plexica_crds::plugin::conditions::{Outcome, Reason};

use crate::runtime::client::ApiError;

/// What an error of the Kubernetes API means.
pub fn of_api(error: &ApiError) -> Outcome {
    let text = format!("Kubernetes: {error}");
    if error.is_refusal() {
        Outcome::Blocked(Reason::ApiRefused, text)
    } else {
        Outcome::Waiting(Reason::ApiUnavailable, text)
    }
}
