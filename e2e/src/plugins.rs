//! The example plugins: their images in containerd, under the names that their manifests have.

use anyhow::Result;
use futures::future::try_join_all;

use crate::layout;
use crate::parts::{Context, node};
use crate::tools::operator;

/// Ids of the plugins in `examples/plugins`; package `plexica-example-<id>` makes the binary.
const IDS: [&str; 3] = ["contacts", "crm", "sample-analytics"];

/// The image that the manifest of an example plugin names.
fn image(id: &str) -> String {
    format!("plexica.io/{id}:1.0.0")
}

fn package(id: &str) -> String {
    format!("plexica-example-{id}")
}

/// Builds the plugins and gives containerd the images that are not there, or not of these binaries.
pub async fn prepare(context: &Context) -> Result<()> {
    let packages = IDS.map(package);
    let folder = context
        .tools
        .release("plugins", &packages.each_ref().map(String::as_str))
        .await?;
    context
        .ui
        .step("plugin images", async |step| {
            step.result(IDS.map(image).join(", "));
            try_join_all(IDS.map(async |id| {
                let (binary, image) = (folder.join(package(id)), image(id));
                // The tag stays the same, so what it holds is written down.
                let imported = context.layout.state.join("imported").join(package(id));
                let wanted = operator::tag(&binary)?;
                let is_recorded = std::fs::read_to_string(&imported).is_ok_and(|found| found == wanted);
                if is_recorded && node::has_image(&context.layout, &image).await? {
                    return Ok(());
                }
                step.says(&format!("importing {image}"));
                node::import(&context.layout, &image, &binary).await?;
                layout::write(&imported, wanted.as_bytes())
            }))
            .await?;
            Ok(())
        })
        .await
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
