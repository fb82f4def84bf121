//! Questions beside the plan: why not another version, who needs a plugin, whom a release concerns.

use super::{super::*, World, id, version};

fn world() -> World {
    World::default()
}

#[test]
fn why_not_says_what_is_in_the_way_of_a_version() {
    let world = world()
        .releases("contacts", "1.0.0 1.4.0 2.0.0 3.0.0-rc.1")
        .release("billing 1.0.0: contacts ^1")
        .installed("billing * at 1.0.0")
        .installed("contacts * at 1.4.0");
    let why = |number: &str| why_not(&world.tenant, &world.registry, &id("contacts"), &version(number)).to_string();
    assert_eq!(why("1.4.0"), "it is the version that was chosen");
    assert_eq!(why("2.0.0"), "billing 1.0.0 needs contacts ^1");
    assert_eq!(
        why("1.0.0"),
        "1.4.0 runs, and the installation goes back only to a version that it names exactly"
    );
    assert_eq!(
        why("3.0.0-rc.1"),
        "the installation wants *, which names no pre-release of this version"
    );
    assert_eq!(
        why("7.0.0"),
        "there is no such release, only 1.0.0, 1.4.0, 2.0.0 and 3.0.0-rc.1"
    );
}

#[test]
fn who_needs_a_plugin_is_named() {
    let world = world()
        .releases("contacts", "1.0.0")
        .release("billing 1.0.0: contacts ^1")
        .release("crm 1.0.0: contacts? ^1")
        .installed("billing * at 1.0.0")
        .installed("crm * at 1.0.0")
        .installed("contacts * at 1.0.0");
    let needed: Vec<_> = dependants(&world.tenant, &world.registry, &id("contacts"))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(needed, ["billing 1.0.0 needs contacts ^1"]);
}

#[test]
fn a_release_concerns_only_who_can_want_it() {
    let world = world()
        .release("crm 1.1.0: contacts *")
        .installed("crm ^1 at 1.0.0 auto")
        .installed("erp ^1 at 1.5.0")
        .installed("hrm * at 1.0.0 manual");
    let concerned = |plugin: &str, number: &str| {
        let plugins = affected(&world.tenant, &world.registry, &id(plugin), &version(number));
        plugins
            .iter()
            .map(|plugin| plugin.as_str().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(concerned("crm", "1.2.0"), "crm");
    assert_eq!(concerned("crm", "2.0.0"), "");
    assert_eq!(concerned("erp", "1.4.0"), "");
    assert_eq!(concerned("hrm", "2.0.0"), "");
    assert_eq!(concerned("contacts", "1.0.0"), "crm");
    assert_eq!(concerned("other", "1.0.0"), "");
}

#[test]
fn a_release_that_an_installed_provider_would_need_concerns_who_waits_for_that() {
    // What ccc is told is that bbb is not released.
    let world = world()
        .release("bbb 1.1.0:")
        .release("ccc 1.0.0: ddd =1.1.0")
        .release("ddd 1.1.0: bbb *")
        .installed("ccc *")
        .installed("ddd * at 1.0.0");
    assert!(affected(&world.tenant, &world.registry, &id("bbb"), &version("1.1.0")).contains(&id("ccc")));
}

#[test]
fn a_release_that_a_provider_gone_with_would_need_concerns_who_goes_with_it() {
    // What aaa is told is that ccc 2.0.0 needs ddd, which is not released.
    let world = world()
        .release("aaa 1.0.0: ccc? ^2")
        .release("ccc 2.0.0: ddd *")
        .release("ddd 2.0.0-rc.1:")
        .installed("aaa *")
        .installed("ccc ^1||^2 at 1.0.0");
    assert!(affected(&world.tenant, &world.registry, &id("ddd"), &version("2.0.0-rc.1")).contains(&id("aaa")));
}

#[test]
fn a_release_that_would_let_another_plugin_make_room_concerns_who_waits_for_room() {
    // What ddd is told is that ccc is in its way, and that ccc 2.0.0 needs bbb, which is not released.
    let world = world()
        .release("bbb 1.0.0:")
        .release("ccc 2.0.0-rc.1: ddd? ^2")
        .release("ccc 2.0.0: bbb *")
        .release("ddd 1.1.0:")
        .installed("ccc ^2.0.0-rc.1 at 2.0.0-rc.1")
        .installed("ddd =1.1.0");
    assert!(affected(&world.tenant, &world.registry, &id("bbb"), &version("1.0.0")).contains(&id("ddd")));
}

#[test]
fn a_release_concerns_who_runs_beside_a_plugin_that_it_is_in_conflict_with() {
    // What ccc is told lists its releases, and the new one is among them, though its range does not name it.
    let world = world()
        .release("bbb 1.1.0: ccc =1.0.0")
        .release("ccc 1.1.0: !aaa >=1.1")
        .release("ccc 2.0.0-rc.1:")
        .release("ccc 2.0.0: bbb =1.1.0")
        .installed("aaa * at 1.1.0")
        .installed("ccc * at 1.1.0 auto");
    assert!(affected(&world.tenant, &world.registry, &id("ccc"), &version("2.0.0-rc.1")).contains(&id("ccc")));
}

#[test]
fn plugins_of_a_circle_require_each_other_and_those_beside_it_do_not() {
    let world = world()
        .release("one 1.0.0: two ^1")
        .release("two 1.0.0: three ^1")
        .release("three 1.0.0: one ^1")
        .release("beside 1.0.0: one ^1")
        .installed("one * at 1.0.0")
        .installed("two * at 1.0.0")
        .installed("three * at 1.0.0")
        .installed("beside * at 1.0.0");
    let requires =
        |plugin: &str, other: &str| requires_in_turn(&world.tenant, &world.registry, &id(plugin), &id(other));
    for (plugin, other, required) in [
        ("one", "two", true),
        ("one", "three", true),
        ("three", "two", true),
        ("beside", "two", true),
        ("one", "beside", false),
        ("two", "beside", false),
    ] {
        assert_eq!(requires(plugin, other), required, "{plugin} {other}");
    }
}
