//! Cross-object admission: what the operator would refuse in a pass is refused when it is applied.
//!
//! Only what needs other objects is decided here; all else is in the CRDs' schemas. The decisions are functions of the
//! operator's library ([`plexica_operator::controllers`]), which its passes call as well: so nothing depends on this
//! process. docs/webhook.md says what is refused, docs/decisions/2026-11-21-webhook.md why it is built like this.
//!
//! * [`admission`] is from an AdmissionReview to an answer.
//! * [`cluster`] is what is read of the cluster for that.
//! * [`certificates`] is the serving certificate, made and replaced by itself.
//! * [`server`] is TLS.

pub mod admission;
pub mod certificates;
pub mod cluster;
pub mod server;
