//! What leads to the pods of an installation, and what they may reach.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        networking::v1::{
            NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
            NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use plexica_crds::{
    LABEL_TENANT,
    names::{ObjectName, PluginId, Slot},
};

use super::{ANNOTATION_LIVE, LABEL_PLUGIN, PORT, SERVICE_PORT, meta, slot_labels};
use crate::{controllers::plugin_installation::model::Place, platform::Platform};

/// Label that Kubernetes itself gives to every namespace: its name.
const LABEL_NAMESPACE: &str = "kubernetes.io/metadata.name";

/// Label of the operator's pods: the chart's.
const OPERATOR: (&str, &str) = ("app.kubernetes.io/name", "plexica-operator");

/// The Service that reaches GREEN. It is marked once its slot has served.
pub fn live_service(place: &Place, live: Slot, is_marked: bool) -> Service {
    let mut service = service(place, &place.id.service(), slot_labels(place, live));
    if is_marked {
        service.metadata.annotations = Some([(ANNOTATION_LIVE.to_owned(), live.as_ref().to_owned())].into());
    }
    service
}

/// The Service that reaches YELLOW: the candidate, or the standby.
pub fn yellow_service(place: &Place, yellow: Slot) -> Service {
    service(place, &place.id.yellow_service(), slot_labels(place, yellow))
}

/// The Service that reaches a slot, always the same one: a route that leads to slots leads there.
pub fn slot_service(place: &Place, slot: Slot) -> Service {
    service(place, &place.id.slot_service(slot), slot_labels(place, slot))
}

/// A Service that reaches the pods with these labels.
pub(super) fn service(place: &Place, name: &ObjectName, selected: BTreeMap<String, String>) -> Service {
    Service {
        metadata: meta(place, name),
        spec: Some(ServiceSpec {
            selector: Some(selected),
            ports: Some(service_ports()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Port 80, wherever the container listens.
pub(super) fn service_ports() -> Vec<ServicePort> {
    vec![ServicePort {
        name: Some(PORT.to_owned()),
        port: SERVICE_PORT,
        target_port: Some(IntOrString::String(PORT.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }]
}

/// Port of DNS.
const DNS: i32 = 53;

pub(super) fn port(protocol: &str, port: IntOrString) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(port),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

/// The port that plugins are reached at.
pub(super) fn http() -> NetworkPolicyPort {
    port("TCP", IntOrString::String(PORT.to_owned()))
}

/// DNS, and the ports of all backends.
pub(super) fn backends(platform: &Platform) -> NetworkPolicyEgressRule {
    let dns = ["UDP", "TCP"].map(|protocol| port(protocol, IntOrString::Int(DNS)));
    let backends = platform.backend_ports().into_iter();
    let backends = backends.map(|number| port("TCP", IntOrString::Int(number.into())));
    NetworkPolicyEgressRule {
        ports: Some(dns.into_iter().chain(backends).collect()),
        to: None,
    }
}

/// The pods that serve the Gateway, if the platform names one.
pub(super) fn gateway(platform: &Platform) -> Option<NetworkPolicyPeer> {
    platform.gateway.as_ref().map(|gateway| in_namespace(&gateway.pods_in))
}

/// The operator's pods, in the namespace where they are.
pub(super) fn operator(namespace: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some([(OPERATOR.0.to_owned(), OPERATOR.1.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..in_namespace(namespace)
    }
}

/// The pods of a plugin in the tenant's namespace.
fn of_plugin(id: &PluginId) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some([(LABEL_PLUGIN.to_owned(), id.to_string())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}

/// The plugins that one depends on, if there are any; a provider may run once for all tenants.
pub(super) fn to_providers(providers: &[PluginId], platform: &Platform) -> Option<NetworkPolicyEgressRule> {
    let of_provider = |id: &PluginId| {
        let shared = platform.shared_namespace.as_ref().map(|namespace| NetworkPolicyPeer {
            pod_selector: of_plugin(id).pod_selector,
            ..in_namespace(namespace)
        });
        [of_plugin(id)].into_iter().chain(shared)
    };
    (!providers.is_empty()).then(|| NetworkPolicyEgressRule {
        ports: Some(vec![http()]),
        to: Some(providers.iter().flat_map(of_provider).collect()),
    })
}

/// What the plugin's pods may reach and who may reach them, whether or not the tenant has a policy of its own: DNS and the
/// tenant's backends by their ports, the plugins that it depends on, plugins of the same tenant and those that run once for
/// all tenants, and the Gateway; and the operator, from the namespace where it is, if it has a probe to ask.
pub fn network_policy(
    place: &Place,
    providers: &[PluginId],
    platform: &Platform,
    probed_from: Option<&str>,
) -> NetworkPolicy {
    let mut egress = vec![backends(platform)];
    egress.extend(to_providers(providers, platform));
    let mut callers = vec![NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some([(LABEL_TENANT.to_owned(), place.slug.to_string())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }];
    callers.extend(platform.shared_namespace.as_deref().map(in_namespace));
    callers.extend(gateway(platform));
    callers.extend(probed_from.map(operator));
    NetworkPolicy {
        metadata: meta(place, &format!("{}-plugin", place.id)),
        spec: Some(NetworkPolicySpec {
            pod_selector: of_plugin(&place.id).pod_selector,
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            egress: Some(egress),
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(vec![http()]),
                from: Some(callers),
            }]),
        }),
    }
}

/// All pods of a namespace.
pub(super) fn in_namespace(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some([(LABEL_NAMESPACE.to_owned(), name.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}
