//! The variables that a plugin's container finds (design.md section 4).

use plexica_crds::{Plugin, names::PluginId};

use crate::controllers::plugin_installation::validate::Wanted;

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

/// What a process is: the plugin, its version and slot, and the manifest's own variables.
pub fn of_process(plugin: &Plugin, id: &PluginId, slot: &str) -> Vec<Variable> {
    let mut all = vec![
        text("PLEXICA_PLUGIN", id),
        text("PLEXICA_VERSION", &plugin.spec.version),
        text("PLEXICA_SLOT", slot),
    ];
    let own = plugin.spec.runtime.env.iter();
    all.extend(own.map(|variable| text(variable.name.clone(), &variable.value)));
    all
}

/// What it finds of a tenant.
pub fn of_tenant(wanted: &Wanted, providers: &[PluginId]) -> Vec<Variable> {
    let mut all = vec![
        text("PLEXICA_TENANT", &wanted.slug),
        text("PLEXICA_TENANT_ID", &wanted.owner.tenant_id),
        secret("DATABASE_URL", wanted.id.database_secret().as_str(), "uri"),
        secret("S3_ENDPOINT", STORAGE_SECRET, "endpoint"),
        secret("S3_REGION", STORAGE_SECRET, "region"),
        secret("S3_BUCKET", STORAGE_SECRET, "bucket"),
        secret("S3_ACCESS_KEY_ID", STORAGE_SECRET, "accessKeyId"),
        secret("S3_SECRET_ACCESS_KEY", STORAGE_SECRET, "secretAccessKey"),
    ];
    if wanted.has_realm {
        all.push(secret("OIDC_ISSUER", IDENTITY_SECRET, "issuer"));
        all.push(secret("OIDC_JWKS_URI", IDENTITY_SECRET, "jwksUri"));
    }
    for provider in providers {
        let id = provider.as_str().to_uppercase().replace('-', "_");
        let address = format!("http://{}.{}.svc", provider.service(), wanted.slug.namespace());
        all.push(text(format!("PLEXICA_PLUGIN_{id}_URL"), &address));
    }
    all
}
