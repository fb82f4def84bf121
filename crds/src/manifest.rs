//! The CRDs as manifests, for chart `plexica-crds`.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::Tenant;

/// First lines of a generated file.
const HEADER: &str = "# Generated from crds/src by `cargo dev generate`: do not edit.\n";

/// All CRDs: file name in the chart's `templates/` and its text.
///
/// # Errors
/// When a CRD cannot be written as YAML: a bug, found by the test that compares the files.
pub fn all() -> Result<Vec<(&'static str, String)>, String> {
    [("tenants.yaml", Tenant::crd())]
        .into_iter()
        .map(|(file, crd)| {
            let mut crd = serde_json::to_value(crd).map_err(|error| error.to_string())?;
            // Deleting a chart must never delete tenants: helm.sh/docs/howto/charts_tips_and_tricks.
            crd["metadata"]["annotations"] = json!({ "helm.sh/resource-policy": "keep" });
            strip(&mut crd);
            let yaml = serde_saphyr::to_string(&crd).map_err(|error| error.to_string())?;
            Ok((file, format!("{HEADER}{yaml}")))
        })
        .collect()
}

/// Removes what the API server ignores or drops: number formats that it does not know, and nulls.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            if map.get("format").is_some_and(|format| matches!(format.as_str(), Some("uint16" | "uint32" | "uint64"))) {
                map.remove("format");
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// `PLEXICA_GENERATE=1 cargo test -p plexica-crds` (that is `cargo dev generate`) writes them.
    #[test]
    fn the_crds_in_the_chart_are_those_of_the_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/plexica-crds/templates");
        for (file, text) in all().unwrap() {
            if std::env::var_os("PLEXICA_GENERATE").is_some() {
                fs::write(folder.join(file), &text).unwrap();
            }
            let checked_in = fs::read_to_string(folder.join(file)).unwrap_or_default();
            assert!(checked_in == text, "{file} is not what the code says: run `cargo dev generate`");
        }
    }
}
