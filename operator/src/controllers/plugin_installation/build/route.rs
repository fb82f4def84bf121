//! The route by which a tenant's users reach a plugin.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plexica_crds::names::TenantSlug;

use super::{
    backends::{Destination, backend},
    meta,
    shared::{Member, Release},
};
use crate::{
    controllers::plugin_installation::model::Place,
    gateway_api::{
        BackendRef, Filter, GROUP, GrantFrom, GrantTo, HTTPRoute, HTTPRouteSpec, Header, HeaderMatch, HeaderModifier,
        Match, ParentRef, PathMatch, PathRewrite, ReferenceGrant, ReferenceGrantSpec, Rule, UrlRewrite,
    },
    platform::{Gateway, Platform},
};

/// Header and value of a request that asks for YELLOW.
pub const LIGHT_HEADER: (&str, &str) = ("X-Plexica-Light", "yellow");

/// Where the plugin's API is found from outside.
pub fn url(place: &Place, base_path: &str, base_domain: &str, gateway: &Gateway) -> String {
    let scheme = gateway.scheme.as_ref();
    format!("{scheme}://{}{base_path}", host(place, base_domain))
}

fn host(place: &Place, base_domain: &str) -> String {
    format!("{}.{base_domain}", place.slug)
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

/// The route: the tenant's host and these paths lead to GREEN: its own, and beside it the former version's while there is a way
/// back. The prefix is stripped, and who the tenant is says the platform, never the caller (design.md section 4; data-model.md,
/// "Plugins at the gateway").
///
/// Each path is a rule of its own: of two in one rule, Contour 1.33 strips the prefix of one from requests to either
/// (findings/contour-two-prefixes-one-rewrite.sh).
///
/// What it cannot do is to remove `x_tenant_slug`, which some servers take for the same header: the Gateway API admits
/// such a name, Contour 1.33 refuses the whole route over it. Plugins must not fold `_` and `-`; those of the kit do not.
pub fn route(place: &Place, paths: &[String], platform: &Platform, gateway: &Gateway, to: &Destination) -> HTTPRoute {
    let taken = paths.iter().map(|path| Match {
        path: Some(prefix(path)),
        headers: vec![],
    });
    let leads_to = to.backends(place);
    led(place, platform, gateway, meta(place, &place.id), taken, &leads_to)
}

/// The route to YELLOW, for requests that ask for it by header: the more exact match wins (Gateway API, precedence of
/// matches across routes). It is an object of its own, so that what the Gateway says of GREEN's does not change with it.
pub fn yellow_route(
    place: &Place,
    paths: &[String],
    platform: &Platform,
    gateway: &Gateway,
    green: &Destination,
) -> HTTPRoute {
    let name = place.id.yellow_service();
    let service = match green {
        Destination::LiveService | Destination::Shared { .. } => name.clone(),
        Destination::Slot(live) => place.id.slot_service(live.other()),
    };
    let taken = paths.iter().map(|path| Match {
        path: Some(prefix(path)),
        headers: vec![HeaderMatch {
            type_: "Exact".to_owned(),
            name: LIGHT_HEADER.0.to_owned(),
            value: LIGHT_HEADER.1.to_owned(),
        }],
    });
    let leads_to = vec![backend(None, service.to_string())];
    led(place, platform, gateway, meta(place, &name), taken, &leads_to)
}

fn prefix(path: &str) -> PathMatch {
    PathMatch {
        type_: "PathPrefix".to_owned(),
        value: path.to_owned(),
    }
}

fn led(
    place: &Place,
    platform: &Platform,
    gateway: &Gateway,
    metadata: ObjectMeta,
    taken: impl Iterator<Item = Match>,
    leads_to: &[BackendRef],
) -> HTTPRoute {
    let rules = taken.map(|taken| Rule {
        matches: vec![taken],
        filters: vec![tenant_headers(place), without_prefix()],
        backend_refs: leads_to.to_vec(),
    });
    HTTPRoute {
        metadata,
        spec: HTTPRouteSpec {
            parent_refs: vec![parent(gateway)],
            hostnames: vec![host(place, &platform.base_domain)],
            rules: rules.collect(),
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
fn tenant_headers(place: &Place) -> Filter {
    let header = |name: &str, value: String| Header {
        name: name.to_owned(),
        value,
    };
    Filter {
        type_: "RequestHeaderModifier".to_owned(),
        request_header_modifier: Some(HeaderModifier {
            set: vec![
                header("X-Tenant-Slug", place.slug.to_string()),
                header("X-Tenant-ID", place.owner.tenant_id.to_string()),
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
