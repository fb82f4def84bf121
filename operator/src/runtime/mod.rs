//! What all reconcilers share. (A lease with an epoch fence will live here when there is a second replica.)

pub mod age;
pub mod apply;
pub mod backoff;
pub mod breaker;
pub mod cache;
pub mod changes;
pub mod client;
pub mod controller;
pub mod freshness;
pub mod logging;
pub mod metrics;
pub mod objects;
mod queue;
pub mod recorder;
pub mod server;
