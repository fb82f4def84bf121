//! What a plugin's container finds: variables and one file, or a folder with those of many tenants. The platform's
//! contract with plugins, design.md section 4.

mod reading;
pub mod tenants;

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use reading::Reading;
use tenants::Tenants;

/// Names of variables and their values.
pub type Variables = BTreeMap<String, String>;

/// Where the platform mounts the configuration; `PLEXICA_CONFIG` names another file.
const CONFIGURATION_FILE: &str = "/etc/plexica/config.json";
/// The folder of the tenants: set where the process is for many of them.
const TENANTS: &str = "PLEXICA_TENANTS";

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

/// What runs in a process, whoever it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Id of the plugin.
    pub plugin: String,
    /// Released version.
    pub version: String,
    /// Slot.
    pub slot: Slot,
}

/// Whom a process is for: `runtime.sharing` of the manifest.
#[derive(Clone, Debug)]
pub enum Sharing {
    /// One tenant, whose environment is the process's own.
    Dedicated(Box<Environment>),
    /// All tenants that install the version.
    Shared(Tenants),
}

/// The whole environment of a plugin for one tenant.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What runs.
    pub release: Release,
    /// Slug of the tenant: all that the plugin does with this environment is the tenant's, and no request can name
    /// another.
    pub tenant: String,
    /// Id of the tenant.
    pub tenant_id: Uuid,
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
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.join("; "))]
pub struct Incomplete(Vec<String>);

impl Incomplete {
    /// Incomplete for a reason that a plugin itself finds.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(vec![reason.into()])
    }
}

impl Sharing {
    /// What this process was started with.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn of_process() -> Result<Self, Incomplete> {
        // Variables that are not UTF-8 are none of ours.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::read(&variables)
    }

    /// What these variables, and the files that they name, make of a process.
    ///
    /// # Errors
    /// [`Incomplete`]; that one of many tenants cannot be served is none.
    pub fn read(variables: &Variables) -> Result<Self, Incomplete> {
        if let Some(folder) = variables.get(TENANTS) {
            return Tenants::read(variables, Path::new(folder)).map(Self::Shared);
        }
        let file = variables
            .get("PLEXICA_CONFIG")
            .map_or(CONFIGURATION_FILE, String::as_str);
        Environment::read(variables, configuration(Path::new(file))).map(|one| Self::Dedicated(Box::new(one)))
    }
}

impl Release {
    /// The release that these variables name.
    ///
    /// # Errors
    /// [`Incomplete`] with every variable that is missing or malformed.
    pub fn read(variables: &Variables) -> Result<Self, Incomplete> {
        let mut reading = Reading {
            variables,
            faults: Vec::new(),
        };
        reading.release().ok_or(Incomplete(reading.faults))
    }
}

/// The configuration in a file.
fn configuration(file: &Path) -> Result<Value, String> {
    let text = std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|_| format!("{} is not JSON", file.display()))
}

impl Environment {
    /// The environment that these variables and this file make.
    ///
    /// # Errors
    /// [`Incomplete`] with every variable that is missing or malformed, and what is said of the file.
    pub fn read(variables: &Variables, configuration: Result<Value, String>) -> Result<Self, Incomplete> {
        let mut reading = Reading {
            variables,
            faults: configuration.as_ref().err().cloned().into_iter().collect(),
        };
        let release = reading.release();
        let tenant = reading.parsed("PLEXICA_TENANT");
        let tenant_id = reading.parsed("PLEXICA_TENANT_ID");
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
                release: release?,
                tenant: tenant?,
                tenant_id: tenant_id?,
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
    /// schema and type have come apart: where, and no value.
    pub fn configuration<T: DeserializeOwned>(&self) -> Result<T, Incomplete> {
        serde_path_to_error::deserialize(&self.configuration).map_err(|error| {
            let what = error.inner().to_string();
            // serde repeats a value of the wrong type, which may be a secret; the name of a field is none.
            let named = ["missing field", "unknown field"]
                .iter()
                .any(|start| what.starts_with(start));
            let what = if named {
                what.as_str()
            } else {
                "not what the plugin's type wants"
            };
            Incomplete::because(format!("the configuration at {}: {what}", error.path()))
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variables() -> Variables {
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

    fn read(variables: &Variables) -> Result<Environment, Incomplete> {
        Environment::read(variables, Ok(json!({ "currency": "EUR" })))
    }

    #[test]
    fn a_complete_environment_is_read() {
        let environment = read(&variables()).unwrap();
        assert_eq!(
            (environment.tenant.as_str(), environment.release.slot),
            ("acme-corp", Slot::A)
        );
        assert!(environment.storage.is_none());
        assert_eq!(
            environment.provider("sample-analytics").unwrap().as_str(),
            "http://sample-analytics.example.com/"
        );
        assert!(environment.provider("contacts").is_none());
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error = Environment::read(&Variables::new(), Err("config.json is not JSON".into())).unwrap_err();
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

    #[test]
    fn a_value_of_the_wrong_type_is_named_by_its_place() {
        #[derive(serde::Deserialize, Debug)]
        struct Wanted {
            #[serde(rename = "ingest")]
            _ingest: BTreeMap<String, u8>,
        }
        let configuration = json!({ "ingest": { "key": "sesame" } });
        let environment = Environment::read(&variables(), Ok(configuration)).unwrap();
        let error = environment.configuration::<Wanted>().unwrap_err().to_string();
        assert!(error.contains("ingest.key") && !error.contains("sesame"), "{error}");
    }

    #[test]
    fn without_a_folder_of_tenants_a_process_is_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, r#"{ "currency": "EUR" }"#).unwrap();
        let mut variables = variables();
        variables.insert("PLEXICA_CONFIG".into(), file.to_str().unwrap().into());
        let Sharing::Dedicated(environment) = Sharing::read(&variables).unwrap() else {
            panic!("for many tenants");
        };
        assert_eq!(environment.tenant, "acme-corp");
        assert_eq!(environment.configuration, json!({ "currency": "EUR" }));
    }
}
