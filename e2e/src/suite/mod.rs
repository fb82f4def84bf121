//! The end-to-end tests behind `cargo dev test`: the real operator on the real stack.
//!
//! A test is a [`Case`]: a name that reads as a rule, and an async function over [`Env`]. Files are named by
//! their subject. Cases run a few at a time; those that disturb others (they kill the operator, count its
//! writes, change the CRDs) are `alone`. Those that look at what the operator does about objects that its webhook would
//! refuse run in a phase of their own, in which the webhook is switched off.

mod backends_down;
mod bad_input;
pub mod clients;
mod contracts;
mod converged;
mod crashes;
mod definitions;
mod deletion;
pub mod env;
mod fault_proxy;
mod installation_crashes;
mod installations;
mod installations_bad_input;
mod installations_refused;
mod isolation;
mod kubernetes;
mod leftovers;
mod live_by_itself;
mod namespace;
pub mod observe;
mod ownership;
mod permissions;
mod plugins;
mod plugins_refused;
pub mod promotions;
mod realm;
pub mod releases;
mod retention;
mod routes;
mod runner;
mod secrets;
mod shared_releases;
mod suspension;
mod tables;
pub mod tenant_plugins;
mod undecodable;
mod webhook;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::stack::Stack;
use env::Env;

/// A test.
pub struct Case {
    /// The rule that it proves.
    pub name: &'static str,
    /// Module that it is in.
    pub file: &'static str,
    /// Whether it must run while no other does.
    pub alone: bool,
    /// Whether the admission webhook is on. Off are those which prove that the operator is safe without it.
    pub webhook: bool,
    /// The test.
    pub run: for<'a> fn(&'a Env) -> BoxFuture<'a, Result<()>>,
}

/// Makes a list of cases from functions: the rule's name is the function's, with spaces.
#[macro_export]
macro_rules! cases {
    ($alone:expr; $($function:ident),+ $(,)?) => {
        vec![$($crate::suite::Case {
            name: stringify!($function),
            file: module_path!(),
            alone: $alone,
            webhook: true,
            run: |env| Box::pin($function(env)),
        }),+]
    };
}

/// The same cases with the webhook switched off: what it would refuse is told later, by a condition.
fn without_webhook(cases: Vec<Case>) -> Vec<Case> {
    let off = |case| Case { webhook: false, ..case };
    cases.into_iter().map(off).collect()
}

/// How many tests ended how.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Names of end-to-end tests that failed, each with its reason.
    pub failures: Vec<String>,
}

/// Runs the tests whose name, or file, contains `filter`.
pub async fn run(stack: &Stack, filter: Option<&str>) -> Result<Tally> {
    runner::run(stack, all(), filter).await
}

fn all() -> Vec<Case> {
    // The longest first: what waits for a broken backend waits beside the others.
    [
        backends_down::cases(),
        live_by_itself::cases(),
        bad_input::cases(),
        ownership::cases(),
        contracts::cases(),
        secrets::cases(),
        shared_releases::cases(),
        isolation::cases(),
        tables::cases(),
        realm::cases(),
        namespace::cases(),
        kubernetes::cases(),
        plugins::cases(),
        plugins_refused::cases(),
        promotions::cases(),
        retention::cases(),
        deletion::cases(),
        suspension::cases(),
        installations::cases(),
        installations_bad_input::cases(),
        installations_refused::cases(),
        routes::cases(),
        definitions::cases(),
        undecodable::cases(),
        webhook::cases(),
        converged::cases(),
        crashes::cases(),
        installation_crashes::cases(),
        permissions::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
