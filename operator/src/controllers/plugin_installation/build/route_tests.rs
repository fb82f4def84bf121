use std::time::Duration;

use plexica_crds::{
    Plugin,
    names::TenantSlug,
    ownership::Owner,
    plugin::validation::{ValidatedManifest, check_plugin},
};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    backends::postgres::plugin::{PluginDatabaseSpec, PluginKey, TenantTables},
    controllers::plugin_installation::validate::Running,
    platform::Scheme,
};

/// Release 2.0.0 of `ledger`, whose API is at a path of its own, wanted by tenant `blue-whale`.
fn ledger() -> Wanted {
    let plugin: Plugin = serde_json::from_value(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin",
        "metadata": { "name": "ledger-2.0.0" },
        "spec": {
            "id": "ledger", "version": "2.0.0", "displayName": "Ledger",
            "runtime": { "image": "example.com/ledger:2.0.0", "port": 4000 },
            "api": { "basePath": "/books" },
        },
    }))
    .unwrap();
    let manifest: ValidatedManifest = check_plugin(&plugin).unwrap();
    let slug = TenantSlug::parse("blue-whale").unwrap();
    let owner = Owner {
        tenant_id: Uuid::from_u128(7),
        installation: "prod".to_owned(),
    };
    Wanted {
        database: PluginDatabaseSpec {
            owner: owner.clone(),
            key: PluginKey {
                slug: slug.clone(),
                plugin: manifest.id.clone(),
            },
            connection_limit: 1,
            statement_timeout: Duration::from_secs(1),
            tenant_tables: TenantTables::default(),
        },
        slug,
        owner,
        postgres_pool: "main".to_owned(),
        has_realm: true,
        id: manifest.id.clone(),
        plugin,
        manifest,
        reason: String::new(),
        runs: Running::Yes,
        providers: vec![],
        added: vec![],
        permissions: vec![],
    }
}

fn gateway() -> Gateway {
    Gateway {
        namespace: "edge".to_owned(),
        name: "front-door".to_owned(),
        section_name: Some("public".to_owned()),
        scheme: Scheme::Https,
        pods_in: "edge".to_owned(),
    }
}

#[test]
fn a_route_is_declared_like_this() {
    let declared = serde_json::to_string_pretty(&route(&ledger(), "example.com", &gateway())).unwrap();
    insta::assert_snapshot!(declared);
}

#[test]
fn the_url_is_the_tenants_host_and_the_base_path() {
    assert_eq!(
        url(&ledger(), "example.com", &gateway()),
        "https://blue-whale.example.com/books"
    );
    let plain = Gateway {
        scheme: Scheme::Http,
        ..gateway()
    };
    assert_eq!(
        url(&ledger(), "example.com", &plain),
        "http://blue-whale.example.com/books"
    );
}
