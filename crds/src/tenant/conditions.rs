//! The conditions of a Tenant: which there are, which reasons each may give, and how they sum up.
//!
//! `Ready`, `Reconciling` and `Stalled` follow kstatus
//! (sigs.k8s.io/cli-utils/pkg/kstatus): Reconciling and Stalled exist only while they are True.

use strum::{AsRefStr, EnumIter, EnumMessage, IntoStaticStr};

use super::Phase;
use crate::{
    condition::{ConditionType, Statement},
    outcome::{self, Summary},
};

pub use crate::outcome::drop_absent;

/// Types of a Tenant's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, IntoStaticStr, EnumIter, EnumMessage)]
pub enum Type {
    /// Everything is provisioned and works.
    Ready,
    /// The operator is at work or waits for something that heals without help.
    Reconciling,
    /// Nothing goes on without a person.
    Stalled,
    /// Namespace, quota, limits and network policy are as declared.
    NamespaceReady,
    /// Schema, roles and Secret `plexica-database` are as declared.
    DatabaseReady,
    /// Realm and Secret `plexica-identity` are as declared.
    IdentityReady,
    /// Bucket, user and Secret `plexica-storage` are as declared.
    StorageReady,
    /// With the tenant's own credentials it was tried that they open what is its own and nothing else.
    IsolationVerified,
    /// The tenant is shut on request.
    Suspended,
    /// Something was found changed by others and was set right.
    DriftDetected,
}

/// Reasons of a Tenant's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, IntoStaticStr, EnumIter, EnumMessage)]
pub enum Reason {
    /// Everything is there and as declared.
    Provisioned,
    /// It is being made.
    Provisioning,
    /// The tenant wants none (`identity.isolation: None`).
    NotWanted,
    /// A backend does not answer; it is tried again by itself.
    BackendUnavailable,
    /// A backend refuses the operator's own account: look at the platform file and its credentials.
    BackendRefused,
    /// A backend gave an answer that the operator does not understand: look at its version and at the log.
    BackendUnexpected,
    /// Something of the tenant's name exists and is not ours: it stays untouched. Remove or rename it, or
    /// choose another tenant name.
    NotOwned,
    /// The platform file has no pool of that name.
    PoolUnknown,
    /// The pool has no room: raise its capacity or choose another.
    PoolFull,
    /// Data of a deleted tenant of the same name is retained.
    RetainedDataExists,
    /// The spec breaks a rule that the schema cannot state.
    InvalidSpec,
    /// The object does not decode: its spec does not fit this operator's version of the schema.
    Undecodable,
    /// A migration that was applied has changed since: restore its file.
    MigrationChanged,
    /// The Kubernetes API did not take a write.
    ApiUnavailable,
    /// The Kubernetes API refuses a write: quota, policy or permissions.
    ApiRefused,
    /// The namespace is being deleted by somebody; it is made again when it is gone.
    NamespaceTerminating,
    /// Isolation was tried and holds.
    Verified,
    /// Isolation has not been tried yet.
    NotYetVerified,
    /// The tenant's credentials open something that is not its own.
    IsolationBreached,
    /// The tenant is shut because `spec.suspended` says so.
    SuspendRequested,
    /// The tenant is not shut.
    NotSuspended,
    /// Something was changed by others and has been set right.
    Corrected,
    /// Nothing was changed by others.
    InSync,
    /// The tenant is being deleted.
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
            Self::NamespaceReady => &[
                R::Provisioned,
                R::Provisioning,
                R::NotOwned,
                R::NamespaceTerminating,
                R::ApiUnavailable,
                R::ApiRefused,
            ],
            Self::DatabaseReady | Self::IdentityReady | Self::StorageReady => &[
                R::Provisioned,
                R::Provisioning,
                R::NotWanted,
                R::SuspendRequested,
                R::BackendUnavailable,
                R::BackendRefused,
                R::BackendUnexpected,
                R::NotOwned,
                R::PoolUnknown,
                R::MigrationChanged,
                R::ApiUnavailable,
                R::ApiRefused,
                R::NamespaceTerminating,
                R::Deleting,
            ],
            Self::IsolationVerified => &[
                R::Verified,
                R::NotYetVerified,
                R::IsolationBreached,
                R::BackendUnavailable,
                R::BackendUnexpected,
            ],
            Self::Suspended => &[R::SuspendRequested, R::NotSuspended],
            Self::DriftDetected => &[R::Corrected, R::InSync],
            Self::Ready | Self::Reconciling | Self::Stalled => &[
                R::Provisioned,
                R::Provisioning,
                R::BackendUnavailable,
                R::BackendRefused,
                R::BackendUnexpected,
                R::NotOwned,
                R::PoolUnknown,
                R::PoolFull,
                R::RetainedDataExists,
                R::InvalidSpec,
                R::Undecodable,
                R::MigrationChanged,
                R::ApiUnavailable,
                R::ApiRefused,
                R::NamespaceTerminating,
                R::NotYetVerified,
                R::IsolationBreached,
                R::SuspendRequested,
                R::Deleting,
            ],
        }
    }
}

/// How one part of a tenant fares after a pass.
pub type Outcome = outcome::Outcome<Reason>;

impl Outcome {
    /// As declared, with nothing to say.
    pub fn done() -> Self {
        Self::Done(Reason::Provisioned, String::new())
    }
}

/// Sums the parts up into Ready, Reconciling and Stalled, and the phase for people.
pub fn summarize<'a>(parts: impl IntoIterator<Item = &'a Outcome>) -> (Vec<Statement>, Phase) {
    let (statements, summary) = outcome::summarize::<Type>(parts, Reason::Provisioned, "everything is provisioned");
    let phase = match summary {
        Summary::Done => Phase::Active,
        Summary::Waiting => Phase::Provisioning,
        Summary::Blocked => Phase::Failed,
    };
    (statements, phase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Status;

    fn waiting() -> Outcome {
        Outcome::Waiting(Reason::BackendUnavailable, "keycloak main does not answer".into())
    }

    fn blocked() -> Outcome {
        Outcome::Blocked(Reason::NotOwned, "bucket tenant-x is not ours".into())
    }

    #[test]
    fn a_tenant_is_ready_only_when_every_part_is() {
        let (statements, phase) = summarize([&Outcome::done(), &Outcome::done()]);
        assert_eq!(
            (statements.len(), statements[0].status, phase),
            (1, Status::True, Phase::Active)
        );
        let (statements, phase) = summarize([&Outcome::done(), &waiting()]);
        assert_eq!(
            (statements[0].status, statements[0].reason),
            (Status::False, "BackendUnavailable")
        );
        assert_eq!((statements[1].type_, phase), ("Reconciling", Phase::Provisioning));
    }

    #[test]
    fn what_needs_a_person_explains_ready_before_what_heals() {
        let (statements, phase) = summarize([&waiting(), &blocked()]);
        assert_eq!(statements[0].reason, "NotOwned");
        assert_eq!(
            statements.iter().map(|s| s.type_).collect::<Vec<_>>(),
            ["Ready", "Reconciling", "Stalled"]
        );
        assert_eq!(phase, Phase::Failed);
    }
}
