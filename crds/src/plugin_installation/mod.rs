//! The PluginInstallation: one plugin in one tenant, and how its releases travel to production.

pub mod conditions;
pub mod configuration;
mod moves;
mod promotion;
mod spec;
mod status;
mod traffic;
pub mod validation;

pub use moves::{MOVES, Move};
pub use promotion::{LONGEST_PROBE, ProbeSpec, PromotionSpec, RedSpec, SwitchBy};
pub use spec::{
    ConfigFormat, ConfigSource, DataPolicy, DependencyPolicy, KeyRef, PluginInstallation, PluginInstallationSpec,
    UpdatePolicy,
};
pub use status::{
    DatabaseStatus, FailedMigration, MigrationsStatus, Phase, PluginInstallationStatus, RequestsStatus,
    ResolutionStatus,
};
pub use traffic::{
    Cause, Fault, Light, LightsStatus, RejectedVersion, RollbackStatus, SlotStatus, SlotsStatus, Step,
    TransitionRecord, TransitionResult, TransitionStatus,
};
