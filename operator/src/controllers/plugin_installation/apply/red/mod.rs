//! Leads RED, the development slot, last in a pass: looks at it, lets `crate::red` decide, and does what it says. Nothing that
//! is live depends on how that ends.

mod goal;
mod meters;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
    networking::v1::NetworkPolicy,
};
use kube::{Api, ResourceExt};
use plexica_crds::{
    PluginInstallation,
    condition::{ConditionType as _, Statement, Status},
    names::{PluginId, TenantSlug},
    period::Period,
    plugin_installation::{
        Light, PluginInstallationStatus, SlotStatus,
        conditions::{Outcome, Reason, Type},
    },
};

use super::{
    super::{
        Context,
        build::{self, red as declared},
        failure,
        model::Place,
        objects::{make, owned, remove},
        validate::{Facts, Wanted},
    },
    database::Access,
    rollout::Rollout,
    traffic::ready_since,
};
use crate::{
    red::{Action, Decision, Deployed, Goal, Look, Observed, Said, Shape, decide},
    runtime::{
        age::{Age, labelled},
        apply::apply_to,
        client::within,
    },
};
use goal::Means;
pub use meters::Meters;

/// How RED fares after a pass.
pub enum Led {
    /// There is none.
    Off,
    /// It could not be looked at or written: what is there stays.
    Failed(Outcome),
    /// It was led.
    Done {
        /// How.
        decision: Decision,
        /// Names of the configurations that it uses.
        uses: Vec<String>,
    },
}

/// Leads RED to what is wanted of it. `access` is what the pass has found of the plugin's database, if it came to that.
pub async fn lead(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: Option<&Wanted>,
    access: Option<&Access>,
    ctx: &Context,
) -> Led {
    let uid = installation.uid().unwrap_or_default();
    let led = async {
        if installation.spec.red.enabled {
            return led(&uid, installation, facts, wanted, access, ctx).await;
        }
        ctx.meters.forget(&uid);
        shut(&facts.place.slug, &facts.place.id, ctx).await.map(|()| Led::Off)
    };
    led.await.unwrap_or_else(Led::Failed)
}

/// Removes everything of RED's, unless it is known that nothing is there. Its Deployment is the first that is made and the last
/// that goes; one that is not known yet is told of by a watch, and a pass over it follows.
pub async fn shut(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    let (namespace, name) = (slug.namespace(), id.red_deployment());
    let namespace = namespace.as_str();
    if ctx.watched.deployments.lacks(namespace, name.as_str()) {
        return Ok(());
    }
    let selector = declared::selector(id);
    remove::<Service>(namespace, &selector, false, ctx).await?;
    remove::<NetworkPolicy>(namespace, &selector, false, ctx).await?;
    remove::<Deployment>(namespace, &selector, false, ctx).await
}

async fn led(
    uid: &str,
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: Option<&Wanted>,
    access: Option<&Access>,
    ctx: &Context,
) -> Result<Led, Outcome> {
    let place = &facts.place;
    let name = place.id.red_deployment();
    let deployment: Option<Deployment> = owned(place, name.as_str(), Age::Newest, ctx).await?;
    let (goal, means) = match goal::goal(installation, facts, wanted, access, ctx).await {
        Ok((goal, means)) => (goal, Some(means)),
        Err(goal) => (goal, None),
    };
    let deployed = match &deployment {
        Some(deployment) => Some(deployed(deployment, place, ctx).await?),
        None => None,
    };
    let look = match (&goal, &means, &deployed) {
        (Goal::Run { revision, idle_after }, Some(means), Some(is)) if is.revision == *revision && is_up(is) => {
            look(uid, idle_after, means, place, ctx).await?
        }
        _ => Look::Omitted {
            next: None,
            silent: None,
        },
    };
    let silent = match &look {
        Look::Omitted { next: _, silent } => silent.clone(),
        Look::Answered { .. } => None,
        Look::Silent(why) => Some(why.clone()),
    };
    let status = installation.status.as_ref();
    let carried_out = status.and_then(|status| status.requests.wake.as_deref());
    let asked = installation.annotations().get("plexica.io/wake").map(String::as_str);
    let wake = asked.filter(|asked| Some(*asked) != carried_out);
    let namespace = place.slug.namespace();
    let command = (place.id.as_str(), namespace.as_str());
    let named = deployed.as_ref().map(|is| is.revision.config_hash.clone());
    let observed = Observed { deployed, look };
    let decision = decide(&observed, &goal, wake, command, Timestamp::now());
    let hashes = match (&decision.action, &means) {
        (Action::Remove, _) => {
            ctx.meters.forget(uid);
            shut(&place.slug, &place.id, ctx).await?;
            vec![]
        }
        (Action::Shape(shape), Some(means)) => {
            ctx.meters.remember(uid, decision.next, silent);
            make_all(installation, place, shape, means, deployment.as_ref(), ctx).await?;
            vec![shape.revision.config_hash.clone()]
        }
        (Action::Leave | Action::Shape(_), _) => vec![],
    };
    let hashes = hashes.into_iter().chain(named);
    let uses = hashes.map(|hash| build::config_name(&place.id, &hash)).collect();
    Ok(Led::Done { decision, uses })
}

fn is_up(is: &Deployed) -> bool {
    is.size == 1 && matches!(is.pods, Outcome::Done(..))
}

async fn deployed(deployment: &Deployment, place: &Place, ctx: &Context) -> Result<Deployed, Outcome> {
    let spec = deployment.spec.as_ref();
    let size = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let namespace = place.slug.namespace();
    let selector = declared::selector(&place.id);
    let rollout = Rollout::seen(namespace.as_str(), selector, 1, (Some(deployment), false));
    let pods = if size == 1 {
        rollout.outcome(ctx).await?
    } else {
        Outcome::Waiting(Reason::PodsStarting, String::new())
    };
    Ok(Deployed {
        revision: declared::revision(deployment),
        size,
        ready: rollout.ready(),
        asleep_since: declared::asleep_since(deployment),
        pods,
    })
}

/// Asks the meter, unless RED cannot have been idle for long enough yet.
async fn look(
    uid: &str,
    idle_after: &Period,
    means: &Means<'_>,
    place: &Place,
    ctx: &Context,
) -> Result<Look, Outcome> {
    let now = Timestamp::now();
    if let Some(early) = ctx.meters.early(uid, now) {
        return Ok(early);
    }
    let api: Api<Pod> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    let pods = within(api.list(&labelled(&declared::selector(&place.id), Age::Any)))
        .await
        .map_err(|error| failure::of_api(&error))?;
    let stays = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let ready = stays.filter_map(|pod| Some((ready_since(pod)?, pod)));
    Ok(ctx
        .meters
        .ask(
            ready.max_by_key(|(since, _)| *since),
            means.meter.activity(),
            idle_after,
            now,
        )
        .await)
}

/// Makes everything of RED's as declared, its Deployment first, by which the rest is found; what is so is not written.
async fn make_all(
    installation: &PluginInstallation,
    place: &Place,
    shape: &Shape,
    means: &Means<'_>,
    live: Option<&Deployment>,
    ctx: &Context,
) -> Result<(), Outcome> {
    match &means.config {
        build::Config::Secret(secret) => ctx.revisions.made(place, make(secret, ctx).await?),
        build::Config::ConfigMap(map) => ctx.revisions.made(place, make(map, ctx).await?),
    }
    let policy = declared::red_policy(place, &means.providers, &ctx.platform, &ctx.namespace);
    let service = declared::red_service(place);
    let deployment = declared::deployment(
        installation,
        place,
        declared::InRed {
            shape,
            plugin: means.plugin,
            providers: &means.providers,
            config: means.config.volume(),
            credential: &means.credential.id,
            meter: means.meter,
        },
    );
    let api: Api<Deployment> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    apply_to(&api, &deployment.name_any(), live, &deployment)
        .await
        .map_err(|error| failure::of_api(&error))?;
    tokio::try_join!(make(&policy, ctx), make(&service, ctx)).map(drop)
}

impl Led {
    /// When it is to be looked at again, though nothing happens.
    pub fn next(&self) -> Option<Timestamp> {
        match self {
            Self::Off => None,
            Self::Failed(_) => Timestamp::now().checked_add(meters::AGAIN).ok(),
            Self::Done { decision, uses: _ } => decision.next,
        }
    }

    /// Names of the configurations that it uses; `None` if that is not known.
    pub fn uses(&self) -> Option<&[String]> {
        match self {
            Self::Off => Some(&[]),
            Self::Failed(_) => None,
            Self::Done { decision: _, uses } => Some(uses),
        }
    }

    /// Writes all of it into a status, and says it.
    pub fn write(&self, status: &mut PluginInstallationStatus, statements: &mut Vec<Statement>) {
        let type_ = Type::RedAvailable;
        match self {
            Self::Off => {
                (status.slots.red, status.lights.red) = (None, None);
                let name: &str = type_.into();
                status.conditions.retain(|condition| condition.type_ != name);
            }
            Self::Failed(outcome) => {
                let (Outcome::Done(reason, message)
                | Outcome::Waiting(reason, message)
                | Outcome::Blocked(reason, message)) = outcome;
                statements.push(type_.says(Status::False, *reason, message));
            }
            Self::Done { decision, uses: _ } => {
                let said = &decision.said;
                statements.push(type_.says(said.available, said.reason, &said.message));
                status.slots.red = slot_status(said);
                status.lights.red = light(said);
                if decision.woken_by.is_some() {
                    status.requests.wake.clone_from(&decision.woken_by);
                }
            }
        }
    }
}

fn slot_status(said: &Said) -> Option<SlotStatus> {
    said.revision.as_ref().map(|revision| SlotStatus {
        light: Some(Light::Red),
        version: revision.version.clone(),
        config_hash: revision.config_hash.clone(),
        ready: said.ready,
        desired: said.desired,
        ready_since: None,
        message: Some(said.message.clone()),
    })
}

/// For people, such as `2.0.0-rc.1 1/1`.
fn light(said: &Said) -> Option<String> {
    let revision = said.revision.as_ref()?;
    let how = match (said.reason, said.ready, said.desired) {
        (Reason::Asleep, ..) => "asleep".to_owned(),
        (_, _, 0) => "not started".to_owned(),
        (_, ready, desired) => format!("{ready}/{desired}"),
    };
    Some(format!("{} {how}", revision.version))
}
