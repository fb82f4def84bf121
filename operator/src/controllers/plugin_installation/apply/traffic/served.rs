//! What is live is led, whatever becomes of what is to come next.

use plexica_crds::{
    PluginInstallation, condition,
    plugin_installation::{
        PluginInstallationStatus,
        conditions::{Outcome, Type},
    },
};

use super::{
    super::super::{
        Context,
        model::RunningSet,
        remember,
        revisions::running_set,
        validate::{Facts, Wanted},
    },
    Traffic,
    goal::goal,
    leads::Leads,
    remembered,
    slots::Slots,
};
use crate::promotion::{Hold, Memory, Requests, Revision};

/// What is served of an installation: what is remembered of it, and what is known of the revisions.
pub struct Served {
    /// What is remembered.
    pub memory: Memory,
    /// What runs or may run.
    pub set: RunningSet,
}

impl Served {
    /// What is served now; `None` if nothing is live that is this tenant's own.
    pub async fn now(installation: &PluginInstallation, facts: &Facts, ctx: &Context) -> Result<Option<Self>, Outcome> {
        let memory = remembered(installation, facts);
        if memory.live.is_none() {
            return Ok(None);
        }
        let members = RunningSet::members(&memory, None, remember::prepared(installation).as_ref());
        let set = running_set(facts, members, ctx).await?;
        Ok(Some(Self { memory, set }))
    }

    /// How many pods there are if the installation does not say.
    fn usual(&self) -> Option<i32> {
        let live = self.memory.revisions.of(self.memory.live?).as_ref()?;
        self.set.get(live).map(|frozen| frozen.replicas)
    }

    /// The pods that are wanted of what is live.
    pub fn size(&self, installation: &PluginInstallation) -> i32 {
        installation.spec.replicas.or_else(|| self.usual()).unwrap_or(1)
    }
}

/// What is under way goes on, and what was changed by others is set right: nothing new is begun. `wanted` is what was chosen, if
/// something could be; `written` is the status that the object was given on the way. Beside how traffic is led it says whether what
/// runs could be kept as declared.
pub async fn go_on(
    installation: &PluginInstallation,
    facts: &Facts,
    served: &Served,
    wanted: Option<&Wanted>,
    credential: Option<&str>,
    written: &mut Option<PluginInstallationStatus>,
    ctx: &Context,
) -> Result<(Traffic, Result<(), Outcome>), Outcome> {
    let leads = of_what_is_live(installation, facts, served, wanted, credential, ctx);
    let traffic = leads.until_rest(served.memory.clone(), None, written).await?;
    let kept = leads.keep(&traffic).await;
    Ok((traffic, kept))
}

/// Does the switch that a person asks for, if what the watches told allows it: one write, no look before it, no intent beside
/// the request. The pass that follows finds the Service turned, and the request by which it was, as after a kill. Says whether it
/// wrote.
///
/// # Errors
/// It could not be written; the pass tries that again.
pub async fn at_once(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: Option<&Wanted>,
    ctx: &Context,
) -> Result<bool, Outcome> {
    match Served::now(installation, facts, ctx).await? {
        Some(served) => {
            let leads = of_what_is_live(installation, facts, &served, wanted, None, ctx);
            leads.carry_out_at_once(&served.memory).await
        }
        None => Ok(false),
    }
}

/// Leads what is live, whatever becomes of what is to come next. A candidate is led on, and goes live only while it is known to be
/// wanted still.
fn of_what_is_live<'a>(
    installation: &'a PluginInstallation,
    facts: &'a Facts,
    served: &'a Served,
    wanted: Option<&Wanted>,
    credential: Option<&'a str>,
    ctx: &'a Context,
) -> Leads<'a, impl Fn(&Memory) -> Requests + use<'a>> {
    let memory = &served.memory;
    let under_way = memory.transition.as_ref();
    let candidate = under_way.filter(|transition| transition.is_before_switch());
    let is_wanted = candidate.is_some_and(|candidate| {
        let is_chosen = wanted.is_some_and(|wanted| wanted.plugin.spec.version == candidate.revision.version);
        is_chosen && is_as_wanted(installation, &candidate.revision)
    });
    let revision = memory.wanted_last().cloned().unwrap_or_else(|| Revision {
        version: String::new(),
        config_hash: String::new(),
    });
    let status = installation.status.as_ref();
    let migrations = status.and_then(|status| status.migrations.as_ref());
    let mut goal = goal(
        installation,
        facts,
        revision,
        served.size(installation),
        memory,
        migrations.and_then(|migrations| migrations.contracted.as_deref()),
        ctx.platform.promotions_at_once,
    );
    goal.may_begin = false;
    if !is_wanted {
        // What others hold back is held back for them: also a switch that is announced already.
        goal.held_back.get_or_insert(Hold::Unknown);
    }
    Leads {
        installation,
        facts,
        goal,
        slots: Slots {
            place: &facts.place,
            set: &served.set,
            credential,
            progress_deadline: installation.spec.promotion.progress_deadline.value(),
        },
        requests: move |memory: &Memory| {
            let asked = remember::requests(installation, &memory.carried_out);
            Requests {
                promote: asked.promote.filter(|_| is_wanted),
                rollback: asked.rollback,
                retry: None,
            }
        },
        ctx,
    }
}

/// Whether this is what was prepared last, of the spec as it is now, and nothing that it is made from was refused since.
fn is_as_wanted(installation: &PluginInstallation, candidate: &Revision) -> bool {
    let Some(status) = &installation.status else {
        return false;
    };
    let generation = installation.metadata.generation.unwrap_or_default();
    let made_from = [Type::ConfigurationValid, Type::DatabaseReady];
    remember::prepared(installation).as_ref() == Some(candidate)
        && made_from
            .into_iter()
            .all(|type_| condition::is_true(&status.conditions, type_.into(), generation))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Generation 2 of an installation whose candidate was made from generation 1, or 2, and how its configuration fares.
    fn is_wanted(configuration: &str, of: i64, hash: &str) -> bool {
        let condition = |type_: &str, status: &str| {
            json!({ "type": type_, "status": status, "observedGeneration": of, "reason": "X", "message": "",
                "lastTransitionTime": "2026-12-01T00:00:00Z" })
        };
        let installation: PluginInstallation = serde_json::from_value(json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
            "metadata": { "name": "crm", "namespace": "tenant-acme", "generation": 2 }, "spec": {},
            "status": {
                "observedGeneration": of, "configHash": hash, "resolved": { "version": "2.0.0", "reason": "" },
                "conditions": [
                    condition("ConfigurationValid", configuration), condition("DatabaseReady", "True"),
                    condition("MigrationsApplied", "True"),
                ],
            },
        }))
        .unwrap();
        let candidate = Revision {
            version: "2.0.0".to_owned(),
            config_hash: "c".to_owned(),
        };
        is_as_wanted(&installation, &candidate)
    }

    #[test]
    fn a_candidate_is_wanted_while_it_is_what_was_made_of_the_spec_as_it_is() {
        assert!(is_wanted("True", 2, "c"));
        assert!(!is_wanted("True", 1, "c"), "nobody has looked at the new spec");
        assert!(!is_wanted("False", 2, "c"), "the new configuration is refused");
        assert!(!is_wanted("True", 2, "d"), "something else is prepared");
    }
}
