//! Which version of each plugin a tenant gets, and why (design.md section 4). Pure: no clock, no cluster, one tenant.
//!
//! [`resolve`] takes all installations of one tenant and all releases, and answers with a [`Plan`] and, for each
//! installation that cannot have what it wants, with an [`Explanation`]. The same input gives the same answer, and it
//! does not matter for which installation it is asked: so all installations of a tenant act on one plan.
//!
//! # Rules
//! * An installation gets a version in its range ([`VersionRange`]: pre-releases only where it names them), not below
//!   what runs unless the range names one exact version (`=1.4.0`), and what runs if updatePolicy is Manual and that
//!   fits.
//! * What a release requires is there, in the range. What it goes with optionally is in the range if it is there. What
//!   one of two excludes is not beside it.
//! * A required plugin without an installation is a refusal (`Require`), or is added (`AutoInstall`, also for what
//!   comes with it).
//! * What runs can always stay as it is. A wish that does not go with that and with the wishes before it is refused
//!   alone; running installations come before new ones, then ids decide.
//!
//! # Preference
//! Of all ways to grant these wishes, the one that is best for the first plugin, then for the second, and so on:
//! installations by id, then added plugins by id. Best for an installation is the newest version in its range that is
//! not deprecated, then the newest deprecated one, then one that runs without a release; of one whose wish is refused, that it stays; best for a plugin to
//! be added is not to be added, then as for installations.
//!
//! Steps are ordered so that providers come before dependants; the module `order` says what is done in cycles.
//!
//! [`VersionRange`]: plexica_crds::version_range::VersionRange

mod core;
mod decision;
mod dependants;
mod explanation;
mod fact;
mod input;
mod order;
mod plan;
mod problem;
mod solver;
#[cfg(test)]
mod tests;
mod values;
mod why_not;

use std::collections::BTreeMap;

use plexica_crds::names::PluginId;

use self::{decision::Decider, problem::Problem};
pub use self::{
    dependants::{Dependant, affected, dependants, requires_in_turn},
    explanation::Explanation,
    fact::Fact,
    input::{
        Conflict, Dependency, DependencyKind, DependencyPolicy, Installation, Registry, Release, Tenant, UpdatePolicy,
    },
    plan::{Action, Plan, Reason, Step},
    why_not::{WhyNot, why_not},
};

/// The answer for one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// For the installations that can have what they want, and what is added for them.
    pub plan: Plan,
    /// The others. What they run goes on.
    pub refused: BTreeMap<PluginId, Explanation>,
}

impl Resolution {
    /// What is to be done for one installation, or why that cannot be; none if the tenant has no such installation.
    pub fn of(&self, plugin: &PluginId) -> Option<Result<&Step, &Explanation>> {
        match self.refused.get(plugin) {
            Some(explanation) => Some(Err(explanation)),
            None => self.plan.step(plugin).map(Ok),
        }
    }
}

/// Chooses the versions of one tenant.
pub fn resolve(tenant: &Tenant, registry: &Registry) -> Resolution {
    let problem = Problem::new(tenant, registry);
    let decision = Decider::new(&problem).decide();
    Resolution {
        plan: plan::plan(&problem, &decision),
        refused: decision.refused,
    }
}
