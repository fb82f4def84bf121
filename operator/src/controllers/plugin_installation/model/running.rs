//! The running set: the revisions that run at one time, or may run at any moment, and what they need together of what they share.

use std::{collections::BTreeSet, sync::Arc};

use plexica_crds::{
    names::{PluginId, Slot},
    plugin::{DatabaseSpec, MAX_CONNECTIONS},
};

use super::Frozen;
use crate::{
    backends::postgres::plugin::{PluginPermission, Surplus, TenantTables},
    promotion::{Memory, Observed, Revision},
};

/// The revisions that run or may run, what is live first.
#[derive(Clone, Debug, Default)]
pub struct RunningSet {
    known: Vec<(Revision, Arc<Frozen>)>,
    /// Those of releases that are not there any more: nobody says what they need.
    without_release: Vec<(Revision, Arc<Frozen>)>,
    has_unknown: bool,
}

/// What is known of a revision that runs or may run.
#[derive(Clone, Debug)]
pub enum Member {
    /// All of it.
    Known(Revision, Arc<Frozen>),
    /// What was rendered of it; its release is not there any more, which says what it needs.
    WithoutRelease(Revision, Arc<Frozen>),
    /// Nothing.
    Unknown,
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

    /// A set of these.
    pub fn of(members: impl IntoIterator<Item = Member>) -> Self {
        let mut set = Self::default();
        let mut without_release = vec![];
        for member in members {
            match member {
                Member::Known(revision, frozen) => set.known.push((revision, frozen)),
                Member::WithoutRelease(revision, frozen) => without_release.push((revision, frozen)),
                Member::Unknown => set.has_unknown = true,
            }
        }
        set.without_release = without_release;
        set
    }

    /// The set of which nothing is known but that something runs.
    pub fn unknown() -> Self {
        Self::of([Member::Unknown])
    }

    /// Whether something runs of which it is not known what it is, or what it needs: then nothing is taken away.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown || !self.without_release.is_empty()
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
        let mut all = self.all();
        all.find(|(of, _)| of == revision).map(|(_, frozen)| frozen)
    }

    /// All of it that is known.
    pub fn frozen(&self) -> impl Iterator<Item = &Frozen> {
        self.all().map(|(_, frozen)| &**frozen)
    }

    /// The revisions that are known.
    pub fn revisions(&self) -> impl Iterator<Item = &Revision> {
        self.all().map(|(revision, _)| revision)
    }

    fn all(&self) -> impl Iterator<Item = &(Revision, Arc<Frozen>)> {
        self.known.iter().chain(&self.without_release)
    }

    /// What they need together. While something runs of which nothing is known, nothing is taken away.
    pub fn needs(&self) -> Needs {
        let usual = DatabaseSpec::default().connections;
        let mut needs = Needs {
            tenant_tables: TenantTables::default(),
            permissions: vec![],
            providers: vec![],
            connections: if self.has_unknown() { usual } else { 1 },
            surplus: if self.has_unknown() {
                Surplus::Kept
            } else {
                Surplus::Removed
            },
        };
        let mut providers = BTreeSet::new();
        for (_, frozen) in &self.known {
            needs.tenant_tables.extend(&frozen.tenant_tables);
            for permission in &frozen.permissions {
                if !needs.permissions.iter().any(|known| known.key == permission.key) {
                    needs.permissions.push(permission.clone());
                }
            }
            providers.extend(frozen.providers.iter().cloned());
        }
        for frozen in self.frozen() {
            needs.connections = needs.connections.max(frozen.connections.min(MAX_CONNECTIONS));
        }
        needs.permissions.sort_by(|one, other| one.key.cmp(&other.key));
        needs.providers = providers.into_iter().collect();
        needs
    }
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
