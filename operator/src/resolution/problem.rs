//! The question as variables, values and what restricts them.
//!
//! Each plugin of the tenant, and each that may have to be added, is a variable. Its values are all its releases and
//! "not installed", in order of preference. Rules come from installations, demands from manifests; both are sets of
//! values.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use plexica_crds::names::PluginId;
use pubgrub::VersionSet as _;
use semver::Version;

use super::{
    input::{Conflict, Dependency, DependencyKind, DependencyPolicy, Installation, Registry, Release, Tenant},
    values::{Value, Values},
};

/// The question.
pub(super) struct Problem<'a> {
    pub registry: &'a Registry,
    /// Installations by id, then plugins that may have to be added, by id. The solver decides in this order.
    pub variables: Vec<Variable<'a>>,
    index: HashMap<&'a PluginId, usize>,
}

/// A plugin.
pub(super) struct Variable<'a> {
    pub plugin: &'a PluginId,
    /// None: it may have to be added.
    pub installation: Option<&'a Installation>,
    /// Best first.
    pub states: Vec<State<'a>>,
    /// What it is now.
    pub present: Value,
    /// What the installation's author wants; may be empty.
    pub wish: Values,
}

/// A value: a version, or not installed.
pub(super) struct State<'a> {
    pub version: Option<&'a Version>,
    release: Option<&'a Release>,
    demands: OnceCell<Vec<Demand<'a>>>,
}

/// How well a version is thought of, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It runs, but somebody has removed its release.
    Gone,
    /// Its author advises against it.
    Deprecated,
    /// Nothing is wrong with it.
    Good,
}

/// What an installation says about its plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// It is there.
    Present,
    /// In its range.
    InRange,
    /// Not below what runs.
    NotBack,
    /// What runs stays.
    Held,
}

/// What a release says about another plugin.
#[derive(Clone)]
pub(super) struct Demand<'a> {
    /// The other's variable; none if it is neither installed nor to be added for this one.
    pub on: Option<usize>,
    pub allowed: Values,
    pub statement: Statement<'a>,
}

/// A line of a manifest.
#[derive(Clone, Copy)]
pub(super) enum Statement<'a> {
    Dependency(&'a Dependency),
    Conflict(&'a Conflict),
}

impl<'a> Problem<'a> {
    pub(super) fn new(tenant: &'a Tenant, registry: &'a Registry) -> Self {
        let installed = tenant
            .iter()
            .map(|(plugin, installation)| Variable::installed(plugin, installation, registry));
        let added = addable(tenant, registry).into_iter();
        let variables: Vec<_> = installed
            .chain(added.map(|plugin| Variable::added(plugin, registry)))
            .collect();
        let index = variables.iter().map(|variable| variable.plugin).zip(0..).collect();
        Self {
            registry,
            variables,
            index,
        }
    }

    /// The variable of a plugin.
    pub(super) fn find(&self, plugin: &PluginId) -> Option<usize> {
        self.index.get(plugin).copied()
    }

    /// What the installation of this variable demands. `granted`: its author's wish has to be fulfilled; else it may
    /// also stay what it is.
    pub(super) fn rules(&self, variable: usize, granted: bool) -> Vec<(Rule, Values)> {
        let variable = &self.variables[variable];
        let Some(installation) = variable.installation else {
            return vec![];
        };
        let rule = |rule: Rule, holds: &dyn Fn(&Version) -> bool| {
            // A rule about the version says nothing about presence.
            let mut values = variable.which(|version| version.map_or(rule != Rule::Present, holds));
            if !granted {
                values = values.union(&Values::singleton(variable.present));
            }
            (rule, values)
        };
        let mut rules = vec![
            rule(Rule::Present, &|_| true),
            rule(Rule::InRange, &|version| installation.range.matches(version)),
        ];
        rules.extend(
            installation
                .floor()
                .map(|floor| rule(Rule::NotBack, &|version| version >= floor)),
        );
        rules.extend(
            installation
                .held()
                .map(|held| rule(Rule::Held, &|version| version == held)),
        );
        rules
    }

    /// What a value demands of others. `granted` as above: what is already wrong beside what runs is no obstacle to
    /// leaving both as they are, unless mending it is what is asked for.
    pub(super) fn demands(&self, variable: usize, value: Value, granted: bool) -> Vec<Demand<'a>> {
        let source = &self.variables[variable];
        let Some(state) = source.states.get(value as usize) else {
            return vec![];
        };
        let demands = state.demands.get_or_init(|| self.read(source, state));
        if granted || value != source.present {
            return demands.clone();
        }
        let as_it_is = |demand: &Demand<'a>| {
            let on = demand.on?;
            let present = Values::singleton(self.variables[on].present);
            Some(Demand {
                allowed: demand.allowed.union(&present),
                ..demand.clone()
            })
        };
        demands.iter().filter_map(as_it_is).collect()
    }

    fn read(&self, source: &Variable<'a>, state: &State<'a>) -> Vec<Demand<'a>> {
        let Some(release) = state.release else {
            return vec![];
        };
        let adds = source
            .installation
            .is_none_or(|installation| installation.dependency_policy == DependencyPolicy::AutoInstall);
        let required = |dependency: &'a Dependency| {
            let on = self.find(&dependency.plugin);
            let on = on.filter(|on| adds || self.variables[*on].installation.is_some());
            let fits = |version: Option<&Version>| version.is_some_and(|version| dependency.range.matches(version));
            let allowed = on.map_or_else(Values::empty, |on| self.variables[on].which(fits));
            Some((on, allowed))
        };
        let optional = |dependency: &'a Dependency| {
            let on = self.find(&dependency.plugin)?;
            let fits = |version: Option<&Version>| version.is_none_or(|version| dependency.range.matches(version));
            Some((Some(on), self.variables[on].which(fits)))
        };
        let dependencies = release.dependencies.iter().filter_map(|dependency| {
            let (on, allowed) = match dependency.kind {
                DependencyKind::Required => required(dependency),
                DependencyKind::Optional => optional(dependency),
            }?;
            let statement = Statement::Dependency(dependency);
            Some(Demand { on, allowed, statement })
        });
        let conflicts = release.conflicts.iter().filter_map(|conflict| {
            let on = self.find(&conflict.plugin)?;
            let beside = |version: Option<&Version>| version.is_none_or(|version| !conflict.range.covers(version));
            let allowed = self.variables[on].which(beside);
            let statement = Statement::Conflict(conflict);
            Some(Demand {
                on: Some(on),
                allowed,
                statement,
            })
        });
        // What a manifest says about its own plugin means nothing; registration refuses it.
        let about_itself = |demand: &Demand<'_>| demand.on.is_some_and(|on| self.variables[on].plugin == source.plugin);
        dependencies
            .chain(conflicts)
            .filter(|demand| !about_itself(demand))
            .collect()
    }
}

impl<'a> Variable<'a> {
    fn installed(plugin: &'a PluginId, installation: &'a Installation, registry: &'a Registry) -> Self {
        let floor = installation.floor();
        let wanted = |version: &Version| match installation.held() {
            Some(held) => version == held,
            None => installation.range.matches(version) && floor.is_none_or(|floor| version >= floor),
        };
        let mut releases = releases(plugin, registry);
        // It is there even if its release is not any more.
        if let Some(running) = &installation.running {
            releases.entry(running).or_insert(None);
        }
        let mut states: Vec<_> = releases.into_iter().map(State::version).collect();
        states.sort_by_key(|state| {
            let preference = |version: &&'a Version| (wanted(version), state.standing());
            std::cmp::Reverse((state.version.map(|version| preference(&version)), state.version))
        });
        states.push(State::absent());
        let mut variable = Self {
            plugin,
            installation: Some(installation),
            states,
            present: 0,
            wish: Values::empty(),
        };
        variable.wish = variable.which(|version| version.is_some_and(wanted));
        variable.present = variable.value(installation.running.as_ref()).unwrap_or_default();
        variable
    }

    fn added(plugin: &'a PluginId, registry: &'a Registry) -> Self {
        let mut states: Vec<_> = releases(plugin, registry).into_iter().map(State::version).collect();
        states.sort_by_key(|state| std::cmp::Reverse((state.standing(), state.version)));
        states.insert(0, State::absent());
        Self {
            plugin,
            installation: None,
            states,
            present: 0,
            wish: Values::empty(),
        }
    }

    /// Whether a version serves now.
    pub(super) fn runs(&self) -> bool {
        self.version(self.present).is_some()
    }

    /// The values of which this holds.
    pub(super) fn which(&self, holds: impl Fn(Option<&'a Version>) -> bool) -> Values {
        let values = self.states.iter().zip(0..);
        values
            .filter_map(|(state, value)| holds(state.version).then_some(value))
            .collect()
    }

    /// The value that is this version.
    pub(super) fn value(&self, version: Option<&Version>) -> Option<Value> {
        let place = self.states.iter().position(|state| state.version == version)?;
        Value::try_from(place).ok()
    }

    /// The version that is this value.
    pub(super) fn version(&self, value: Value) -> Option<&'a Version> {
        self.states.get(value as usize)?.version
    }
}

impl<'a> State<'a> {
    fn version((version, release): (&'a Version, Option<&'a Release>)) -> Self {
        Self {
            version: Some(version),
            release,
            demands: OnceCell::new(),
        }
    }

    fn absent() -> Self {
        Self {
            version: None,
            release: None,
            demands: OnceCell::new(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self.release {
            None => Standing::Gone,
            Some(release) if release.deprecated => Standing::Deprecated,
            Some(_) => Standing::Good,
        }
    }
}

fn releases<'a>(plugin: &PluginId, registry: &'a Registry) -> BTreeMap<&'a Version, Option<&'a Release>> {
    let releases = registry.releases(plugin).iter();
    releases.map(|(version, release)| (version, Some(release))).collect()
}

/// Registered plugins that are not installed, and that installations which may add plugins can come to need.
fn addable<'a>(tenant: &Tenant, registry: &'a Registry) -> BTreeSet<&'a PluginId> {
    let adds = |installation: &Installation| installation.dependency_policy == DependencyPolicy::AutoInstall;
    let mut to_visit: Vec<&PluginId> = tenant
        .iter()
        .filter_map(|(plugin, installation)| adds(installation).then_some(plugin))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(plugin) = to_visit.pop() {
        let dependencies = registry
            .releases(plugin)
            .values()
            .flat_map(|release| &release.dependencies);
        for Dependency { plugin, kind, .. } in dependencies {
            let is_new = *kind == DependencyKind::Required
                && !tenant.contains_key(plugin)
                && !registry.releases(plugin).is_empty();
            if is_new && found.insert(plugin) {
                to_visit.push(plugin);
            }
        }
    }
    found
}
