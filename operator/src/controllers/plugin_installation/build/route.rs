//! The route by which a tenant's users reach a plugin.

use plexica_crds::names::PluginId;

use super::{SERVICE_PORT, meta};
use crate::{
    controllers::plugin_installation::validate::Wanted,
    gateway_api::{
        BackendRef, Filter, GROUP, HTTPRoute, HTTPRouteSpec, Header, HeaderModifier, Match, ParentRef, PathMatch,
        PathRewrite, Rule, UrlRewrite,
    },
    platform::Gateway,
};

/// Name of a plugin's route: the plugin's id.
pub fn route_name(id: &PluginId) -> &str {
    id.as_str()
}

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
pub fn route(wanted: &Wanted, base_domain: &str, gateway: &Gateway) -> HTTPRoute {
    HTTPRoute {
        metadata: meta(wanted, route_name(&wanted.id)),
        spec: HTTPRouteSpec {
            parent_refs: vec![parent(gateway)],
            hostnames: vec![host(wanted, base_domain)],
            // The rule with a header match, which reaches YELLOW, will stand beside it: the more exact match wins.
            rules: vec![Rule {
                matches: vec![Match {
                    path: Some(PathMatch {
                        type_: "PathPrefix".to_owned(),
                        value: wanted.manifest.base_path.clone(),
                    }),
                    headers: vec![],
                }],
                filters: vec![tenant_headers(wanted), without_prefix()],
                backend_refs: vec![BackendRef {
                    group: String::new(),
                    kind: "Service".to_owned(),
                    name: wanted.id.service().to_string(),
                    port: SERVICE_PORT,
                    weight: 1,
                }],
            }],
        },
        status: None,
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
mod tests;
