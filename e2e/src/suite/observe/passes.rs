//! The operator's passes over objects, from its JSON log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

/// A pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// `ok`, or why not.
    pub result: String,
    /// When it ended.
    pub ended: Timestamp,
}

/// Passes by object: `Tenant acme`, `Plugin crm-1.0.0`, `PluginInstallation acme/crm`.
pub fn passes(log: &[String]) -> BTreeMap<String, Vec<Pass>> {
    let mut found: BTreeMap<String, Vec<Pass>> = BTreeMap::new();
    for line in log {
        // The kubelet puts time, stream and a flag before each line.
        let event: Value = line
            .find('{')
            .and_then(|start| serde_json::from_str(&line[start..]).ok())
            .unwrap_or_default();
        let ended = event["timestamp"].as_str().and_then(|time| time.parse().ok());
        if event["message"] == "reconciled"
            && let Some(object) = object_of(&event["span"])
            && let Some(result) = event["result"].as_str()
        {
            found.entry(object).or_default().push(Pass {
                result: result.to_owned(),
                ended: ended.unwrap_or_default(),
            });
        }
    }
    found
}

fn object_of(span: &Value) -> Option<String> {
    let (kind, object) = (span["kind"].as_str()?, span["object"].as_str()?);
    Some(match span["tenant"].as_str() {
        Some(tenant) if tenant != object => format!("{kind} {tenant}/{object}"),
        _ => format!("{kind} {object}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_told_apart_by_kind_tenant_and_name() {
        let pass = |tenant: &str, kind: &str, object: &str| {
            format!(
                r#"2026-11-21T10:40:18.01Z stdout F {{"timestamp":"2026-11-21T10:40:18.009Z","message":"reconciled","result":"ok","span":{{"kind":"{kind}","object":"{object}"{tenant}}}}}"#
            )
        };
        let log = [
            pass(r#","tenant":"acme""#, "Tenant", "acme"),
            pass(r#","tenant":"acme""#, "PluginInstallation", "crm"),
            pass("", "Plugin", "crm-1.0.0"),
        ];
        let found = passes(&log);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            ["Plugin crm-1.0.0", "PluginInstallation acme/crm", "Tenant acme"]
        );
        let [pass] = &found["Tenant acme"][..] else {
            panic!("{found:?}")
        };
        assert_eq!(pass.result, "ok");
        assert_eq!(pass.ended, "2026-11-21T10:40:18.009Z".parse().unwrap());
    }
}
