//! The Plexica operator.
//!
//! * [`platform`]: the platform file, read and checked at start.
//! * [`backends`]: `PostgreSQL`, Keycloak and S3 behind ports.
//! * [`pools`]: one adapter for each pool of the platform file, guarded by a circuit breaker.
//! * [`controllers`]: one reconciler a resource, each in phases: dereference, validate, build, apply, status.
//! * [`promotion`]: how a release goes live and comes back, by traffic light; pure.
//! * [`red`]: the development slot, which sleeps while nobody speaks to it; pure.
//! * [`meter`]: the process in front of it that knows when somebody did.
//! * [`resolution`]: which version of each plugin a tenant gets, and why; pure.
//! * [`together`]: which plugins of a tenant go live and come back together; pure.
//! * [`gateway_api`]: the routes by which a Gateway leads to plugins.
//! * [`wiring`]: from the platform file to adapters.
//! * [`runtime`]: what reconcilers share: back-off, server-side apply, events, metrics, health. The lease of a
//!   second replica will live there; until then the chart runs one replica with strategy Recreate.

pub mod backends;
pub mod controllers;
pub mod gateway_api;
pub mod meter;
pub mod platform;
pub mod pools;
pub mod promotion;
pub mod red;
pub mod resolution;
pub mod runtime;
pub mod together;
pub mod wiring;
