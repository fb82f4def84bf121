//! What leads to the pods of an installation, and what they may reach.

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
    names::{PluginId, Slot},
};

use super::{LABEL_PLUGIN, PORT, meta, slot_labels};
use crate::{controllers::plugin_installation::validate::Wanted, platform::Platform};

/// The Service that reaches GREEN.
pub fn service(wanted: &Wanted, live: Slot) -> Service {
    Service {
        metadata: meta(wanted, &wanted.id.service()),
        spec: Some(ServiceSpec {
            selector: Some(slot_labels(wanted, live)),
            ports: Some(vec![ServicePort {
                name: Some(PORT.to_owned()),
                port: 80,
                target_port: Some(IntOrString::String(PORT.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// What the plugin's pods may reach and who may reach them, beside what the tenant's own policy opens (DNS): the
/// tenant's backends by their ports, the plugins that it depends on, and plugins of the same tenant.
pub fn network_policy(wanted: &Wanted, platform: &Platform) -> NetworkPolicy {
    let of_plugin = |id: &PluginId| NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some([(LABEL_PLUGIN.to_owned(), id.to_string())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    };
    let tcp = |port: IntOrString| NetworkPolicyPort {
        port: Some(port),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    let mut egress = vec![NetworkPolicyEgressRule {
        ports: Some(
            platform
                .backend_ports()
                .into_iter()
                .map(|port| tcp(IntOrString::Int(port.into())))
                .collect(),
        ),
        to: None,
    }];
    if !wanted.providers.is_empty() {
        egress.push(NetworkPolicyEgressRule {
            ports: Some(vec![tcp(IntOrString::String(PORT.to_owned()))]),
            to: Some(wanted.providers.iter().map(of_plugin).collect()),
        });
    }
    NetworkPolicy {
        metadata: meta(wanted, &format!("{}-plugin", wanted.id)),
        spec: Some(NetworkPolicySpec {
            pod_selector: of_plugin(&wanted.id).pod_selector,
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            egress: Some(egress),
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(vec![tcp(IntOrString::String(PORT.to_owned()))]),
                from: Some(vec![NetworkPolicyPeer {
                    pod_selector: Some(LabelSelector {
                        match_labels: Some([(LABEL_TENANT.to_owned(), wanted.slug.to_string())].into()),
                        ..LabelSelector::default()
                    }),
                    ..NetworkPolicyPeer::default()
                }]),
            }]),
        }),
    }
}
