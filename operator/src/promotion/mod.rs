//! Traffic light: how a release goes live and comes back (design.md section 6).
//!
//! Two slots take turns at being live. A new revision is deployed to the slot that is not, has to stay ready for a while,
//! and then one write turns the live Service to it; the former one stands by until the rollback window closes.
//!
//! [`decide`] is a pure function: from what is observed, what is wanted and what is remembered to one action. It has no
//! clock and no memory of its own, and knows nothing of Kubernetes. A crash between any two of its actions is just
//! another observation.

mod action;
mod candidate;
mod decide;
mod explain;
mod facts;
mod memory;
mod requested;
mod rollback;
mod standby;
#[cfg(test)]
mod tests;

pub use action::{Action, Decision, Shape};
pub use decide::decide;
pub use explain::{Explanation, explain};
pub use facts::{
    Deployed, Endpoints, Follows, Hold, Observed, PerSlot, Policy, Requests, Revision, Selector, Wanted, WayBack,
};
pub use memory::{CarriedOut, Ended, Memory, Rejection, Transition, is_on_its_way, outlasts_a_stop};
pub use requested::requested_switch;
