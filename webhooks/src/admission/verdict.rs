//! What is decided, and how often.

use kube::{Resource, core::admission::AdmissionRequest};
use plexica_crds::outcome::Outcome;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is against it.
    Allowed,
    /// Nothing is certain; the user is told what to look at.
    Warned(String),
    /// A pass would refuse it as well, with the same words.
    Refused {
        /// Reason of the condition.
        reason: &'static str,
        /// What to know or do.
        message: String,
    },
}

impl Verdict {
    /// Refused, for the reason that a pass would give.
    pub fn refused<R: Into<&'static str>>(outcome: Outcome<R>) -> Self {
        match outcome {
            Outcome::Done(reason, message) | Outcome::Waiting(reason, message) | Outcome::Blocked(reason, message) => {
                Self::Refused {
                    reason: reason.into(),
                    message,
                }
            }
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned(_) => "warned",
            Self::Refused { reason, .. } => reason,
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    kind: String,
    operation: String,
    verdict: &'static str,
}

/// What is counted.
#[derive(Clone, Default)]
pub struct Metrics {
    reviews: Family<Labels, Counter>,
}

impl Metrics {
    /// Counters, and the registry that shows them.
    pub fn new() -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("plexica_webhooks");
        registry.register(
            "reviews",
            "Admission requests by their verdict",
            metrics.reviews.clone(),
        );
        (metrics, registry)
    }

    /// Counts an answer.
    pub fn count<K: Resource>(&self, request: &AdmissionRequest<K>, verdict: &Verdict) {
        let labels = Labels {
            kind: request.kind.kind.clone(),
            operation: format!("{:?}", request.operation),
            verdict: verdict.label(),
        };
        self.reviews.get_or_create(&labels).inc();
    }
}
