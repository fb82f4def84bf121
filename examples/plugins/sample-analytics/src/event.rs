//! What is counted.

use std::collections::BTreeMap;

use plexica_plugin_kit::Problem;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;

/// Longest name of an event; the table checks the same.
const NAME_MAX: usize = 100;

/// The plugin's configuration: `configuration.schema` of plugin.yaml says the same to the platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// How many days are shown, today included.
    pub days: i32,
    /// How events come in.
    pub ingest: Ingest,
}

/// How events come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ingest {
    /// Most events in one request.
    pub batch_max: usize,
    /// What a collector that has no user shows instead of a token. Without it there is no such way in.
    pub key: Option<SecretString>,
}

impl Ingest {
    /// Whether this is the key. The time that it takes says nothing about how much of it was right.
    pub fn admits(&self, shown: &str) -> bool {
        let key = self.key.as_ref().map(|key| key.expose_secret().as_bytes());
        key.is_some_and(|key| key.ct_eq(shown.as_bytes()).into())
    }
}

/// Events as they are sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    events: Vec<Event>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
}

impl Batch {
    /// How often each name occurs, if all of them are names.
    ///
    /// # Errors
    /// 422, saying what is wrong.
    pub fn counted(self, ingest: &Ingest) -> Result<BTreeMap<String, i64>, Problem> {
        if self.events.is_empty() || self.events.len() > ingest.batch_max {
            return Err(Problem::invalid(format!(
                "a request has 1 to {} events",
                ingest.batch_max
            )));
        }
        let mut counts = BTreeMap::new();
        for Event { name } in self.events {
            if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Problem::invalid(format!(
                    "an event's name has 1 to {NAME_MAX} printable ASCII characters and no space"
                )));
            }
            *counts.entry(name).or_insert(0) += 1;
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingest(key: Option<&str>) -> Ingest {
        Ingest {
            batch_max: 3,
            key: key.map(SecretString::from),
        }
    }

    fn counted(names: &[&str]) -> Result<BTreeMap<String, i64>, Problem> {
        let events = names.iter().map(|name| Event { name: (*name).into() }).collect();
        Batch { events }.counted(&ingest(None))
    }

    #[test]
    fn equal_names_are_counted_together() {
        let counts = counted(&["page.seen", "page.left", "page.seen"]).unwrap();
        assert_eq!((counts["page.seen"], counts["page.left"]), (2, 1));
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for names in [&[][..], &["a", "b", "c", "d"], &[""], &["a b"], &["ä"]] {
            assert!(counted(names).is_err(), "{names:?}");
        }
    }

    #[test]
    fn only_the_key_is_the_key_and_without_one_nothing_is() {
        assert!(ingest(Some("open sesame")).admits("open sesame"));
        assert!(!ingest(Some("open sesame")).admits("open"));
        assert!(!ingest(None).admits(""));
    }
}
