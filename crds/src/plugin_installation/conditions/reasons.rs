//! The long lists of reasons.

use super::Reason;

/// Reasons of condition Promoted.
pub(super) const PROMOTED: &[Reason] = {
    use Reason as R;
    &[
        R::Live,
        R::NotBegun,
        R::Soaking,
        R::AwaitingPromotion,
        R::AwaitingOthers,
        R::Switching,
        R::RolledBack,
        R::Rejected,
        R::StandbyNeeded,
        R::NotOwned,
        R::ApiUnavailable,
        R::ApiRefused,
        R::Disabled,
        R::TenantSuspended,
        R::TenantDeleting,
        R::TenantUnknown,
        R::PluginUnknown,
    ]
};

/// Reasons of condition RedAvailable.
pub(super) const RED_AVAILABLE: &[Reason] = {
    use Reason as R;
    &[
        R::Awake,
        R::Waking,
        R::Asleep,
        R::MeterSilent,
        R::PodsFailing,
        R::QuotaExceeded,
        R::MigrationsMissing,
        R::Contracted,
        R::NotDedicated,
        R::NoVersionFits,
        R::PluginInvalid,
        R::ConfigurationInvalid,
        R::SecretInClear,
        R::SourceMissing,
        R::Provisioning,
        R::BackendUnavailable,
        R::BackendRefused,
        R::BackendUnexpected,
        R::NotOwned,
        R::ApiUnavailable,
        R::ApiRefused,
    ]
};

/// Reasons by which a part explains the whole.
pub(super) const WHOLE: &[Reason] = {
    use Reason as R;
    &[
        R::Installed,
        R::Installing,
        R::Disabled,
        R::Uninstalling,
        R::NeededByOthers,
        R::InvalidSpec,
        R::Undecodable,
        R::TenantUnknown,
        R::TenantNotReady,
        R::TenantSuspended,
        R::TenantDeleting,
        R::PluginUnknown,
        R::NoVersionFits,
        R::DependencyMissing,
        R::DependencyUnfit,
        R::Conflict,
        R::DowngradeRefused,
        R::PluginInvalid,
        R::ConfigurationInvalid,
        R::SecretInClear,
        R::SourceMissing,
        R::Provisioning,
        R::BackendUnavailable,
        R::BackendRefused,
        R::BackendUnexpected,
        R::NotOwned,
        R::Migrating,
        R::MigrationFailed,
        R::MigrationTimedOut,
        R::MigrationChanged,
        R::MigrationSourceMissing,
        R::PodsStarting,
        R::PodsFailing,
        R::QuotaExceeded,
        R::RoutePending,
        R::RouteRefused,
        R::Soaking,
        R::AwaitingPromotion,
        R::AwaitingOthers,
        R::Switching,
        R::ApiUnavailable,
        R::ApiRefused,
    ]
};
