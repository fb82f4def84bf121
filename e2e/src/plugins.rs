//! The example plugins: their images in containerd, under the names that their manifests have; and their installations.
//! The image of the tests' own plugin comes with them, and is installed by tests alone.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::try_join_all;
use kube::{Api, ResourceExt, api::ListParams};
use plexica_crds::{PluginInstallation, condition, plugin_installation::conditions::Type};

use crate::failure::Failure;
use crate::host::command;
use crate::layout;
use crate::parts::{Context, kubernetes, node};
use crate::tools::operator;
use crate::{platform, traffic, wait};

/// Longest time for the installations of the examples to become Ready.
const PATIENCE: Duration = Duration::from_mins(2);

/// Ids of the plugins in `examples/plugins`; package `plexica-example-<id>` makes the binary.
const IDS: [&str; 3] = ["contacts", "crm", "sample-analytics"];

/// The image that the manifest of an example plugin names.
fn image(id: &str) -> String {
    format!("plexica.io/{id}:1.0.0")
}

fn package(id: &str) -> String {
    format!("plexica-example-{id}")
}

/// What is built and imported: a package, and the image of its binary.
fn images() -> Vec<(String, String)> {
    let examples = IDS.map(|id| (package(id), image(id)));
    let of_tests = (traffic::PACKAGE.to_owned(), traffic::IMAGE.to_owned());
    examples.into_iter().chain([of_tests]).collect()
}

/// Builds the plugins and gives containerd the images that are not there, or not of these binaries.
pub async fn prepare(context: &Context) -> Result<()> {
    let images = images();
    let packages: Vec<_> = images.iter().map(|(package, _)| package.as_str()).collect();
    let folder = context.tools.release("plugins", &packages).await?;
    context
        .ui
        .step("plugin images", async |step| {
            let names: Vec<_> = images.iter().map(|(_, image)| image.as_str()).collect();
            step.result(names.join(", "));
            try_join_all(images.iter().map(async |(package, image)| {
                let binary = folder.join(package);
                // The tag stays the same, so what it holds is written down.
                let imported = context.layout.state.join("imported").join(package);
                let wanted = operator::tag(&binary)?;
                let is_recorded = std::fs::read_to_string(&imported).is_ok_and(|found| found == wanted);
                if is_recorded && node::has_image(&context.layout, image).await? {
                    return Ok(());
                }
                step.says(&format!("importing {image}"));
                node::import(&context.layout, image, &binary).await?;
                layout::write(&imported, wanted.as_bytes())
            }))
            .await?;
            Ok(())
        })
        .await
}

/// Publishes the plugins, installs them for the tenant that the manifests name, and waits until they are Ready.
pub async fn install(context: &Context) -> Result<()> {
    context
        .ui
        .step("plugins", async |step| {
            step.says("kubectl apply");
            let mut apply = platform::kubectl(&context.tools).await?;
            apply
                .args([
                    "apply",
                    "--server-side",
                    "--force-conflicts",
                    "--recursive",
                    "--filename",
                ])
                .arg(context.layout.repository.join("examples/plugins"));
            command::pipe(apply, &[]).await.map_err(|refusal| {
                Failure::new(
                    format!("examples/plugins cannot be applied: {refusal:#}"),
                    "repair the manifest that the message names",
                )
            })?;
            let client = kubernetes::kube_client(context).await?;
            let installations: Api<PluginInstallation> = Api::namespaced(client, "tenant-acme-corp");
            let mut said = None;
            let ready = wait::until("the example plugins", PATIENCE, async || {
                let found = installations.list(&ListParams::default()).await?;
                match found.iter().find(|installation| !is_ready(installation)) {
                    Some(installation) => {
                        let waiting = format!("{}: {}", installation.name_any(), message(installation));
                        if said.replace(waiting.clone()).as_ref() != Some(&waiting) {
                            step.says(&waiting);
                        }
                        bail!(waiting)
                    }
                    None => Ok(found.iter().map(ResourceExt::name_any).collect::<Vec<_>>()),
                }
            })
            .await?;
            step.result(format!("{} for acme-corp", ready.join(", ")));
            Ok(())
        })
        .await
}

/// Whether the installation is Ready in its present generation.
pub fn is_ready(installation: &PluginInstallation) -> bool {
    let conditions = installation.status.as_ref().map(|status| status.conditions.as_slice());
    let generation = installation.metadata.generation.unwrap_or_default();
    condition::is_true(conditions.unwrap_or_default(), Type::Ready.into(), generation)
}

fn message(installation: &PluginInstallation) -> &str {
    let conditions = installation.status.as_ref().map(|status| status.conditions.as_slice());
    condition::find(conditions.unwrap_or_default(), Type::Ready.into())
        .map_or("not looked at yet", |ready| ready.message.as_str())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_plugin_of_the_examples_is_built_under_the_image_of_its_manifest() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins");
        let mut found: Vec<_> = std::fs::read_dir(&examples)
            .unwrap()
            .flatten()
            .filter(|folder| folder.path().join("plugin.yaml").exists())
            .map(|folder| folder.file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, IDS);
        for id in IDS {
            let manifest = std::fs::read_to_string(examples.join(id).join("plugin.yaml")).unwrap();
            assert!(manifest.contains(&format!("image: {}\n", image(id))), "{id}");
        }
    }
}
