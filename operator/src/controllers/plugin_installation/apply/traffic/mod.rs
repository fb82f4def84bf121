//! Leads traffic: looks at the slots, lets the machine (`promotion`) decide, and does what it says, until it is at rest.

mod goal;
mod observe;
mod probe;
mod remember;
mod slots;

use std::fmt::Debug;

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use plexica_crds::{
    PluginInstallation,
    condition::{ConditionType as _, Statement, Status},
    names::Slot,
    plugin::Sharing,
    plugin_installation::{
        Phase, PluginInstallationStatus,
        conditions::{Outcome, Reason, Type},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::info;

use super::super::{Context, build, objects::make, report, status::Steps, validate::Wanted};
use crate::{
    promotion::{self, Action, Decision, Explanation, Memory, Requests, Revision, Selector, Shape, decide},
    runtime::{
        apply::{FieldManager, holds},
        client::within,
    },
};
use goal::goal;
pub use observe::Seen;
use observe::observe;
pub use probe::Probes;
pub use slots::Means;
use slots::Slots;

/// Decisions in one pass, before it gives way to others.
const DECISIONS: usize = 12;
/// Writes that somebody else was faster than, in one pass.
const CONFLICTS: usize = 5;

/// How traffic is led after a pass.
pub struct Traffic {
    /// What is remembered.
    pub memory: Memory,
    /// What was seen last.
    pub seen: Seen,
    /// Why it is so.
    pub explanation: Explanation,
    /// Pods that are wanted of the live slot.
    pub size: i32,
    /// The live Service was found changed by others, and leads to its slot again.
    pub has_repaired: bool,
    /// Pods of the live slot are still to be replaced by ones as declared.
    pub replaces_pods: bool,
}

impl Traffic {
    /// The slot whose pods tell how the plugin fares: the live one, or the one that is to be the first.
    pub fn slot(&self) -> Slot {
        self.memory.live.unwrap_or(Slot::A)
    }

    /// The version that is live.
    pub fn live_version(&self) -> Option<&str> {
        let revision = self.memory.revisions.of(self.memory.live?).as_ref()?;
        Some(&revision.version)
    }

    /// Pods of the live slot: how many are ready, and how many are to be. `None` if nothing is live.
    pub fn live_pods(&self) -> Option<(i32, i32)> {
        let deployment = self.seen.deployments.of(self.memory.live?).as_ref();
        let status = deployment.and_then(|live| live.status.as_ref());
        let spec = deployment.and_then(|live| live.spec.as_ref());
        Some((
            status.and_then(|status| status.ready_replicas).unwrap_or_default(),
            spec.and_then(|spec| spec.replicas).unwrap_or_default(),
        ))
    }

    /// That the operator is at work on it, though what is live works: kstatus waits for that to end. Waiting for a person is
    /// no work.
    pub fn reconciling(&self) -> Option<Statement> {
        let reason = match self.explanation.phase? {
            Phase::Promoting => Reason::Soaking,
            Phase::RollingBack => Reason::Switching,
            _ if self.replaces_pods => {
                let message = "pods are replaced one by one; as many as wanted are ready";
                return Some(Type::Reconciling.says(Status::True, Reason::PodsStarting, message));
            }
            Phase::Pending
            | Phase::Installing
            | Phase::Ready
            | Phase::AwaitingPromotion
            | Phase::Degraded
            | Phase::Disabled
            | Phase::Uninstalling
            | Phase::Failed => return None,
        };
        let message = self.explanation.message.as_deref().unwrap_or_default();
        Some(Type::Reconciling.says(Status::True, reason, message))
    }

    /// Nothing but this version runs, and there is no way back to another one: no pod of the other slot is left, not even
    /// one that ends.
    pub fn is_settled_in(&self, version: &str) -> bool {
        let Some(live) = self.memory.live else { return false };
        let slots = &self.seen.observed.slots;
        let is_live = slots
            .of(live)
            .as_ref()
            .is_some_and(|live| live.ready > 0 && live.is_settled && live.revision.version == version);
        let is_alone = slots
            .of(live.other())
            .as_ref()
            .is_none_or(|other| other.size == 0 && other.pods == 0 && other.is_settled);
        self.memory.transition.is_none() && is_live && is_alone
    }

    /// Names of the configurations that are used: the wanted one, and those that pods were started with.
    pub fn configurations(&self, wanted: &Wanted, config: &str) -> Vec<String> {
        let seen = [Slot::A, Slot::B].map(|slot| self.seen.observed.slots.of(slot).as_ref());
        let run = seen
            .into_iter()
            .flatten()
            .filter(|deployed| deployed.size > 0 || deployed.pods > 0);
        let live = self
            .memory
            .live
            .and_then(|live| self.memory.revisions.of(live).as_ref());
        let used = run.map(|deployed| &deployed.revision).chain(live);
        let used = used.map(|revision| build::config_name(&wanted.id, &revision.config_hash));
        used.chain([config.to_owned()]).collect()
    }

    /// What is said of it.
    pub fn statements(&self) -> Vec<Statement> {
        let drift = if self.has_repaired {
            let message = "the live Service was found changed or gone, and leads to its slot again";
            Type::TrafficDrift.says(Status::True, Reason::Corrected, message)
        } else {
            Type::TrafficDrift.says(Status::False, Reason::InSync, "nothing was found changed by others")
        };
        self.explanation.statements.iter().cloned().chain([drift]).collect()
    }

    /// Writes all of it into a status.
    pub fn write(&self, status: &mut PluginInstallationStatus) {
        remember::write(status, &self.memory);
        remember::describe(status, &self.memory, &self.seen.observed, self.size, &self.explanation);
    }
}

/// What is under way goes on, and what was changed by others is set right, whatever else may fail in this pass: nothing new
/// is begun. Does nothing before something is live.
pub async fn go_on(
    installation: &PluginInstallation,
    wanted: &Wanted,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Outcome> {
    let status = installation.status.clone().unwrap_or_default();
    let memory = remembered(installation, wanted);
    let Some(live) = memory.live.and_then(|live| memory.revisions.of(live).clone()) else {
        return Ok(());
    };
    let candidate = memory
        .transition
        .as_ref()
        .filter(|transition| transition.is_before_switch());
    let is_current = status.observed_generation == installation.metadata.generation;
    let revision = match candidate {
        // Perhaps another configuration is wanted: that has to be read first.
        Some(_) if !is_current => return Ok(()),
        Some(candidate) if candidate.revision.version == wanted.plugin.spec.version => candidate.revision.clone(),
        _ => live,
    };
    let has_candidate = candidate.is_some();
    let leads = Leads {
        installation,
        wanted,
        goal: goal(installation, wanted, revision, &memory, steps),
        slots: None,
        requests: |memory: &Memory| {
            let asked = remember::requests(installation, &memory.carried_out);
            Requests {
                promote: asked.promote.filter(|_| has_candidate),
                rollback: asked.rollback,
                retry: None,
            }
        },
        ctx,
    };
    steps.traffic = Some(leads.until_rest(memory, steps).await?);
    Ok(())
}

/// Leads traffic to what is wanted, as far as that goes now.
pub async fn lead(
    installation: &PluginInstallation,
    wanted: &Wanted,
    means: Means<'_>,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Outcome> {
    let memory = match &steps.traffic {
        Some(traffic) => traffic.memory.clone(),
        None => remembered(installation, wanted),
    };
    let revision = Revision {
        version: wanted.plugin.spec.version.clone(),
        config_hash: means.config.hash().to_owned(),
    };
    let leads = Leads {
        installation,
        wanted,
        goal: goal(installation, wanted, revision, &memory, steps),
        slots: Some(Slots {
            installation,
            wanted,
            means,
            ctx,
        }),
        requests: |memory: &Memory| remember::requests(installation, &memory.carried_out),
        ctx,
    };
    let mut traffic = leads.until_rest(memory, steps).await?;
    traffic.has_repaired |= steps.traffic.as_ref().is_some_and(|before| before.has_repaired);
    let kept = leads.keep(&traffic).await;
    steps.traffic = Some(traffic);
    kept
}

/// What the status remembers of slots of the tenant's own; of a release that ran for all tenants there were none.
fn remembered(installation: &PluginInstallation, wanted: &Wanted) -> Memory {
    let memory = remember::memory(&installation.status.clone().unwrap_or_default());
    let live = memory.live.and_then(|live| memory.revisions.of(live).as_ref());
    let releases = wanted.releases.iter().filter_map(|guard| guard.0.as_ref().ok());
    let was_shared = releases.into_iter().any(|plugin| {
        let is_live = live.is_some_and(|live| live.version == plugin.spec.version);
        is_live && plugin.spec.runtime.sharing == Sharing::Shared
    });
    if was_shared { Memory::default() } else { memory }
}

/// What became of a write.
enum Written {
    /// It was done.
    Yes,
    /// Somebody wrote to the object since it was read: it has to be looked at again.
    Overtaken,
}

/// One pass over the traffic of an installation.
struct Leads<'a, R> {
    installation: &'a PluginInstallation,
    wanted: &'a Wanted,
    goal: promotion::Wanted,
    /// Without them no pods are made.
    slots: Option<Slots<'a>>,
    requests: R,
    ctx: &'a Context,
}

impl<R: Fn(&Memory) -> Requests> Leads<'_, R> {
    /// Decides and does until nothing is left to do.
    async fn until_rest(&self, mut memory: Memory, steps: &mut Steps) -> Result<Traffic, Outcome> {
        let (mut conflicts, mut has_repaired) = (0, false);
        let mut seen = self.look(&memory).await?;
        for _ in 0..DECISIONS {
            let requests = (self.requests)(&memory);
            let Decision { action, memory: next } =
                decide(&seen.observed, &self.goal, &requests, &memory, Timestamp::now());
            let lacks_means = self.slots.is_none() && matches!(action, Action::Install { .. } | Action::Reshape { .. });
            if action == Action::Remember && next == memory || lacks_means {
                break;
            }
            if matches!(action, Action::Switch { .. }) {
                // The intent is written down before anything moves.
                self.write_down(&memory, steps).await?;
            }
            has_repaired |= matches!(action, Action::Repair(_)) && memory.live.is_some();
            match self.act(&action, &seen).await? {
                Written::Yes => {
                    let must_look = action != Action::Remember || next.transition.is_some() && !seen.is_whole;
                    memory = next;
                    if must_look {
                        seen = self.look(&memory).await?;
                    }
                }
                Written::Overtaken => {
                    conflicts += 1;
                    if conflicts > CONFLICTS {
                        return Err(Outcome::Waiting(
                            Reason::ApiUnavailable,
                            "somebody else writes to the plugin's objects all the time".to_owned(),
                        ));
                    }
                    seen = self.look(&memory).await?;
                }
            }
            if matches!(action, Action::Install { .. } | Action::Reshape { .. }) {
                // Whatever follows is decided by what becomes of the pods.
                break;
            }
        }
        Ok(Traffic {
            explanation: promotion::explain(&seen.observed, &self.goal, &memory, Timestamp::now()),
            size: self.goal.size,
            memory,
            seen,
            has_repaired,
            replaces_pods: false,
        })
    }

    fn slots(&self) -> Result<&Slots<'_>, Outcome> {
        let missing = || Outcome::Waiting(Reason::PodsStarting, "the configuration was not reached".to_owned());
        self.slots.as_ref().ok_or_else(missing)
    }

    async fn look(&self, memory: &Memory) -> Result<Seen, Outcome> {
        observe(self.installation, self.wanted, memory, self.ctx).await
    }

    async fn write_down(&self, memory: &Memory, steps: &mut Steps) -> Result<(), Outcome> {
        let before = steps
            .written
            .clone()
            .or_else(|| self.installation.status.clone())
            .unwrap_or_default();
        let mut after = before.clone();
        remember::write(&mut after, memory);
        if before == after {
            return self.is_written_down(memory).await;
        }
        self.ctx
            .objects
            .write_status(self.installation.meta(), &before, &after)
            .await
            .map_err(|error| Outcome::Waiting(Reason::ApiUnavailable, error.to_string()))?;
        steps.written = Some(after);
        Ok(())
    }

    /// The intent of an earlier pass is still the one that is recorded: a cache may show an old one.
    async fn is_written_down(&self, memory: &Memory) -> Result<(), Outcome> {
        let namespace = self.wanted.slug.namespace();
        let api: Api<PluginInstallation> = Api::namespaced(self.ctx.objects.client.clone(), namespace.as_str());
        // Installations are listed anyway, so this needs no permission of its own.
        let of_this = format!("metadata.name={}", self.installation.name_any());
        let found = within(api.list(&ListParams::default().fields(&of_this)))
            .await
            .map_err(|error| report::api_outcome(&error))?;
        let live = found.items.into_iter().find_map(|live| live.status);
        let recorded = remember::memory(&live.unwrap_or_default());
        if recorded.transition == memory.transition {
            return Ok(());
        }
        Err(Outcome::Waiting(
            Reason::Switching,
            "the cache does not show the installation as it is".to_owned(),
        ))
    }

    async fn act(&self, action: &Action, seen: &Seen) -> Result<Written, Outcome> {
        match action {
            Action::Remember => Ok(Written::Yes),
            Action::Install { slot, shape } => {
                let service = build::live_service(self.wanted, *slot, false);
                let deployment = self.slots()?.deployment(*slot, shape, None).await?;
                // API servers make Services one after another: pods do not wait for that.
                tokio::try_join!(make(&deployment, self.ctx), make(&service, self.ctx))?;
                Ok(Written::Yes)
            }
            Action::Repair(slot) | Action::Switch { to: slot } => {
                let mut service = build::live_service(self.wanted, *slot, true);
                service.metadata.resource_version = seen.service.as_ref().and_then(ResourceExt::resource_version);
                let written = self.write(&service).await?;
                if matches!(written, Written::Yes) {
                    info!(slot = slot.as_ref(), ?action, "the live Service leads to the slot");
                }
                Ok(written)
            }
            Action::Reshape { slot, shape } => {
                let live = seen.deployments.of(*slot).as_ref();
                let mut deployment = self.slots()?.deployment(*slot, shape, live).await?;
                deployment.metadata.resource_version = live.and_then(ResourceExt::resource_version);
                self.write(&deployment).await
            }
        }
    }

    /// Writes an object as declared, unless somebody wrote to it since it was read.
    async fn write<K>(&self, declared: &K) -> Result<Written, Outcome>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.ctx.objects.client.clone(), self.wanted.slug.namespace().as_str());
        let params = PatchParams::apply(FieldManager::Objects.as_ref()).force();
        match within(api.patch(&declared.name_any(), &params, &Patch::Apply(declared))).await {
            Ok(_) => Ok(Written::Yes),
            Err(error) if error.status().is_some_and(|status| status.code == 409) => Ok(Written::Overtaken),
            Err(error) => Err(report::api_outcome(&error)),
        }
    }

    /// What is there stays as declared, whoever changes it: templates, sizes, ports.
    async fn keep(&self, traffic: &Traffic) -> Result<(), Outcome> {
        let Traffic { memory, seen, .. } = traffic;
        for slot in [Slot::A, Slot::B] {
            let (Some(live), Some(is)) = (seen.deployments.of(slot), seen.observed.slots.of(slot)) else {
                continue;
            };
            if is.size == 0 {
                continue;
            }
            let shape = Shape {
                revision: is.revision.clone(),
                size: is.size,
                recycled: is.recycled.clone(),
                rejected: is.rejected,
            };
            let declared = self.slots()?.deployment(slot, &shape, Some(live)).await?;
            self.set_right(live, declared).await?;
        }
        let (Some(slot), Some(service)) = (memory.live, &seen.service) else {
            return Ok(());
        };
        if seen.observed.selector == Selector::Slot(slot) {
            self.set_right(service, build::live_service(self.wanted, slot, true))
                .await?;
        }
        if seen
            .observed
            .slots
            .of(slot.other())
            .as_ref()
            .is_some_and(|other| other.size > 0)
        {
            make(&build::yellow_service(self.wanted, slot.other()), self.ctx).await?;
        }
        Ok(())
    }

    async fn set_right<K>(&self, live: &K, mut declared: K) -> Result<(), Outcome>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let (is, wanted) = (serde_json::to_value(live), serde_json::to_value(&declared));
        if holds(&is.unwrap_or_default(), &wanted.unwrap_or_default()) {
            return Ok(());
        }
        declared.meta_mut().resource_version = live.resource_version();
        // Whoever was faster causes the next pass.
        self.write(&declared).await.map(drop)
    }
}
