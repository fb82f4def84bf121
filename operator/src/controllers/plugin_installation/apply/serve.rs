//! Care of what runs: where requests go, pods, policy, route, and what the plugin has in the database. It knows what runs and at
//! which size. Of what is to come next it knows nothing, so that nothing of that can hold it up; each part fails for itself.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use plexica_crds::{
    PluginInstallation,
    names::Slot,
    plugin_installation::conditions::{Outcome, Reason, Type},
};
use strum::IntoEnumIterator as _;

use super::{
    credential,
    database::{self, Access},
    migrations, next,
    rollout::Rollout,
    route::{self, Paths},
    steps::Steps,
    traffic::{self, Served, Traffic},
};
use crate::{
    backends::postgres::plugin::Surplus,
    controllers::plugin_installation::{
        Context,
        build::{self, Destination},
        dereference::running_version,
        model::{Needs, RunningSet},
        objects::make,
        providers::providers,
        remember,
        revisions::running_set,
        validate::{Facts, Wanted},
    },
};

/// What stands for what runs: what comes next is added to it.
#[derive(Default)]
pub struct Standing {
    /// What runs or may run.
    pub set: RunningSet,
    /// What it needs; `None` if nothing runs.
    pub needs: Option<Needs>,
    /// The Secret that its pods log in with, as it was before that.
    pub secret: Option<Secret>,
    /// What the plugin has of its database; `None` if that is not known: nothing runs, or it was told why.
    pub access: Option<Access>,
}

/// Cares for what is live, for a candidate and a standby; does nothing before something is live that is the tenant's own. `wanted`
/// is what was chosen, if something could be: a candidate that is not wanted any more does not go live. `None` if it could not be
/// seen what runs, which was said: then nothing is to be changed by what it is thought to need.
pub async fn serve(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: Option<&Wanted>,
    steps: &mut Steps,
    ctx: &Context,
) -> Option<Standing> {
    let served = match Served::now(installation, facts, ctx).await {
        Ok(Some(served)) => served,
        Ok(None) => {
            return Some(Standing {
                set: not_served_here(installation, facts, ctx),
                ..Standing::default()
            });
        }
        Err(outcome) => {
            steps.say(Type::Promoted, outcome);
            return None;
        }
    };
    // Pods keep the credential that they have while it is not known whether there is another one.
    let secret = credential::of_pods(&facts.place, ctx).await.ok().flatten();
    let credential = secret.as_ref().and_then(credential::held).map(|held| held.id);
    let led = traffic::go_on(
        installation,
        facts,
        &served,
        wanted,
        credential.as_deref(),
        &mut steps.written,
        ctx,
    );
    let (memory, kept) = match led.await {
        Ok((traffic, kept)) => {
            let memory = traffic.memory.clone();
            steps.traffic = Some(traffic);
            (memory, kept)
        }
        Err(outcome) => {
            steps.say(Type::Promoted, outcome);
            (served.memory.clone(), Ok(()))
        }
    };
    let observed = steps.traffic.as_ref().map(|traffic| &traffic.seen.observed);
    let members = RunningSet::members(&memory, observed, remember::prepared(installation).as_ref());
    let set = match running_set(facts, members, ctx).await {
        Ok(set) => set,
        Err(outcome) => {
            steps.say(Type::Promoted, outcome);
            return None;
        }
    };
    // What comes next is given what it needs before it is begun, and it stays given while that is held up.
    let needs = match wanted.filter(|wanted| !next::is_rejected(installation, facts, wanted)) {
        Some(wanted) => next::beside(&set, wanted).needs(),
        None => set.needs(),
    };
    let policed = police(installation, facts, &needs, ctx).await;
    if let Err(outcome) = kept.and(policed) {
        steps.not_kept = Some(outcome);
    }
    if let (Some(live), Some(paths)) = (memory.live, Paths::of(&set, &memory)) {
        lead_route(facts, &paths, &route::destination(installation, live), steps, ctx).await;
    }
    let size = served.size(installation);
    let access = provide(installation, facts, &needs, size, secret.as_ref(), steps, ctx).await;
    if access
        .as_ref()
        .is_some_and(|access| Some(&access.credential.id) != credential.as_ref())
    {
        // Pods are told of the new one.
        steps.look_again = Some(Duration::ZERO);
    }
    Some(Standing {
        set,
        needs: Some(needs),
        secret,
        access,
    })
}

/// What runs though nothing is remembered to be live that is the tenant's own: a release for all tenants, or what was forgotten.
fn not_served_here(installation: &PluginInstallation, facts: &Facts, ctx: &Context) -> RunningSet {
    let running = running_version(installation).map(|version| version.to_string());
    if let Some(plugin) = running.as_ref().and_then(|version| facts.release(version)) {
        return next::unrendered(RunningSet::default(), plugin, &providers(plugin, &facts.installed));
    }
    let namespace = facts.place.slug.namespace();
    let is_there = |slot: Slot| {
        let name = facts.place.id.deployment(slot);
        !ctx.watched.deployments.lacks(namespace.as_str(), name.as_str())
    };
    if running.is_some() || Slot::iter().any(is_there) {
        RunningSet::unknown()
    } else {
        RunningSet::default()
    }
}

/// Makes the policy: pods reach what any revision of those that run needs. While it is not known what one needs, they also reach all
/// plugins that the tenant has.
pub async fn police(
    installation: &PluginInstallation,
    facts: &Facts,
    needs: &Needs,
    ctx: &Context,
) -> Result<(), Outcome> {
    let mut providers = needs.providers.clone();
    if needs.surplus == Surplus::Kept {
        let others = facts
            .installed
            .iter()
            .filter(|id| **id != facts.place.id && !needs.providers.contains(id));
        providers.extend(others.cloned());
        providers.sort();
    }
    let is_probed = installation.spec.promotion.probe.is_some();
    let probed_from = is_probed.then_some(ctx.namespace.as_str());
    let policy = build::network_policy(&facts.place, &providers, &ctx.platform, probed_from);
    make(&policy, ctx).await.map(drop)
}

/// Leads the Gateway's route to what is live, and says how that fares.
pub async fn lead_route(facts: &Facts, paths: &Paths, to: &Destination, steps: &mut Steps, ctx: &Context) {
    let has_yellow = steps.traffic.as_ref().is_some_and(Traffic::has_yellow);
    let routed = route::lead(&facts.place, paths, to, has_yellow, ctx).await;
    let is_there = routed.wait.is_none() && matches!(routed.outcome, Outcome::Done(..));
    let mut outcome = routed.outcome;
    if !matches!(to, Destination::Slot(_))
        && is_there
        && let Err(why) = route::forget_slots(&facts.place, ctx).await
    {
        outcome = why;
    }
    steps.url = routed.url;
    steps.route_wait = routed.wait;
    steps.say(Type::Routed, outcome);
}

/// Makes what revisions need together of the database; says why not, if so. While migrations run, the database is left alone.
pub async fn provide(
    installation: &PluginInstallation,
    facts: &Facts,
    needs: &Needs,
    size: i32,
    secret: Option<&Secret>,
    steps: &mut Steps,
    ctx: &Context,
) -> Option<Access> {
    let uid = installation.uid().unwrap_or_default();
    let (place, spec) = (&facts.place, database::spec(&facts.place, needs, installation, size));
    if migrations::under_way(installation, ctx).is_some() {
        let renewed = database::renew_if_lost(place, &spec, ctx);
        match ctx.in_hand.giving_way(&uid, renewed).await {
            Ok(true) => steps.look_again = Some(Duration::ZERO),
            Ok(false) => {}
            Err(outcome) => steps.say(Type::DatabaseReady, outcome),
        }
        return None;
    }
    let provided = async {
        let access = database::provision(place, &spec, secret, ctx).await?;
        database::seed(place, needs, ctx).await?;
        Ok(access)
    };
    match ctx.in_hand.giving_way(&uid, provided).await {
        Ok(access) => {
            let schema = place.slug.plugin_schema(&place.id);
            let secret = place.id.database_secret();
            let said = format!("schema {schema} in pool {}, Secret {secret}", place.postgres_pool);
            steps.say(Type::DatabaseReady, Outcome::Done(Reason::Provisioned, said));
            Some(access)
        }
        Err(outcome) => {
            steps.say(Type::DatabaseReady, outcome);
            None
        }
    }
}

/// Says how the pods fare that are live, or are to be the first.
pub async fn tell_of_pods(facts: &Facts, wanted: Option<&Wanted>, steps: &mut Steps, ctx: &Context) {
    let not_kept = steps.not_kept.take();
    let is_shared = steps.slot.is_some();
    let Some(traffic) = steps.traffic.as_mut().filter(|_| !is_shared) else {
        if let Some(outcome) = not_kept {
            steps.say(Type::Deployed, outcome);
        }
        return;
    };
    let (namespace, slot) = (facts.place.slug.namespace(), traffic.slot());
    let selector = build::slot_selector(&facts.place.id, slot);
    let live = traffic.seen.deployments.of(slot).as_ref();
    let is_live = traffic.memory.live.is_some();
    let rollout = Rollout::seen(namespace.as_str(), selector, traffic.size, (live, is_live));
    let mut outcome = match rollout.outcome(ctx).await {
        Ok(outcome) | Err(outcome) => outcome,
    };
    traffic.replaces_pods = !rollout.is_complete();
    let beside = traffic.live_version().zip(wanted);
    let beside = beside.and_then(|(live, wanted)| migrations::applied_beside(live, &wanted.plugin, &facts.releases));
    if let (Some(migration), Some(wanted), Outcome::Waiting(_, said) | Outcome::Blocked(_, said), 0) =
        (beside, wanted, &mut outcome, rollout.ready())
    {
        let next = &wanted.plugin.spec.version;
        *said = format!("{said}; {migration} of {next} was applied while they served: see whether that is why");
    }
    steps.say(Type::Deployed, not_kept.unwrap_or(outcome));
}
