//! Reconcilers, one folder a resource.

pub mod plugin;
pub mod plugin_installation;
pub mod tenant;
