//! RED: a development slot beside production, which goes to zero while nobody speaks to it (design.md section 6).
//!
//! [`choose`] says which release it runs, [`decide`] what is done about it: both are pure. Whether it sleeps is in the
//! cluster alone, as its Deployment's size and a mark, so that a crash between any two writes is just another observation.
//! What is live knows nothing of RED.

mod choice;
mod decide;
mod facts;
#[cfg(test)]
mod tests;

pub use choice::choose;
pub use decide::{Action, Decision, Said, decide};
pub use facts::{Activity, Deployed, Goal, Look, Observed, Shape, Why};
