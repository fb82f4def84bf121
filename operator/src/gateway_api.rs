//! HTTPRoutes of the Gateway API, as far as the operator writes and reads them.
//!
//! Types of our own: crate `gateway-api` 0.22 is made for kube 4 and k8s-openapi 0.28, whose traits are others than those
//! of the versions here. What is declared is written out in full, defaults included: lists are compared whole, so that
//! what somebody changed in an element is seen (`runtime::apply`). What is read may lack any of it: one route that somebody wrote
//! otherwise does not hide the others from the watch.
//!
//! Specification: <https://gateway-api.sigs.k8s.io/reference/spec/>, HTTPRoute v1.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Group of the API.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// Which requests a route takes, and where they go.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    plural = "httproutes",
    namespaced,
    status = "RouteStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteSpec {
    /// The Gateways that shall serve it.
    pub parent_refs: Vec<ParentRef>,
    /// Hosts of the requests.
    pub hostnames: Vec<String>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// A Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentRef {
    /// Group of its kind.
    pub group: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its namespace; the route's own if it is left out.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// One of its listeners; all if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// What one rule takes, does and leads to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// A request is taken if one of them matches.
    pub matches: Vec<Match>,
    /// What is done to a request.
    pub filters: Vec<Filter>,
    /// Where requests go, by weight.
    pub backend_refs: Vec<BackendRef>,
}

/// All of it has to match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// The path.
    pub path: Option<PathMatch>,
    /// Headers, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

/// A match of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathMatch {
    /// `PathPrefix`, `Exact` or `RegularExpression`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The path. A prefix ends where a segment does: `/crm` takes `/crm/deals` and not `/crm2`.
    pub value: String,
}

/// A match of a header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderMatch {
    /// `Exact` or `RegularExpression`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The header.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What is done to a request; exactly what `type` names is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    /// `RequestHeaderModifier` or `URLRewrite`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Changes headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderModifier>,
    /// Changes the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<UrlRewrite>,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Headers that have this one value afterwards, whatever the caller sent.
    pub set: Vec<Header>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A change of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UrlRewrite {
    /// The change.
    pub path: PathRewrite,
}

/// What becomes of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathRewrite {
    /// `ReplacePrefixMatch`.
    #[serde(rename = "type")]
    pub type_: String,
    /// What comes in place of the prefix that matched.
    pub replace_prefix_match: String,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendRef {
    /// Group of its kind: the core one has an empty name.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; the route's own if it is left out. Another one's needs a ReferenceGrant there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: i32,
    /// Its share of the sum of all weights.
    pub weight: i32,
}

/// What became of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteStatus {
    /// By Gateway and by who serves it.
    pub parents: Vec<ParentStatus>,
}

/// What one Gateway says of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentStatus {
    /// The Gateway, as the route names it.
    pub parent_ref: ParentRef,
    /// Statements about the route: `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}

/// Lets routes of other namespaces lead to Services of the one that it is in.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1beta1",
    kind = "ReferenceGrant",
    plural = "referencegrants",
    namespaced,
    schema = "disabled"
)]
pub struct ReferenceGrantSpec {
    /// Whose routes.
    pub from: Vec<GrantFrom>,
    /// To which Services.
    pub to: Vec<GrantTo>,
}

/// All objects of a kind in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantFrom {
    /// Group of the kind.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
}

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTo {
    /// Group of its kind.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_route_that_somebody_else_wrote_is_read_whatever_it_leaves_out() {
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "theirs" },
            "spec": { "rules": [{
                "matches": [{ "headers": [{ "name": "x", "value": "1" }] }, { "path": { "value": "/a" } }, { "method": "GET" }],
                "filters": [
                    { "type": "URLRewrite", "urlRewrite": { "hostname": "example.test" } },
                    { "type": "URLRewrite", "urlRewrite": { "path": { "type": "ReplaceFullPath", "replaceFullPath": "/b" } } },
                    { "type": "RequestRedirect", "requestRedirect": { "statusCode": 301 } },
                ],
                "backendRefs": [{ "name": "elsewhere" }],
            }] },
            "status": { "parents": [{ "controllerName": "example.test/gateway" }] },
        });
        let route: HTTPRoute = serde_json::from_value(route).unwrap();
        assert_eq!(route.spec.rules[0].filters.len(), 3);
    }
}
