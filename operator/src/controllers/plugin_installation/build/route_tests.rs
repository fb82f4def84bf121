//! Tests of routes, and the release that tests of other objects build.

use std::{collections::BTreeMap, time::Duration};

use plexica_crds::{
    Plugin,
    names::{PluginId, Slot, TenantSlug},
    ownership::Owner,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    super::backends::{on_the_way, slot_led_to},
    *,
};
use crate::platform::Scheme;

/// Plugin `ledger` of tenant `blue-whale`.
pub fn ledger() -> Place {
    Place {
        slug: TenantSlug::parse("blue-whale").unwrap(),
        owner: Owner {
            tenant_id: Uuid::from_u128(7),
            installation: "prod".to_owned(),
        },
        postgres_pool: "main".to_owned(),
        has_realm: true,
        id: PluginId::parse("ledger").unwrap(),
    }
}

/// Its release 2.0.0, whose API is at a path of its own.
pub fn release() -> Plugin {
    let release = json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin",
        "metadata": { "name": "ledger-2.0.0" },
        "spec": {
            "id": "ledger", "version": "2.0.0", "displayName": "Ledger",
            "runtime": { "image": "example.com/ledger:2.0.0", "port": 4000 },
            "api": { "basePath": "/books" },
        },
    });
    serde_json::from_value(release).unwrap()
}

/// The path of its release.
pub fn paths() -> [String; 1] {
    ["/books".to_owned()]
}

pub fn gateway() -> Gateway {
    Gateway {
        namespace: "edge".to_owned(),
        name: "front-door".to_owned(),
        section_name: Some("public".to_owned()),
        scheme: Scheme::Https,
        pods_in: "edge".to_owned(),
    }
}

pub fn platform() -> Platform {
    Platform {
        installation_id: "prod".to_owned(),
        base_domain: "example.com".to_owned(),
        registry: "main".to_owned(),
        resync_interval: Duration::from_mins(1),
        promotions_at_once: std::num::NonZeroUsize::MIN,
        postgres: vec![],
        keycloak: vec![],
        s3: vec![],
        gateway: Some(gateway()),
        shared_namespace: Some("commons".to_owned()),
        cluster_domain: "cluster.local".to_owned(),
        plugins: BTreeMap::new(),
    }
}

#[test]
fn a_route_is_declared_like_this() {
    let declared = route(&ledger(), &paths(), &platform(), &gateway(), &Destination::LiveService);
    insta::assert_snapshot!(serde_json::to_string_pretty(&declared).unwrap());
}

#[test]
fn while_there_is_a_way_back_both_paths_lead_to_what_is_live() {
    let both = ["/books".to_owned(), "/ledger".to_owned()];
    let declared = route(&ledger(), &both, &platform(), &gateway(), &Destination::LiveService);
    let [one, other] = &declared.spec.rules[..] else {
        panic!("{declared:?}");
    };
    let path = |rule: &Rule| rule.matches[0].path.clone().unwrap().value;
    assert_eq!([path(one), path(other)], both);
    assert_eq!((&one.filters, &one.backend_refs), (&other.filters, &other.backend_refs));
    let slots = Destination::Slot(Slot::B);
    let to_slots = route(&ledger(), &both, &platform(), &gateway(), &slots);
    assert_eq!(slot_led_to(&ledger(), &to_slots), Some(Slot::B));
    let next = on_the_way(&ledger(), Some(&declared), false, to_slots);
    assert_eq!(next.spec.rules[0].backend_refs, next.spec.rules[1].backend_refs);
}

#[test]
fn yellow_is_reached_at_the_same_place_by_a_header() {
    let (green, yellow) = (
        route(&ledger(), &paths(), &platform(), &gateway(), &Destination::LiveService),
        yellow_route(&ledger(), &paths(), &platform(), &gateway(), &Destination::LiveService),
    );
    assert_eq!(yellow.metadata.name.as_deref(), Some("ledger-yellow"));
    assert_eq!(yellow.spec.hostnames, green.spec.hostnames);
    let [green, yellow] = [green, yellow].map(|route| route.spec.rules[0].clone());
    assert_eq!(yellow.matches[0].path, green.matches[0].path);
    let header = &yellow.matches[0].headers[0];
    assert_eq!(
        (header.name.as_str(), header.value.as_str()),
        ("X-Plexica-Light", "yellow")
    );
    assert_eq!(yellow.filters, green.filters);
    assert_eq!(yellow.backend_refs[0].name, "ledger-yellow");
    let of_slot = yellow_route(
        &ledger(),
        &paths(),
        &platform(),
        &gateway(),
        &Destination::Slot(Slot::B),
    );
    assert_eq!(of_slot.spec.rules[0].backend_refs[0].name, "ledger-slot-a");
}

#[test]
fn a_release_that_all_tenants_share_is_reached_where_it_is_and_lets_its_tenants_in() {
    let plugin = release();
    let release = Release::new("commons", &plugin);
    let to = Destination::Shared {
        namespace: "commons".to_owned(),
        service: release.name(),
    };
    let declared = route(&ledger(), &paths(), &platform(), &gateway(), &to);
    let backend = &declared.spec.rules[0].backend_refs[0];
    assert_eq!(
        (backend.namespace.as_deref(), &backend.name),
        (Some("commons"), &release.name())
    );
    let part = serde_json::from_value(json!({
        "name": "part", "labels": { "plexica.io/tenant": "blue-whale" },
        "annotations": { "plexica.io/content-hash": "12ab", "plexica.io/variables": "DATABASE_URL" },
    }));
    let granted = grant(&release, &[Member::of(&part.unwrap()).unwrap()]);
    assert_eq!(granted.metadata.namespace.as_deref(), Some("commons"));
    assert_eq!(granted.spec.to[0].name, release.name());
    assert_eq!(granted.spec.from[0].namespace, "tenant-blue-whale");
}

#[test]
fn the_url_is_the_tenants_host_and_the_base_path() {
    let url = |scheme| {
        let gateway = Gateway { scheme, ..gateway() };
        url(&ledger(), "/books", "example.com", &gateway)
    };
    assert_eq!(url(Scheme::Https), "https://blue-whale.example.com/books");
    assert_eq!(url(Scheme::Http), "http://blue-whale.example.com/books");
}
