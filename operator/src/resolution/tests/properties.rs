//! Resolution against the oracle, over small worlds.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    super::*,
    World,
    oracle::{self, Answer, agrees, is_true},
    version,
};

const PLUGINS: [&str; 4] = ["aaa", "bbb", "ccc", "ddd"];
const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0"];
const RANGES: [&str; 9] = [
    "*",
    "^1",
    "^2",
    "=1.0.0",
    "=1.1.0",
    ">=1.1",
    "^2.0.0-rc.1",
    "^1||^2",
    "^9",
];

/// Lines about up to four plugins of up to three versions, of which some are installed.
fn worlds() -> impl Strategy<Value = World> {
    let plugin = || select(PLUGINS.to_vec());
    let number = || select(VERSIONS.to_vec());
    let range = || select(RANGES.to_vec());
    let part = (select(vec!["", "", "", "?", "!"]), plugin(), range()).prop_map(|(kind, plugin, range)| match kind {
        "!" => format!("!{plugin} {range}"),
        kind => format!("{plugin}{kind} {range}"),
    });
    let release = (plugin(), number(), vec(part, 0..3), prop::bool::weighted(0.15));
    let release = release.prop_map(|(plugin, version, mut parts, deprecated)| {
        if deprecated {
            parts.push("deprecated".into());
        }
        format!("{plugin} {version}: {}", parts.join("; "))
    });
    let options = (prop::option::of(number()), any::<bool>(), any::<bool>());
    let installation = (plugin(), range(), options).prop_map(|(plugin, range, (running, manual, auto))| {
        let running = running.map(|version| format!(" at {version}")).unwrap_or_default();
        let manual = if manual { " manual" } else { "" };
        let auto = if auto { " auto" } else { "" };
        format!("{plugin} {range}{running}{manual}{auto}")
    });
    (vec(release, 0..12), vec(installation, 1..5)).prop_map(|(releases, installations)| {
        let world = releases
            .iter()
            .fold(World::default(), |world, line| world.release(line));
        installations.iter().fold(world, |world, line| world.installed(line))
    })
}

/// The steps done.
fn done(world: &World, plan: &Plan) -> World {
    let mut world = world.clone();
    for step in &plan.steps {
        if let Some(installation) = world.tenant.get_mut(&step.plugin) {
            installation.running = Some(step.to.clone());
        }
    }
    world
}

/// Worlds for each property; more are tried by hand with PROPTEST_CASES.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn the_plan_is_the_best_that_the_rules_allow(world in worlds()) {
        let World { tenant, registry } = &world;
        let Resolution { plan, refused } = resolve(tenant, registry);
        let Answer { granted, best } = oracle::answer(tenant, registry);
        for plugin in tenant.keys() {
            prop_assert_eq!(granted.contains(plugin), !refused.contains_key(plugin), "{}", plugin);
        }
        for (plugin, state) in best {
            let chosen = plan.step(&plugin).map(|step| step.to.clone());
            let expected = if refused.contains_key(&plugin) { None } else { state };
            prop_assert_eq!(chosen, expected, "{}", plugin);
        }
    }

    #[test]
    fn an_explanation_names_only_facts_and_they_suffice(world in worlds()) {
        let World { tenant, registry } = &world;
        for (plugin, explanation) in resolve(tenant, registry).refused {
            match &explanation {
                Explanation::Unregistered { .. } => prop_assert!(registry.releases(&plugin).is_empty()),
                Explanation::NothingFits { range, versions, .. } => {
                    prop_assert!(registry.releases(&plugin).keys().eq(versions));
                    prop_assert!(!versions.iter().any(|version| range.matches(version)));
                }
                Explanation::OnlyOlder { range, running, .. } => {
                    let fitting = registry.releases(&plugin).keys().filter(|version| range.matches(version));
                    prop_assert!(fitting.max().is_some_and(|newest| newest < running));
                }
                Explanation::Undecided { .. } => prop_assert!(false, "undecided"),
                Explanation::Conflict { version, facts, .. } => {
                    for fact in facts {
                        prop_assert!(is_true(fact, tenant, registry), "{fact}");
                    }
                    let all = oracle::assignments(tenant, registry);
                    let mut with_it = all.iter().filter(|one| one[&plugin].as_ref() == Some(version));
                    let way_out = with_it.find(|one| facts.iter().all(|fact| agrees(fact, one)));
                    prop_assert!(way_out.is_none(), "{explanation} but {way_out:?}");
                }
            }
            prop_assert!(!explanation.to_string().contains("  "));
        }
    }

    #[test]
    fn reasons_are_true(world in worlds()) {
        let World { tenant, registry } = &world;
        for step in resolve(tenant, registry).plan.steps {
            if let Reason::HeldBack { by, .. } | Reason::Needed { by } = &step.reason {
                prop_assert!(is_true(by, tenant, registry), "{step}");
            }
            prop_assert!(!matches!(step.reason, Reason::Found { .. }), "{step}");
            let better = |best: &semver::Version| *best > step.to || registry.release(&step.plugin, &step.to).unwrap().deprecated;
            if let Reason::HeldBack { best, .. } = &step.reason {
                prop_assert!(better(best), "{step}");
            }
        }
    }

    #[test]
    fn providers_come_first_unless_they_need_each_other(world in worlds()) {
        let World { tenant, registry } = &world;
        let steps = resolve(tenant, registry).plan.steps;
        let place = |plugin: &PluginId| steps.iter().position(|step| step.plugin == *plugin);
        let needs = |step: &Step| -> Vec<usize> {
            let release = registry.release(&step.plugin, &step.to);
            let dependencies = release.into_iter().flat_map(|release| &release.dependencies);
            dependencies.filter_map(|dependency| place(&dependency.plugin)).collect()
        };
        for (at, step) in steps.iter().enumerate() {
            for need in needs(step).into_iter().filter(|need| *need > at) {
                let (mut reached, mut to_visit) = (vec![need], vec![need]);
                while let Some(next) = to_visit.pop() {
                    for further in needs(&steps[next]) {
                        if !reached.contains(&further) {
                            reached.push(further);
                            to_visit.push(further);
                        }
                    }
                }
                prop_assert!(reached.contains(&at), "{} before {}", step.plugin, steps[need].plugin);
            }
        }
    }

    #[test]
    fn what_was_planned_and_done_is_kept(world in worlds()) {
        let Resolution { plan, refused } = resolve(&world.tenant, &world.registry);
        prop_assume!(plan.steps.iter().all(|step| step.action() != Action::Add));
        let after = done(&world, &plan);
        let again = resolve(&after.tenant, &after.registry);
        prop_assert_eq!(again.plan.changes().count(), 0);
        prop_assert!(again.refused.keys().eq(refused.keys()));
    }

    #[test]
    fn a_release_that_concerns_nobody_changes_nothing(world in worlds(), plugin in select(PLUGINS.to_vec()), number in select(VERSIONS.to_vec())) {
        let (plugin, number) = (super::id(plugin), version(number));
        let mut before = world.registry.clone();
        before.remove(&plugin, &number);
        if affected(&world.tenant, &world.registry, &plugin, &number).is_empty() {
            let (before, after) = (resolve(&world.tenant, &before), resolve(&world.tenant, &world.registry));
            prop_assert_eq!(before.plan, after.plan);
            prop_assert!(before.refused.keys().eq(after.refused.keys()));
            // What was said stays true.
            let releases = |plugin| world.registry.releases(plugin).keys();
            for explanation in before.refused.values() {
                let is_true = match explanation {
                    Explanation::Unregistered { plugin, .. } => releases(plugin).next().is_none(),
                    Explanation::NothingFits { plugin, versions, .. } => releases(plugin).eq(versions),
                    Explanation::OnlyOlder { plugin, range, newest, .. } => {
                        releases(plugin).filter(|version| range.matches(version)).max() == Some(newest)
                    }
                    Explanation::Conflict { facts, .. } => {
                        facts.iter().all(|fact| is_true(fact, &world.tenant, &world.registry))
                    }
                    Explanation::Undecided { .. } => false,
                };
                prop_assert!(is_true, "{explanation}");
            }
        }
    }

    #[test]
    fn why_not_agrees_with_the_plan(world in worlds()) {
        let World { tenant, registry } = &world;
        let plan = resolve(tenant, registry).plan;
        for plugin in tenant.keys() {
            for number in registry.releases(plugin).keys() {
                let chosen = plan.step(plugin).is_some_and(|step| step.to == *number);
                let answer = why_not(tenant, registry, plugin, number);
                prop_assert_eq!(answer == WhyNot::Chosen, chosen, "{} {}", plugin, number);
                if let WhyNot::Refused(Explanation::Undecided { .. }) = answer {
                    prop_assert!(false, "{plugin} {number}");
                }
            }
        }
    }
}
