//! The conditions of a PluginInstallation: which there are and which reasons each may give. They stand in the order
//! of the steps.

mod reasons;

use strum::{AsRefStr, EnumIter, EnumMessage, IntoStaticStr};

use crate::{condition::ConditionType, outcome};

/// Types of a PluginInstallation's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, IntoStaticStr, EnumIter, EnumMessage)]
pub enum Type {
    /// The plugin works for the tenant. A candidate that is rejected does not change that.
    Ready,
    /// The operator is at work or waits for something that heals without help.
    Reconciling,
    /// Nothing goes on without a person.
    Stalled,
    /// A version was chosen that fits the range, its dependencies, its dependants and all conflicts.
    DependenciesSatisfied,
    /// The configuration, merged from all its sources, keeps the plugin's schema.
    ConfigurationValid,
    /// The plugin's schema, roles, grants, permissions and Secret are as declared.
    DatabaseReady,
    /// The migrations that the chosen version needs are applied.
    MigrationsApplied,
    /// The wanted pods are there and ready.
    Deployed,
    /// The Gateway leads the plugin's path to the live slot.
    Routed,
    /// What is wanted is what is live.
    Promoted,
    /// The former version stands by: a rollback is instant.
    RollbackAvailable,
    /// What is wanted was rejected and is not tried again; what is live stays live.
    VersionRejected,
    /// Something that decides where requests go was found changed by others and was set right.
    TrafficDrift,
    /// RED, the development slot, runs what it is to run and is reached. Nothing that is live depends on it; absent where
    /// `spec.red.enabled` is false.
    RedAvailable,
}

/// Reasons of a PluginInstallation's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, IntoStaticStr, EnumIter, EnumMessage)]
pub enum Reason {
    /// The plugin is installed and works.
    Installed,
    /// It is being made.
    Installing,
    /// It is switched off by `spec.enabled`; data is kept.
    Disabled,
    /// The installation is being removed.
    Uninstalling,
    /// Other plugins of the tenant need this one; the message names them. Remove them first, or let them go on without it.
    NeededByOthers,
    /// The spec breaks a rule that the schema cannot state.
    InvalidSpec,
    /// The object does not decode: its spec does not fit this operator's version of the schema.
    Undecodable,
    /// The namespace belongs to no tenant: install the plugin in a tenant's namespace.
    TenantUnknown,
    /// The tenant is not ready yet; it goes on by itself when it is.
    TenantNotReady,
    /// The tenant is shut: nothing of it runs.
    TenantSuspended,
    /// The tenant is being deleted.
    TenantDeleting,
    /// A version was chosen.
    Resolved,
    /// No release of the plugin is registered. Apply a Plugin, or correct the installation's name.
    PluginUnknown,
    /// Releases are registered, but none fits the range; the message lists them.
    NoVersionFits,
    /// A plugin that this one needs is not installed. Install it, or set `dependencyPolicy: AutoInstall`.
    DependencyMissing,
    /// A plugin that this one needs is there in a version that does not fit, or is not ready yet.
    DependencyUnfit,
    /// A plugin of the tenant does not go together with this one.
    Conflict,
    /// The chosen version is older than the installed one. Name it exactly in the range to go back.
    DowngradeRefused,
    /// The release breaks rules of its own; look at the Plugin.
    PluginInvalid,
    /// The configuration keeps the plugin's schema.
    ConfigurationAccepted,
    /// The configuration breaks the plugin's schema; the message names each place.
    ConfigurationInvalid,
    /// A value that the schema marks as a secret stands in the clear: put it into a Secret, and name that in `configFrom`.
    SecretInClear,
    /// A Secret or ConfigMap that `configFrom` names is not there, or lacks the key.
    SourceMissing,
    /// Everything is there and as declared.
    Provisioned,
    /// It is being made.
    Provisioning,
    /// A backend does not answer; it is tried again by itself.
    BackendUnavailable,
    /// A backend refuses the operator's own account: look at the platform file and its credentials.
    BackendRefused,
    /// A backend gave an answer that the operator does not understand: look at its version and at the log.
    BackendUnexpected,
    /// Something of the plugin's name exists and is not ours: it stays untouched. Remove or rename it.
    NotOwned,
    /// All migrations that are due are applied.
    Applied,
    /// Migrations are being applied.
    Migrating,
    /// A migration failed; the message says which, its statement and SQLSTATE. Publish a version with a correct one.
    MigrationFailed,
    /// A migration ran into a limit of time or waited for a lock too long; it is tried again.
    MigrationTimedOut,
    /// A migration that was applied has changed since: publish a version with the original, and add a new one.
    MigrationChanged,
    /// Neither the operator's copy of a migration's statements nor the ConfigMap that they came from has what was accepted.
    MigrationSourceMissing,
    /// All wanted pods are ready.
    PodsReady,
    /// Pods are starting.
    PodsStarting,
    /// Pods do not become ready; the message says what Kubernetes says of them.
    PodsFailing,
    /// The namespace's quota leaves no room for the pods.
    QuotaExceeded,
    /// The Gateway has taken the route.
    RouteAccepted,
    /// The Gateway has not taken the route yet.
    RoutePending,
    /// The Gateway refuses the route; the message says why.
    RouteRefused,
    /// The platform names no Gateway: the plugin is reached by its Service.
    NoGateway,
    /// What is wanted is live.
    Live,
    /// What is wanted next is not on its way, since an earlier step is not done; the message says which. What is live stays
    /// live.
    NotBegun,
    /// The candidate is being deployed, or has to stay ready for a while.
    Soaking,
    /// The candidate is ready and waits for the annotation plexica.io/promote.
    AwaitingPromotion,
    /// Other plugins of the tenant come first.
    AwaitingOthers,
    /// Requests are being led to the new version.
    Switching,
    /// A rollback was asked for, or done by itself: what is live is not what is wanted.
    RolledBack,
    /// What is wanted was rejected before it went live.
    Rejected,
    /// What is live has no ready pod, and what stands by has: no candidate takes its place. Go back first.
    StandbyNeeded,
    /// The former version stands by.
    StandingBy,
    /// There was no former version.
    NoFormerVersion,
    /// The rollback window has closed.
    WindowClosed,
    /// A Contract migration was applied: the former version would not work any more.
    Contracted,
    /// The standby has no ready pod.
    StandbyNotReady,
    /// The former version does not go with what another plugin of the tenant runs, and that cannot go back with it; the message
    /// names it.
    OthersStay,
    /// A newer candidate took the former version's place.
    SlotTaken,
    /// The candidate was not ready for long enough before its deadline.
    ProgressDeadlineExceeded,
    /// The candidate did not answer its probe.
    ProbeFailed,
    /// The version failed after it went live, and the former one is live again.
    FailedAfterPromotion,
    /// A person went back from this version.
    RolledBackByRequest,
    /// Another plugin of the tenant went back, and this version does not go with what that is now.
    RolledBackWithOthers,
    /// Nothing was rejected.
    NotRejected,
    /// Something was changed by others and has been set right.
    Corrected,
    /// Nothing was changed by others.
    InSync,
    /// RED runs, and has a ready pod.
    Awake,
    /// RED's pod is starting.
    Waking,
    /// Nobody spoke to RED for `spec.red.idleAfter`: it has no pod. The annotation plexica.io/wake brings it back.
    Asleep,
    /// RED runs, and its meter does not say when somebody spoke to it last: it stays up.
    MeterSilent,
    /// RED's release has migrations that are not applied, and RED applies none: let the release go live, or choose another.
    MigrationsMissing,
    /// RED is made only of releases with `runtime.sharing` Dedicated, beside one that is Dedicated.
    NotDedicated,
    /// The Kubernetes API did not take a write.
    ApiUnavailable,
    /// The Kubernetes API refuses a write: quota, policy or permissions.
    ApiRefused,
}

impl ConditionType for Type {
    type Reason = Reason;
    const READY: Self = Self::Ready;
    const RECONCILING: Self = Self::Reconciling;
    const STALLED: Self = Self::Stalled;

    fn reasons(self) -> &'static [Reason] {
        use Reason as R;
        match self {
            Self::DependenciesSatisfied => &[
                R::Resolved,
                R::PluginUnknown,
                R::NoVersionFits,
                R::DependencyMissing,
                R::DependencyUnfit,
                R::Conflict,
                R::DowngradeRefused,
                R::PluginInvalid,
                R::NeededByOthers,
                R::InvalidSpec,
            ],
            Self::ConfigurationValid => &[
                R::ConfigurationAccepted,
                R::ConfigurationInvalid,
                R::SecretInClear,
                R::SourceMissing,
                R::InvalidSpec,
                R::ApiUnavailable,
                R::ApiRefused,
            ],
            Self::DatabaseReady => &[
                R::Provisioned,
                R::Provisioning,
                R::BackendUnavailable,
                R::BackendRefused,
                R::BackendUnexpected,
                R::NotOwned,
                R::ApiUnavailable,
                R::ApiRefused,
            ],
            Self::MigrationsApplied => &[
                R::Applied,
                R::Migrating,
                R::MigrationFailed,
                R::MigrationTimedOut,
                R::MigrationChanged,
                R::MigrationSourceMissing,
                R::Contracted,
                R::BackendUnavailable,
                R::BackendRefused,
                R::BackendUnexpected,
                R::ApiUnavailable,
                R::ApiRefused,
            ],
            Self::Deployed => &[
                R::PodsReady,
                R::PodsStarting,
                R::PodsFailing,
                R::QuotaExceeded,
                R::PluginUnknown,
                R::NotOwned,
                R::Disabled,
                R::TenantSuspended,
                R::TenantDeleting,
                R::TenantUnknown,
                R::ApiUnavailable,
                R::ApiRefused,
            ],
            Self::Routed => &[
                R::RouteAccepted,
                R::RoutePending,
                R::RouteRefused,
                R::NoGateway,
                R::NotOwned,
                R::Disabled,
                R::TenantSuspended,
                R::TenantDeleting,
                R::TenantUnknown,
                R::ApiUnavailable,
                R::ApiRefused,
            ],
            Self::Promoted => reasons::PROMOTED,
            Self::RollbackAvailable => &[
                R::StandingBy,
                R::NoFormerVersion,
                R::WindowClosed,
                R::Contracted,
                R::StandbyNotReady,
                R::AwaitingOthers,
                R::OthersStay,
                R::SlotTaken,
                R::Switching,
            ],
            Self::VersionRejected => &[
                R::ProgressDeadlineExceeded,
                R::ProbeFailed,
                R::FailedAfterPromotion,
                R::RolledBackByRequest,
                R::RolledBackWithOthers,
                R::MigrationFailed,
                R::NotRejected,
            ],
            Self::TrafficDrift => &[R::Corrected, R::InSync],
            Self::RedAvailable => reasons::RED_AVAILABLE,
            Self::Ready | Self::Reconciling | Self::Stalled => reasons::WHOLE,
        }
    }
}

/// How one step of an installation fares after a pass.
pub type Outcome = outcome::Outcome<Reason>;
