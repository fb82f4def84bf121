//! Variables, read one by one: all that is wrong is said at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use url::Url;

use super::{Release, Storage, Variables};

/// Variables with the address of a provider: `PLEXICA_PLUGIN_<ID>_URL`.
const PROVIDER: (&str, &str) = ("PLEXICA_PLUGIN_", "_URL");

/// Variables that are being read, and what was found wrong with them.
pub(super) struct Reading<'a> {
    pub(super) variables: &'a Variables,
    pub(super) faults: Vec<String>,
}

impl Reading<'_> {
    /// A variable that must be there. The value is never repeated in a message: it may be a secret.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
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

    /// What runs.
    pub(super) fn release(&mut self) -> Option<Release> {
        let plugin = self.parsed("PLEXICA_PLUGIN");
        let version = self.parsed("PLEXICA_VERSION");
        let slot = self.parsed("PLEXICA_SLOT");
        Some(Release {
            plugin: plugin?,
            version: version?,
            slot: slot?,
        })
    }

    /// The bucket, all of which must be there.
    pub(super) fn storage(&mut self) -> Option<Storage> {
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

    /// The addresses of other plugins.
    pub(super) fn providers(&mut self) -> BTreeMap<String, Url> {
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
