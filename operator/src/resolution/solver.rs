//! The search, by PubGrub (conflict-driven, with learning), bounded by a number of steps.
//!
//! Each decision is for the best value that is left. Where decisions are made in the order of the variables, whatever the
//! solver rules out follows from earlier decisions, so that the first solution is the best in lexicographic order. Where
//! any solution will do, or a proof that there is none, variables that met conflicts are decided first: then a conflict
//! at the end of the order does not throw away all decisions before it again and again.

use std::{cell::Cell, cmp::Reverse, collections::HashSet, fmt, sync::Arc};

use pubgrub::{Dependencies, DependencyProvider, DerivationTree, External, PackageResolutionStatistics, PubGrubError};

use super::values::{Value, Values};

/// A package of the solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Package {
    /// Its dependencies are the rules of all installations.
    Root,
    /// A variable.
    Plugin(usize),
    /// What is needed and cannot be there.
    Nobody,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Restricts a package to these values.
pub(super) type Restriction = (Package, Values);

/// Why there is no solution.
pub(super) enum Failure {
    /// These cannot hold together: of the left package being one of these values, that the right one is one of those.
    Contradiction(Vec<Clause>),
    /// The steps are used up.
    OutOfSteps,
}

/// If `source` is one of `values`, then `on` is one of `allowed`.
#[derive(Clone)]
pub(super) struct Clause {
    pub source: Package,
    pub values: Values,
    pub on: Package,
    pub allowed: Values,
}

/// In which order variables are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As they stand: the solution is the best one.
    Preference,
    /// What met most conflicts first: quick, and the solution is any.
    Trouble,
}

/// How many steps may still be made: one a decision. On the registries of `cargo dev bench resolution` a step takes some
/// microseconds, on the hardest one a tenth of a millisecond.
pub(super) struct Budget(Cell<u32>);

impl Budget {
    pub(super) fn new(steps: u32) -> Self {
        Self(Cell::new(steps))
    }

    /// How many are left.
    pub(super) fn left(&self) -> u32 {
        self.0.get()
    }

    fn spend(&self) -> Result<(), OutOfSteps> {
        self.0.set(self.0.get().checked_sub(1).ok_or(OutOfSteps)?);
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the steps are used up")]
struct OutOfSteps;

struct Provider<'p, D> {
    rules: &'p [Restriction],
    demands: D,
    order: Order,
    budget: &'p Budget,
}

impl<D: Fn(usize, Value) -> Vec<Restriction>> DependencyProvider for Provider<'_, D> {
    type P = Package;
    type V = Value;
    type VS = Values;
    /// Conflicts that count, then the place.
    type Priority = (u32, Reverse<usize>);
    type M = &'static str;
    type Err = OutOfSteps;

    fn prioritize(&self, package: &Package, _: &Values, seen: &PackageResolutionStatistics) -> Self::Priority {
        let conflicts = match self.order {
            Order::Preference => 0,
            Order::Trouble => seen.conflict_count(),
        };
        match package {
            Package::Root => (u32::MAX, Reverse(0)),
            Package::Plugin(variable) => (conflicts, Reverse(*variable)),
            Package::Nobody => (0, Reverse(usize::MAX)),
        }
    }

    fn choose_version(&self, _: &Package, values: &Values) -> Result<Option<Value>, OutOfSteps> {
        Ok(values.first())
    }

    fn get_dependencies(
        &self,
        package: &Package,
        value: &Value,
    ) -> Result<Dependencies<Package, Values, &'static str>, OutOfSteps> {
        let restrictions = match package {
            Package::Root => self.rules.to_vec(),
            Package::Plugin(variable) => (self.demands)(*variable, *value),
            Package::Nobody => vec![],
        };
        Ok(Dependencies::Available(restrictions.into_iter().collect()))
    }

    fn should_cancel(&self) -> Result<(), OutOfSteps> {
        self.budget.spend()
    }
}

/// Values that keep all rules and demands, by variable; a variable that nothing asks for is not in it.
pub(super) fn search(
    rules: &[Restriction],
    demands: impl Fn(usize, Value) -> Vec<Restriction>,
    order: Order,
    budget: &Budget,
) -> Result<Vec<(usize, Value)>, Failure> {
    let provider = Provider {
        rules,
        demands,
        order,
        budget,
    };
    match pubgrub::resolve(&provider, Package::Root, 0_u32) {
        Ok(solution) => Ok(solution
            .into_iter()
            .filter_map(|(package, value)| match package {
                Package::Plugin(variable) => Some((variable, value)),
                Package::Root | Package::Nobody => None,
            })
            .collect()),
        Err(PubGrubError::NoSolution(tree)) => Err(Failure::Contradiction(clauses(tree))),
        Err(
            PubGrubError::ErrorInShouldCancel(OutOfSteps)
            | PubGrubError::ErrorChoosingVersion { .. }
            | PubGrubError::ErrorRetrievingDependencies { .. },
        ) => Err(Failure::OutOfSteps),
    }
}

/// The leaves of a derivation, each once. The tree shares its branches: it is walked as the graph that it is.
fn clauses(tree: DerivationTree<Package, Values, &'static str>) -> Vec<Clause> {
    let (mut clauses, mut seen, mut to_visit) = (vec![], HashSet::new(), vec![Arc::new(tree)]);
    while let Some(node) = to_visit.pop() {
        match node.as_ref() {
            DerivationTree::External(External::FromDependencyOf(source, values, on, allowed)) => clauses.push(Clause {
                source: *source,
                values: values.clone(),
                on: *on,
                allowed: allowed.clone(),
            }),
            // All values have states, and none is unavailable: nothing else is a premise.
            DerivationTree::External(External::NotRoot(..) | External::NoVersions(..) | External::Custom(..)) => {}
            DerivationTree::Derived(derived) => {
                for cause in [&derived.cause2, &derived.cause1] {
                    if seen.insert(Arc::as_ptr(cause)) {
                        to_visit.push(Arc::clone(cause));
                    }
                }
            }
        }
    }
    clauses
}
