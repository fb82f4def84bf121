//! The Kubernetes objects of an installation. Pure.

mod backends;
mod config;
mod disruption;
pub mod meter;
mod network;
mod pods;
pub mod red;
mod revision;
mod route;
pub mod shared;
mod slot;
pub mod variables;

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use plexica_crds::{
    LABEL_TENANT, LABEL_TENANT_ID,
    names::{PluginId, Slot},
};
use secrecy::ExposeSecret;

use super::model::Place;
use crate::backends::{Credential, postgres::DatabaseEndpoint};

pub use backends::{Destination, on_the_way, slot_led_to};
pub use config::{CONFIG_VOLUME, Config, config_name};
pub use disruption::disruption_budget;
pub use network::{live_service, network_policy, slot_service, yellow_service};
pub use revision::{
    Rendered, adopted, as_released, freeze, kept, needs, object, revision_name, revision_named, revision_of,
};
pub use route::{LIGHT_HEADER, grant, parent, route, url, yellow_route};
pub use slot::{InSlot, credential_of, deployment};

/// Label: the plugin that an object belongs to.
pub const LABEL_PLUGIN: &str = "plexica.io/plugin";
/// Label of a pod: its slot, which never changes.
pub const LABEL_SLOT: &str = "plexica.io/slot";
/// Label of a pod: the version that it runs. No selector names it.
pub const LABEL_VERSION: &str = "app.kubernetes.io/version";
/// Label of EndpointSlices, Kubernetes' own: the Service that they are of.
pub const LABEL_SERVICE: &str = "kubernetes.io/service-name";
/// Label of a configuration: its hash.
pub const LABEL_CONFIG: &str = "plexica.io/config";
/// Label of a ControllerRevision: its hash.
pub const LABEL_REVISION: &str = "plexica.io/revision";
/// Annotation of a pod: hash of the revision that it is of.
pub const ANNOTATION_REVISION: &str = "plexica.io/revision";
/// Annotation of a pod of RED, and of the pods of earlier operators: hash of the configuration that it was started with.
pub const ANNOTATION_CONFIG: &str = "plexica.io/config-hash";
/// Annotation of a pod: the transition after which it took the place of one that had been live.
pub const ANNOTATION_RECYCLED: &str = "plexica.io/recycled";
/// Annotation of a Deployment: what it runs was rejected.
pub const ANNOTATION_REJECTED: &str = "plexica.io/rejected";
/// Annotation of the live Service: the slot that it leads to. It is written together with the selector.
pub const ANNOTATION_LIVE: &str = "plexica.io/live-slot";
/// Annotation on a Secret: the id under which the backend knows the credential.
pub const ANNOTATION_CREDENTIAL: &str = "plexica.io/credential-id";
/// Annotation on an installation that the operator made: the plugin that needs it.
pub const ANNOTATION_NEEDED_BY: &str = "plexica.io/needed-by";
/// Name of the port of a container.
const PORT: &str = "http";
/// Port of every Service of a plugin.
const SERVICE_PORT: i32 = 80;

fn labels(place: &Place) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_TENANT.to_owned(), place.slug.to_string()),
        (LABEL_TENANT_ID.to_owned(), place.owner.tenant_id.to_string()),
        (LABEL_PLUGIN.to_owned(), place.id.to_string()),
        ("app.kubernetes.io/name".to_owned(), place.id.to_string()),
        ("app.kubernetes.io/managed-by".to_owned(), "plexica-operator".to_owned()),
    ])
}

fn meta(place: &Place, name: &(impl ToString + ?Sized)) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_string()),
        namespace: Some(place.slug.namespace().to_string()),
        labels: Some(labels(place)),
        ..ObjectMeta::default()
    }
}

/// What selects the pods of a slot. It never changes: a Deployment's selector is immutable.
fn slot_labels(place: &Place, slot: Slot) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_PLUGIN.to_owned(), place.id.to_string()),
        (LABEL_SLOT.to_owned(), slot.as_ref().to_owned()),
    ])
}

/// The same, as a label selector in one text.
pub fn slot_selector(id: &PluginId, slot: Slot) -> String {
    format!("{LABEL_PLUGIN}={id},{LABEL_SLOT}={}", slot.as_ref())
}

/// Where a plugin of one tenant finds its configuration (design.md section 4).
const CONFIG_FOLDER: &str = "/etc/plexica";

/// Secret `<plugin>-database`. Its keys are stable API: design.md, "Names".
pub fn database_secret(place: &Place, endpoint: &DatabaseEndpoint, credential: &Credential) -> Secret {
    let [username, _] = place.slug.plugin_login_roles(&place.id);
    let schema = place.slug.plugin_schema(&place.id);
    let DatabaseEndpoint { host, port, database } = endpoint;
    let password = credential.secret.expose_secret();
    let data = [
        ("host", host.clone()),
        ("port", port.to_string()),
        ("database", database.clone()),
        ("schema", schema.to_string()),
        ("username", username.to_string()),
        ("password", password.to_owned()),
        (
            "uri",
            format!("postgresql://{username}:{password}@{host}:{port}/{database}"),
        ),
    ];
    let mut metadata = meta(place, &place.id.database_secret());
    metadata.annotations = Some([(ANNOTATION_CREDENTIAL.to_owned(), credential.id.clone())].into());
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}
