//! The serving certificate and whom the API servers trust, made and replaced without help.
//!
//! A certificate comes with an authority of its own that signs it alone, and whose key is forgotten at once: nothing that
//! is kept anywhere could sign another. The next one is announced (its authority is trusted beside the present one), used
//! after the overlap, and the old authority is trusted for another overlap. All of it is in one Secret, which every
//! replica reads and any may write: the one that is first, by resourceVersion.
//!
//! * [`rotation`]: what is to be done next; pure.
//! * [`pair`]: a certificate with its authority.
//! * [`state`]: what the Secret holds.
//! * [`keeper`]: reads, decides, writes, and hands the certificate to the server.

pub mod keeper;
pub mod pair;
pub mod rotation;
pub mod state;

pub use keeper::{Keeper, Place};
pub use rotation::Lifetimes;
