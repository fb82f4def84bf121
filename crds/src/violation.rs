//! Broken rules of a resource, as people read them.

/// A broken rule: which field, and what the user should know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Violation {
    /// Path of the field, for example `spec.storage.quota`.
    pub field: String,
    /// The rule that is broken.
    pub message: String,
}

impl Violation {
    /// A rule that is broken in this field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}
