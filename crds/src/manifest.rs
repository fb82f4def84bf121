//! What is generated from the types: the CRDs of chart `plexica-crds`, and for people the tables of conditions and a
//! reference of each resource.

mod reference;

use std::fmt::Write as _;

use kube::CustomResourceExt;
use serde_json::{Value, json};
use strum::{EnumMessage, IntoEnumIterator};

use crate::{
    Plugin, PluginInstallation, Tenant,
    condition::ConditionType,
    plugin,
    plugin_installation::{self, MOVES, Step},
    tenant,
};

/// First lines of a generated file.
const HEADER: &str = "# Generated from crds/src by `cargo dev generate`: do not edit.\n";

/// All CRDs: file name in the chart's `templates/` and its text.
///
/// # Errors
/// When a CRD cannot be written as YAML: a bug, found by the test that compares the files.
pub fn all() -> Result<Vec<(&'static str, String)>, String> {
    [
        ("tenants.yaml", Tenant::crd()),
        ("plugins.yaml", Plugin::crd()),
        ("plugininstallations.yaml", PluginInstallation::crd()),
    ]
    .into_iter()
    .map(|(file, crd)| {
        let mut crd = serde_json::to_value(crd).map_err(|error| error.to_string())?;
        // Deleting a chart must never delete tenants: helm.sh/docs/howto/charts_tips_and_tricks.
        crd["metadata"]["annotations"] = json!({ "helm.sh/resource-policy": "keep" });
        strip(&mut crd);
        let yaml = serde_saphyr::to_string(&crd).map_err(|error| error.to_string())?;
        // Helm reads the file as a template, and the docs of migrations speak of `{{schema}}`.
        Ok((file, format!("{HEADER}{}", yaml.replace("{{", "{{`{{`}}"))))
    })
    .collect()
}

/// The conditions of all resources with their reasons, as a page for people.
pub fn conditions() -> String {
    let mut page = String::from(
        "<!-- Generated from crds/src/*/conditions.rs by `cargo dev generate`: do not edit. -->\n\
         # Conditions\n\n\
         `Ready`, `Reconciling` and `Stalled` follow kstatus: the latter two exist only while they are True. While something\n\
         waits, the message says since when, and when it is tried again.\n",
    );
    table::<tenant::conditions::Type>("Tenant", &mut page);
    table::<plugin::conditions::Type>("Plugin", &mut page);
    table::<plugin_installation::conditions::Type>("PluginInstallation", &mut page);
    page
}

/// The references for people: file name in `docs/` and its text.
///
/// # Errors
/// When a CRD is no JSON: a bug, found by the test that compares the files.
pub fn references() -> Result<Vec<(&'static str, String)>, String> {
    [
        (
            "tenant-reference.md",
            Tenant::crd(),
            "The [README](../README.md) shows one.",
        ),
        (
            "plugin-reference.md",
            Plugin::crd(),
            "How one is written: [writing-a-plugin.md](writing-a-plugin.md).",
        ),
        (
            "plugin-installation-reference.md",
            PluginInstallation::crd(),
            "How it is used: [installing-a-plugin.md](installing-a-plugin.md).",
        ),
    ]
    .into_iter()
    .map(|(file, crd, guide)| {
        let crd = serde_json::to_value(crd).map_err(|error| error.to_string())?;
        Ok((file, reference::page(&crd, guide)))
    })
    .collect()
}

/// The steps of a release and how it goes from one to the next, for docs/releases.md: a diagram of the usual way, and
/// tables of all.
pub fn release_steps() -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    let name = |step: Option<Step>| step.map_or_else(|| "[*]".to_owned(), |step| step.as_ref().to_owned());
    for drawn in MOVES.iter().filter(|drawn| drawn.is_drawn) {
        let _ = writeln!(text, "    {} --> {}: {}", name(drawn.from), name(drawn.to), drawn.when);
    }
    text += "```\n\n| step | what happens |\n|---|---|\n";
    for step in Step::iter() {
        let _ = writeln!(text, "| {} | {} |", step.as_ref(), self::text(step.get_documentation()));
    }
    text += "\n| from | to | when |\n|---|---|---|\n";
    let name = |step: Option<Step>| step.map_or_else(|| "nothing".to_owned(), |step| step.as_ref().to_owned());
    for each in MOVES {
        let _ = writeln!(text, "| {} | {} | {} |", name(each.from), name(each.to), each.when);
    }
    text
}

/// Writes the conditions of one resource.
fn table<T>(kind: &str, page: &mut String)
where
    T: ConditionType + IntoEnumIterator + EnumMessage,
    T::Reason: IntoEnumIterator + EnumMessage,
{
    let _ = write!(page, "\n## {kind}\n\n| condition | says | reasons |\n|---|---|---|\n");
    for type_ in T::iter() {
        let reasons: Vec<&str> = type_.reasons().iter().map(|reason| (*reason).into()).collect();
        let name: &str = type_.into();
        let _ = writeln!(
            page,
            "| {name} | {} | {} |",
            text(type_.get_documentation()),
            reasons.join(", ")
        );
    }
    *page += "\n| reason | what it means and what to do |\n|---|---|\n";
    for reason in T::Reason::iter() {
        let name: &str = reason.into();
        let _ = writeln!(page, "| {name} | {} |", text(reason.get_documentation()));
    }
}

fn text(documentation: Option<&str>) -> String {
    words(documentation.unwrap_or_default())
}

/// A text on one line.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Removes what the API server ignores or drops: number formats that it does not know, and nulls.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            if map
                .get("format")
                .is_some_and(|format| matches!(format.as_str(), Some("uint16" | "uint32" | "uint64")))
            {
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

    /// Between these lines of the guide of releases stands what is generated.
    const STEPS_BEGIN: &str = "<!-- Generated from crds/src/plugin_installation/{traffic,moves}.rs by `cargo dev generate`: do not edit. -->\n";
    const STEPS_END: &str = "<!-- End of what is generated. -->\n";

    /// Compares a checked-in file with what the code says, or writes it: `PLEXICA_GENERATE=1 cargo test -p
    /// plexica-crds`, which is what `cargo dev generate` runs.
    fn assert_checked_in(file: &Path, text: &str) {
        if std::env::var_os("PLEXICA_GENERATE").is_some() {
            fs::write(file, text).unwrap();
        }
        let checked_in = fs::read_to_string(file).unwrap_or_default();
        assert!(
            checked_in == text,
            "{} is not what the code says: run `cargo dev generate`",
            file.display()
        );
    }

    #[test]
    fn the_page_of_conditions_is_that_of_the_code() {
        assert_checked_in(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conditions.md"),
            &conditions(),
        );
    }

    #[test]
    fn the_references_of_the_resources_are_those_of_the_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (file, text) in references().unwrap() {
            assert_checked_in(&folder.join(file), &text);
        }
    }

    #[test]
    fn the_steps_in_the_guide_of_releases_are_those_of_the_code() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/releases.md");
        let page = fs::read_to_string(&file).unwrap();
        let (before, rest) = page.split_once(STEPS_BEGIN).unwrap();
        let (_, after) = rest.split_once(STEPS_END).unwrap();
        let steps = release_steps();
        assert_checked_in(&file, &format!("{before}{STEPS_BEGIN}{steps}{STEPS_END}{after}"));
    }

    #[test]
    fn mermaid_takes_no_move_for_its_own() {
        assert!(MOVES.iter().all(|each| !each.when.contains([':', ';', '#', '|'])));
    }

    #[test]
    fn the_crds_in_the_chart_are_those_of_the_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/plexica-crds/templates");
        for (file, text) in all().unwrap() {
            assert_checked_in(&folder.join(file), &text);
        }
    }
}
