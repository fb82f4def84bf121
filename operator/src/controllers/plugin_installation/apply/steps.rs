//! What the steps of a pass tell: how each fares that was reached, and what is written down with it.

use std::time::Duration;

use plexica_crds::{
    condition::ConditionType as _,
    names::PluginId,
    plugin_installation::{
        MigrationsStatus, PluginInstallationStatus, ResolutionStatus, SlotStatus,
        conditions::{Outcome, Reason, Type},
    },
};
use serde_json::Value;

use super::{
    super::validate::{Facts, Stop, Wanted},
    red::Led,
    traffic::Traffic,
};

/// How the steps fare that were reached.
pub struct Steps {
    pub(in crate::controllers::plugin_installation) said: Vec<(Type, Outcome)>,
    /// What was chosen; `None` if nothing could be.
    pub(in crate::controllers::plugin_installation) resolved: Option<ResolutionStatus>,
    /// The plugin.
    pub(in crate::controllers::plugin_installation) id: PluginId,
    pub(in crate::controllers::plugin_installation) stop: Option<Stop>,
    pub(in crate::controllers::plugin_installation) schema: String,
    pub(in crate::controllers::plugin_installation) secret: String,
    /// The configuration for the registry, without secrets; `None` if it was not reached.
    pub configuration: Option<Value>,
    /// How far the migrations are; `None` if they were not reached.
    pub migrations: Option<MigrationsStatus>,
    /// Expand migrations were applied in this pass: what was seen of the pods is older.
    pub has_expanded: bool,
    /// Why Contract migrations that are due are not applied. The plugin works nevertheless.
    pub not_contracted: Option<Outcome>,
    /// What the one slot of a release for all tenants holds, and whether all of its pods serve the tenant; `None` if its own do, or it
    /// was not reached.
    pub slot: Option<(SlotStatus, bool)>,
    /// How traffic is led to the tenant's own slots; `None` if that was not reached.
    pub traffic: Option<Traffic>,
    /// How RED fares; `None` if that was not reached.
    pub red: Option<Led>,
    /// Hash of the wanted revision, once it is frozen.
    pub config_hash: Option<String>,
    /// Where the plugin's API is found, once the Gateway leads there.
    pub url: Option<String>,
    /// When to look at its route again, if that is on its way to lead requests otherwise.
    pub route_wait: Option<Duration>,
    /// Whether no pod runs, on request.
    pub stopped: bool,
    /// Why the registry could not be told; `None` if it was.
    pub registry: Option<Outcome>,
    /// The status that the object was given on the way, if it was.
    pub written: Option<PluginInstallationStatus>,
    /// What is wanted was brought to the traffic light, or to all tenants' pods: what is said of what is live is said of it.
    pub delivered: bool,
    /// Why what runs is not as declared.
    pub not_kept: Option<Outcome>,
    /// Why an installation in deletion is still there.
    pub leaving: Option<Outcome>,
    /// Why nothing was chosen, where that is not said by a step's condition.
    unchosen: Option<Outcome>,
    /// When to look again, though nothing happens.
    pub look_again: Option<Duration>,
}

impl Steps {
    /// A version was chosen, or why none was; nothing else was tried yet.
    pub fn new(facts: &Facts, chosen: Result<&Wanted, &Outcome>, leaving: Option<Outcome>) -> Self {
        let place = &facts.place;
        let resolved = chosen.ok().map(|wanted| ResolutionStatus {
            version: wanted.plugin.spec.version.clone(),
            reason: wanted.reason.clone(),
        });
        let why = match chosen {
            Ok(wanted) => Outcome::Done(Reason::Resolved, wanted.reason.clone()),
            Err(why) => why.clone(),
        };
        let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = &why;
        let is_said = Type::DependenciesSatisfied.reasons().contains(reason);
        let (said, unchosen) = if is_said {
            (vec![(Type::DependenciesSatisfied, why)], None)
        } else {
            (vec![], Some(why))
        };
        Self {
            said,
            unchosen,
            leaving,
            resolved,
            id: place.id.clone(),
            stop: facts.stop,
            schema: place.slug.plugin_schema(&place.id).to_string(),
            secret: place.id.database_secret().to_string(),
            configuration: None,
            migrations: None,
            has_expanded: false,
            not_contracted: None,
            slot: None,
            traffic: None,
            red: None,
            config_hash: None,
            url: None,
            route_wait: None,
            stopped: false,
            registry: None,
            written: None,
            delivered: false,
            not_kept: None,
            look_again: None,
        }
    }

    /// Says how a step fares; what was said of it before does not count any more.
    pub fn say(&mut self, type_: Type, outcome: Outcome) {
        self.said.retain(|(said, _)| *said != type_);
        self.said.push((type_, outcome));
    }

    pub(in crate::controllers::plugin_installation) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        let said = self.said.iter().map(|(_, outcome)| outcome);
        let others = [
            &self.not_contracted,
            &self.registry,
            &self.not_kept,
            &self.unchosen,
            &self.leaving,
        ];
        said.chain(others.into_iter().flatten())
    }

    /// The first that is blocked, else the first that waits.
    pub fn worst(&self) -> Option<&Outcome> {
        self.outcomes()
            .find(|outcome| matches!(outcome, Outcome::Blocked(..)))
            .or_else(|| self.outcomes().find(|outcome| matches!(outcome, Outcome::Waiting(..))))
    }

    /// Whether all that is amiss is about what is to come next, of which nothing that is live knows.
    pub(in crate::controllers::plugin_installation) fn only_the_next_is_amiss(&self) -> bool {
        let is_next = |type_| {
            matches!(
                type_,
                Type::DependenciesSatisfied | Type::ConfigurationValid | Type::MigrationsApplied | Type::Promoted
            )
        };
        let is_fine = |(type_, outcome): &(Type, Outcome)| is_next(*type_) || is_done(outcome);
        let is_nothing_else = [&self.registry, &self.not_kept, &self.leaving]
            .into_iter()
            .all(Option::is_none);
        is_nothing_else && self.said.iter().all(is_fine)
    }

    /// Whether the pods that are live are said to be ready.
    pub(in crate::controllers::plugin_installation) fn is_deployed(&self) -> bool {
        let mut said = self.said.iter();
        said.any(|(type_, outcome)| *type_ == Type::Deployed && is_done(outcome))
    }
}

/// A step failed, and said so.
pub struct Failed;

impl Steps {
    /// What a step made, or its failure, which ends the delivery.
    pub fn take<T>(&mut self, type_: Type, result: Result<T, Outcome>) -> Result<T, Failed> {
        result.map_err(|outcome| {
            self.say(type_, outcome);
            Failed
        })
    }

    pub fn done(&mut self, type_: Type, reason: Reason, message: &str) {
        self.say(type_, Outcome::Done(reason, message.to_owned()));
    }

    /// How a step ended; whatever is not done ends the delivery.
    pub fn end(&mut self, type_: Type, outcome: Outcome) -> Result<(), Failed> {
        let done = matches!(outcome, Outcome::Done(..));
        self.say(type_, outcome);
        if done { Ok(()) } else { Err(Failed) }
    }
}

pub fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(..))
}
