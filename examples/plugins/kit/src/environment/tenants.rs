//! A folder with the environments of many tenants: `<slug>/config.json`, and `<slug>/env/<VARIABLE>` for each variable
//! that a process for this tenant alone would find. It is read once: the platform starts new pods when it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Environment, Incomplete, Release, Variables, configuration};

/// What a process for many tenants found.
#[derive(Clone, Debug)]
pub struct Tenants {
    /// What runs, for all of them.
    pub release: Release,
    /// The environment of each tenant by its slug, or why there is none: this keeps no other tenant from being served.
    pub environments: BTreeMap<String, Result<Environment, Incomplete>>,
}

impl Tenants {
    /// The tenants of a folder, for the release that the process's variables name. Nothing else is taken from those:
    /// what one tenant lacks must not come from elsewhere.
    ///
    /// # Errors
    /// [`Incomplete`] when the folder cannot be listed, or no release is named.
    pub fn read(process: &Variables, folder: &Path) -> Result<Self, Incomplete> {
        let release = Release::read(process)?;
        let found = entries(folder)
            .map_err(|error| Incomplete::because(format!("{} cannot be read: {error}", folder.display())))?;
        let mut environments: BTreeMap<_, _> = found
            .into_iter()
            .filter(|(_, path)| !path.is_file())
            .map(|(slug, path)| {
                let environment = environment(&release, &slug, &path);
                (slug, environment)
            })
            .collect();
        refuse_common_issuers(&mut environments);
        Ok(Self { release, environments })
    }
}

/// The environment of the tenant that a folder is named after.
fn environment(release: &Release, slug: &str, folder: &Path) -> Result<Environment, Incomplete> {
    let Release { plugin, version, slot } = release;
    let mut variables = variables(&folder.join("env"))?;
    for (name, value) in [
        ("PLEXICA_PLUGIN", plugin.clone()),
        ("PLEXICA_VERSION", version.clone()),
        ("PLEXICA_SLOT", slot.to_string()),
        ("PLEXICA_TENANT", slug.to_owned()),
    ] {
        let written = variables.insert(name.to_owned(), value.clone());
        if written.is_some_and(|written| written != value) {
            return Err(Incomplete::because(format!(
                "env/{name} is not the {name} of this folder and process"
            )));
        }
    }
    Environment::read(&variables, configuration(&folder.join("config.json")))
}

/// The variables of a folder: a file for each, which holds the value.
fn variables(folder: &Path) -> Result<Variables, Incomplete> {
    let cannot_be_read =
        |path: &Path, error| Incomplete::because(format!("{} cannot be read: {error}", path.display()));
    let found = entries(folder).map_err(|error| cannot_be_read(folder, error))?;
    found
        .into_iter()
        .map(|(name, file)| {
            let text = fs::read_to_string(&file).map_err(|error| cannot_be_read(&file, error))?;
            // An editor or `echo` ends a file with a newline.
            Ok((name, text.strip_suffix('\n').unwrap_or(&text).to_owned()))
        })
        .collect()
}

/// What is in a folder, by name. Kubernetes keeps the content of a volume below `..data`, and what has a name of ours is
/// a link to it: <https://kubernetes.io/docs/concepts/storage/projected-volumes/>.
fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A name that is not UTF-8 is none of a tenant or a variable.
        let name = entry.file_name().into_string().ok();
        if let Some(name) = name.filter(|name| !name.starts_with("..")) {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// A token is a tenant's by its issuer. Where two tenants were given the same, a header would decide instead, and no
/// request may: neither is served.
fn refuse_common_issuers(environments: &mut BTreeMap<String, Result<Environment, Incomplete>>) {
    let mut tenants_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for environment in environments.values().flatten() {
        let Environment { issuer, tenant, .. } = environment;
        tenants_of.entry(issuer.clone()).or_default().push(tenant.clone());
    }
    for tenants in tenants_of.into_values().filter(|tenants| tenants.len() > 1) {
        for tenant in &tenants {
            let reason = format!("OIDC_ISSUER is the same for {}", tenants.join(" and "));
            environments.insert(tenant.clone(), Err(Incomplete::because(reason)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::environment::{Sharing, Slot};

    /// A folder of tenants, as a test writes it.
    struct Folder(TempDir);

    impl Folder {
        fn of(tenants: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for tenant in tenants {
                fs::create_dir_all(folder.path().join(tenant).join("env")).unwrap();
                folder.write(tenant, "config.json", "{}");
                for (name, value) in [
                    ("PLEXICA_TENANT_ID", "00000000-0000-0000-0000-000000000007"),
                    ("DATABASE_URL", "postgresql://crm:sesame@db.example.com/plexica"),
                    ("OIDC_ISSUER", &format!("https://id.example.com/realms/tenant-{tenant}")),
                    ("OIDC_JWKS_URI", "https://id.example.com/certs"),
                    ("PLEXICA_PLUGIN_CONTACTS_URL", "http://contacts.example.com"),
                ] {
                    folder.write(tenant, &format!("env/{name}"), value);
                }
            }
            folder
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn write(&self, tenant: &str, file: &str, text: &str) {
            fs::write(self.path().join(tenant).join(file), text).unwrap();
        }

        fn remove(&self, tenant: &str, file: &str) {
            fs::remove_file(self.path().join(tenant).join(file)).unwrap();
        }

        fn read(&self) -> BTreeMap<String, Result<Environment, Incomplete>> {
            let Sharing::Shared(tenants) = Sharing::read(&self.process()).unwrap() else {
                panic!("for one tenant");
            };
            assert_eq!(tenants.release.slot, Slot::B);
            tenants.environments
        }

        /// Why a tenant cannot be served, while the others can.
        fn fault_of(&self, tenant: &str) -> String {
            let mut environments = self.read();
            let fault = environments.remove(tenant).unwrap().unwrap_err().to_string();
            assert!(environments.values().all(Result::is_ok), "{environments:?}");
            assert!(!fault.contains("sesame"), "{fault}");
            fault
        }

        fn process(&self) -> Variables {
            [
                ("PLEXICA_PLUGIN", "crm"),
                ("PLEXICA_VERSION", "1.0.0"),
                ("PLEXICA_SLOT", "b"),
                ("PLEXICA_TENANTS", self.path().to_str().unwrap()),
                // Of the manifest's own environment, and nobody's database.
                ("DATABASE_URL", "postgresql://everybody@db.example.com/plexica"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
        }
    }

    #[test]
    fn each_folder_is_a_tenant_of_that_slug() {
        let folder = Folder::of(&["acme-corp", "globex-inc"]);
        folder.write("globex-inc", "config.json", r#"{ "currency": "USD" }"#);
        let environments = folder.read();
        assert_eq!(environments.keys().collect::<Vec<_>>(), ["acme-corp", "globex-inc"]);
        let globex = environments["globex-inc"].as_ref().unwrap();
        assert_eq!(
            (globex.tenant.as_str(), globex.release.plugin.as_str()),
            ("globex-inc", "crm")
        );
        assert!(globex.issuer.ends_with("tenant-globex-inc"));
        assert!(globex.provider("contacts").is_some());
        assert_eq!(globex.configuration, serde_json::json!({ "currency": "USD" }));
    }

    #[test]
    fn a_newline_at_the_end_is_no_part_of_a_value() {
        let folder = Folder::of(&["acme-corp"]);
        folder.write("acme-corp", "env/OIDC_ISSUER", "https://id.example.com/realms/a\n");
        assert_eq!(
            folder.read()["acme-corp"].as_ref().unwrap().issuer,
            "https://id.example.com/realms/a"
        );
    }

    #[test]
    fn the_links_of_a_mounted_volume_are_followed_and_what_they_lead_to_is_no_tenant() {
        let folder = Folder::of(&["acme-corp"]);
        let (tenant, content) = (folder.path().join("acme-corp"), folder.path().join("..2026_11_21"));
        fs::create_dir(&content).unwrap();
        fs::rename(&tenant, content.join("acme-corp")).unwrap();
        symlink("..2026_11_21", folder.path().join("..data")).unwrap();
        symlink("..data/acme-corp", &tenant).unwrap();
        // The same where a volume is mounted for each tenant, or for the variables alone.
        fs::create_dir(tenant.join("env/..data")).unwrap();
        fs::write(folder.path().join("README"), "a file is no tenant").unwrap();
        let environments = folder.read();
        assert_eq!(environments.keys().collect::<Vec<_>>(), ["acme-corp"]);
        assert!(environments["acme-corp"].is_ok());
    }

    #[test]
    fn what_one_tenant_lacks_is_named_and_comes_from_nowhere_else() {
        let folder = Folder::of(&["acme-corp", "globex-inc"]);
        folder.remove("acme-corp", "env/DATABASE_URL");
        folder.write("acme-corp", "config.json", "{");
        let fault = folder.fault_of("acme-corp");
        assert!(
            fault.contains("DATABASE_URL is not set") && fault.contains("config.json is not JSON"),
            "{fault}"
        );
    }

    #[test]
    fn a_tenant_without_variables_hinders_no_other() {
        let folder = Folder::of(&["acme-corp", "globex-inc"]);
        fs::remove_dir_all(folder.path().join("acme-corp/env")).unwrap();
        assert!(folder.fault_of("acme-corp").contains("env cannot be read"));
    }

    #[test]
    fn a_folder_with_the_variables_of_another_tenant_is_refused() {
        let folder = Folder::of(&["acme-corp", "globex-inc"]);
        folder.write("acme-corp", "env/PLEXICA_TENANT", "globex-inc");
        assert!(folder.fault_of("acme-corp").contains("env/PLEXICA_TENANT"));
        folder.write("acme-corp", "env/PLEXICA_TENANT", "acme-corp");
        assert!(folder.read()["acme-corp"].is_ok());
    }

    #[test]
    fn tenants_whose_tokens_could_not_be_told_apart_are_both_refused() {
        let folder = Folder::of(&["acme-corp", "globex-inc", "initech"]);
        let globex = "https://id.example.com/realms/tenant-globex-inc";
        folder.write("acme-corp", "env/OIDC_ISSUER", globex);
        let environments = folder.read();
        for tenant in ["acme-corp", "globex-inc"] {
            let fault = environments[tenant].as_ref().unwrap_err().to_string();
            assert!(fault.contains("OIDC_ISSUER is the same for acme-corp and globex-inc"));
        }
        assert!(environments["initech"].is_ok());
    }

    #[test]
    fn a_folder_that_is_not_there_and_a_release_without_a_name_are_the_processs_own_faults() {
        let folder = Folder::of(&["acme-corp"]);
        let mut process = folder.process();
        process.remove("PLEXICA_SLOT");
        let fault = Tenants::read(&process, folder.path()).unwrap_err().to_string();
        assert_eq!(fault, "PLEXICA_SLOT is not set");
        let gone = folder.path().join("gone");
        let fault = Tenants::read(&folder.process(), &gone).unwrap_err().to_string();
        assert!(fault.contains("gone cannot be read"), "{fault}");
    }
}
