//! What the machine is to reach, from spec and release, and what of other plugins and of the schema stands in its way. Pure.

use std::num::NonZeroUsize;

use plexica_crds::{PluginInstallation, names::PluginId, plugin_installation::TransitionResult};

use crate::{
    controllers::plugin_installation::validate::Facts,
    promotion::{self, Memory, Policy, Revision},
    together::Bonds,
};

/// What the machine is to reach.
///
/// `usual` is how many pods there are if the installation does not say.
pub fn goal(
    installation: &PluginInstallation,
    facts: &Facts,
    revision: Revision,
    usual: i32,
    memory: &Memory,
    contracted: Option<&str>,
    at_once: NonZeroUsize,
) -> promotion::Wanted {
    let spec = &installation.spec;
    let promotion = &spec.promotion;
    let Bonds {
        held_back,
        way_back,
        follows,
    } = facts.together.bonds(&facts.place.id, memory, &revision);
    promotion::Wanted {
        revision,
        size: spec.replicas.unwrap_or(usual),
        policy: Policy {
            auto: promotion.auto,
            promotion_delay: promotion.promotion_delay.value(),
            rollback_window: promotion.rollback_window.value(),
            progress_deadline: promotion.progress_deadline.value(),
            connection_drain: promotion.connection_drain.value(),
            auto_rollback: promotion.auto_rollback,
            probe_interval: promotion.probe.as_ref().map(|probe| probe.interval.value()),
        },
        may_begin: true,
        held_back,
        held_by_others: held_by_others(&facts.on_their_way, at_once),
        way_back,
        follows,
        contracted: contracted.is_some_and(|migration| has_outgrown_the_former(migration, facts, memory)),
    }
}

/// Whether the version that was live before lacks a Contract migration that was applied.
fn has_outgrown_the_former(migration: &str, facts: &Facts, memory: &Memory) -> bool {
    let stands_by = memory.live.and_then(|live| memory.revisions.of(live.other()).as_ref());
    let promoted = |ended: &&promotion::Ended| ended.result == TransitionResult::Promoted;
    let ended = memory
        .history
        .iter()
        .find(promoted)
        .and_then(|ended| ended.from.as_ref());
    let Some(former) = stands_by.map(|revision| &revision.version).or(ended) else {
        return false;
    };
    let known = facts.release(former);
    !known.is_some_and(|release| release.spec.migrations.iter().any(|own| own.name == migration))
}

/// Which plugins go live first, if no more may at a time.
fn held_by_others(on_their_way: &[PluginId], at_once: NonZeroUsize) -> Option<String> {
    let names: Vec<_> = on_their_way.iter().map(PluginId::as_str).collect();
    (names.len() >= at_once.get()).then(|| {
        format!(
            "{} first; of the tenant's plugins {at_once} at a time (promotionsAtOnce of the platform file)",
            names.join(", ")
        )
    })
}
