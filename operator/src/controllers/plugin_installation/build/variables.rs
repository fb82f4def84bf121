//! The variables that a plugin's container finds (design.md section 4).

use plexica_crds::{Plugin, names::PluginId};

use crate::controllers::plugin_installation::model::Place;

/// Secrets of the tenant that its plugins use.
const STORAGE_SECRET: &str = "plexica-storage";
const IDENTITY_SECRET: &str = "plexica-identity";

/// A variable.
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Source,
}

/// Where the value of a variable is.
pub enum Source {
    /// Here.
    Text(String),
    /// In a Secret of the tenant's namespace.
    Secret {
        /// Name of the Secret.
        secret: String,
        /// Its key.
        key: &'static str,
    },
}

fn text(name: impl Into<String>, value: &(impl ToString + ?Sized)) -> Variable {
    Variable {
        name: name.into(),
        value: Source::Text(value.to_string()),
    }
}

fn secret(name: &str, secret: &str, key: &'static str) -> Variable {
    Variable {
        name: name.to_owned(),
        value: Source::Secret {
            secret: secret.to_owned(),
            key,
        },
    }
}

/// Name of the variable that says which slot a process is in.
pub const SLOT: &str = "PLEXICA_SLOT";

/// The slot that a process is in.
pub fn slot(slot: &str) -> Variable {
    text(SLOT, slot)
}

/// How many sessions a pod may have in the database.
pub fn connections(number: i32) -> Variable {
    text("PLEXICA_DATABASE_CONNECTIONS", &number)
}

/// What a process is: the plugin, its version, and the manifest's own variables.
pub fn of_process(plugin: &Plugin, id: &PluginId) -> Vec<Variable> {
    let mut all = vec![
        text("PLEXICA_PLUGIN", id),
        text("PLEXICA_VERSION", &plugin.spec.version),
    ];
    let own = plugin.spec.runtime.env.iter();
    all.extend(own.map(|variable| text(variable.name.clone(), &variable.value)));
    all
}

/// What it finds of a tenant.
pub fn of_tenant(place: &Place, providers: &[PluginId]) -> Vec<Variable> {
    let mut all = vec![
        text("PLEXICA_TENANT", &place.slug),
        text("PLEXICA_TENANT_ID", &place.owner.tenant_id),
        secret("DATABASE_URL", place.id.database_secret().as_str(), "uri"),
        secret("S3_ENDPOINT", STORAGE_SECRET, "endpoint"),
        secret("S3_REGION", STORAGE_SECRET, "region"),
        secret("S3_BUCKET", STORAGE_SECRET, "bucket"),
        secret("S3_ACCESS_KEY_ID", STORAGE_SECRET, "accessKeyId"),
        secret("S3_SECRET_ACCESS_KEY", STORAGE_SECRET, "secretAccessKey"),
    ];
    if place.has_realm {
        all.push(secret("OIDC_ISSUER", IDENTITY_SECRET, "issuer"));
        all.push(secret("OIDC_JWKS_URI", IDENTITY_SECRET, "jwksUri"));
    }
    for provider in providers {
        let id = provider.as_str().to_uppercase().replace('-', "_");
        let address = format!("http://{}.{}.svc", provider.service(), place.slug.namespace());
        all.push(text(format!("PLEXICA_PLUGIN_{id}_URL"), &address));
    }
    all
}
