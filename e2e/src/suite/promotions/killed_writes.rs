//! The operator is killed at every one of its writes, one after the other: a promotion and a rollback end as if nothing
//! had happened, and no client sees any of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::future::{Either, select};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
};
use kube::{ResourceExt, api::ListParams};
use plexica_crds::{
    names::Slot,
    plugin_installation::{Step, TransitionResult},
};
use serde_json::json;

use super::installed::Installed;
use crate::{
    cases,
    load::{Load, Mix, Target},
    suite::{
        Case,
        clients::gateway::routes,
        env::{Env, eventually},
        observe::write_gate::{Kills, Moment, WriteGate},
        tenant_plugins::PATIENCE,
    },
    ui,
};

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![true; an_operator_killed_before_and_after_its_every_write_promotes_and_goes_back_all_the_same]
}

async fn an_operator_killed_before_and_after_its_every_write_promotes_and_goes_back_all_the_same(
    env: &Env,
) -> Result<()> {
    let mut story = Story::begin(env).await?;
    for way in [Way::Promotion, Way::Rollback] {
        let expected = story.undisturbed(way).await?;
        story.expected.insert(way, expected);
    }
    for way in [Way::Promotion, Way::Rollback] {
        let killed = story.go(way, Kills::Each).await?;
        let deployed = format!("UPDATE deployments {}-b", story.installed.id);
        for write in story.always_done().iter().chain([&deployed]) {
            for moment in [Moment::Before, Moment::After] {
                ensure!(
                    killed.contains(&format!("{moment} {write}")),
                    "{way}: never killed {moment} {write}, only {killed:?}"
                );
            }
        }
        let led = format!("{} UPDATE services {}", Moment::After, story.installed.id);
        let switches = killed.iter().filter(|write| **write == led).count();
        ensure!(switches == 1, "{way}: it switched {switches} times, killed {killed:?}");
        ui::print(&format!(
            "        {way}: killed {} times, {}",
            killed.len(),
            killed.join(", ")
        ));
    }
    story.end().await
}

/// The same with one kill in each promotion and rollback, at the first write, at the second and so on, until one ends with
/// fewer writes: takes longer, and shows each write by itself.
pub async fn killed_at_one_write_after_the_other(env: &Env, moment: Moment) -> Result<()> {
    let mut story = Story::begin(env).await?;
    let mut next = BTreeMap::new();
    for way in [Way::Promotion, Way::Rollback] {
        let expected = story.undisturbed(way).await?;
        story.expected.insert(way, expected);
        next.insert(way, Some(1));
    }
    while next.values().any(Option::is_some) {
        for way in [Way::Promotion, Way::Rollback] {
            let at = next[&way];
            let kills = at.map_or(Kills::None, |at| Kills::One(at, moment));
            let killed = story.go(way, kills).await?;
            if let Some(at) = at {
                ui::print(&match killed.first() {
                    Some(write) => format!("        {way}: killed {write}"),
                    None => format!("        {way}: that were all of its writes, {}", at - 1),
                });
                next.insert(way, killed.first().map(|_| at + 1));
            }
        }
    }
    story.end().await
}

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
#[strum(serialize_all = "lowercase")]
enum Way {
    Promotion,
    Rollback,
}

/// An installation that goes forth and back while clients ask.
struct Story<'a> {
    installed: Installed<'a>,
    gate: WriteGate,
    load: Load,
    /// How each way ends.
    expected: BTreeMap<Way, Rest>,
    rounds: usize,
}

impl<'a> Story<'a> {
    async fn begin(env: &'a Env) -> Result<Self> {
        let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
        let installed = Installed::new(env, promotion, 1).await?;
        let gate = WriteGate::before(env, installed.plugins.slug.namespace().as_str(), &installed.id).await?;
        let mix = Mix {
            new_connections: 2,
            kept: 2,
            http2: 2,
            websocket: 1,
            slow: 0,
            pause: Duration::from_millis(20),
            ..Mix::default()
        };
        Ok(Self {
            load: Load::start(&Target::at(installed.address().await?), &mix),
            installed,
            gate,
            expected: BTreeMap::new(),
            rounds: 0,
        })
    }

    /// Goes one way and answers how that ended.
    async fn undisturbed(&mut self, way: Way) -> Result<Rest> {
        self.gate.arm(Kills::None);
        self.ask_for(way).await?;
        let rest = eventually(&format!("the end of a {way}"), PATIENCE, async || {
            let rest = Rest::of(&self.installed).await?;
            ensure!(rest.is_end_of(way), "it is {rest:#?}");
            Ok(rest)
        })
        .await?;
        let writes = self.gate.writes();
        for write in self.always_done() {
            ensure!(
                writes.contains(&write),
                "{way}: {write} did not come by, only {writes:?}"
            );
        }
        Ok(rest)
    }

    /// Writes that neither way can do without: without them the gate does not see what it is for. Others come or not, as
    /// pods are ready sooner or later.
    fn always_done(&self) -> [String; 2] {
        let id = &self.installed.id;
        [
            format!("UPDATE services {id}"),
            format!("UPDATE plugininstallations/status {id}"),
        ]
    }

    /// Goes one way, with the operator killed, until all is as expected. Answers at which writes it was killed.
    async fn go(&mut self, way: Way, kills: Kills) -> Result<Vec<String>> {
        self.gate.arm(kills);
        self.ask_for(way).await?;
        let mut killed = vec![];
        loop {
            let rest = std::pin::pin!(self.until_as_expected(way));
            let kill = std::pin::pin!(self.gate.kill());
            match select(rest, kill).await {
                // The last write may be the end, and be one to die after: its successor has to leave all as it is.
                Either::Left((Ok(()), _)) if self.gate.is_dying() => killed.push(self.gate.kill().await?),
                Either::Left((rest, _)) => {
                    self.gate.disarm().await?;
                    rest.with_context(|| format!("{way}, killed {killed:?}"))?;
                    return Ok(killed);
                }
                Either::Right((write, _)) => killed.push(write?),
            }
        }
    }

    async fn ask_for(&mut self, way: Way) -> Result<()> {
        self.rounds += 1;
        match way {
            // What was gone back from is not tried again: each round has a configuration of its own.
            Way::Promotion => {
                let config = json!({ "notReadyAfterSeconds": self.rounds });
                self.installed.configure(config).await
            }
            Way::Rollback => self.installed.request("rollback").await,
        }
    }

    async fn until_as_expected(&self, way: Way) -> Result<()> {
        let expected = &self.expected[&way];
        eventually(&format!("the end of a {way}"), PATIENCE, async || {
            let rest = Rest::of(&self.installed).await?;
            ensure!(rest == *expected, "it is {rest:#?}, not {expected:#?}");
            Ok(())
        })
        .await
    }

    async fn end(self) -> Result<()> {
        let report = self.load.stop().await;
        ui::print(&format!(
            "        {} requests, {} failed",
            report.requests(),
            report.failed()
        ));
        ensure!(report.failed() == 0, "{} requests were lost\n{report}", report.failed());
        Ok(())
    }
}

/// What is left when nothing is under way any more, without what differs from one round to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    live: Option<Slot>,
    step: Option<Step>,
    ended: Option<TransitionResult>,
    /// The last transition ended once.
    ended_once: bool,
    /// Whether the spec's configuration was rejected.
    rejected: bool,
    /// Type → status and reason.
    conditions: BTreeMap<String, String>,
    selector: BTreeMap<String, String>,
    mark: Option<String>,
    /// Slots whose pods the live Service's EndpointSlices name.
    reached: BTreeSet<String>,
    /// What the PodDisruptionBudget selects.
    budget: BTreeMap<String, String>,
    /// HTTPRoutes of the plugin.
    routes: BTreeSet<String>,
    /// Deployment → pods wanted, there and ready, and whether it is marked as rejected.
    deployments: BTreeMap<String, (i32, i32, i32, bool)>,
    /// How many there are.
    config_maps: usize,
    secrets: usize,
}

impl Rest {
    async fn of(installed: &Installed<'_>) -> Result<Self> {
        let (id, plugins) = (&installed.id, &installed.plugins);
        let status = installed.status().await?;
        let conditions = status.conditions.iter();
        let conditions = conditions.map(|said| (said.type_.clone(), format!("{} {}", said.status, said.reason)));
        let service = installed.service().await?;
        let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={id}"));
        let slices = plugins.objects::<EndpointSlice>().list(&of_service).await?;
        let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
        let named = endpoints.filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.clone());
        let slot_of = |pod: String| Some(pod.strip_prefix(&format!("{id}-"))?.split('-').next()?.to_owned());
        let budget = plugins.objects::<PodDisruptionBudget>().get_opt(id).await?;
        let budget = budget.and_then(|budget| budget.spec?.selector?.match_labels);
        let routes = routes(installed.env, &plugins.slug)
            .list(&ListParams::default())
            .await?;
        let deployments = plugins.objects::<Deployment>().list(&ListParams::default()).await?;
        let deployments = deployments.iter().map(|deployment| {
            let wanted = deployment
                .spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or_default();
            let status = deployment.status.clone().unwrap_or_default();
            let there = status.replicas.unwrap_or_default() + status.terminating_replicas.unwrap_or_default();
            let ready = status.ready_replicas.unwrap_or_default();
            let rejected = deployment.annotations().contains_key("plexica.io/rejected");
            (deployment.name_any(), (wanted, there, ready, rejected))
        });
        let last = status.history.first();
        Ok(Self {
            live: status.live_slot,
            step: status.transition.as_ref().map(|transition| transition.step),
            ended: last.map(|ended| ended.result),
            ended_once: last.is_some_and(|last| {
                let same = status.history.iter().filter(|ended| ended.id == last.id);
                same.count() == 1
            }),
            rejected: status
                .rejected
                .iter()
                .any(|rejected| Some(&rejected.config_hash) == status.config_hash.as_ref()),
            conditions: conditions.collect(),
            mark: service.annotations().get("plexica.io/live-slot").cloned(),
            selector: service.spec.and_then(|spec| spec.selector).unwrap_or_default(),
            budget: budget.unwrap_or_default(),
            routes: routes.iter().map(ResourceExt::name_any).collect(),
            reached: named.filter_map(slot_of).collect(),
            deployments: deployments.collect(),
            config_maps: plugins
                .objects::<ConfigMap>()
                .list(&ListParams::default())
                .await?
                .items
                .len(),
            secrets: plugins
                .objects::<Secret>()
                .list(&ListParams::default())
                .await?
                .items
                .len(),
        })
    }

    /// Whether a way has ended, by what the API tells everybody.
    fn is_end_of(&self, way: Way) -> bool {
        let says = |type_: &str, status: &str| {
            let said = self.conditions.get(type_);
            said.is_some_and(|said| said.split(' ').next() == Some(status))
        };
        let is_at_rest = says("Ready", "True") && !says("Reconciling", "True");
        let all_ready = self
            .deployments
            .values()
            .all(|(wanted, there, ready, _)| wanted == there && there == ready);
        let ended = match way {
            Way::Promotion => (Some(Slot::B), Some(Step::StandingBy), Some(TransitionResult::Promoted)),
            Way::Rollback => (Some(Slot::A), None, Some(TransitionResult::RolledBack)),
        };
        is_at_rest && all_ready && (self.live, self.step, self.ended) == ended
    }
}
