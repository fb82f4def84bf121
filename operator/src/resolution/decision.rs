//! Whose wishes are granted, and which versions that gives.
//!
//! Staying as it is is always possible. So each installation's wish is tried on top of that: running ones before new
//! ones, each by id. A wish that does not go with those granted before it is refused, with the reason, and its
//! installation stays as it is.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use plexica_crds::names::PluginId;
use pubgrub::VersionSet as _;

use super::{
    core::{Trial, facts, restriction},
    explanation::Explanation,
    problem::{Problem, Variable},
    solver::{Budget, Failure, Order, Package, search},
    values::{Value, Values},
};

/// Steps of one search. What can be decided takes a few hundred (`cargo dev bench resolution`).
const STEPS: u32 = 2_000;
/// Steps of all searches of a resolution.
const STEPS_IN_ALL: u32 = 6_000;

/// Searches with a common limit.
pub(super) struct Decider<'p, 'a> {
    problem: &'p Problem<'a>,
    left: Cell<u32>,
    /// What the last search found that granted wishes. Each grants more than the one before it.
    found: RefCell<Option<Vec<Value>>>,
}

/// What was decided, by variable.
pub(super) struct Decision {
    pub granted: Vec<bool>,
    pub values: Vec<Value>,
    pub refused: BTreeMap<PluginId, Explanation>,
}

impl<'p, 'a> Decider<'p, 'a> {
    pub(super) fn new(problem: &'p Problem<'a>) -> Self {
        Self {
            problem,
            left: Cell::new(STEPS_IN_ALL),
            found: RefCell::default(),
        }
    }

    /// Grants what goes, in order, and takes the best versions for that.
    pub(super) fn decide(&self) -> Decision {
        let variables = &self.problem.variables;
        let mut granted = vec![false; variables.len()];
        let mut refused = BTreeMap::new();
        let mut rest = vec![];
        for (place, variable) in variables.iter().enumerate() {
            if variable.installation.is_none() {
                continue;
            }
            match unfulfillable(self.problem, variable) {
                Some(explanation) => drop(refused.insert(variable.plugin.clone(), explanation)),
                None => rest.push(place),
            }
        }
        rest.sort_by_key(|place| !variables[*place].runs());
        let mut rest = rest.as_slice();
        while !rest.is_empty() {
            let goes = self.how_many_go(&granted, rest);
            granted = with(&granted, &rest[..goes]);
            let Some(variable) = rest.get(goes) else { break };
            let explanation = self.explain(&granted, *variable, None);
            refused.insert(variables[*variable].plugin.clone(), explanation);
            rest = &rest[goes + 1..];
        }
        match self.search(&granted, None, Order::Preference) {
            Ok(values) => Decision {
                granted,
                values,
                refused,
            },
            Err(_) => self.as_found(refused),
        }
    }

    /// How many of the first wishes go together.
    fn how_many_go(&self, granted: &[bool], wishes: &[usize]) -> usize {
        let (mut goes, mut too_many) = (0, wishes.len() + 1);
        let mut next = wishes.len();
        while goes + 1 < too_many {
            match self.search(&with(granted, &wishes[..next]), None, Order::Trouble) {
                Ok(_) => goes = next,
                Err(_) => too_many = next,
            }
            next = goes + (too_many - goes) / 2;
        }
        goes
    }

    /// Why this version (or else the best that is wished for) does not go with what is granted.
    pub(super) fn explain(&self, granted: &[bool], variable: usize, value: Option<Value>) -> Explanation {
        let tried = &self.problem.variables[variable];
        let plugin = tried.plugin.clone();
        let granted = with(granted, &[variable]);
        let trial = value
            .or_else(|| tried.wish.first())
            .map(|value| Trial { variable, value });
        let failure = trial.map(|trial| (trial, self.search(&granted, Some(trial), Order::Trouble)));
        match (failure, tried.installation) {
            (Some((trial, Err(Failure::Contradiction(clauses)))), Some(installation)) => {
                let fitting = tried.wish.below(tried.states.len()).count();
                Explanation::Conflict {
                    plugin,
                    version: tried
                        .version(trial.value)
                        .cloned()
                        .unwrap_or_else(|| semver::Version::new(0, 0, 0)),
                    range: installation.range.clone(),
                    others: if value.is_some() { 0 } else { fitting.saturating_sub(1) },
                    facts: facts(self.problem, trial, &granted, &clauses),
                }
            }
            _ => Explanation::Undecided { plugin, steps: STEPS },
        }
    }

    /// Values if these wishes are granted, and the others may be.
    pub(super) fn search(&self, granted: &[bool], trial: Option<Trial>, order: Order) -> Result<Vec<Value>, Failure> {
        let problem = self.problem;
        let rules = problem.variables.iter().enumerate().map(|(place, variable)| {
            let values = match trial {
                Some(trial) if trial.variable == place => Values::singleton(trial.value),
                _ if variable.installation.is_none() => variable.which(|_| true),
                _ if granted[place] => variable.wish.clone(),
                _ => variable.wish.union(&Values::singleton(variable.present)),
            };
            (Package::Plugin(place), values)
        });
        let demands = |variable: usize, value: Value| {
            let demands = problem.demands(variable, value, granted[variable]);
            demands.iter().map(restriction).collect()
        };
        let steps = self.left.get().min(STEPS);
        let budget = Budget::new(steps);
        let found = search(&rules.collect::<Vec<_>>(), demands, order, &budget);
        self.left.set(self.left.get() - (steps - budget.left()));
        let mut values: Vec<_> = problem.variables.iter().map(|variable| variable.present).collect();
        for (variable, value) in found? {
            values[variable] = value;
        }
        if trial.is_none() {
            self.found.replace(Some(values.clone()));
        }
        Ok(values)
    }

    /// When the steps are used up before the best is known: what was found until then, or else that all stays as it is.
    fn as_found(&self, mut refused: BTreeMap<PluginId, Explanation>) -> Decision {
        let variables = &self.problem.variables;
        let as_it_is = || variables.iter().map(|variable| variable.present).collect();
        let values: Vec<_> = self.found.take().unwrap_or_else(as_it_is);
        let fulfilled = |(variable, value): (&Variable<'_>, &Value)| variable.wish.contains(value);
        let granted: Vec<_> = variables.iter().zip(&values).map(fulfilled).collect();
        for (variable, granted) in variables.iter().zip(&granted) {
            let plugin = variable.plugin.clone();
            if *granted {
                refused.remove(&plugin);
            } else if variable.installation.is_some() {
                let steps = STEPS_IN_ALL;
                let undecided = || Explanation::Undecided {
                    plugin: plugin.clone(),
                    steps,
                };
                refused.entry(plugin.clone()).or_insert_with(undecided);
            }
        }
        Decision {
            granted,
            values,
            refused,
        }
    }
}

fn with(granted: &[bool], more: &[usize]) -> Vec<bool> {
    let mut granted = granted.to_vec();
    for place in more {
        granted[*place] = true;
    }
    granted
}

/// Why a wish comes to nothing whatever the others are.
fn unfulfillable(problem: &Problem<'_>, variable: &Variable<'_>) -> Option<Explanation> {
    let installation = variable.installation.filter(|_| variable.wish == Values::empty())?;
    let plugin = variable.plugin.clone();
    let range = installation.range.clone();
    let releases = problem.registry.releases(variable.plugin);
    let newest = releases.keys().rev().find(|version| range.matches(version));
    Some(match (newest, &installation.running) {
        _ if releases.is_empty() => Explanation::Unregistered {
            plugin,
            registered: problem.registry.plugins().cloned().collect(),
        },
        (Some(newest), Some(running)) => Explanation::OnlyOlder {
            plugin,
            range,
            running: running.clone(),
            newest: newest.clone(),
        },
        (None, _) | (_, None) => Explanation::NothingFits {
            plugin,
            range,
            versions: releases.keys().cloned().collect(),
        },
    })
}
