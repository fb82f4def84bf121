//! Why an installation cannot have what it wants, in one sentence of facts.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
};

use plexica_crds::{names::PluginId, version_range::VersionRange};
use semver::Version;

use super::fact::{Fact, NAMED, list};

/// Why an installation cannot have what it wants. Displays as one sentence, lower case, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// Nothing of that name is released.
    Unregistered {
        /// What was wanted.
        plugin: PluginId,
        /// What there is.
        registered: Vec<PluginId>,
    },
    /// No release is in the range.
    NothingFits {
        /// The plugin.
        plugin: PluginId,
        /// What was wanted.
        range: VersionRange,
        /// What there is, oldest first.
        versions: Vec<Version>,
    },
    /// Only releases that are older than what runs are in the range.
    OnlyOlder {
        /// The plugin.
        plugin: PluginId,
        /// What was wanted.
        range: VersionRange,
        /// What runs.
        running: Version,
        /// The newest of the older ones.
        newest: Version,
    },
    /// Other plugins are in the way.
    Conflict {
        /// The plugin.
        plugin: PluginId,
        /// The version that would have been chosen, and to which the facts apply.
        version: Version,
        /// What was wanted.
        range: VersionRange,
        /// How many other versions would have done, of which none goes either.
        others: usize,
        /// They cannot hold together with this version. None can be left out, but for what runs.
        facts: Vec<Fact>,
    },
    /// The search was given up.
    Undecided {
        /// The plugin.
        plugin: PluginId,
        /// How long was searched.
        steps: u32,
    },
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unregistered { plugin, registered } if registered.is_empty() => {
                write!(
                    f,
                    "no plugin {plugin} is registered, nor is any other; apply a Plugin that releases it"
                )
            }
            Self::Unregistered { plugin, registered } => {
                write!(f, "no plugin {plugin} is registered; there are {}", list(registered))
            }
            Self::NothingFits {
                plugin,
                range,
                versions,
            } => {
                write!(f, "no version of {plugin} fits {range}; {}", existing(versions))?;
                match pre_release_of(range, versions) {
                    Some(version) => write!(f, "; a pre-release fits only a range that names it, such as ={version}"),
                    None => Ok(()),
                }
            }
            Self::OnlyOlder {
                plugin,
                range,
                running,
                newest,
            } => write!(
                f,
                "{plugin} runs {running}, and only older versions fit {range}; to go back name the version, for \
                 example ={newest}"
            ),
            Self::Conflict {
                plugin,
                version: _,
                range,
                others,
                facts,
            } => {
                f.write_str(&sentence(plugin, facts))?;
                match others {
                    0 => {}
                    1 => write!(f, "; the other version that fits {range} does not go either")?,
                    _ => write!(f, "; nor does any of the other {others} versions that fit {range}")?,
                }
                match missing(facts) {
                    Some((needing, plugin, newest)) => write!(
                        f,
                        "; install {plugin} (newest that fits: {newest}) or set the dependencyPolicy of {needing} to \
                         AutoInstall"
                    ),
                    None => Ok(()),
                }
            }
            Self::Undecided { plugin, steps } => write!(
                f,
                "whether {plugin} goes with the other plugins was not found out in {steps} steps; name exact versions \
                 (such as =1.2.3) in some installations to leave fewer possibilities"
            ),
        }
    }
}

/// The facts as a chain: what the plugin needs, what holds that back, and so on.
fn sentence(plugin: &PluginId, facts: &[Fact]) -> String {
    let mut told: Vec<_> = facts.iter().map(|fact| goes_without_saying(fact, facts)).collect();
    let mut clauses = vec![];
    let mut seen = BTreeSet::from([plugin]);
    let mut to_visit = VecDeque::from([plugin]);
    while let Some(about) = to_visit.pop_front() {
        let untold = |told: &[bool], of: fn(&Fact) -> &PluginId| -> Vec<usize> {
            (0..facts.len())
                .filter(|at| !told[*at] && of(&facts[*at]) == about)
                .collect()
        };
        let restricting = untold(&told, Fact::target);
        clauses.extend(restriction(
            about,
            plugin == about,
            restricting.iter().map(|at| &facts[*at]),
        ));
        for at in &restricting {
            told[*at] = true;
        }
        let further = untold(&told, Fact::source);
        clauses.extend(further.iter().map(|at| facts[*at].to_string()));
        for at in &further {
            told[*at] = true;
        }
        for fact in restricting.iter().chain(&further).map(|at| &facts[*at]) {
            for next in [fact.target(), fact.source()] {
                if seen.insert(next) {
                    to_visit.push_back(next);
                }
            }
        }
    }
    // Whatever is not connected with the rest.
    clauses.extend(
        facts
            .iter()
            .zip(told)
            .filter(|(_, told)| !told)
            .map(|(fact, _)| fact.to_string()),
    );
    let more = clauses.len().saturating_sub(NAMED);
    clauses.truncate(NAMED);
    if more > 0 {
        clauses.push(format!("and {more} more such facts"));
    }
    clauses.join(", ")
}

/// That a version is installed of which something else is told.
fn goes_without_saying(fact: &Fact, facts: &[Fact]) -> bool {
    let Fact::Present {
        plugin,
        running: Some(running),
    } = fact
    else {
        return false;
    };
    facts.iter().any(|other| match other {
        Fact::Needs {
            plugin: source,
            versions,
            ..
        }
        | Fact::GoesWith {
            plugin: source,
            versions,
            ..
        }
        | Fact::Excludes {
            plugin: source,
            versions,
            ..
        } => source == plugin && versions.as_slice() == [running.clone()],
        _ => false,
    })
}

/// What restricts a plugin: `contacts 1.4.0 is installed because billing 1.0.0 wants ^1`.
fn restriction<'a>(plugin: &PluginId, is_subject: bool, facts: impl Iterator<Item = &'a Fact>) -> Vec<String> {
    let facts: Vec<_> = facts.collect();
    let Some(running) = facts.iter().find_map(|fact| fact.running()).filter(|_| !is_subject) else {
        return facts.iter().map(ToString::to_string).collect();
    };
    let (mut reasons, mut besides, mut others) = (vec![], vec![], vec![]);
    for fact in facts {
        match (fact.as_reason_for(running), fact) {
            (Some(reason), _) => reasons.push(reason),
            (None, Fact::Present { .. }) => {}
            (None, Fact::Wanted { range, .. }) => besides.push(format!(" and its installation wants {range}")),
            (None, Fact::NotBack { .. }) => {
                besides.push(" and goes back only to a version that its installation names".into());
            }
            (None, _) => others.push(fact.to_string()),
        }
    }
    let because = if reasons.is_empty() { "" } else { " because " };
    let (reasons, besides) = (reasons.join(" and "), besides.concat());
    let first = format!("{plugin} {running} is installed{because}{reasons}{besides}");
    std::iter::once(first).chain(others).collect()
}

/// Who needs what is not installed, and its newest version that would do.
fn missing(facts: &[Fact]) -> Option<(&PluginId, &PluginId, &Version)> {
    facts.iter().find_map(|fact| match fact {
        Fact::NotInstalled { plugin, newest } => {
            let needing = facts
                .iter()
                .find(|other| other.target() == plugin && other.source() != plugin)?;
            Some((needing.source(), plugin, newest))
        }
        _ => None,
    })
}

/// A pre-release that would fit if it were final.
fn pre_release_of<'a>(range: &VersionRange, versions: &'a [Version]) -> Option<&'a Version> {
    versions.iter().rev().find(|version| range.covers(version))
}

fn existing(versions: &[Version]) -> String {
    match versions {
        [one] => format!("there is only {one}"),
        _ => format!("there are {}", list(versions)),
    }
}
