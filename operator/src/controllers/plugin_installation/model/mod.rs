//! What an installation is made of, as data: whose it is, what runs of it, and what that needs together. Pure; knows the API's
//! types and nothing of the cluster.

mod place;
mod revision;
mod running;

pub use place::Place;
pub use revision::{Frozen, HASH_LEN, hash_of};
pub use running::{Member, Needs, RunningSet};
