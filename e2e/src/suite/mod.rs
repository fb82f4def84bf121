//! The end-to-end tests behind `cargo dev test`: the real operator on the real stack.
//!
//! A test is a [`Case`]: a name that reads as a rule, and an async function over [`Env`]. Files are named by
//! their subject. Cases run a few at a time; those that disturb others (they kill the operator, count its
//! writes, change the CRDs) are `alone`.

pub mod env;
mod runner;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::stack::Stack;
use env::Env;

/// A test.
pub struct Case {
    /// The rule that it proves.
    pub name: &'static str,
    /// Whether it must run while no other does.
    pub alone: bool,
    /// The test.
    pub run: for<'a> fn(&'a Env) -> BoxFuture<'a, Result<()>>,
}

/// Makes a list of cases from functions: the rule's name is the function's, with spaces.
#[macro_export]
macro_rules! cases {
    ($alone:expr; $($function:ident),+ $(,)?) => {
        vec![$($crate::suite::Case {
            name: stringify!($function),
            alone: $alone,
            run: |env| Box::pin($function(env)),
        }),+]
    };
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
}

/// Runs the tests whose name contains `filter`.
pub async fn run(stack: &Stack, filter: Option<&str>) -> Result<Tally> {
    runner::run(stack, all(), filter).await
}

fn all() -> Vec<Case> {
    [].into_iter().collect()
}
