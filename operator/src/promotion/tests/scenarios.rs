//! What happens, by name: the specification as scenarios on a [`Stage`](super::stage::Stage).

mod deadline;
mod explained;
mod promotion;
mod rollback;
mod standby;
mod tampering;
