//! What a plugin's container finds: variables and one file. The platform's contract with plugins, design.md section 4.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

/// Where the platform mounts the configuration; `PLEXICA_CONFIG` names another file.
const CONFIGURATION_FILE: &str = "/etc/plexica/config.json";
/// Variables with the address of a provider: `PLEXICA_PLUGIN_<ID>_URL`.
const PROVIDER: (&str, &str) = ("PLEXICA_PLUGIN_", "_URL");

/// Which of the two slots of an installation, or its development slot, the process runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
    /// For development.
    Red,
}

/// The whole environment of one process: one plugin, one version, one tenant.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Slug of the tenant. The process belongs to it: no request can name another.
    pub tenant: String,
    /// Id of the tenant.
    pub tenant_id: Uuid,
    /// Id of the plugin.
    pub plugin: String,
    /// Released version.
    pub version: String,
    /// Slot.
    pub slot: Slot,
    /// The plugin's own account at the database; its `search_path` comes with the role.
    pub database_url: SecretString,
    /// Who issues the tenant's tokens, exactly as in their claim `iss`.
    pub issuer: String,
    /// Where the issuer's keys are.
    pub jwks_uri: Url,
    /// The tenant's bucket; a tenant may have none.
    pub storage: Option<Storage>,
    /// Addresses of the plugins that this one depends on, by the id as it is written in the variable: `SAMPLE_ANALYTICS`.
    providers: BTreeMap<String, Url>,
    configuration: Value,
}

/// The tenant's bucket and the key to it.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Address of the store.
    pub endpoint: Url,
    /// Region that requests are signed for.
    pub region: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Public half of the key.
    pub access_key_id: String,
    /// Secret half of the key.
    pub secret_access_key: SecretString,
}

/// An environment in which the plugin cannot run; names everything that is wrong with it, and no value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.join("; "))]
pub struct Incomplete(Vec<String>);

impl Incomplete {
    /// Incomplete for a reason that a plugin itself finds.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(vec![reason.into()])
    }
}

impl Environment {
    /// The environment of this process.
    ///
    /// # Errors
    /// [`Incomplete`], also when the file is not there or is no JSON.
    pub fn of_process() -> Result<Self, Incomplete> {
        // Variables that are not UTF-8 are none of ours.
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let file = variables
            .get("PLEXICA_CONFIG")
            .map_or(CONFIGURATION_FILE, String::as_str);
        let configuration = std::fs::read(file)
            .map_err(|error| format!("{file} cannot be read: {error}"))
            .and_then(|text| serde_json::from_slice(&text).map_err(|_| format!("{file} is not JSON")));
        Self::read(&variables, configuration)
    }

    /// The environment that these variables and this file make.
    ///
    /// # Errors
    /// [`Incomplete`] with every variable that is missing or malformed, and what is said of the file.
    pub fn read(
        variables: &BTreeMap<String, String>,
        configuration: Result<Value, String>,
    ) -> Result<Self, Incomplete> {
        let mut reading = Reading {
            variables,
            faults: configuration.as_ref().err().cloned().into_iter().collect(),
        };
        let tenant = reading.parsed("PLEXICA_TENANT");
        let tenant_id = reading.parsed("PLEXICA_TENANT_ID");
        let plugin = reading.parsed("PLEXICA_PLUGIN");
        let version = reading.parsed("PLEXICA_VERSION");
        let slot = reading.parsed("PLEXICA_SLOT");
        let database_url = reading.parsed::<String>("DATABASE_URL");
        let issuer = reading.parsed("OIDC_ISSUER");
        let jwks_uri = reading.parsed("OIDC_JWKS_URI");
        let storage = if variables.contains_key("S3_BUCKET") {
            reading.storage()
        } else {
            None
        };
        let providers = reading.providers();
        let complete = (|| {
            Some(Self {
                tenant: tenant?,
                tenant_id: tenant_id?,
                plugin: plugin?,
                version: version?,
                slot: slot?,
                database_url: database_url?.into(),
                issuer: issuer?,
                jwks_uri: jwks_uri?,
                storage,
                providers,
                configuration: configuration.ok()?,
            })
        })();
        complete
            .filter(|_| reading.faults.is_empty())
            .ok_or(Incomplete(reading.faults))
    }

    /// The configuration as the plugin's own type.
    ///
    /// # Errors
    /// When the file is not of that type. The platform has checked it against the manifest's schema, so this says that
    /// schema and type have come apart.
    pub fn configuration<T: DeserializeOwned>(&self) -> Result<T, Incomplete> {
        T::deserialize(&self.configuration).map_err(|error| Incomplete::because(format!("the configuration: {error}")))
    }

    /// Address of another plugin of this tenant, if it is installed.
    pub fn provider(&self, plugin: &str) -> Option<&Url> {
        self.providers.get(&in_variable(plugin))
    }
}

/// A plugin's id as it is written in the name of a variable.
fn in_variable(plugin: &str) -> String {
    plugin.to_uppercase().replace('-', "_")
}

/// Variables that are being read, and what was found wrong with them.
struct Reading<'a> {
    variables: &'a BTreeMap<String, String>,
    faults: Vec<String>,
}

impl Reading<'_> {
    /// A variable that must be there. The value is never repeated in a message: it may be a secret.
    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let Some(text) = self.variables.get(name).filter(|text| !text.is_empty()) else {
            self.faults.push(format!("{name} is not set"));
            return None;
        };
        let parsed = text.parse();
        if let Err(error) = &parsed {
            self.faults.push(format!("{name} is malformed: {error}"));
        }
        parsed.ok()
    }

    fn storage(&mut self) -> Option<Storage> {
        let endpoint = self.parsed("S3_ENDPOINT");
        let region = self.parsed("S3_REGION");
        let bucket = self.parsed("S3_BUCKET");
        let access_key_id = self.parsed("S3_ACCESS_KEY_ID");
        let secret_access_key = self.parsed::<String>("S3_SECRET_ACCESS_KEY");
        Some(Storage {
            endpoint: endpoint?,
            region: region?,
            bucket: bucket?,
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?.into(),
        })
    }

    fn providers(&mut self) -> BTreeMap<String, Url> {
        let (before, after) = PROVIDER;
        let names: Vec<&String> = self.variables.keys().collect();
        names
            .into_iter()
            .filter_map(|name| {
                let id = name.strip_prefix(before)?.strip_suffix(after)?;
                Some((id.to_owned(), self.parsed(name)?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variables() -> BTreeMap<String, String> {
        [
            ("PLEXICA_TENANT", "acme-corp"),
            ("PLEXICA_TENANT_ID", "00000000-0000-0000-0000-000000000007"),
            ("PLEXICA_PLUGIN", "crm"),
            ("PLEXICA_VERSION", "1.0.0"),
            ("PLEXICA_SLOT", "a"),
            ("DATABASE_URL", "postgresql://crm:sesame@db.example.com/plexica"),
            ("OIDC_ISSUER", "https://id.example.com/realms/tenant-acme-corp"),
            ("OIDC_JWKS_URI", "https://id.example.com/certs"),
            (
                "PLEXICA_PLUGIN_SAMPLE_ANALYTICS_URL",
                "http://sample-analytics.example.com",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn read(variables: &BTreeMap<String, String>) -> Result<Environment, Incomplete> {
        Environment::read(variables, Ok(json!({ "currency": "EUR" })))
    }

    #[test]
    fn a_complete_environment_is_read() {
        let environment = read(&variables()).unwrap();
        assert_eq!((environment.tenant.as_str(), environment.slot), ("acme-corp", Slot::A));
        assert!(environment.storage.is_none());
        assert_eq!(
            environment.provider("sample-analytics").unwrap().as_str(),
            "http://sample-analytics.example.com/"
        );
        assert!(environment.provider("contacts").is_none());
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error = Environment::read(&BTreeMap::new(), Err("config.json is not JSON".into())).unwrap_err();
        for part in [
            "config.json is not JSON",
            "PLEXICA_TENANT is not set",
            "DATABASE_URL",
            "OIDC_JWKS_URI",
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn half_a_bucket_is_an_error_and_none_is_not() {
        let mut half = variables();
        half.insert("S3_BUCKET".into(), "tenant-acme-corp".into());
        let error = read(&half).unwrap_err().to_string();
        assert!(
            error.contains("S3_ENDPOINT is not set") && error.contains("S3_SECRET_ACCESS_KEY"),
            "{error}"
        );
    }

    #[test]
    fn no_value_is_shown() {
        let mut wrong = variables();
        wrong.insert("PLEXICA_SLOT".into(), "sesame".into());
        assert!(!read(&wrong).unwrap_err().to_string().contains("sesame"));
        assert!(!format!("{:?}", read(&variables()).unwrap()).contains("sesame"));
    }

    #[test]
    fn the_configuration_is_read_as_the_plugins_type() {
        #[derive(serde::Deserialize, Debug)]
        struct Wanted {
            currency: String,
        }
        #[derive(serde::Deserialize, Debug)]
        struct Other {
            #[serde(rename = "stages")]
            _stages: Vec<String>,
        }
        let environment = read(&variables()).unwrap();
        assert_eq!(environment.configuration::<Wanted>().unwrap().currency, "EUR");
        let error = environment.configuration::<Other>().unwrap_err().to_string();
        assert!(error.contains("missing field `stages`"), "{error}");
    }
}
