//! What moves together: plugins of one tenant of which one excludes what another one is to run, until it moves as well. Pure.
//!
//! A version goes live only if it goes with all that is live beside it, or if whatever it does not go with is *prepared* to
//! follow at once: deployed, soaked and released, in a version that goes with it. So nothing needs a switch of many at once,
//! and nobody writes into another installation: each computes the same group from what all of them say of themselves, and
//! whose turn it is. Forward providers go first, back they go last; whoever breaks nothing by going goes before all others.
//!
//! Nothing here depends on how a group came about: it is told by what is live, wanted and prepared at this moment.

mod back;
mod forward;
mod member;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use plexica_crds::{names::PluginId, plugin_installation::Step};
use semver::Version;

pub use member::{Back, Member, Next, Stage, Standby, Told};

use crate::{
    promotion::{Follows, Hold, Memory, Revision, WayBack},
    resolution::Registry,
};

/// The plugins of a tenant, as one of them sees them.
#[derive(Clone, Debug, Default)]
pub struct Together {
    /// What releases say of each other.
    pub registry: Arc<Registry>,
    /// Providers before those that need them, as the plan orders them.
    pub order: Vec<PluginId>,
    /// The others that are live.
    pub others: Vec<Member>,
}

/// What the other plugins of a tenant mean for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bonds {
    /// Why what is wanted does not go live yet.
    pub held_back: Option<Hold>,
    /// What they mean for its way back.
    pub way_back: WayBack,
    /// Whether it goes back, though nobody asked for that.
    pub follows: Follows,
}

/// A plugin at a version.
type At<'a> = (&'a PluginId, &'a Version);

impl Together {
    /// What the others mean for this plugin, by what its traffic light remembers and is to reach.
    pub fn bonds(&self, plugin: &PluginId, memory: &Memory, wanted: &Revision) -> Bonds {
        let live = memory.live.and_then(|live| memory.revisions.of(live).as_ref());
        let version = |revision: &Revision| Version::parse(&revision.version).ok();
        let next = live.and_then(version).zip(version(wanted));
        let held_back = next.and_then(|(live, next)| self.held_back(plugin, &live, &next));
        let this = Member::switched(plugin, memory, wanted);
        let moving = memory.transition.as_ref();
        let has_left = moving.is_some_and(|moving| (Step::Proving..Step::Draining).contains(&moving.step));
        Bonds {
            held_back: held_back.map(Hold::ByOthers),
            way_back: this.as_ref().map_or(WayBack::Alone, |this| self.way_back(this)),
            follows: this
                .filter(|_| has_left)
                .map_or(Follows::Nobody, |this| self.follows(&this)),
        }
    }

    /// Why one does not go with the other, if it is the one that says so.
    fn excludes(&self, one: At<'_>, other: At<'_>) -> Option<String> {
        let ((plugin, version), (other, beside)) = (one, other);
        let release = self.registry.release(plugin, version)?;
        let mut needs = release.dependencies.iter();
        let unmet = needs.find(|needed| needed.plugin == *other && !needed.range.matches(beside));
        let mut conflicts = release.conflicts.iter();
        let conflict = conflicts.find(|conflict| conflict.plugin == *other && conflict.range.covers(beside));
        let unmet = unmet.map(|needed| format!("{plugin} {version} needs {other} {}", needed.range));
        unmet.or_else(|| conflict.map(|conflict| format!("{plugin} {version} excludes {other} {}", conflict.range)))
    }

    /// Why two do not go together, whichever of them says so.
    fn clash(&self, one: At<'_>, other: At<'_>) -> Option<String> {
        self.excludes(one, other).or_else(|| self.excludes(other, one))
    }

    /// Where a plugin stands in the plan. What is refused has no place there, and comes last.
    fn place<'a>(&self, plugin: &'a PluginId) -> (usize, &'a PluginId) {
        let place = self.order.iter().position(|other| other == plugin);
        (place.unwrap_or(usize::MAX), plugin)
    }

    fn other(&self, plugin: &PluginId) -> Option<&Member> {
        self.others.iter().find(|other| other.plugin == *plugin)
    }
}
