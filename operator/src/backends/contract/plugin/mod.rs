//! What every database of plugins must do beyond what all backends do: migrations and permissions.

mod checks;
mod hostile;
mod subject;

pub use checks::{PLUGIN_CHECKS, PluginCheck};
pub use hostile::{HOSTILE_SCRIPTS, HostileScript};
pub use subject::PluginDatabases;
