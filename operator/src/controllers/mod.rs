//! Reconcilers, one folder a resource.

pub mod tenant;
