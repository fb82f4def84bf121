//! What a pass does.

use plexica_crds::names::Slot;

use super::{facts::Revision, memory::Memory};

/// One write to the cluster, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but what is to be remembered, if that has changed.
    Remember,
    /// Nothing serves yet: make the live Service, without a mark, and the Deployment of a slot, in any order.
    Install {
        /// The slot.
        slot: Slot,
        /// What its Deployment is to be.
        shape: Shape,
    },
    /// Set the live Service right, which somebody changed or deleted.
    Repair(Slot),
    /// Make the Deployment of a slot as said.
    Reshape {
        /// The slot.
        slot: Slot,
        /// What its Deployment is to be.
        shape: Shape,
    },
    /// Turn the live Service to another slot, by one write that fails if anybody wrote to it since it was read.
    Switch {
        /// The slot.
        to: Slot,
    },
}

/// What the Deployment of a slot is told to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// What it runs.
    pub revision: Revision,
    /// How many pods.
    pub size: i32,
    /// Id of the transition after which its pods are replaced.
    pub recycled: Option<String>,
    /// Whether it bears the mark that its revision was rejected.
    pub rejected: bool,
}

/// What a pass does and remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The write. What is remembered is written after it, and if the write fails not at all.
    pub action: Action,
    /// What is remembered then.
    pub memory: Memory,
}

impl Decision {
    /// Only what is remembered changes.
    pub(super) fn remember(memory: Memory) -> Self {
        Self {
            action: Action::Remember,
            memory,
        }
    }
}
