//! Who moves with whom, as examples.

use std::sync::Arc;

use plexica_crds::version_range::VersionRange;

use super::*;
use crate::resolution::{Conflict, Dependency, DependencyKind, Release};

fn id(plugin: &str) -> PluginId {
    PluginId::parse(plugin).unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number, 0, 0)
}

/// `crm 2: contacts ^2, notes !^1` means that crm 2.0.0 needs contacts ^2 and excludes notes ^1.
fn registry(text: &str) -> Registry {
    let mut registry = Registry::default();
    for line in text.split("; ") {
        let (of, says) = line.split_once(':').unwrap();
        let (plugin, number) = of.split_once(' ').unwrap();
        let mut release = Release::default();
        for said in says.split(',').map(str::trim).filter(|said| !said.is_empty()) {
            let (other, range) = said.split_once(' ').unwrap();
            let parsed = VersionRange::parse(range.trim_start_matches('!')).unwrap();
            if range.starts_with('!') {
                release.conflicts.push(Conflict {
                    plugin: id(other),
                    range: parsed,
                });
            } else {
                let kind = DependencyKind::Required;
                release.dependencies.push(Dependency {
                    plugin: id(other),
                    range: parsed,
                    kind,
                });
            }
        }
        registry.insert(id(plugin), version(number.parse().unwrap()), release);
    }
    registry
}

const PAIR: &str = "contacts 1:; contacts 2:; crm 1: contacts ^1; crm 2: contacts ^2";

fn member(plugin: &str, live: u64) -> Member {
    Member {
        plugin: id(plugin),
        live: version(live),
        next: None,
        back: None,
        rejected: None,
    }
}

fn next(plugin: &str, stage: Stage) -> Member {
    Member {
        next: Some(Next {
            version: version(2),
            stage,
        }),
        ..member(plugin, 1)
    }
}

fn back(plugin: &str, standby: Standby) -> Member {
    Member {
        back: Some(Back {
            version: version(1),
            standby,
        }),
        ..member(plugin, 2)
    }
}

fn beside(releases: &str, others: &[Member]) -> Together {
    Together {
        registry: Arc::new(registry(releases)),
        order: ["contacts", "notes", "crm"].map(id).to_vec(),
        others: others.to_vec(),
    }
}

/// Why 2.0.0 of a plugin does not go live yet, of which 1.0.0 is live.
fn held(plugin: &str, releases: &str, others: &[Member]) -> Option<String> {
    beside(releases, others).held_back(&id(plugin), &version(1), &version(2))
}

#[test]
fn what_goes_with_all_that_is_live_is_held_back_by_nobody() {
    assert_eq!(
        held("contacts", "contacts 2:; crm 1: contacts >=1", &[member("crm", 1)]),
        None
    );
}

#[test]
fn a_provider_waits_until_what_excludes_it_is_prepared_to_follow() {
    for (stage, says) in [
        (Stage::NotBegun, "is not begun yet"),
        (Stage::Rejected, "was rejected"),
        (Stage::Preparing, "is being prepared"),
        (Stage::AwaitsPerson, "waits for a person (plexica.io/promote)"),
    ] {
        let told = format!("it goes live together with crm 2.0.0, which {says}: crm 1.0.0 needs contacts ^1");
        assert_eq!(held("contacts", PAIR, &[next("crm", stage)]), Some(told));
    }
    for stage in [Stage::Prepared, Stage::Switching] {
        assert_eq!(held("contacts", PAIR, &[next("crm", stage)]), None);
    }
}

#[test]
fn a_provider_stays_if_nothing_that_goes_with_it_is_to_be_live() {
    let told = "crm 1.0.0 needs contacts ^1, and nothing else of crm is to be live";
    assert_eq!(held("contacts", PAIR, &[member("crm", 1)]).as_deref(), Some(told));
}

#[test]
fn a_dependant_goes_live_after_its_provider() {
    let told = held("crm", PAIR, &[next("contacts", Stage::Prepared)]);
    assert_eq!(told.as_deref(), Some("contacts 2.0.0 goes live first"));
    assert_eq!(held("crm", PAIR, &[member("contacts", 2)]), None);
}

#[test]
fn of_plugins_that_need_each_other_the_first_of_the_plan_goes_first() {
    let in_turn = "contacts 1: crm ^1; contacts 2: crm ^2; crm 1: contacts ^1; crm 2: contacts ^2";
    assert_eq!(held("contacts", in_turn, &[next("crm", Stage::Prepared)]), None);
    let told = held("crm", in_turn, &[next("contacts", Stage::Prepared)]);
    assert_eq!(told.as_deref(), Some("contacts 2.0.0 goes live first"));
}

#[test]
fn a_whole_chain_is_prepared_before_the_first_of_it_goes() {
    let chain = "contacts 2:; notes 1: contacts ^1; notes 2: contacts ^2; crm 1: notes ^1; crm 2: notes ^2";
    let others = |crm| [next("notes", Stage::Prepared), next("crm", crm)];
    let told = held("contacts", chain, &others(Stage::Preparing)).unwrap();
    assert!(
        told.contains("crm 2.0.0, which is being prepared: crm 1.0.0 needs notes ^1"),
        "{told}"
    );
    assert_eq!(held("contacts", chain, &others(Stage::Prepared)), None);
}

#[test]
fn a_conflict_holds_back_whichever_of_both_declares_it() {
    for conflict in [
        "contacts 2: notes !^1; notes 1:; notes 2:",
        "contacts 2:; notes 1: contacts !^2; notes 2:",
    ] {
        let told = held("contacts", conflict, &[next("notes", Stage::Preparing)]).unwrap();
        assert!(told.contains("notes 2.0.0, which is being prepared"), "{told}");
        // It breaks nothing by going: it goes first.
        let told = held("contacts", conflict, &[next("notes", Stage::Prepared)]);
        assert_eq!(told.as_deref(), Some("notes 2.0.0 goes live first"));
    }
}

#[test]
fn what_is_rolled_out_in_place_is_followed_and_not_waited_for() {
    assert_eq!(held("contacts", PAIR, &[next("crm", Stage::InPlace)]), None);
    let told = held("crm", PAIR, &[next("contacts", Stage::InPlace)]);
    assert_eq!(
        told.as_deref(),
        Some("contacts 2.0.0 goes live first: crm 2.0.0 needs contacts ^2")
    );
}

#[test]
fn nothing_goes_live_beside_what_is_to_go_back() {
    for standby in [Standby::Due, Standby::Going] {
        let told = held("crm", PAIR, &[back("contacts", standby)]);
        assert_eq!(told.as_deref(), Some("contacts goes back: crm 2.0.0 needs contacts ^2"));
    }
}

fn way_back(plugin: &str, releases: &str, others: &[Member]) -> WayBack {
    beside(releases, others).way_back(&back(plugin, Standby::Ready))
}

#[test]
fn those_that_need_a_provider_go_back_before_it() {
    let after = way_back("contacts", PAIR, &[back("crm", Standby::Ready)]);
    assert_eq!(after, WayBack::After("crm 1.0.0".into()));
    let before = way_back("crm", PAIR, &[back("contacts", Standby::Ready)]);
    assert_eq!(before, WayBack::Before("contacts 1.0.0".into()));
}

#[test]
fn who_breaks_nothing_goes_back_first_whatever_the_plan_says() {
    let releases = "contacts 1:; contacts 2:; crm 1: contacts ^1; crm 2:";
    let others = [back("crm", Standby::Ready)];
    assert_eq!(way_back("contacts", releases, &others), WayBack::Alone);
    let after = way_back("crm", releases, &[back("contacts", Standby::Ready)]);
    assert_eq!(after, WayBack::After("contacts 1.0.0".into()));
}

#[test]
fn there_is_no_way_back_to_what_a_provider_has_left_for_good() {
    let closed = "crm 1.0.0 needs contacts ^1, and cannot go back with it";
    assert!(
        matches!(way_back("crm", PAIR, &[member("contacts", 2)]), WayBack::Closed(_)),
        "{closed}"
    );
    let waits = way_back("crm", PAIR, &[back("contacts", Standby::NotReady)]);
    assert!(matches!(waits, WayBack::NotReady(_)), "{waits:?}");
}

fn follows(plugin: &str, others: &[Member]) -> Follows {
    beside(PAIR, others).follows(&back(plugin, Standby::Ready))
}

#[test]
fn a_provider_follows_what_went_back_and_does_not_come_again() {
    let crm = next("crm", Stage::Rejected);
    assert_eq!(
        follows("contacts", &[crm]),
        Follows::Back("crm 1.0.0 needs contacts ^1".into())
    );
    assert_eq!(follows("contacts", &[member("crm", 2)]), Follows::Nobody);
}

#[test]
fn nobody_goes_back_while_others_are_on_their_way_to_what_goes_with_it() {
    for stage in [Stage::NotBegun, Stage::Preparing, Stage::Prepared, Stage::Switching] {
        assert_eq!(follows("contacts", &[next("crm", stage)]), Follows::Perhaps);
    }
}

#[test]
fn what_needs_a_provider_that_is_to_go_back_goes_back_before_it() {
    let told = "it goes back with contacts 1.0.0";
    assert_eq!(
        follows("crm", &[back("contacts", Standby::Due)]),
        Follows::Back(told.into())
    );
    assert_eq!(follows("crm", &[back("contacts", Standby::Ready)]), Follows::Nobody);
}
