//! The running set: the revisions that run at one time, or may run at any moment, and what they need together of what they share.

use std::{collections::BTreeSet, sync::Arc};

use plexica_crds::names::{PluginId, Slot};

use super::Frozen;
use crate::{
    backends::postgres::plugin::{PluginPermission, Surplus, TenantTables},
    promotion::{Memory, Observed, Revision},
};

/// The revisions that run or may run, what is live first. Those of which nothing is known any more are counted and nothing else.
#[derive(Clone, Debug, Default)]
pub struct RunningSet {
    known: Vec<(Revision, Arc<Frozen>)>,
    has_unknown: bool,
}

/// What the revisions of a set need together. It is never less than what is live needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Needs {
    /// Privileges on the tenant's own tables.
    pub tenant_tables: TenantTables,
    /// Permissions, by key; where revisions describe one otherwise, as what is live does.
    pub permissions: Vec<PluginPermission>,
    /// Plugins that are spoken to.
    pub providers: Vec<PluginId>,
    /// Sessions of one pod in the database, of whoever wants most.
    pub connections: i32,
    /// What becomes of what nobody of the set needs.
    pub surplus: Surplus,
}

impl RunningSet {
    /// The revisions of a set, by what is remembered and seen: what is live, what stands by or is drained, a candidate; and what was
    /// `prepared` to be the next candidate, unless it was rejected.
    pub fn members(memory: &Memory, observed: Option<&Observed>, prepared: Option<&Revision>) -> Vec<Revision> {
        let mut members: Vec<Revision> = vec![];
        let mut add = |revision: Option<&Revision>| {
            if let Some(revision) = revision.filter(|revision| !members.contains(revision)) {
                members.push(revision.clone());
            }
        };
        let live = memory.live;
        add(live.and_then(|live| memory.revisions.of(live).as_ref()));
        for slot in [Slot::A, Slot::B] {
            let deployed = observed.and_then(|observed| observed.slots.of(slot).as_ref());
            let runs = deployed.filter(|deployed| deployed.size > 0 || deployed.pods > 0);
            add(runs.map(|deployed| &deployed.revision));
        }
        let transition = memory.transition.as_ref();
        // A standby whose pods were taken away is made again from what it ran.
        let former = transition.filter(|transition| !transition.is_before_switch());
        add(former.and_then(|transition| memory.revisions.of(transition.from?).as_ref()));
        add(transition.map(|transition| &transition.revision));
        add(prepared.filter(|prepared| memory.rejection(prepared).is_none()));
        members
    }

    /// A set of these; `None` is one of which nothing is known any more.
    pub fn of(members: impl IntoIterator<Item = (Revision, Option<Arc<Frozen>>)>) -> Self {
        let mut set = Self::default();
        for (revision, frozen) in members {
            match frozen {
                Some(frozen) => set.known.push((revision, frozen)),
                None => set.has_unknown = true,
            }
        }
        set
    }

    /// The same with one more.
    #[must_use]
    pub fn with(mut self, revision: &Revision, frozen: &Arc<Frozen>) -> Self {
        if self.get(revision).is_none() {
            self.known.push((revision.clone(), Arc::clone(frozen)));
        }
        self
    }

    /// What was rendered of a revision.
    pub fn get(&self, revision: &Revision) -> Option<&Arc<Frozen>> {
        let mut known = self.known.iter();
        known.find(|(of, _)| of == revision).map(|(_, frozen)| frozen)
    }

    /// All of it that is known.
    pub fn frozen(&self) -> impl Iterator<Item = &Frozen> {
        self.known.iter().map(|(_, frozen)| &**frozen)
    }

    /// The revisions that are known.
    pub fn revisions(&self) -> impl Iterator<Item = &Revision> {
        self.known.iter().map(|(revision, _)| revision)
    }

    /// What they need together. While something runs of which nothing is known, nothing is taken away.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs {
            tenant_tables: TenantTables::default(),
            permissions: vec![],
            providers: vec![],
            connections: 1,
            surplus: if self.has_unknown {
                Surplus::Kept
            } else {
                Surplus::Removed
            },
        };
        let mut providers = BTreeSet::new();
        for frozen in self.frozen() {
            needs.tenant_tables.extend(&frozen.tenant_tables);
            for permission in &frozen.permissions {
                if !needs.permissions.iter().any(|known| known.key == permission.key) {
                    needs.permissions.push(permission.clone());
                }
            }
            providers.extend(frozen.providers.iter().cloned());
            needs.connections = needs.connections.max(frozen.connections);
        }
        needs.permissions.sort_by(|one, other| one.key.cmp(&other.key));
        needs.providers = providers.into_iter().collect();
        needs
    }
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
