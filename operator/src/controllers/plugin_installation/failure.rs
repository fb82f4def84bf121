//! What failures mean for the steps of an installation. Pure.

use plexica_crds::plugin_installation::conditions::{Outcome, Reason};

use crate::{backends::BackendError, pools::Pool, runtime::client::ApiError};

/// What a backend's error means for a step.
pub fn of_backend<B: ?Sized>(error: &BackendError, pool: &Pool<B>) -> Outcome {
    let text = format!("{} pool {}: {error}", pool.kind, pool.common.name);
    match error {
        BackendError::Unavailable(_) => Outcome::Waiting(Reason::BackendUnavailable, text),
        BackendError::Refused(_) => Outcome::Blocked(Reason::BackendRefused, text),
        BackendError::Foreign(what) => not_owned(what, Reason::NotOwned),
        BackendError::MigrationChanged { .. } | BackendError::Unexpected(_) => {
            Outcome::Waiting(Reason::BackendUnexpected, text)
        }
    }
}

/// What a backend's error means for the migrations.
pub fn of_migration<B: ?Sized>(error: &BackendError, pool: &Pool<B>) -> Outcome {
    match error {
        BackendError::MigrationChanged { name, applied, found } => Outcome::Blocked(
            Reason::MigrationChanged,
            format!(
                "migration {name} was applied with another text (SHA-256 {}..., now {}...): publish a version with the \
                 original, and put the change into a new migration",
                applied.get(..12).unwrap_or(applied),
                found.get(..12).unwrap_or(found)
            ),
        ),
        BackendError::Foreign(what) => Outcome::Blocked(
            Reason::BackendRefused,
            format!("{what} exists and does not bear this plugin's mark"),
        ),
        other => of_backend(other, pool),
    }
}

/// What an error of the Kubernetes API means.
pub fn of_api(error: &ApiError) -> Outcome {
    let text = format!("Kubernetes: {error}");
    if error.is_refusal() {
        Outcome::Blocked(Reason::ApiRefused, text)
    } else {
        Outcome::Waiting(Reason::ApiUnavailable, text)
    }
}

/// Something of that name is there and is not ours.
pub fn not_owned(what: &str, reason: Reason) -> Outcome {
    Outcome::Blocked(
        reason,
        format!("{what} exists and does not belong to this installation; it stays untouched: remove or rename it"),
    )
}

/// The tenant lives in a pool that the platform file does not name any more.
pub fn no_pool(pool: &str) -> Outcome {
    Outcome::Blocked(
        Reason::BackendRefused,
        format!("the tenant lives in postgres pool `{pool}`, which the platform file does not name: add it again"),
    )
}
