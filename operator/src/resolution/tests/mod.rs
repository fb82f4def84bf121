//! The rules of resolution, each a test; and all of them against an oracle.

mod oracle;
mod properties;
mod rules;

use plexica_crds::names::PluginId;
use semver::Version;

use super::{
    Conflict, Dependency, DependencyKind, DependencyPolicy, Installation, Registry, Release, Tenant, UpdatePolicy,
    resolve,
};

fn id(text: &str) -> PluginId {
    PluginId::parse(text).unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// A tenant among releases, written down briefly.
#[derive(Clone, Default, Debug)]
struct World {
    tenant: Tenant,
    registry: Registry,
}

impl World {
    /// `crm 2.0.0: contacts ^2; billing? ^1; !ledger *; deprecated` requires contacts, goes with billing, excludes
    /// ledger, and is deprecated.
    fn release(mut self, line: &str) -> Self {
        let (name, manifest) = line.split_once(':').unwrap_or((line, ""));
        let (plugin, number) = name.split_once(' ').unwrap();
        let mut release = Release::default();
        for part in manifest.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once(' ') {
                None => release.deprecated = part == "deprecated",
                Some((other, range)) => match other.strip_prefix('!') {
                    Some(other) => release.conflicts.push(Conflict {
                        plugin: id(other),
                        range: range.parse().unwrap(),
                    }),
                    None => release.dependencies.push(Dependency {
                        plugin: id(other.trim_end_matches('?')),
                        range: range.parse().unwrap(),
                        kind: if other.ends_with('?') {
                            DependencyKind::Optional
                        } else {
                            DependencyKind::Required
                        },
                    }),
                },
            }
        }
        self.registry.insert(id(plugin), version(number), release);
        self
    }

    /// Releases that say nothing about others.
    fn releases(self, plugin: &str, versions: &str) -> Self {
        versions
            .split_whitespace()
            .fold(self, |world, version| world.release(&format!("{plugin} {version}")))
    }

    /// `crm ^1 at 1.0.0 manual auto` wants ^1, runs 1.0.0, and has updatePolicy Manual and dependencyPolicy
    /// `AutoInstall`.
    fn installed(mut self, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let plugin = id(words.next().unwrap());
        let mut installation = Installation {
            range: words.next().unwrap().parse().unwrap(),
            update_policy: UpdatePolicy::Automatic,
            dependency_policy: DependencyPolicy::Require,
            running: None,
        };
        while let Some(word) = words.next() {
            match word {
                "at" => installation.running = words.next().map(version),
                "manual" => installation.update_policy = UpdatePolicy::Manual,
                "auto" => installation.dependency_policy = DependencyPolicy::AutoInstall,
                other => panic!("{other}"),
            }
        }
        self.tenant.insert(plugin, installation);
        self
    }

    /// All steps, each as it reads.
    fn steps(&self) -> Vec<String> {
        let resolution = resolve(&self.tenant, &self.registry);
        assert!(resolution.refused.is_empty(), "{:?}", resolution.refused);
        resolution.plan.steps.iter().map(ToString::to_string).collect()
    }

    /// The versions of the plan, in its order.
    fn versions(&self) -> String {
        let resolution = resolve(&self.tenant, &self.registry);
        let steps = resolution.plan.steps.iter();
        let steps: Vec<_> = steps.map(|step| format!("{} {}", step.plugin, step.to)).collect();
        steps.join(", ")
    }

    /// Why the installation is refused.
    fn refusal(&self, plugin: &str) -> String {
        resolve(&self.tenant, &self.registry).refused[&id(plugin)].to_string()
    }
}
