//! The configuration as the object that delivers it.

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, ConfigMapVolumeSource, Secret, SecretVolumeSource, Volume},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use plexica_crds::{names::PluginId, plugin_installation::configuration::Configuration};
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::{LABEL_CONFIG, meta};
use crate::{backends::Credential, controllers::plugin_installation::model::Place};

/// Name of the file with the configuration.
pub(super) const CONFIG_FILE: &str = "config.json";
/// Hexadecimal digits of a configuration's hash.
const HASH_LEN: usize = 10;

/// The configuration as the object that delivers it: immutable and named by its hash, so that pods keep the one that they
/// were started with.
pub enum Config {
    /// Some of it is secret.
    Secret(Secret),
    /// None of it is.
    ConfigMap(ConfigMap),
}

impl Config {
    /// The object of a configuration. If some of it is secret, the hash is keyed with the plugin's own password: it tells nobody
    /// what is in it. Where another credential would give it another name, it keeps the one that it has: `before` is a
    /// configuration that pods were started with.
    pub fn new(
        place: &Place,
        configuration: &Configuration,
        access: &Credential,
        before: impl IntoIterator<Item = Secret>,
    ) -> Self {
        let text = configuration.to_json();
        let key = if configuration.has_secrets() {
            access.secret.expose_secret()
        } else {
            ""
        };
        let is_same = |secret: &Secret| {
            let data = secret.data.as_ref().and_then(|data| data.get(CONFIG_FILE));
            data.is_some_and(|data| data.0 == text.as_bytes())
        };
        let mut before = before.into_iter().filter(|_| configuration.has_secrets());
        let known = before
            .find(is_same)
            .and_then(|secret| secret.metadata.labels?.remove(LABEL_CONFIG));
        let hash = known.unwrap_or_else(|| keyed_hash(key.as_bytes(), text.as_bytes()));
        let mut metadata = meta(place, &config_name(&place.id, &hash));
        metadata
            .labels
            .get_or_insert_default()
            .insert(LABEL_CONFIG.to_owned(), hash);
        if configuration.has_secrets() {
            Self::Secret(Secret {
                metadata,
                immutable: Some(true),
                data: Some([(CONFIG_FILE.to_owned(), ByteString(text.into_bytes()))].into()),
                ..Secret::default()
            })
        } else {
            Self::ConfigMap(ConfigMap {
                metadata,
                immutable: Some(true),
                data: Some([(CONFIG_FILE.to_owned(), text)].into()),
                ..ConfigMap::default()
            })
        }
    }

    fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Secret(secret) => &secret.metadata,
            Self::ConfigMap(map) => &map.metadata,
        }
    }

    /// Name of the object.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Hash of the configuration.
    pub fn hash(&self) -> &str {
        let hash = self
            .metadata()
            .labels
            .as_ref()
            .and_then(|labels| labels.get(LABEL_CONFIG));
        hash.map_or("", String::as_str)
    }

    /// The volume by which pods find it.
    pub fn volume(&self) -> Volume {
        volume_of(self.name().to_owned(), matches!(self, Self::Secret(_)))
    }
}

/// Name of the volume with the configuration.
pub const CONFIG_VOLUME: &str = "config";

/// Name of the object that delivers the configuration of this hash.
pub fn config_name(id: &PluginId, hash: &str) -> String {
    format!("{id}-config-{hash}")
}

/// The volume with the configuration of this name.
pub fn volume_of(name: String, is_secret: bool) -> Volume {
    let mut volume = Volume {
        name: CONFIG_VOLUME.to_owned(),
        ..Volume::default()
    };
    if is_secret {
        volume.secret = Some(SecretVolumeSource {
            secret_name: Some(name),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        });
    } else {
        volume.config_map = Some(ConfigMapVolumeSource {
            name,
            default_mode: Some(0o440),
            ..ConfigMapVolumeSource::default()
        });
    }
    volume
}

/// A short hash that tells nobody without the key what was hashed.
pub(super) fn keyed_hash(key: &[u8], text: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(text);
    let digest = mac.finalize().into_bytes();
    let number = u64::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
    let mut hash = format!("{number:016x}");
    hash.truncate(HASH_LEN);
    hash
}
