//! What every registry must do. Pools of each check have names of their own, so that tenants that are already in
//! the registry take no room in them.

use futures::future::BoxFuture;
use jiff::Timestamp;
use plexica_crds::names::PluginId;
use serde_json::json;

use super::{Failure, Tenant, expect};
use crate::backends::{
    BackendError,
    postgres::registry::{
        PlacementError, PlacementRequest, PluginRelease, PoolOffer, PoolRequest, RecordError, Registry, RegistryFacts,
        ReleaseStatus, TenantPlugin, TenantPluginStatus, TenantStatus,
    },
};

/// One rule of registries.
pub struct RegistryCheck {
    /// The rule, as a sentence.
    pub name: &'static str,
    run: for<'a> fn(&'a dyn Registry, &'a Tenant) -> BoxFuture<'a, Outcome>,
}

impl RegistryCheck {
    /// Tries the rule on a fresh tenant, of which only a row `DELETED` is left.
    ///
    /// # Errors
    /// How the rule was broken.
    pub async fn run(&self, registry: &dyn Registry) -> Outcome {
        let tenant = Tenant::fresh()?;
        let outcome = (self.run)(registry, &tenant).await;
        registry.forget(&tenant.owner, &tenant.slug).await?;
        outcome
    }
}

type Outcome = Result<(), Failure>;

/// All rules.
pub const REGISTRY_CHECKS: &[RegistryCheck] = &[
    RegistryCheck {
        name: "a tenant keeps its place and its row",
        run: |registry, tenant| Box::pin(keeps_its_place(registry, tenant)),
    },
    RegistryCheck {
        name: "tenants spread over pools until all are full",
        run: |registry, tenant| Box::pin(spreads(registry, tenant)),
    },
    RegistryCheck {
        name: "a realm that is wanted later gets its place then",
        run: |registry, tenant| Box::pin(realm_later(registry, tenant)),
    },
    RegistryCheck {
        name: "the same facts are written once",
        run: |registry, tenant| Box::pin(written_once(registry, tenant)),
    },
    RegistryCheck {
        name: "a retired tenant's name is refused to others until it is forgotten",
        run: |registry, tenant| Box::pin(retained(registry, tenant)),
    },
    RegistryCheck {
        name: "another's row is not touched",
        run: |registry, tenant| Box::pin(others_row(registry, tenant)),
    },
    RegistryCheck {
        name: "a release is written once, and gone when forgotten",
        run: |registry, tenant| Box::pin(releases(registry, tenant)),
    },
    RegistryCheck {
        name: "what a tenant installed is written once, and only for a tenant with a row",
        run: |registry, tenant| Box::pin(installations(registry, tenant)),
    },
    RegistryCheck {
        name: "what a tenant installed ends with it, and is there again only when the tenant is",
        run: |registry, tenant| Box::pin(ended_with_its_tenant(registry, tenant)),
    },
];

/// A request for pools named after the tenant, of this capacity each.
fn request(tenant: &Tenant, names: &[&str], capacity: u32) -> PlacementRequest {
    let offer = |name: &&str| PoolOffer {
        name: format!("{}-{name}", tenant.slug),
        capacity,
        open: true,
    };
    let pools = PoolRequest {
        wanted: None,
        offers: names.iter().map(offer).collect(),
    };
    PlacementRequest {
        postgres: pools.clone(),
        keycloak: None,
        s3: pools,
    }
}

fn facts(status: TenantStatus) -> RegistryFacts {
    RegistryFacts {
        name: "Contract".to_owned(),
        settings: json!({ "limit": 1.0, "list": [1, "a", null] }),
        theme: json!({ "colour": "#fff" }),
        status,
        object_uid: "uid".to_owned(),
        observed_generation: 3,
    }
}

async fn keeps_its_place(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    expect(
        registry.get(&tenant.slug).await?.is_none(),
        "a new tenant has a row".to_owned(),
    )?;
    let first = place(registry, tenant, &request(tenant, &["a"], 5)).await?;
    let second = place(registry, tenant, &request(tenant, &["b"], 5)).await?;
    expect(first == second, format!("placed on {first:?}, then on {second:?}"))?;
    let Some(row) = registry.get(&tenant.slug).await? else {
        return Err(Failure("no row".to_owned()));
    };
    let as_placed = row.id == tenant.owner.tenant_id && row.pools == first && row.status == TenantStatus::Provisioning;
    expect(as_placed, format!("the row is {row:?}"))?;
    let listed = registry.list().await?.iter().any(|row| row.slug == tenant.slug);
    expect(listed, "the row is not in the list".to_owned())
}

async fn spreads(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    let request = request(tenant, &["a", "b"], 2);
    let others = [Tenant::fresh()?, Tenant::fresh()?, Tenant::fresh()?, Tenant::fresh()?];
    let outcome = async {
        let mut pools = Vec::new();
        for other in &others {
            pools.push(place(registry, other, &request).await?.postgres);
        }
        let on_a = pools.iter().filter(|pool| pool.ends_with("-a")).count();
        expect(on_a == 2, format!("{pools:?}"))?;
        let refused = registry.place(&tenant.owner, &tenant.slug, &request).await;
        let is_full = matches!(refused, Err(PlacementError::PoolFull { capacity: 4, .. }));
        expect(is_full, format!("full pools answer {refused:?}"))?;
        let [first, ..] = &others;
        registry.forget(&first.owner, &first.slug).await?;
        place(registry, tenant, &request).await.map(drop)
    };
    let outcome = outcome.await;
    for other in &others {
        registry.forget(&other.owner, &other.slug).await?;
    }
    outcome
}

async fn realm_later(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    let without = request(tenant, &["a"], 5);
    let first = place(registry, tenant, &without).await?;
    expect(first.keycloak.is_none(), format!("placed on {first:?} without a realm"))?;
    let with = PlacementRequest {
        keycloak: Some(without.postgres.clone()),
        ..without.clone()
    };
    let second = place(registry, tenant, &with).await?;
    expect(second.keycloak.is_some(), format!("placed on {second:?} with a realm"))?;
    let third = place(registry, tenant, &without).await?;
    expect(third == second, format!("the place {second:?} became {third:?}"))
}

async fn written_once(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    place(registry, tenant, &request(tenant, &["a"], 5)).await?;
    for (status, written) in [
        (TenantStatus::Provisioning, true),
        (TenantStatus::Active, true),
        (TenantStatus::Active, false),
        (TenantStatus::Suspended, true),
    ] {
        let wrote = registry.record(&tenant.owner, &tenant.slug, &facts(status)).await?;
        expect(wrote == written, format!("recording {status} wrote: {wrote}"))?;
    }
    let row = registry.get(&tenant.slug).await?;
    let kept = row.is_some_and(|row| row.name == "Contract" && row.settings == facts(row.status).settings);
    expect(kept, "the row does not show what was recorded".to_owned())
}

async fn retained(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    let other = tenant.stranger();
    let request = request(tenant, &["a"], 5);
    place(registry, tenant, &request).await?;
    let purge_at = Timestamp::from_second(4_000_000_000).map_err(|error| Failure(error.to_string()))?;
    registry.retire(&tenant.owner, &tenant.slug, purge_at).await?;
    let refused = registry.place(&other.owner, &other.slug, &request).await;
    match refused {
        Err(PlacementError::RetainedData {
            id,
            since: _,
            purge_at: Some(at),
        }) if id == tenant.owner.tenant_id && at == purge_at => {}
        other => return Err(Failure(format!("a retained name answers {other:?}"))),
    }
    // Its own tenant may come back.
    registry
        .record(&tenant.owner, &tenant.slug, &facts(TenantStatus::Active))
        .await?;
    let row = registry.get(&tenant.slug).await?;
    expect(
        row.is_some_and(|row| row.purge_at.is_none()),
        "a purge date is left on an active tenant".to_owned(),
    )?;
    registry.forget(&tenant.owner, &tenant.slug).await?;
    place(registry, &other, &request).await?;
    registry.forget(&other.owner, &other.slug).await?;
    Ok(())
}

async fn others_row(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    let other = tenant.stranger();
    place(registry, tenant, &request(tenant, &["a"], 5)).await?;
    let before = registry.get(&tenant.slug).await?;
    let refused = registry
        .record(&other.owner, &other.slug, &facts(TenantStatus::Active))
        .await;
    expect(
        matches!(refused, Err(BackendError::Foreign(_))),
        format!("recording for another ended as {refused:?}"),
    )?;
    registry.retire(&other.owner, &other.slug, Timestamp::now()).await?;
    registry.forget(&other.owner, &other.slug).await?;
    expect(
        registry.get(&tenant.slug).await? == before,
        "another changed the row".to_owned(),
    )
}

async fn releases(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    let id = plugin(&format!("release-{}", &tenant.slug.as_str()["contract-".len()..]))?;
    let release = |status| PluginRelease {
        id: id.clone(),
        version: "1.0.0".to_owned(),
        name: "Contract".to_owned(),
        manifest: json!({ "a": 1.0 }),
        status,
    };
    for (status, written) in [
        (ReleaseStatus::Available, true),
        (ReleaseStatus::Available, false),
        (ReleaseStatus::Installed, true),
    ] {
        let wrote = registry.record_release(&release(status)).await?;
        expect(wrote == written, format!("recording {status} wrote: {wrote}"))?;
    }
    let nul = PluginRelease {
        manifest: json!({ "a": "\0" }),
        ..release(ReleaseStatus::Installed)
    };
    let refused = registry.record_release(&nul).await;
    expect(
        matches!(refused, Err(RecordError::Value(_))),
        format!("recording U+0000 ended as {refused:?}"),
    )?;
    let listed = registry.releases().await?;
    let kept = listed.contains(&release(ReleaseStatus::Installed));
    let mut gone = Vec::new();
    for _ in 0..2 {
        gone.push(registry.forget_release(&id, "1.0.0").await?);
    }
    expect(kept, format!("the release is not in {listed:?}"))?;
    expect(gone == [true, false], format!("forgetting twice answered {gone:?}"))
}

fn installed(status: TenantPluginStatus) -> Result<TenantPlugin, Failure> {
    Ok(TenantPlugin {
        plugin: plugin("contract-notes")?,
        version: "1.0.0".to_owned(),
        enabled: true,
        configuration: json!({ "a": 1.0 }),
        status,
        installed_by: None,
    })
}

async fn installations(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    let refused = registry
        .record_tenant_plugin(&tenant.owner, &installed(TenantPluginStatus::InProgress)?)
        .await;
    expect(
        matches!(refused, Err(BackendError::Unexpected(_))),
        format!("an installation of nobody's ended as {refused:?}"),
    )?;
    place(registry, tenant, &request(tenant, &["a"], 5)).await?;
    for (status, written) in [
        (TenantPluginStatus::InProgress, true),
        (TenantPluginStatus::Installed, true),
        (TenantPluginStatus::Installed, false),
        (TenantPluginStatus::Uninstalled, true),
    ] {
        let installed = installed(status)?;
        let wrote = registry.record_tenant_plugin(&tenant.owner, &installed).await?;
        expect(wrote == written, format!("recording {status} wrote: {wrote}"))?;
        let found = registry.tenant_plugins(&tenant.owner).await?;
        expect(found == [installed], format!("the tenant has {found:?}"))?;
    }
    Ok(())
}

/// Whether its data is kept or dropped.
async fn ended_with_its_tenant(registry: &dyn Registry, tenant: &Tenant) -> Outcome {
    let (owner, slug, stranger) = (&tenant.owner, &tenant.slug, tenant.stranger());
    let live = installed(TenantPluginStatus::Installed)?;
    let ended = TenantPlugin {
        enabled: false,
        ..installed(TenantPluginStatus::Uninstalled)?
    };
    let purge_at = Timestamp::from_second(4_000_000_000).map_err(|error| Failure(error.to_string()))?;
    place(registry, tenant, &request(tenant, &["a"], 5)).await?;
    for is_kept in [true, false] {
        registry.record(owner, slug, &facts(TenantStatus::Active)).await?;
        registry.record_tenant_plugin(owner, &live).await?;
        registry.retire(&stranger.owner, slug, purge_at).await?;
        registry.forget(&stranger.owner, slug).await?;
        let found = registry.tenant_plugins(owner).await?;
        expect(
            found.as_slice() == [live.clone()],
            format!("the end of another left {found:?}"),
        )?;
        if is_kept {
            registry.retire(owner, slug, purge_at).await?;
        } else {
            registry.forget(owner, slug).await?;
        }
        let found = registry.tenant_plugins(owner).await?;
        expect(
            found.as_slice() == [ended.clone()],
            format!("the tenant has ended, with {found:?}"),
        )?;
        // A pass that began before is late.
        let late = registry.record_tenant_plugin(owner, &live).await;
        expect(
            matches!(late, Err(BackendError::Unexpected(_))),
            format!("recording for a tenant that has ended is answered {late:?}"),
        )?;
        let wrote = registry.record_tenant_plugin(owner, &ended).await?;
        expect(!wrote, "what has ended is written again".to_owned())?;
    }
    Ok(())
}

fn plugin(id: &str) -> Result<PluginId, Failure> {
    PluginId::parse(id).map_err(|error| Failure(error.to_string()))
}

async fn place(
    registry: &dyn Registry,
    tenant: &Tenant,
    request: &PlacementRequest,
) -> Result<crate::backends::postgres::registry::Placement, Failure> {
    let placed = registry.place(&tenant.owner, &tenant.slug, request).await;
    placed.map_err(|error| Failure(format!("not placed: {error}")))
}
