//! A pass over an installation that is to exist: stop what is not to run, else care for what runs, and then deliver what is wanted
//! next. Each fails for itself, in this order; nothing of a later one holds up an earlier one.

mod configuration;
mod credential;
mod database;
mod deliver;
mod dependencies;
mod migrations;
mod next;
mod red;
mod rollout;
mod route;
mod schema;
mod serve;
pub mod shared;
pub mod steps;
mod stop;
mod traffic;
mod workload;

use kube::ResourceExt;
use plexica_crds::{
    PluginInstallation,
    plugin_installation::conditions::{Outcome, Type},
};

use super::{
    Context,
    dereference::running_version,
    record,
    validate::{Facts, Wanted},
};
use serve::Standing;

pub use red::{Led, Meters};
pub use steps::{Steps, is_done};
pub use stop::shut;
pub use traffic::{Probes, Traffic, is_asked_to_switch, is_misled};

/// Stops, or serves and delivers, and says how each step fares. What was `chosen` decides about delivery alone. `leaving` is why an
/// installation in deletion is still there: nothing new is delivered to it.
pub async fn apply(
    installation: &PluginInstallation,
    facts: &Facts,
    chosen: Result<&Wanted, &Outcome>,
    leaving: Option<Outcome>,
    ctx: &Context,
) -> Steps {
    let mut steps = Steps::new(facts, chosen, leaving);
    if let Some(why) = facts.stop {
        stop::stop(facts, why, &mut steps, ctx).await;
        tell_registry(installation, facts, chosen, &mut steps, ctx).await;
        return steps;
    }
    let wanted = chosen.ok();
    // To what leaves nothing new is delivered, a candidate that is there already among it.
    let next = wanted.filter(|_| steps.leaving.is_none());
    let mut standing = serve::serve(installation, facts, next, &mut steps, ctx).await;
    if let (Some(wanted), Some(standing), None) = (wanted, &mut standing, &steps.leaving) {
        // The first failure is in the steps; those after it were not reached.
        let _ = deliver::deliver(installation, facts, wanted, standing, &mut steps, ctx).await;
    }
    serve::tell_of_pods(facts, wanted, &mut steps, ctx).await;
    tell_registry(installation, facts, chosen, &mut steps, ctx).await;
    let access = standing.as_ref().and_then(|standing| standing.access.as_ref());
    let red = red::lead(installation, facts, wanted, access, ctx).await;
    if let Some(standing) = &standing {
        forget_unused(facts, standing, &red, &mut steps, ctx).await;
    }
    steps.red = Some(red);
    steps
}

async fn tell_registry(
    installation: &PluginInstallation,
    facts: &Facts,
    chosen: Result<&Wanted, &Outcome>,
    steps: &mut Steps,
    ctx: &Context,
) {
    let running = running_version(installation).map(|version| version.to_string());
    let version = match chosen {
        Ok(wanted) => &wanted.plugin.spec.version,
        // What is switched off is told as such, whatever comes next.
        Err(_) => match running.as_ref().filter(|_| steps.stopped) {
            Some(running) => running,
            None => return,
        },
    };
    let uid = installation.uid().unwrap_or_default();
    let recorded = record::write(installation, &facts.place, version, steps, ctx);
    if let Err(outcome) = ctx.in_hand.giving_way(&uid, recorded).await {
        steps.registry = Some(outcome);
    }
}

/// Removes revisions and configurations that nobody runs, nor may run. Not before all that is wanted was reached and pods are as
/// wanted: one that restarts needs its own.
async fn forget_unused(facts: &Facts, standing: &Standing, red: &Led, steps: &mut Steps, ctx: &Context) {
    let (Some(traffic), Some(of_red), true) = (&steps.traffic, red.uses(), steps.delivered) else {
        return;
    };
    if traffic.replaces_pods || standing.set.has_unknown() {
        return;
    }
    let forgotten = workload::forget_unused(facts, &standing.set, traffic, of_red, ctx).await;
    if let Err(outcome) = forgotten {
        steps.say(Type::Deployed, outcome);
    }
}

/// Does the switch that a person asks for, if it can be done at once; whether it was written.
///
/// # Errors
/// It could not be written.
pub async fn switch_at_once(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: Option<&Wanted>,
    ctx: &Context,
) -> Result<bool, Outcome> {
    traffic::at_once(installation, facts, wanted, ctx).await
}
