//! Makes everything of an installation, step by step. A step that fails leaves the later ones, and what runs, as it is.

mod configuration;
mod credential;
mod database;
mod dependencies;
mod migrations;
mod red;
mod rollout;
mod route;
pub mod shared;
mod traffic;
mod workload;

use kube::ResourceExt;
use plexica_crds::{
    PluginInstallation,
    names::{PluginId, Slot, TenantSlug},
    plugin::Sharing,
    plugin_installation::{
        conditions::{Outcome, Reason, Type},
        configuration::Configuration,
    },
};

use super::{
    Context,
    build::{Destination, shared::Release},
    dereference::running_version,
    record,
    status::{Findings, Steps},
    validate::{Running, Wanted},
};
use crate::backends::Credential;
use database::Access;
use workload::Deployed;

pub use red::{Led, Meters};
pub use traffic::{Probes, Traffic, is_asked_to_switch, is_misled};

/// Makes or stops everything, and says how each step fares.
pub async fn apply(installation: &PluginInstallation, wanted: &Wanted, ctx: &Context) -> Findings {
    let mut steps = Steps::resolved(wanted);
    let mut access = None;
    match wanted.runs {
        Running::Yes => {
            // The first failure is in the steps; those after it were not reached.
            let _ = run(installation, wanted, &mut access, &mut steps, ctx).await;
        }
        Running::Disabled | Running::Suspended => stop(wanted, &mut steps, ctx).await,
    }
    let uid = installation.uid().unwrap_or_default();
    let recorded = record::write(installation, wanted, &steps, ctx);
    if let Err(outcome) = ctx.in_hand.giving_way(&uid, recorded).await {
        steps.registry = Some(outcome);
    }
    if wanted.runs == Running::Yes {
        let red = red::lead(installation, wanted, access.as_ref(), ctx).await;
        forget_configurations(wanted, &red, &mut steps, ctx).await;
        steps.red = Some(red);
    }
    Findings::Applied(Box::new(steps))
}

/// Removes the configurations that neither the slots that take turns at being live use, nor RED.
async fn forget_configurations(wanted: &Wanted, red: &Led, steps: &mut Steps, ctx: &Context) {
    let (Some(used), Some(of_red)) = (&steps.configurations, red.uses()) else {
        return;
    };
    let used = [used, of_red].concat();
    if let Err(outcome) = workload::forget_configurations(wanted, &used, ctx).await {
        steps.say(Type::Deployed, outcome);
    }
}

/// Does the switch that a person asks for, if it can be done at once.
///
/// # Errors
/// It could not be written.
pub async fn switch_at_once(installation: &PluginInstallation, wanted: &Wanted, ctx: &Context) -> Result<(), Outcome> {
    match wanted.plugin.spec.runtime.sharing {
        Sharing::Dedicated => traffic::at_once(installation, wanted, ctx).await,
        Sharing::Shared => Ok(()),
    }
}

/// Nothing new can be chosen: what is live goes on being led, and how it fares is told beside that.
pub async fn go_on(installation: &PluginInstallation, live: &Wanted, why: Outcome, ctx: &Context) -> Findings {
    let mut steps = Steps::unresolved(live, why);
    let led = traffic::go_on(installation, live, &mut steps, ctx).await;
    // Either way it is told.
    let _ = steps.take(Type::Promoted, led);
    steps.red = Some(red::lead(installation, live, None, ctx).await);
    Findings::Applied(Box::new(steps))
}

/// A step failed, and said so.
struct Failed;

async fn run(
    installation: &PluginInstallation,
    wanted: &Wanted,
    reached: &mut Option<Access>,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Failed> {
    let is_dedicated = wanted.plugin.spec.runtime.sharing == Sharing::Dedicated;
    if is_dedicated {
        // Where requests go comes first, and depends on no backend.
        let led = traffic::go_on(installation, wanted, steps, ctx).await;
        steps.take(Type::Promoted, led)?;
    }
    let outcome = dependencies::add(wanted, ctx).await;
    steps.end(Type::DependenciesSatisfied, outcome)?;
    let configuration = configuration::read(installation, &wanted.slug, (&wanted.plugin, &wanted.manifest), ctx).await;
    let configuration = steps.take(Type::ConfigurationValid, configuration)?;
    steps.done(
        Type::ConfigurationValid,
        Reason::ConfigurationAccepted,
        "the plugin's schema admits it",
    );
    steps.configuration = Some(configuration.without_secrets());
    migrations::none_is_under_way(installation, steps, ctx)?;
    let uid = installation.uid().unwrap_or_default();
    let access = ctx.in_hand.giving_way(&uid, database::provision(wanted, ctx)).await;
    let access = reached.insert(steps.take(Type::DatabaseReady, access)?);
    migrations::expand(installation, wanted, access, steps, ctx).await?;
    migrations::contract(installation, wanted, access, steps, ctx).await;
    let seeded = ctx.in_hand.giving_way(&uid, database::seed(wanted, ctx)).await;
    steps.take(Type::DatabaseReady, seeded)?;
    let schema = wanted.slug.plugin_schema(&wanted.id);
    let place = format!(
        "schema {schema} in pool {}, Secret {}",
        wanted.postgres_pool,
        wanted.id.database_secret()
    );
    steps.done(Type::DatabaseReady, Reason::Provisioned, &place);
    let deployed = deploy(installation, wanted, &configuration, &access.credential, steps, ctx).await;
    let deployed = steps.take(Type::Deployed, deployed)?;
    // While pods are replaced one by one, what is live goes on being reached; but pods of a release for all tenants that do
    // not know this one yet are ready for others.
    let serves = deployed.is_complete() || is_dedicated && deployed.ready > 0;
    steps.slot = deployed.shared;
    let ended = steps.end(Type::Deployed, deployed.outcome);
    if serves {
        let has_yellow = steps.traffic.as_ref().is_some_and(Traffic::has_yellow);
        let live = steps.traffic.as_ref().map_or(Slot::A, Traffic::slot);
        let to = route::destination(installation, wanted, live);
        let routed = route::lead(wanted, to, has_yellow, ctx).await;
        let is_there = routed.wait.is_none() && matches!(routed.outcome, Outcome::Done(..));
        if to == Destination::LiveService && is_there {
            steps.take(Type::Routed, route::forget_slots(wanted, ctx).await)?;
        }
        steps.url = routed.url;
        steps.route_wait = routed.wait;
        steps.say(Type::Routed, routed.outcome);
    }
    ended
}

/// Takes the route and the pods of a plugin away: first nobody is led there, then nobody is there.
pub async fn shut(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    route::remove(slug, id, ctx).await?;
    workload::stop(slug, id, ctx).await?;
    red::shut(slug, id, ctx).await?;
    shared::leave(slug, id, None, ctx).await
}

/// Makes the pods, and ends those of the other way to run a plugin once they serve.
async fn deploy(
    installation: &PluginInstallation,
    wanted: &Wanted,
    configuration: &Configuration,
    access: &Credential,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<Deployed, Outcome> {
    let plugin = &wanted.plugin;
    let changes = running_version(installation).is_none_or(|running| running.to_string() != plugin.spec.version);
    match plugin.spec.runtime.sharing {
        Sharing::Dedicated => {
            let deployed = workload::deploy(installation, wanted, configuration, access, steps, ctx).await?;
            if changes && deployed.is_complete() {
                shared::leave(&wanted.slug, &wanted.id, None, ctx).await?;
            }
            Ok(deployed)
        }
        Sharing::Shared => {
            let namespace = shared::namespace(plugin, ctx)?;
            let deployed = shared::deploy(wanted, namespace, configuration, access, ctx).await?;
            if changes && deployed.is_complete() {
                let release = Release::new(namespace, plugin);
                shared::leave(&wanted.slug, &wanted.id, Some(&release), ctx).await?;
                shared::forget_own(wanted, ctx).await?;
            }
            Ok(deployed)
        }
    }
}

async fn stop(wanted: &Wanted, steps: &mut Steps, ctx: &Context) {
    let stopped = async {
        shut(&wanted.slug, &wanted.id, ctx).await?;
        if wanted.runs == Running::Disabled {
            return Ok(Outcome::Done(
                Reason::Disabled,
                "spec.enabled is false; data is kept".to_owned(),
            ));
        }
        // The tenant's own pass has shut all plugins; a pass of this one that began before may have opened it again.
        database::revoke(wanted, ctx).await?;
        Ok(Outcome::Done(
            Reason::TenantSuspended,
            format!("tenant {} is shut; data is kept", wanted.slug),
        ))
    };
    let outcome = stopped.await;
    steps.stopped = outcome.is_ok();
    let outcome = outcome.unwrap_or_else(|outcome| outcome);
    steps.say(Type::Routed, route::without(&outcome, ctx));
    // Either way it is told.
    let _ = steps.end(Type::Deployed, outcome);
}

impl Steps {
    /// What a step made, or its failure, which ends the pass.
    fn take<T>(&mut self, type_: Type, result: Result<T, Outcome>) -> Result<T, Failed> {
        result.map_err(|outcome| {
            self.say(type_, outcome);
            Failed
        })
    }

    fn done(&mut self, type_: Type, reason: Reason, message: &str) {
        self.say(type_, Outcome::Done(reason, message.to_owned()));
    }

    /// How a step ended; whatever is not done ends the pass.
    fn end(&mut self, type_: Type, outcome: Outcome) -> Result<(), Failed> {
        let done = matches!(outcome, Outcome::Done(..));
        self.say(type_, outcome);
        if done { Ok(()) } else { Err(Failed) }
    }
}
