//! The container in front of RED's plugin, which knows when somebody spoke to it last (`crate::meter`).

use k8s_openapi::{
    api::core::v1::{Container, ContainerPort, HTTPGetAction, Probe, ResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use super::{
    PORT,
    pods::{lifecycle, restricted},
};

/// Name of the container.
const CONTAINER: &str = "meter";
/// Name of the port where it is asked.
pub const ACTIVITY_PORT: &str = "activity";
/// Name of the plugin's own port behind a meter.
pub const METERED_PORT: &str = "plugin";
/// Ports that it may listen at, two of which the plugin does not have.
const PORTS: [u16; 3] = [15_080, 15_081, 15_082];

/// The image of the operator itself, which the meter is part of.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// When it is pulled.
    pub pull_policy: String,
}

/// A meter in front of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Meter<'a> {
    /// What it is made of.
    pub image: &'a Image,
    /// Where the plugin listens.
    pub plugin: u16,
}

impl Meter<'_> {
    /// Where it takes what is for the plugin, and where it is asked.
    fn ports(&self) -> (u16, u16) {
        let [first, second, third] = PORTS;
        match self.plugin {
            taken if taken == first => (second, third),
            taken if taken == second => (first, third),
            _ => (first, second),
        }
    }

    /// Where it is asked.
    pub fn activity(&self) -> u16 {
        self.ports().1
    }

    /// Its container. It has limits, so that a quota that wants them lets it in.
    pub fn container(&self) -> Container {
        let (listen, activity) = self.ports();
        let port = |name: &str, number: u16| ContainerPort {
            name: Some(name.to_owned()),
            container_port: number.into(),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        };
        let resources = |cpu: &str, memory: &str| {
            let of = |kind: &str, amount: &str| (kind.to_owned(), Quantity(amount.to_owned()));
            [of("cpu", cpu), of("memory", memory)].into()
        };
        Container {
            name: CONTAINER.to_owned(),
            image: Some(self.image.name.clone()),
            image_pull_policy: Some(self.image.pull_policy.clone()),
            args: Some(vec![
                "meter".to_owned(),
                format!("--listen=0.0.0.0:{listen}"),
                format!("--activity=0.0.0.0:{activity}"),
                format!("--plugin=127.0.0.1:{}", self.plugin),
            ]),
            ports: Some(vec![port(PORT, listen), port(ACTIVITY_PORT, activity)]),
            resources: Some(ResourceRequirements {
                requests: Some(resources("5m", "16Mi")),
                limits: Some(resources("500m", "64Mi")),
                ..ResourceRequirements::default()
            }),
            readiness_probe: Some(Probe {
                http_get: Some(HTTPGetAction {
                    path: Some("/activity".to_owned()),
                    port: IntOrString::String(ACTIVITY_PORT.to_owned()),
                    ..HTTPGetAction::default()
                }),
                period_seconds: Some(5),
                timeout_seconds: Some(2),
                failure_threshold: Some(3),
                ..Probe::default()
            }),
            lifecycle: Some(lifecycle()),
            security_context: Some(restricted()),
            ..Container::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn meter_and_plugin_have_ports_of_their_own() {
        let image = Image {
            name: "plexica.io/operator:0.1.0".into(),
            pull_policy: "IfNotPresent".into(),
        };
        for plugin in PORTS.into_iter().chain([3_000]) {
            let meter = Meter { image: &image, plugin };
            let (listen, activity) = meter.ports();
            assert_eq!(BTreeSet::from([listen, activity, plugin]).len(), 3, "{plugin}");
            assert_eq!(meter.activity(), activity);
        }
    }
}
