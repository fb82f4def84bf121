//! Reconcilers, one folder a resource.

pub mod plugin;
pub mod tenant;
