//! What can be said of an installation before it is stored: the same checks as in a pass, as far as they are certain.
//! Pure; the webhook (crate `plexica-webhooks`) brings what is known.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use plexica_crds::{
    Plugin, PluginInstallation, condition,
    names::PluginId,
    plugin::conditions::Type as PluginCondition,
    plugin_installation::{
        conditions::{Outcome, Reason},
        configuration::check,
        validation::violations,
    },
};

pub use super::cleanup::needed_first;
use super::{
    configuration::{layers, refused},
    dereference::{World, manifest},
    id_of,
    validate::{release, step},
};
use crate::{platform::Overrides, runtime::controller::Root};

/// What is known of a configuration beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The release that is to be installed takes it, as far as that can be seen without its sources.
    Taken,
    /// It cannot be said yet, for this reason: a pass will tell.
    Open(String),
    /// Whatever its sources hold, the release does not take it.
    Refused(Outcome),
}

/// The rules that an installation breaks by itself and did not break before, in the words of a pass. What was stored with a
/// broken rule takes every change that breaks no other: it must not be in the way of another repair.
pub fn newly_broken(before: Option<&PluginInstallation>, wanted: &PluginInstallation) -> Option<Outcome> {
    let known = before.map(violations).unwrap_or_default();
    let broken = violations(wanted).into_iter().filter(|rule| !known.contains(rule));
    let told: Vec<_> = broken.map(|rule| rule.to_string()).collect();
    (!told.is_empty()).then(|| Outcome::Blocked(Reason::InvalidSpec, told.join("; ")))
}

/// Judges the configuration of an installation by the schema of the release that would be chosen for it now. The world
/// has the installation as it is wanted among its others. `unchecked` are releases that the operator has neither
/// accepted nor refused yet: while one could be chosen instead, nothing is refused.
pub fn judge(
    installation: &PluginInstallation,
    world: &World,
    unchecked: &[Arc<Root<Plugin>>],
    platform: &Overrides,
) -> Judgement {
    let open = |outcome: Outcome| match outcome {
        Outcome::Done(_, message) | Outcome::Waiting(_, message) | Outcome::Blocked(_, message) => {
            Judgement::Open(message)
        }
    };
    let id = match id_of(&installation.name_any()) {
        Ok(id) => id,
        Err(outcome) => return open(outcome),
    };
    let chosen = step(world.resolution(), &id, world).and_then(|step| {
        let plugin = release(world, &id, &step.to)?;
        let manifest = manifest(&plugin)?;
        Ok((plugin, manifest))
    });
    let (plugin, manifest) = match chosen {
        Ok(chosen) => chosen,
        Err(outcome) => return open(outcome),
    };
    let checked = check(
        &manifest.configuration,
        layers(installation, &plugin, platform),
        &installation.spec.config_from,
    );
    let Err(invalid) = checked else {
        return Judgement::Taken;
    };
    match other_choice(&id, &plugin, world, unchecked) {
        Some(other) => Judgement::Open(format!("Plugin {other} is not checked yet, and may be chosen")),
        None => Judgement::Refused(refused(&invalid, &plugin)),
    }
}

/// What would be chosen instead if all releases that are not checked yet were accepted.
fn other_choice(id: &PluginId, chosen: &Plugin, world: &World, unchecked: &[Arc<Root<Plugin>>]) -> Option<String> {
    if unchecked.is_empty() {
        return None;
    }
    let releases = world.releases.iter().chain(unchecked).cloned().collect();
    let wider = world.with(releases);
    let other = step(wider.resolution(), id, &wider).ok()?.to.to_string();
    (other != chosen.spec.version).then(|| format!("{id}-{other}"))
}

/// Those of the releases that the operator has not looked at yet.
pub fn unchecked(mut releases: Vec<Arc<Root<Plugin>>>) -> Vec<Arc<Root<Plugin>>> {
    releases.retain(|guard| {
        let status = guard.0.as_ref().ok().map(|plugin| plugin.status.as_ref());
        let conditions = status.map(|status| status.map(|status| status.conditions.as_slice()).unwrap_or_default());
        guard.meta().deletion_timestamp.is_none()
            && conditions.is_some_and(|said| condition::find(said, PluginCondition::Accepted.into()).is_none())
    });
    releases
}

#[cfg(test)]
mod tests;
