//! PluginInstallations: a spec that breaks rules by itself, a configuration that the chosen release does not take, and the end
//! of one that others need.

use std::sync::Arc;

use kube::{
    Resource, ResourceExt,
    core::admission::{AdmissionRequest, Operation},
};
use plexica_crds::{PluginInstallation, names::TenantSlug};
use plexica_operator::{
    controllers::plugin_installation::{
        Caches, World,
        admission::{Judgement, judge, needed_first, newly_broken, unchecked},
    },
    runtime::controller::Root,
};

use super::{Decided, Verdict};
use crate::cluster::{Cluster, Unread};

type Request = AdmissionRequest<Root<PluginInstallation>>;

impl Decided for PluginInstallation {
    async fn decide(request: &Request, cluster: &Cluster) -> Result<Verdict, Unread> {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let Some(slug) = Caches::slug_of(namespace) else {
            return Ok(Verdict::Allowed);
        };
        match request.operation {
            Operation::Create | Operation::Update => store(request, slug, cluster).await,
            Operation::Delete => remove(request, slug, cluster).await,
            Operation::Connect => Ok(Verdict::Allowed),
        }
    }
}

async fn store(request: &Request, slug: TenantSlug, cluster: &Cluster) -> Result<Verdict, Unread> {
    // What does not decode is told by a pass, with the field.
    let Some(mut wanted) = decoded(request.object.as_ref()) else {
        return Ok(Verdict::Allowed);
    };
    let before = decoded(request.old_object.as_ref());
    if let Some(verdict) = by_itself(before.as_ref(), &wanted) {
        return Ok(verdict);
    }
    wanted.meta_mut().namespace = Some(slug.namespace().to_string());
    let Some(mut world) = world(slug, cluster).await? else {
        return Ok(Verdict::Allowed);
    };
    let name = wanted.name_any();
    world.installations.retain(|other| other.name_any() != name);
    world
        .installations
        .push(Arc::new(kube::core::DeserializeGuard(Ok(wanted.clone()))));
    Ok(
        match judge(&wanted, &world, &unchecked(cluster.releases()), cluster.overrides()) {
            Judgement::Taken => Verdict::Allowed,
            Judgement::Open(why) => Verdict::Warned(format!("stored, but not carried out yet: {why}")),
            Judgement::Refused(outcome) => Verdict::refused(outcome),
        },
    )
}

/// What can be said without looking at anything else; `None` if the configuration has to be judged.
fn by_itself(before: Option<&PluginInstallation>, wanted: &PluginInstallation) -> Option<Verdict> {
    if wanted.meta().deletion_timestamp.is_some() {
        return Some(Verdict::Allowed);
    }
    let refused = newly_broken(before, wanted).map(Verdict::refused);
    let is_alike = before.is_some_and(|before| is_judged_alike(before, wanted));
    refused.or_else(|| is_alike.then_some(Verdict::Allowed))
}

/// Whether a change leaves alone what the judgement depends on: then it makes nothing worse, and what is wrong already
/// must not be in the way of another repair.
fn is_judged_alike(old: &PluginInstallation, new: &PluginInstallation) -> bool {
    let inputs = |installation: &PluginInstallation| {
        let spec = &installation.spec;
        (
            spec.version.clone(),
            spec.update_policy,
            spec.config.clone(),
            spec.config_from.clone(),
        )
    };
    inputs(old) == inputs(new)
}

async fn remove(request: &Request, slug: TenantSlug, cluster: &Cluster) -> Result<Verdict, Unread> {
    let Some(installation) = decoded(request.old_object.as_ref()) else {
        return Ok(Verdict::Allowed);
    };
    if installation.meta().deletion_timestamp.is_some() {
        return Ok(Verdict::Allowed);
    }
    let namespace = slug.namespace();
    let Some(world) = world(slug, cluster).await? else {
        return Ok(Verdict::Allowed);
    };
    let Some(outcome) = needed_first(&installation, &world) else {
        return Ok(Verdict::Allowed);
    };
    // A namespace that goes takes all of them along, in any order.
    let live = cluster.namespace(namespace.as_str()).await?;
    if live.is_none_or(|meta| meta.deletion_timestamp.is_some()) {
        return Ok(Verdict::Allowed);
    }
    Ok(Verdict::refused(outcome))
}

fn decoded(object: Option<&Root<PluginInstallation>>) -> Option<PluginInstallation> {
    object.and_then(|guard| guard.0.as_ref().ok().cloned())
}

/// What concerns the installations of a tenant; nothing if there is no such tenant (yet).
async fn world(slug: TenantSlug, cluster: &Cluster) -> Result<Option<World>, Unread> {
    let Some(tenant) = cluster.tenant(&slug).await? else {
        return Ok(None);
    };
    let mut installations = cluster.installations_in(slug.namespace().as_str()).await?;
    installations.retain(|guard| guard.0.is_ok());
    Ok(Some(World::new(tenant, slug, installations, cluster.releases())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn installation(spec: &Value) -> PluginInstallation {
        serde_json::from_value(json!({ "metadata": { "name": "notes" }, "spec": spec })).unwrap()
    }

    #[test]
    fn a_spec_that_breaks_a_rule_is_refused_unless_it_did_already_or_the_object_goes() {
        let broken = installation(&json!({ "config": { "host": "a\0" } }));
        let refusal = Verdict::Refused {
            reason: "InvalidSpec",
            message: "spec.config.host: must not contain U+0000, which PostgreSQL cannot store".to_owned(),
        };
        let sound = installation(&json!({}));
        assert_eq!(by_itself(None, &broken), Some(refusal.clone()));
        assert_eq!(by_itself(Some(&sound), &broken), Some(refusal));

        // Metadata and other fields of what was stored so can be changed, and it can be repaired.
        let mut other = installation(&json!({ "config": { "host": "a\0" }, "enabled": false }));
        other.metadata.finalizers = Some(vec!["example.com/held".to_owned()]);
        assert_eq!(by_itself(Some(&broken), &other), Some(Verdict::Allowed));
        assert_eq!(by_itself(Some(&broken), &sound), None, "its configuration is judged");

        let mut going = broken;
        going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-12-01T00:00:00Z")).unwrap());
        assert_eq!(by_itself(Some(&sound), &going), Some(Verdict::Allowed));
    }

    #[test]
    fn a_change_is_judged_only_if_it_concerns_the_configuration() {
        let old = installation(&json!({ "config": { "depth": "deep" } }));
        for (spec, alike) in [
            (
                json!({ "config": { "depth": "deep" }, "enabled": false, "replicas": 3 }),
                true,
            ),
            (json!({ "config": { "depth": "deeper" } }), false),
            (json!({ "config": { "depth": "deep" }, "version": "^2" }), false),
            (
                json!({ "config": { "depth": "deep" }, "updatePolicy": "Manual" }),
                false,
            ),
            (
                json!({ "config": { "depth": "deep" }, "configFrom": [{ "pointer": "/token", "secretKeyRef": { "name": "s", "key": "k" } }] }),
                false,
            ),
        ] {
            assert_eq!(is_judged_alike(&old, &installation(&spec)), alike, "{spec}");
        }
    }
}
