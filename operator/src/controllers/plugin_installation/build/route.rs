//! The route by which a tenant's users reach a plugin.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plexica_crds::names::TenantSlug;

use super::{
    backends::{Destination, backend},
    meta,
    shared::{Member, Release},
};
use crate::{
    controllers::plugin_installation::validate::Wanted,
    gateway_api::{
        BackendRef, Filter, GROUP, GrantFrom, GrantTo, HTTPRoute, HTTPRouteSpec, Header, HeaderMatch, HeaderModifier,
        Match, ParentRef, PathMatch, PathRewrite, ReferenceGrant, ReferenceGrantSpec, Rule, UrlRewrite,
    },
    platform::{Gateway, Platform},
};

/// Header and value of a request that asks for YELLOW.
pub const LIGHT_HEADER: (&str, &str) = ("X-Plexica-Light", "yellow");

/// Where the plugin's API is found from outside.
pub fn url(wanted: &Wanted, base_domain: &str, gateway: &Gateway) -> String {
    let scheme = gateway.scheme.as_ref();
    format!("{scheme}://{}{}", host(wanted, base_domain), wanted.manifest.base_path)
}

fn host(wanted: &Wanted, base_domain: &str) -> String {
    format!("{}.{base_domain}", wanted.slug)
}

/// The Gateway, as routes name it.
pub fn parent(gateway: &Gateway) -> ParentRef {
    ParentRef {
        group: Some(GROUP.to_owned()),
        kind: Some("Gateway".to_owned()),
        namespace: Some(gateway.namespace.clone()),
        name: gateway.name.clone(),
        section_name: gateway.section_name.clone(),
    }
}

/// The route: the tenant's host and the plugin's base path lead to GREEN. The prefix is stripped, and who the tenant is
/// says the platform, never the caller (design.md section 4; data-model.md, "Plugins at the gateway").
///
/// What it cannot do is to remove `x_tenant_slug`, which some servers take for the same header: the Gateway API admits
/// such a name, Contour 1.33 refuses the whole route over it. Plugins must not fold `_` and `-`; those of the kit do not.
pub fn route(wanted: &Wanted, platform: &Platform, gateway: &Gateway, to: Destination) -> HTTPRoute {
    let taken = Match {
        path: Some(path(wanted)),
        headers: vec![],
    };
    let leads_to = to.backends(wanted, platform);
    led(wanted, platform, gateway, meta(wanted, &wanted.id), taken, leads_to)
}

/// The route to YELLOW, for requests that ask for it by header: the more exact match wins (Gateway API, precedence of
/// matches across routes). It is an object of its own, so that what the Gateway says of GREEN's does not change with it.
pub fn yellow_route(wanted: &Wanted, platform: &Platform, gateway: &Gateway, green: Destination) -> HTTPRoute {
    let name = wanted.id.yellow_service();
    let service = match green {
        Destination::LiveService => name.clone(),
        Destination::Slot(live) => wanted.id.slot_service(live.other()),
    };
    let taken = Match {
        path: Some(path(wanted)),
        headers: vec![HeaderMatch {
            type_: "Exact".to_owned(),
            name: LIGHT_HEADER.0.to_owned(),
            value: LIGHT_HEADER.1.to_owned(),
        }],
    };
    let leads_to = vec![backend(None, service.to_string())];
    led(wanted, platform, gateway, meta(wanted, &name), taken, leads_to)
}

fn path(wanted: &Wanted) -> PathMatch {
    PathMatch {
        type_: "PathPrefix".to_owned(),
        value: wanted.manifest.base_path.clone(),
    }
}

fn led(
    wanted: &Wanted,
    platform: &Platform,
    gateway: &Gateway,
    metadata: ObjectMeta,
    taken: Match,
    leads_to: Vec<BackendRef>,
) -> HTTPRoute {
    HTTPRoute {
        metadata,
        spec: HTTPRouteSpec {
            parent_refs: vec![parent(gateway)],
            hostnames: vec![host(wanted, &platform.base_domain)],
            rules: vec![Rule {
                matches: vec![taken],
                filters: vec![tenant_headers(wanted), without_prefix()],
                backend_refs: leads_to,
            }],
        },
        status: None,
    }
}

/// Lets the routes of its tenants lead to a release that runs once for all of them.
pub fn grant(release: &Release<'_>, members: &[Member]) -> ReferenceGrant {
    let from = members.iter().filter_map(|member| {
        let slug = TenantSlug::parse(&member.slug).ok()?;
        Some(GrantFrom {
            group: GROUP.to_owned(),
            kind: "HTTPRoute".to_owned(),
            namespace: slug.namespace().to_string(),
        })
    });
    ReferenceGrant {
        metadata: release.meta(release.name()),
        spec: ReferenceGrantSpec {
            from: from.collect(),
            to: vec![GrantTo {
                group: String::new(),
                kind: "Service".to_owned(),
                name: release.name(),
            }],
        },
    }
}

/// Says who the tenant is.
fn tenant_headers(wanted: &Wanted) -> Filter {
    let header = |name: &str, value: String| Header {
        name: name.to_owned(),
        value,
    };
    Filter {
        type_: "RequestHeaderModifier".to_owned(),
        request_header_modifier: Some(HeaderModifier {
            set: vec![
                header("X-Tenant-Slug", wanted.slug.to_string()),
                header("X-Tenant-ID", wanted.owner.tenant_id.to_string()),
            ],
        }),
        url_rewrite: None,
    }
}

/// Takes the prefix away.
fn without_prefix() -> Filter {
    Filter {
        type_: "URLRewrite".to_owned(),
        request_header_modifier: None,
        url_rewrite: Some(UrlRewrite {
            path: PathRewrite {
                type_: "ReplacePrefixMatch".to_owned(),
                replace_prefix_match: "/".to_owned(),
            },
        }),
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
pub(super) mod tests;
