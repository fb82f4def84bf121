//! What is to be done, in order, and why.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use plexica_crds::{names::PluginId, version_range::VersionRange};
use pubgrub::VersionSet as _;
use semver::Version;

use super::{
    core::{Trial, demand_as_fact},
    decision::Decision,
    fact::Fact,
    input::DependencyKind,
    order::{Needs, providers_first},
    problem::{Demand, Problem, Statement, Variable},
    values::Value,
};

/// A version for each plugin whose wish is granted, providers before dependants (see the module `order`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are to be done.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The step of a plugin.
    pub fn step(&self, plugin: &PluginId) -> Option<&Step> {
        self.steps.iter().find(|step| step.plugin == *plugin)
    }

    /// The steps that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action() != Action::Keep)
    }
}

/// A plugin and its version. Displays as `upgrade crm from 1.0.0 to 2.0.0: the newest that fits *`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The plugin.
    pub plugin: PluginId,
    /// What runs.
    pub from: Option<Version>,
    /// What is to run.
    pub to: Version,
    /// Why this version.
    pub reason: Reason,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing runs yet.
    Install,
    /// It has no installation, and gets one because another plugin needs it.
    Add,
    /// To a newer version.
    Upgrade,
    /// To an older version, which the installation names.
    Downgrade,
    /// It is what it should be.
    Keep,
}

/// Why a version was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the best of those that fit.
    Newest {
        /// The range.
        range: VersionRange,
        /// A newer one that fits too, but is deprecated.
        deprecated: Option<Version>,
    },
    /// A better one that fits does not go with the other plugins.
    HeldBack {
        /// The range.
        range: VersionRange,
        /// The best of them.
        best: Version,
        /// What is in its way.
        by: Fact,
    },
    /// It goes with the other plugins; whether a better one does as well was not found out.
    Found {
        /// The range.
        range: VersionRange,
        /// The best of them.
        best: Version,
    },
    /// The installation names exactly this version.
    Named,
    /// Its updatePolicy is Manual, and what runs fits.
    Manual {
        /// The range.
        range: VersionRange,
    },
    /// Another plugin needs it.
    Needed {
        /// Which plugin, and what it says.
        by: Fact,
    },
}

impl Step {
    /// What the step does.
    pub fn action(&self) -> Action {
        match (&self.from, &self.reason) {
            (None, Reason::Needed { .. }) => Action::Add,
            (None, _) => Action::Install,
            (Some(from), _) => match self.to.cmp(from) {
                Ordering::Less => Action::Downgrade,
                Ordering::Equal => Action::Keep,
                Ordering::Greater => Action::Upgrade,
            },
        }
    }
}

/// The steps that lead to a decision.
pub(super) fn plan(problem: &Problem<'_>, decision: &Decision) -> Plan {
    let assignment = Assignment::new(problem, decision);
    let steps = problem.variables.iter().enumerate().filter_map(|(place, variable)| {
        // What is refused stays as it is; the explanation speaks for it.
        if variable.installation.is_some() && !decision.granted[place] {
            return None;
        }
        Some(Step {
            plugin: variable.plugin.clone(),
            from: variable.version(variable.present).cloned(),
            to: variable.version(decision.values[place])?.clone(),
            reason: assignment.reason(place)?,
        })
    });
    let mut steps: BTreeMap<_, _> = steps.map(|step| (step.plugin.clone(), step)).collect();
    let mut needs: BTreeMap<&PluginId, Needs<'_>> = BTreeMap::new();
    for variable in &problem.variables {
        if steps.contains_key(variable.plugin) {
            needs.insert(variable.plugin, Needs::default());
        }
    }
    for (place, demand) in assignment.demands() {
        let (Some(on), Statement::Dependency(dependency)) = (demand.on, demand.statement) else {
            continue;
        };
        let on = problem.variables[on].plugin;
        if let Some(needs) = steps
            .contains_key(on)
            .then(|| needs.get_mut(problem.variables[place].plugin))
            .flatten()
        {
            needs.add(on, dependency.kind == DependencyKind::Required);
        }
    }
    Plan {
        steps: providers_first(needs)
            .into_iter()
            .filter_map(|plugin| steps.remove(plugin))
            .collect(),
    }
}

/// The values of a decision with what they demand of each other.
struct Assignment<'p, 'a> {
    problem: &'p Problem<'a>,
    decision: &'p Decision,
    demands: Vec<Vec<Demand<'a>>>,
    /// By variable, whose demands concern it.
    demanded_by: Vec<BTreeSet<usize>>,
}

impl<'p, 'a> Assignment<'p, 'a> {
    fn new(problem: &'p Problem<'a>, decision: &'p Decision) -> Self {
        let values = decision.values.iter().enumerate();
        let demands: Vec<_> = values
            .map(|(place, value)| problem.demands(place, *value, decision.granted[place]))
            .collect();
        let mut demanded_by = vec![BTreeSet::new(); demands.len()];
        for (place, demands) in demands.iter().enumerate() {
            for on in demands.iter().filter_map(|demand| demand.on) {
                demanded_by[on].insert(place);
            }
        }
        Self {
            problem,
            decision,
            demands,
            demanded_by,
        }
    }

    fn demands(&self) -> impl Iterator<Item = (usize, &Demand<'a>)> {
        self.demands
            .iter()
            .enumerate()
            .flat_map(|(place, demands)| demands.iter().map(move |demand| (place, demand)))
    }

    fn reason(&self, place: usize) -> Option<Reason> {
        let variable = &self.problem.variables[place];
        let value = self.decision.values[place];
        let Some(installation) = variable.installation else {
            return Some(Reason::Needed { by: self.need(place)? });
        };
        let range = installation.range.clone();
        if installation.held().is_some() {
            return Some(Reason::Manual { range });
        }
        if installation.range.exact().is_some() {
            return Some(Reason::Named);
        }
        if let Some(best) = variable.wish.first().filter(|best| *best != value) {
            let by = self.obstacle(place, best);
            let best = variable.version(best)?.clone();
            return Some(match by {
                Some(by) => Reason::HeldBack { range, best, by },
                None => Reason::Found { range, best },
            });
        }
        let deprecated = newer_deprecated(variable, value);
        Some(Reason::Newest { range, deprecated })
    }

    /// Who needs what was added.
    fn need(&self, place: usize) -> Option<Fact> {
        self.demanded_by[place].iter().find_map(|source| {
            let needs = |demand: &&Demand<'_>| {
                demand.on == Some(place)
                    && matches!(demand.statement, Statement::Dependency(d) if d.kind == DependencyKind::Required)
            };
            let demand = self.demands[*source].iter().find(needs)?;
            self.fact(*source, self.decision.values[*source], demand)
        })
    }

    /// What is in the way of another value, all others being what they are. There is something, if the decision is the
    /// best one: else that value would have been chosen.
    fn obstacle(&self, place: usize, value: Value) -> Option<Fact> {
        let own = self.problem.demands(place, value, true);
        let unmet = own.iter().find(|demand| {
            let is = demand.on.map(|on| self.decision.values[on]);
            !is.is_some_and(|is| demand.allowed.contains(&is))
        });
        if let Some(demand) = unmet {
            return self.fact(place, value, demand);
        }
        self.demanded_by[place].iter().find_map(|source| {
            let forbids = |demand: &&Demand<'_>| demand.on == Some(place) && !demand.allowed.contains(&value);
            let demand = self.demands[*source].iter().find(forbids)?;
            self.fact(*source, self.decision.values[*source], demand)
        })
    }

    fn fact(&self, variable: usize, value: Value, demand: &Demand<'a>) -> Option<Fact> {
        demand_as_fact(self.problem, Trial { variable, value }, demand)
    }
}

fn newer_deprecated(variable: &Variable<'_>, value: Value) -> Option<Version> {
    let chosen = variable.version(value)?;
    let worse = variable
        .wish
        .below(variable.states.len())
        .filter(|other| *other > value);
    worse
        .filter_map(|other| variable.version(other))
        .find(|other| *other > chosen)
        .cloned()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plugin,
            from,
            to,
            reason,
        } = self;
        match (self.action(), from) {
            (Action::Install | Action::Add, _) | (_, None) => write!(f, "install {plugin} {to}: {reason}"),
            (Action::Upgrade, Some(from)) => write!(f, "upgrade {plugin} from {from} to {to}: {reason}"),
            (Action::Downgrade, Some(from)) => write!(f, "take {plugin} back from {from} to {to}: {reason}"),
            (Action::Keep, Some(_)) => write!(f, "keep {plugin} {to}: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest {
                range,
                deprecated: None,
            } => write!(f, "the newest that fits {range}"),
            Self::Newest {
                range,
                deprecated: Some(newer),
            } => write!(f, "the newest that fits {range} but for {newer}, which is deprecated"),
            Self::HeldBack { range, best, by } => {
                write!(
                    f,
                    "the newest that fits {range} and goes with the others, not {best}: {by}"
                )
            }
            Self::Found { range, best } => write!(
                f,
                "it fits {range} and goes with the others; whether {best} does too would take too long to find out"
            ),
            Self::Named => f.write_str("the installation names it"),
            Self::Manual { range } => write!(f, "updatePolicy is Manual and it fits {range}"),
            Self::Needed { by } => write!(f, "{by}"),
        }
    }
}
