//! The conditions of a Plugin: which there are and which reasons each may give.

use strum::{AsRefStr, EnumIter, EnumMessage, IntoStaticStr};

use crate::{condition::ConditionType, outcome};

/// Types of a Plugin's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, IntoStaticStr, EnumIter, EnumMessage)]
pub enum Type {
    /// The release can be installed, and the platform's registry knows it.
    Ready,
    /// The operator is at work or waits for something that heals without help.
    Reconciling,
    /// Nothing goes on without a person.
    Stalled,
    /// The manifest keeps all rules.
    Accepted,
    /// The release is registered in core.plugins, where services find it.
    Registered,
    /// Deleting the release waits until no installation uses it. Absent while nobody deletes it.
    DeletionBlocked,
}

/// Reasons of a Plugin's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, IntoStaticStr, EnumIter, EnumMessage)]
pub enum Reason {
    /// The manifest keeps all rules.
    ManifestValid,
    /// The manifest breaks rules; the message names each with its path. Publish a corrected version under another number,
    /// or delete this one and apply it again.
    ManifestInvalid,
    /// A ConfigMap with migrations is not there or lacks the key. It is needed until the release is accepted, not longer.
    MigrationSourceMissing,
    /// Another plugin has the same base path, or one above or below it.
    BasePathTaken,
    /// The release is not what was accepted under this version. Restore it, or publish another version.
    ReleaseChanged,
    /// The object does not decode: its spec does not fit this operator's version of the schema.
    Undecodable,
    /// The release is registered.
    Registered,
    /// The registry's database does not answer; it is tried again by itself.
    RegistryUnavailable,
    /// The registry's database refuses the operator's own account (look at the platform file and its credentials), or what the
    /// release says (publish another version).
    RegistryRefused,
    /// The registry's database gave an answer that the operator does not understand: look at the log.
    RegistryUnexpected,
    /// The Kubernetes API did not answer; it is tried again by itself.
    ApiUnavailable,
    /// The Kubernetes API refuses the operator: policy or permissions.
    ApiRefused,
    /// The release is not to be installed any more; what runs goes on.
    Deprecated,
    /// Installations use the release; the message names them. Move them to another version or delete them.
    InUse,
    /// The release is being deleted.
    Deleting,
}

impl ConditionType for Type {
    type Reason = Reason;
    const READY: Self = Self::Ready;
    const RECONCILING: Self = Self::Reconciling;
    const STALLED: Self = Self::Stalled;

    fn reasons(self) -> &'static [Reason] {
        use Reason as R;
        match self {
            Self::Accepted => &[
                R::ManifestValid,
                R::ManifestInvalid,
                R::MigrationSourceMissing,
                R::BasePathTaken,
                R::ReleaseChanged,
                R::Undecodable,
                R::ApiUnavailable,
                R::ApiRefused,
            ],
            Self::Registered => &[
                R::Registered,
                R::ManifestInvalid,
                R::RegistryUnavailable,
                R::RegistryRefused,
                R::RegistryUnexpected,
            ],
            Self::DeletionBlocked => &[R::InUse],
            Self::Ready | Self::Reconciling | Self::Stalled => &[
                R::Registered,
                R::ManifestInvalid,
                R::MigrationSourceMissing,
                R::BasePathTaken,
                R::ReleaseChanged,
                R::Undecodable,
                R::RegistryUnavailable,
                R::RegistryRefused,
                R::RegistryUnexpected,
                R::ApiUnavailable,
                R::ApiRefused,
                R::Deprecated,
                R::InUse,
                R::Deleting,
            ],
        }
    }
}

/// How one part of a release fares after a pass.
pub type Outcome = outcome::Outcome<Reason>;
