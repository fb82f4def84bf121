//! RED, the development slot: its Deployment, its Service and its NetworkPolicy. No selector of another slot names its pods.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentStrategy},
        core::v1::{Service, Volume},
        networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicySpec},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::ResourceExt;
use plexica_crds::{
    Plugin, PluginInstallation,
    names::{ObjectName, PluginId},
};

use super::{
    ANNOTATION_CONFIG, ANNOTATION_CREDENTIAL, CONFIG_FOLDER, LABEL_PLUGIN, LABEL_SLOT, LABEL_VERSION, meta,
    meter::{ACTIVITY_PORT, Meter},
    network::{operator, port, service, to_providers},
    pods::{self, Pods},
    variables,
};
use crate::{controllers::plugin_installation::model::Place, platform::Platform, promotion::Revision, red::Shape};

/// The slot, as labels and `PLEXICA_SLOT` name it.
pub const RED: &str = "red";
/// Annotation of RED's Deployment: since when it sleeps.
const ANNOTATION_ASLEEP: &str = "plexica.io/asleep-since";

/// What RED runs.
pub struct InRed<'a> {
    /// What its Deployment is to be.
    pub shape: &'a Shape,
    /// The release of that revision.
    pub plugin: &'a Plugin,
    /// The plugins that it is told the addresses of.
    pub providers: &'a [PluginId],
    /// What it is configured by.
    pub config: Volume,
    /// The id of the credential that it logs in with.
    pub credential: &'a str,
    /// What stands in front of it.
    pub meter: Meter<'a>,
}

/// What all objects of RED bear.
pub fn selector(id: &PluginId) -> String {
    format!("{LABEL_PLUGIN}={id},{LABEL_SLOT}={RED}")
}

fn labels(place: &Place) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_PLUGIN.to_owned(), place.id.to_string()),
        (LABEL_SLOT.to_owned(), RED.to_owned()),
    ])
}

fn meta_of(place: &Place, name: &ObjectName) -> ObjectMeta {
    let mut metadata = meta(place, name);
    metadata.labels.get_or_insert_default().extend(labels(place));
    metadata
}

/// The Deployment: one pod, or none while it sleeps.
pub fn deployment(installation: &PluginInstallation, place: &Place, inside: InRed<'_>) -> Deployment {
    let InRed {
        shape,
        plugin,
        providers,
        config,
        credential,
        meter,
    } = inside;
    let spec = &installation.spec;
    let mut variables = variables::of_process(plugin, &place.id);
    variables.push(variables::slot(RED));
    variables.push(variables::connections(plugin.spec.database.connections));
    variables.extend(variables::of_tenant(place, providers));
    let mut metadata = meta_of(place, &place.id.red_deployment());
    metadata.annotations = shape
        .asleep_since
        .map(|since| [(ANNOTATION_ASLEEP.to_owned(), since.to_string())].into());
    let template = pods::template(&Pods {
        metadata: metadata.clone(),
        selected: labels(place),
        plugin,
        resources: spec.resources.as_ref().unwrap_or(&plugin.spec.runtime.resources),
        annotations: BTreeMap::from([
            (ANNOTATION_CREDENTIAL.to_owned(), credential.to_owned()),
            (ANNOTATION_CONFIG.to_owned(), shape.revision.config_hash.clone()),
        ]),
        variables,
        files: config,
        folder: CONFIG_FOLDER,
        meter: Some(meter),
    });
    let replicas = i32::from(shape.asleep_since.is_none());
    let deadline = spec.promotion.progress_deadline.value();
    let mut deployment = pods::deployment(metadata, labels(place), replicas, deadline, template);
    if let Some(spec) = &mut deployment.spec {
        // One at all: of two meters each would count a part.
        spec.strategy = Some(DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            rolling_update: None,
        });
    }
    deployment
}

/// Since when the Deployment says that it sleeps.
pub fn asleep_since(deployment: &Deployment) -> Option<Timestamp> {
    deployment.annotations().get(ANNOTATION_ASLEEP)?.parse().ok()
}

/// What the Deployment is told to run.
pub fn revision(deployment: &Deployment) -> Revision {
    let spec = deployment.spec.as_ref();
    let template = spec.and_then(|spec| spec.template.metadata.clone()).unwrap_or_default();
    let text = |map: Option<BTreeMap<String, String>>, key: &str| map.and_then(|mut map| map.remove(key));
    Revision {
        version: text(template.labels, LABEL_VERSION).unwrap_or_default(),
        config_hash: text(template.annotations, ANNOTATION_CONFIG).unwrap_or_default(),
    }
}

/// The Service that reaches RED, and nothing else; while it sleeps it reaches nobody.
pub fn red_service(place: &Place) -> Service {
    let name = place.id.red_service();
    Service {
        metadata: meta_of(place, &name),
        ..service(place, &name, labels(place))
    }
}

/// What RED's pod may do beside what all of the plugin's may: it reaches the plugins that its own release needs, and the
/// operator reaches its meter.
pub fn red_policy(place: &Place, providers: &[PluginId], platform: &Platform, namespace: &str) -> NetworkPolicy {
    let egress = to_providers(providers, platform).map(|rule| vec![rule]);
    let types = ["Ingress"].into_iter().chain(egress.as_ref().map(|_| "Egress"));
    NetworkPolicy {
        metadata: meta_of(place, &place.id.red_deployment()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(labels(place)),
                ..LabelSelector::default()
            }),
            policy_types: Some(types.map(str::to_owned).collect()),
            egress,
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(vec![port("TCP", IntOrString::String(ACTIVITY_PORT.to_owned()))]),
                from: Some(vec![operator(namespace)]),
            }]),
        }),
    }
}

#[cfg(test)]
#[path = "red_tests.rs"]
mod tests;
