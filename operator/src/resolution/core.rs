//! From a contradiction to the facts that make it: as few as possible, so that the sentence is short.

use std::collections::{BTreeMap, BTreeSet};

use plexica_crds::names::PluginId;
use pubgrub::VersionSet as _;

use super::{
    fact::Fact,
    input::DependencyKind,
    problem::{Demand, Problem, Rule, Statement},
    solver::{Budget, Clause, Failure, Order, Package, Restriction, search},
    values::{Value, Values},
};

/// Steps for finding out whether a few premises contradict each other.
const STEPS: u32 = 500;
/// Contradictions of more premises are not made smaller: nobody reads them, and each premise costs a search.
const MANY: usize = 48;

/// Something that was taken for granted when the contradiction was found.
enum Premise<'a> {
    /// An installation wants it so.
    Rule { on: usize, rule: Rule, values: Values },
    /// A manifest wants it so.
    Demand(ByVersion<'a>),
}

/// The same line in the manifests of several versions of a plugin.
struct ByVersion<'a> {
    source: usize,
    demands: Vec<(Value, Demand<'a>)>,
}

/// The version of a plugin that was tried.
#[derive(Clone, Copy)]
pub(super) struct Trial {
    pub variable: usize,
    pub value: Value,
}

impl Trial {
    /// What the trial asks of the solver.
    pub(super) fn restriction(self) -> Restriction {
        (Package::Plugin(self.variable), Values::singleton(self.value))
    }
}

/// The facts for which the trial fails. `granted` tells of each variable whether its installation's wish is.
pub(super) fn facts(problem: &Problem<'_>, trial: Trial, granted: &[bool], clauses: &[Clause]) -> Vec<Fact> {
    let mut premises = premises(problem, trial, granted, clauses);
    if premises.len() <= MANY {
        let mut place = premises.len();
        while place > 0 {
            place -= 1;
            let left_out = premises.remove(place);
            if !contradict(trial, &premises) {
                premises.insert(place, left_out);
            }
        }
    }
    tell(problem, trial, granted, &premises)
}

fn premises<'a>(problem: &Problem<'a>, trial: Trial, granted: &[bool], clauses: &[Clause]) -> Vec<Premise<'a>> {
    let mut rules = BTreeMap::new();
    let mut demands = BTreeMap::new();
    for clause in clauses {
        match (clause.source, clause.on) {
            (Package::Plugin(source), _) => {
                let granted = granted[source];
                for value in clause.values.below(problem.variables[source].states.len()) {
                    if source == trial.variable && value != trial.value {
                        continue;
                    }
                    for demand in problem.demands(source, value, granted) {
                        if restriction(&demand) == (clause.on, clause.allowed.clone()) {
                            let same = demands
                                .entry((source, demand.statement.key()))
                                .or_insert_with(BTreeMap::new);
                            same.insert(value, demand);
                        }
                    }
                }
            }
            (Package::Root, Package::Plugin(on)) if on != trial.variable => {
                let all = problem.variables[on].which(|_| true);
                let rules_of = problem.rules(on, granted[on]).into_iter();
                let restricting = rules_of.filter(|(_, values)| *values != all);
                rules.extend(restricting.map(|(rule, values)| ((on, rule), values)));
            }
            (Package::Root | Package::Nobody, _) => {}
        }
    }
    let rules = rules
        .into_iter()
        .map(|((on, rule), values)| Premise::Rule { on, rule, values });
    let demands = demands.into_iter().map(|((source, _), demands)| {
        let demands = demands.into_iter().collect();
        Premise::Demand(ByVersion { source, demands })
    });
    demands.chain(rules).collect()
}

/// What a demand asks of the solver.
pub(super) fn restriction(demand: &Demand<'_>) -> Restriction {
    let on = demand.on.map_or(Package::Nobody, Package::Plugin);
    (on, demand.allowed.clone())
}

fn contradict(trial: Trial, premises: &[Premise<'_>]) -> bool {
    let mut rules = vec![trial.restriction()];
    rules.extend(premises.iter().filter_map(|premise| match premise {
        Premise::Rule { on, values, rule: _ } => Some((Package::Plugin(*on), values.clone())),
        Premise::Demand(_) => None,
    }));
    let demands = |variable: usize, value: Value| {
        let of = premises.iter().filter_map(|premise| match premise {
            Premise::Demand(by_version) if by_version.source == variable => by_version.of(value),
            Premise::Demand(_) | Premise::Rule { .. } => None,
        });
        of.map(restriction).collect()
    };
    matches!(
        search(&rules, demands, Order::Trouble, &Budget::new(STEPS)),
        Err(Failure::Contradiction(_))
    )
}

impl Premise<'_> {
    fn on(&self) -> Option<usize> {
        match self {
            Self::Rule { on, .. } => Some(*on),
            Self::Demand(by_version) => by_version.demands.first()?.1.on,
        }
    }
}

impl<'a> ByVersion<'a> {
    fn of(&self, value: Value) -> Option<&Demand<'a>> {
        let mut demands = self.demands.iter();
        demands.find_map(|(at, demand)| (*at == value).then_some(demand))
    }
}

impl<'a> Statement<'a> {
    fn key(self) -> (&'a PluginId, u8, &'a str) {
        match self {
            Self::Dependency(dependency) => {
                let kind = u8::from(dependency.kind == DependencyKind::Required);
                (&dependency.plugin, kind, dependency.range.as_str())
            }
            Self::Conflict(conflict) => (&conflict.plugin, 2, conflict.range.as_str()),
        }
    }
}

fn tell(problem: &Problem<'_>, trial: Trial, granted: &[bool], premises: &[Premise<'_>]) -> Vec<Fact> {
    let mut facts = vec![];
    let mut introduced = BTreeSet::from([trial.variable]);
    for premise in premises {
        match premise {
            Premise::Rule { on, rule, values: _ } => {
                introduced.insert(*on);
                facts.extend(rule_as_fact(problem, *on, *rule, granted[*on]));
            }
            Premise::Demand(by_version) => {
                let possible = possible(problem, by_version.source, premises);
                facts.extend(demand_as_facts(problem, by_version, &possible));
            }
        }
    }
    // The reader knows what runs, and shall meet it in the sentence.
    for on in premises.iter().filter_map(Premise::on) {
        let runs = problem.variables[on].runs();
        if runs && introduced.insert(on) {
            facts.extend(rule_as_fact(problem, on, Rule::Present, granted[on]));
        }
    }
    facts
}

/// The values that the rules among the premises leave to a variable.
fn possible(problem: &Problem<'_>, variable: usize, premises: &[Premise<'_>]) -> Values {
    let all = problem.variables[variable].which(|_| true);
    premises.iter().fold(all, |left, premise| match premise {
        Premise::Rule { on, values, rule: _ } if *on == variable => left.intersection(values),
        Premise::Rule { .. } | Premise::Demand(_) => left,
    })
}

fn rule_as_fact(problem: &Problem<'_>, on: usize, rule: Rule, granted: bool) -> Option<Fact> {
    let variable = &problem.variables[on];
    let installation = variable.installation?;
    let plugin = variable.plugin.clone();
    let running = installation.running.clone();
    Some(match rule {
        Rule::Present => Fact::Present { plugin, running },
        Rule::InRange => Fact::Wanted {
            plugin,
            range: installation.range.clone(),
            running,
            granted,
        },
        Rule::NotBack => Fact::NotBack {
            plugin,
            running: running?,
        },
        Rule::Held => Fact::Held {
            plugin,
            running: running?,
        },
    })
}

/// What one version demands.
pub(super) fn demand_as_fact(problem: &Problem<'_>, at: Trial, demand: &Demand<'_>) -> Option<Fact> {
    let by_version = ByVersion {
        source: at.variable,
        demands: vec![(at.value, demand.clone())],
    };
    let facts = demand_as_facts(problem, &by_version, &Values::singleton(at.value));
    facts.into_iter().next()
}

fn demand_as_facts(problem: &Problem<'_>, by_version: &ByVersion<'_>, possible: &Values) -> Vec<Fact> {
    let source = &problem.variables[by_version.source];
    let Some((_, demand)) = by_version.demands.first() else {
        return vec![];
    };
    let versions = |all: bool| -> Vec<_> {
        let values = by_version.demands.iter().map(|(value, _)| *value);
        let values = values.filter(|value| all || possible.contains(value));
        let mut versions: Vec<_> = values.filter_map(|value| source.version(value).cloned()).collect();
        versions.sort();
        versions
    };
    let versions = match versions(false) {
        none if none.is_empty() => versions(true),
        versions => versions,
    };
    let plugin = source.plugin.clone();
    match demand.statement {
        Statement::Conflict(conflict) => vec![Fact::Excludes {
            plugin,
            versions,
            other: conflict.plugin.clone(),
            range: conflict.range.clone(),
        }],
        Statement::Dependency(dependency) => {
            let (on, range) = (dependency.plugin.clone(), dependency.range.clone());
            let gap = gap(problem, demand, &on, dependency.kind);
            let needs = match dependency.kind {
                DependencyKind::Required => Fact::Needs {
                    plugin,
                    versions,
                    on,
                    range,
                },
                DependencyKind::Optional => Fact::GoesWith {
                    plugin,
                    versions,
                    on,
                    range,
                },
            };
            std::iter::once(needs).chain(gap).collect()
        }
    }
}

/// Why nothing at all meets a need.
fn gap(problem: &Problem<'_>, demand: &Demand<'_>, on: &PluginId, kind: DependencyKind) -> Option<Fact> {
    if kind == DependencyKind::Optional || demand.allowed != Values::empty() {
        return None;
    }
    let releases = problem.registry.releases(on);
    let Statement::Dependency(dependency) = demand.statement else {
        return None;
    };
    let plugin = on.clone();
    let fitting = releases.keys().rev().find(|version| dependency.range.matches(version));
    Some(match fitting {
        _ if releases.is_empty() => Fact::Unregistered { plugin },
        Some(newest) => Fact::NotInstalled {
            plugin,
            newest: newest.clone(),
        },
        None => Fact::Exists {
            plugin,
            versions: releases.keys().cloned().collect(),
        },
    })
}
