//! What is to be done next, as a pure function of what the Secret and the configuration say, and of the wall clock.

use std::time::Duration;

use jiff::Timestamp;

/// A rotation has two overlaps, and begins after two thirds of the validity: what is left must hold both.
const OVERLAPS_IN_VALIDITY: u32 = 6;

/// How long certificates are valid, and how long two authorities are trusted at each side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    validity: Duration,
    overlap: Duration,
}

/// Lifetimes by which a certificate could end before its successor is trusted everywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLifetimes {
    /// The overlap is longer than a sixth of the validity.
    #[error(
        "an overlap of {overlap:?} is more than a sixth of the validity {validity:?}: a certificate could end before its successor is used"
    )]
    Short {
        /// As given.
        validity: Duration,
        /// As given.
        overlap: Duration,
    },
    /// Nobody could hear of a new authority in that time.
    #[error("an overlap shorter than a second is none")]
    NoOverlap,
}

impl Lifetimes {
    /// Lifetimes that leave room for a rotation.
    ///
    /// # Errors
    /// They do not.
    pub fn new(validity: Duration, overlap: Duration) -> Result<Self, InvalidLifetimes> {
        if overlap < Duration::from_secs(1) {
            return Err(InvalidLifetimes::NoOverlap);
        }
        if overlap.saturating_mul(OVERLAPS_IN_VALIDITY) > validity {
            return Err(InvalidLifetimes::Short { validity, overlap });
        }
        Ok(Self { validity, overlap })
    }

    /// How long a certificate is valid.
    pub fn validity(self) -> Duration {
        self.validity
    }

    /// These, for a certificate that is there: one that was made for a shorter time has shorter overlaps, for it must not
    /// end before its successor is used.
    #[must_use]
    pub fn of(self, view: View) -> Self {
        let validity = view
            .expires
            .duration_since(view.issued)
            .unsigned_abs()
            .min(self.validity);
        let overlap = self.overlap.min(validity / OVERLAPS_IN_VALIDITY);
        Self { validity, overlap }
    }

    /// How often to look: often enough that every replica serves a new certificate well within the overlap.
    pub fn look_every(self) -> Duration {
        (self.overlap / 8).clamp(Duration::from_millis(250), Duration::from_secs(10))
    }
}

/// Where a rotation is. The times are when the stage began, or began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is one certificate.
    Steady,
    /// The next one's authority is trusted as well; the present one is served.
    Announced(Timestamp),
    /// The next one is served; the former one's authority is trusted as well.
    Switched(Timestamp),
}

/// What is known of the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// When the present certificate was made.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Where its rotation is.
    pub stage: Stage,
    /// Whether a person asks for a new one now.
    pub asked: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Make a certificate and use it at once: there is none that anybody could trust.
    Make,
    /// Begin the stage anew, and tell the configuration whom to trust: it says something else.
    Publish,
    /// Make the next certificate.
    Announce,
    /// Use it.
    Switch,
    /// Do not trust the former authority any more.
    Retire,
}

/// The next step. `published` says whether the configuration names exactly the authorities that the Secret holds.
pub fn next(view: Option<View>, published: bool, now: Timestamp, lifetimes: Lifetimes) -> Step {
    let Some(view) = view else {
        return Step::Make;
    };
    let View {
        issued,
        expires,
        stage,
        asked,
    } = view;
    let Lifetimes { validity, overlap } = lifetimes.of(view);
    let over = |since: Timestamp| now >= since + overlap;
    let is_due = asked || now >= issued + validity * 2 / 3;
    match stage {
        // Nobody trusts it any more: the next one can only be better.
        Stage::Announced(_) if now >= expires => Step::Switch,
        Stage::Steady | Stage::Switched(_) if now >= expires => Step::Make,
        _ if !published => Step::Publish,
        Stage::Steady if is_due => Step::Announce,
        Stage::Announced(since) if over(since) => Step::Switch,
        Stage::Switched(since) if over(since) => Step::Retire,
        Stage::Steady | Stage::Announced(_) | Stage::Switched(_) => Step::Wait,
    }
}

#[cfg(test)]
mod tests;
