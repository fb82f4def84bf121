//! Reconcilers, one folder a resource.

pub mod plugin_installation;
pub mod tenant;
