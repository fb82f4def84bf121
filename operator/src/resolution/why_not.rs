//! Why an installation does not get a certain version.

use std::fmt;

use plexica_crds::{names::PluginId, version_range::VersionRange};
use semver::Version;

use super::{
    core::Trial,
    decision::{Decider, Decision},
    explanation::Explanation,
    fact::list,
    input::{Registry, Tenant},
    problem::{Problem, State, Variable},
    solver::{Failure, Order},
    values::Value,
};

/// Why an installation does not get a certain version. Displays as one sentence about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// It does get it.
    Chosen,
    /// The tenant has no installation of the plugin.
    NotInstalled,
    /// There is no such release.
    NotReleased {
        /// What there is, oldest first.
        versions: Vec<Version>,
    },
    /// The installation does not want it.
    OutOfRange {
        /// What it wants.
        range: VersionRange,
        /// It would fit if it were no pre-release.
        pre_release: bool,
    },
    /// It is older than what runs.
    Older {
        /// What runs.
        running: Version,
    },
    /// updatePolicy is Manual.
    Manual {
        /// What runs.
        running: Version,
    },
    /// It does not go with others.
    Refused(Explanation),
    /// It goes, but another one is preferred.
    LessPreferred {
        /// What is preferred.
        chosen: Version,
        /// The reason is that it is deprecated, not that it is older.
        deprecated: bool,
    },
    /// It goes, but then a plugin that is decided before gets a worse version.
    Costs {
        /// The other plugin.
        plugin: PluginId,
        /// What that gets now; none: nothing.
        now: Option<Version>,
        /// What it would get.
        then: Option<Version>,
    },
}

/// Why the installation of this plugin does not get this version.
pub fn why_not(tenant: &Tenant, registry: &Registry, plugin: &PluginId, version: &Version) -> WhyNot {
    let Some(installation) = tenant.get(plugin) else {
        return WhyNot::NotInstalled;
    };
    if registry.release(plugin, version).is_none() {
        let versions = registry.releases(plugin).keys().cloned().collect();
        return WhyNot::NotReleased { versions };
    }
    if !installation.range.matches(version) {
        let range = installation.range.clone();
        let pre_release = range.covers(version);
        return WhyNot::OutOfRange { range, pre_release };
    }
    if let Some(running) = installation.held().filter(|held| *held != version) {
        return WhyNot::Manual {
            running: running.clone(),
        };
    }
    if let Some(running) = installation.floor().filter(|floor| version < floor) {
        return WhyNot::Older {
            running: running.clone(),
        };
    }
    let problem = Problem::new(tenant, registry);
    let decider = Decider::new(&problem);
    let decision = decider.decide();
    let trial = problem.find(plugin).and_then(|variable| {
        let value = problem.variables[variable].value(Some(version))?;
        Some(Trial { variable, value })
    });
    match trial {
        Some(trial) => compare(&problem, &decider, &decision, trial),
        None => WhyNot::NotInstalled,
    }
}

/// What becomes of the decision when a plugin has to have this value.
fn compare(problem: &Problem<'_>, decider: &Decider<'_, '_>, decision: &Decision, trial: Trial) -> WhyNot {
    let Trial { variable, value } = trial;
    if decision.granted[variable] && decision.values[variable] == value {
        return WhyNot::Chosen;
    }
    let mut granted = decision.granted.clone();
    granted[variable] = true;
    let refused = || WhyNot::Refused(decider.explain(&decision.granted, variable, Some(value)));
    let values = match decider.search(&granted, Some(trial), Order::Preference) {
        Err(Failure::Contradiction(_) | Failure::OutOfSteps) => return refused(),
        Ok(values) => values,
    };
    let pairs = decision.values.iter().zip(&values).zip(&problem.variables);
    let worse = pairs.enumerate().find(|(_, ((now, then), _))| now != then);
    match worse {
        Some((place, ((now, _), of))) if place == variable => less_preferred(of, *now, value),
        Some((_, ((now, then), of))) => WhyNot::Costs {
            plugin: of.plugin.clone(),
            now: of.version(*now).cloned(),
            then: of.version(*then).cloned(),
        },
        None => refused(),
    }
}

fn less_preferred(variable: &Variable<'_>, chosen: Value, other: Value) -> WhyNot {
    let standing = |value: Value| variable.states.get(value as usize).map(State::standing);
    match variable.version(chosen) {
        Some(version) => WhyNot::LessPreferred {
            chosen: version.clone(),
            deprecated: standing(other) < standing(chosen),
        },
        None => WhyNot::NotInstalled,
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("it is the version that was chosen"),
            Self::NotInstalled => f.write_str("the tenant has no installation of it"),
            Self::NotReleased { versions } if versions.is_empty() => f.write_str("the plugin has no release"),
            Self::NotReleased { versions } => write!(f, "there is no such release, only {}", list(versions)),
            Self::OutOfRange {
                range,
                pre_release: false,
            } => write!(f, "the installation wants {range}"),
            Self::OutOfRange {
                range,
                pre_release: true,
            } => {
                write!(
                    f,
                    "the installation wants {range}, which names no pre-release of this version"
                )
            }
            Self::Older { running } => {
                write!(
                    f,
                    "{running} runs, and the installation goes back only to a version that it names exactly"
                )
            }
            Self::Manual { running } => write!(f, "{running} runs and fits, and updatePolicy is Manual"),
            Self::Refused(explanation) => write!(f, "{explanation}"),
            Self::LessPreferred {
                chosen,
                deprecated: false,
            } => write!(f, "{chosen} is newer and goes as well"),
            Self::LessPreferred {
                chosen,
                deprecated: true,
            } => write!(f, "it is deprecated, and {chosen} is not"),
            Self::Costs { plugin, now, then } => {
                write!(f, "then {plugin} would ")?;
                match (now, then) {
                    (Some(now), Some(then)) => write!(f, "be {then} instead of {now}"),
                    (Some(now), None) => write!(f, "not be installed instead of {now}"),
                    (None, Some(then)) => write!(f, "have to be added ({then})"),
                    (None, None) => write!(f, "change"),
                }
            }
        }
    }
}
