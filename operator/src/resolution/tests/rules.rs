//! The rules, by name.

use super::{super::*, World, id, version};

fn world() -> World {
    World::default()
}

#[test]
fn the_newest_stable_version_that_fits_is_chosen() {
    let world = world().releases("crm", "1.0.0 1.2.0 1.3.0 2.0.0 2.1.0-rc.1");
    let steps = |range: &str| world.clone().installed(range).steps().join(", ");
    assert_eq!(steps("crm ^1.2"), "install crm 1.3.0: the newest that fits ^1.2");
    assert_eq!(steps("crm *"), "install crm 2.0.0: the newest that fits *");
    assert_eq!(steps("crm =1.2.0"), "install crm 1.2.0: the installation names it");
}

#[test]
fn a_pre_release_is_chosen_only_where_the_range_names_it() {
    let world = world().releases("crm", "1.0.0 2.0.0-rc.1 2.0.0-rc.2");
    assert_eq!(
        world.clone().installed("crm ^1||^2.0.0-rc.1").versions(),
        "crm 2.0.0-rc.2"
    );
    assert_eq!(world.clone().installed("crm >=1").versions(), "crm 1.0.0");
    assert_eq!(
        world.clone().installed("crm ^2").refusal("crm"),
        "no version of crm fits ^2; there are 1.0.0, 2.0.0-rc.1 and 2.0.0-rc.2; a pre-release fits only a range that \
         names it, such as =2.0.0-rc.2"
    );
}

#[test]
fn a_range_that_fits_nothing_is_told_what_exists() {
    let world = world().releases("crm", "1.0.0 2.0.0").releases("contacts", "1.0.0");
    assert_eq!(
        world.clone().installed("crm ^3").refusal("crm"),
        "no version of crm fits ^3; there are 1.0.0 and 2.0.0"
    );
    assert_eq!(
        world.clone().installed("cmr *").refusal("cmr"),
        "no plugin cmr is registered; there are contacts and crm"
    );
}

#[test]
fn a_deprecated_version_is_chosen_only_if_no_other_fits() {
    let world = world().releases("crm", "1.0.0 1.1.0").release("crm 2.0.0: deprecated");
    assert_eq!(
        world.clone().installed("crm *").steps(),
        ["install crm 1.1.0: the newest that fits * but for 2.0.0, which is deprecated"]
    );
    assert_eq!(world.clone().installed("crm ^2").versions(), "crm 2.0.0");
    assert_eq!(world.clone().installed("crm * at 2.0.0").versions(), "crm 2.0.0");
}

#[test]
fn going_back_is_done_only_to_a_version_that_is_named() {
    let world = world().releases("crm", "1.4.0 1.5.0 2.0.0");
    assert_eq!(
        world.clone().installed("crm ^1 at 2.0.0").refusal("crm"),
        "crm runs 2.0.0, and only older versions fit ^1; to go back name the version, for example =1.5.0"
    );
    assert_eq!(
        world.clone().installed("crm =1.4.0 at 2.0.0").steps(),
        ["take crm back from 2.0.0 to 1.4.0: the installation names it"]
    );
}

#[test]
fn with_update_policy_manual_a_version_stays_while_it_fits() {
    let world = world().releases("crm", "1.4.0 1.5.0 2.0.0");
    assert_eq!(
        world.clone().installed("crm ^1 at 1.4.0 manual").steps(),
        ["keep crm 1.4.0: updatePolicy is Manual and it fits ^1"]
    );
    assert_eq!(
        world.clone().installed("crm ^2 at 1.4.0 manual").versions(),
        "crm 2.0.0"
    );
    assert_eq!(world.clone().installed("crm ^1 manual").versions(), "crm 1.5.0");
}

#[test]
fn every_dependants_range_is_kept() {
    let world = world()
        .releases("contacts", "1.0.0 1.4.0 2.0.0")
        .release("billing 1.0.0: contacts ^1")
        .installed("billing * at 1.0.0")
        .installed("contacts * at 1.0.0");
    assert_eq!(
        world.steps(),
        [
            "upgrade contacts from 1.0.0 to 1.4.0: the newest that fits * and goes with the others, not 2.0.0: \
             billing 1.0.0 needs contacts ^1",
            "keep billing 1.0.0: the newest that fits *",
        ]
    );
}

#[test]
fn a_refusal_is_the_chain_of_reasons_in_one_sentence() {
    let world = world()
        .releases("contacts", "1.4.0 2.0.0")
        .release("billing 1.0.0: contacts ^1")
        .release("crm 2.0.0: contacts ^2")
        .installed("billing * at 1.0.0")
        .installed("contacts * at 1.4.0")
        .installed("crm *");
    assert_eq!(
        world.refusal("crm"),
        "crm 2.0.0 needs contacts ^2, contacts 1.4.0 is installed because billing 1.0.0 wants ^1"
    );
    assert_eq!(world.versions(), "contacts 1.4.0, billing 1.0.0");
}

#[test]
fn a_chain_goes_as_far_as_it_has_to() {
    let world = world()
        .releases("base", "1.0.0 2.0.0")
        .release("contacts 1.0.0: base ^1")
        .release("contacts 2.0.0: base ^2")
        .release("crm 2.0.0: contacts ^2")
        .release("crm 2.1.0: contacts ^2")
        .installed("base ^1 at 1.0.0")
        .installed("contacts * at 1.0.0")
        .installed("crm *");
    assert_eq!(
        world.refusal("crm"),
        "crm 2.1.0 needs contacts ^2, contacts 1.0.0 is installed, contacts 2.0.0 needs base ^2, base 1.0.0 is \
         installed because its installation wants ^1; the other version that fits * does not go either"
    );
}

#[test]
fn plugins_that_have_to_move_together_do() {
    let world = world()
        .releases("contacts", "1.0.0 2.0.0")
        .release("crm 1.0.0: contacts ^1")
        .release("crm 2.0.0: contacts ^2")
        .installed("contacts * at 1.0.0")
        .installed("crm * at 1.0.0");
    assert_eq!(world.versions(), "contacts 2.0.0, crm 2.0.0");
}

#[test]
fn a_conflict_counts_in_both_directions() {
    let one = world()
        .release("crm 1.0.0: !ledger >=2")
        .releases("ledger", "1.0.0 2.0.0")
        .installed("crm * at 1.0.0")
        .installed("ledger *");
    assert_eq!(one.versions(), "crm 1.0.0, ledger 1.0.0");
    let other = world()
        .release("crm 1.0.0: !ledger *")
        .releases("ledger", "1.0.0 2.0.0")
        .installed("crm *")
        .installed("ledger * at 1.0.0");
    assert_eq!(
        other.refusal("crm"),
        "crm 1.0.0 conflicts with ledger *, ledger 1.0.0 is installed"
    );
    let reverse = world()
        .release("crm 1.0.0: !ledger >=2")
        .releases("ledger", "1.0.0 2.0.0")
        .installed("crm * at 1.0.0")
        .installed("ledger ^2");
    assert_eq!(reverse.refusal("ledger"), "crm 1.0.0 conflicts with ledger >=2");
}

#[test]
fn an_optional_dependency_constrains_only_what_is_installed() {
    let world = world()
        .release("crm 1.0.0: billing? ^2")
        .releases("billing", "1.0.0 2.0.0");
    assert_eq!(world.clone().installed("crm *").versions(), "crm 1.0.0");
    assert_eq!(
        world.clone().installed("crm *").installed("billing *").versions(),
        "billing 2.0.0, crm 1.0.0"
    );
    assert_eq!(
        world
            .clone()
            .installed("crm *")
            .installed("billing ^1 at 1.0.0")
            .refusal("crm"),
        "crm 1.0.0 goes only with billing ^2, billing 1.0.0 is installed because its installation wants ^1"
    );
}

#[test]
fn a_missing_dependency_is_refused_with_what_to_install_or_installed() {
    let world = world()
        .release("crm 1.0.0: contacts ^1")
        .releases("contacts", "1.0.0 1.4.0 2.0.0");
    assert_eq!(
        world.clone().installed("crm *").refusal("crm"),
        "crm 1.0.0 needs contacts ^1, contacts is not installed; install contacts (newest that fits: 1.4.0) or set \
         the dependencyPolicy of crm to AutoInstall"
    );
    assert_eq!(
        world.clone().installed("crm * auto").steps(),
        [
            "install contacts 1.4.0: crm 1.0.0 needs contacts ^1",
            "install crm 1.0.0: the newest that fits *"
        ]
    );
}

#[test]
fn a_dependant_cannot_make_a_plugin_go_back() {
    let world = world()
        .releases("contacts", "1.0.0 2.0.0")
        .release("crm 1.0.0: contacts ^1")
        .installed("contacts * at 2.0.0")
        .installed("crm *");
    assert_eq!(
        world.refusal("crm"),
        "crm 1.0.0 needs contacts ^1, contacts 2.0.0 is installed and goes back only to a version that its installation \
         names"
    );
}

#[test]
fn what_is_added_brings_what_it_needs_and_nothing_else() {
    let world = world()
        .release("crm 1.0.0: contacts *")
        .release("contacts 1.0.0: base *; extra? *")
        .releases("base", "1.0.0")
        .releases("extra", "1.0.0")
        .installed("crm * auto");
    assert_eq!(world.versions(), "base 1.0.0, contacts 1.0.0, crm 1.0.0");
}

#[test]
fn a_dependency_that_does_not_exist_is_named() {
    let world = world()
        .release("crm 1.0.0: contacts ^3")
        .release("erp 1.0.0: nowhere *")
        .releases("contacts", "1.0.0");
    let all = world
        .installed("crm * auto")
        .installed("erp * auto")
        .installed("contacts *");
    assert_eq!(
        all.refusal("crm"),
        "crm 1.0.0 needs contacts ^3, contacts exists only as 1.0.0"
    );
    assert_eq!(
        all.refusal("erp"),
        "erp 1.0.0 needs nowhere *, no plugin nowhere is registered"
    );
}

#[test]
fn plugins_that_need_each_other_are_installed_smallest_id_first() {
    let world = world()
        .release("crm 1.0.0: contacts ^1")
        .release("contacts 1.0.0: crm ^1")
        .installed("crm *")
        .installed("contacts *");
    assert_eq!(world.versions(), "contacts 1.0.0, crm 1.0.0");
}

#[test]
fn one_installations_trouble_does_not_touch_the_others() {
    let world = world()
        .releases("billing", "1.0.0 1.1.0")
        .release("crm 1.0.0: nowhere *")
        .installed("billing * at 1.0.0")
        .installed("crm *")
        .installed("unknown *");
    assert_eq!(world.versions(), "billing 1.1.0");
}

#[test]
fn what_runs_stays_even_if_its_range_or_registry_has_changed() {
    let world = world()
        .releases("contacts", "2.0.0")
        .release("crm 1.0.0: contacts ^2")
        .installed("contacts ^9 at 1.0.0")
        .installed("crm * at 1.0.0");
    assert_eq!(
        world.refusal("contacts"),
        "no version of contacts fits ^9; there is only 2.0.0"
    );
    assert_eq!(
        world.refusal("crm"),
        "crm 1.0.0 needs contacts ^2, contacts 1.0.0 is installed and its installation wants ^9"
    );
}

#[test]
fn an_installation_that_changes_comes_before_a_new_one() {
    let world = world()
        .releases("contacts", "1.0.0")
        .release("contacts 2.0.0: !crm *")
        .releases("crm", "1.0.0")
        .installed("contacts ^2 at 1.0.0")
        .installed("crm *");
    assert_eq!(world.versions(), "contacts 2.0.0");
    assert_eq!(
        world.refusal("crm"),
        "contacts 2.0.0 conflicts with crm *, contacts 1.0.0 is installed and its installation wants ^2"
    );
}

#[test]
fn of_two_new_ones_that_exclude_each_other_the_smaller_id_is_installed() {
    let world = world()
        .release("aaa 1.0.0: !bbb *")
        .releases("bbb", "1.0.0")
        .installed("aaa *")
        .installed("bbb *");
    assert_eq!(world.versions(), "aaa 1.0.0");
    assert_eq!(
        world.refusal("bbb"),
        "aaa 1.0.0 conflicts with bbb *, aaa is to be installed"
    );
}

/// One plugin more than places, and no two in one place: a search of this kind needs exponentially many steps.
#[test]
fn a_search_that_takes_too_long_is_given_up_and_says_so() {
    const PLACES: usize = 12;
    let mut world = world().releases("zzz", "1.0.0 1.1.0").installed("zzz * at 1.0.0");
    for plugin in 0..=PLACES {
        for place in 1..=PLACES {
            let others: Vec<_> = (plugin + 1..=PLACES)
                .map(|other| format!("!p{other} ={place}.0.0"))
                .collect();
            world = world.release(&format!("p{plugin} {place}.0.0: {}", others.join("; ")));
        }
        world = world.installed(&format!("p{plugin} *"));
    }
    let Resolution { plan, refused } = resolve(&world.tenant, &world.registry);
    assert_eq!(refused.len(), 1);
    for explanation in refused.values() {
        assert!(matches!(explanation, Explanation::Undecided { .. }), "{explanation}");
    }
    assert_eq!(plan.step(&id("zzz")).unwrap().to, version("1.1.0"));
    assert_eq!(plan.steps.len(), PLACES + 1);
}
