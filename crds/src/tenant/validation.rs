//! The rules of a Tenant, checked again by the operator: the schema may be older or looser than the code.

use std::collections::HashSet;

use kube::ResourceExt;
use url::Url;

use super::Tenant;
use crate::{
    names::{InvalidSlug, TenantSlug},
    quantity, schema, text,
};

pub use crate::violation::Violation;

impl From<InvalidSlug> for Violation {
    fn from(error: InvalidSlug) -> Self {
        Self::new("metadata.name", error.to_string())
    }
}

/// All rules that the tenant breaks, in the order of its fields; empty means that it is valid.
pub fn violations(tenant: &Tenant) -> Vec<Violation> {
    let spec = &tenant.spec;
    let mut found: Vec<Violation> = TenantSlug::parse(&tenant.name_any())
        .err()
        .map(Violation::from)
        .into_iter()
        .collect();
    for (field, object) in [("spec.settings", &spec.settings), ("spec.theme", &spec.theme)] {
        if let Some(problem) = schema::too_large(object) {
            found.push(Violation::new(
                field,
                format!("{problem}: store large things in the tenant's bucket"),
            ));
        }
    }
    let mut emails = HashSet::new();
    for (index, admin) in spec.admins.iter().enumerate() {
        let field = format!("spec.admins[{index}].email");
        if admin.email.is_empty() {
            found.push(Violation::new(&field, "an admin needs an e-mail address"));
        } else if !emails.insert(admin.email.to_lowercase()) {
            found.push(Violation::new(&field, format!("{} appears twice", admin.email)));
        }
    }
    for (index, uri) in spec.identity.redirect_uris.iter().enumerate() {
        if !is_redirect_uri(uri) {
            found.push(Violation::new(
                format!("spec.identity.redirectUris[{index}]"),
                format!("`{uri}` is not an absolute http or https URI with a host; `*` is allowed only at its end"),
            ));
        }
    }
    if quantity::bytes(&spec.storage.quota).is_none_or(|bytes| bytes == 0) {
        found.push(Violation::new(
            "spec.storage.quota",
            format!(
                "`{}` is no positive quantity of bytes, such as 10Gi",
                spec.storage.quota.0
            ),
        ));
    }
    if spec.retention.value().is_zero() {
        found.push(Violation::new(
            "spec.retention",
            "must be longer than zero: it is how long data outlives the tenant",
        ));
    }
    found.extend(text::nul("spec", spec));
    found
}

fn is_redirect_uri(text: &str) -> bool {
    let body = text.strip_suffix('*').unwrap_or(text);
    Url::parse(body).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) && !body.contains('*')
        // A `*` directly after the host would widen the host itself.
        && (body.len() == text.len() || body.splitn(4, '/').count() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tenant(name: &str, spec: &serde_json::Value) -> Tenant {
        serde_json::from_value(json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": spec
        }))
        .unwrap()
    }

    fn messages(name: &str, spec: &serde_json::Value) -> String {
        violations(&tenant(name, spec))
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn a_tenant_with_only_a_name_is_valid() {
        assert_eq!(violations(&tenant("acme", &json!({"displayName": "Acme"}))), vec![]);
    }

    #[test]
    fn every_broken_rule_is_reported_with_its_field() {
        let text = messages(
            "9lives",
            &json!({
                "displayName": "x",
                "settings": {"blob": "x".repeat(1_000_000)},
                "admins": [{"email": "Ann@example.com"}, {"email": "ann@example.com"}, {"email": ""}],
                "identity": {"redirectUris": ["not a uri", "https://*", "https://ok.example.com/*"]},
                "storage": {"quota": "-1Gi"},
                "retention": "0s"
            }),
        );
        for part in [
            "metadata.name: a tenant's name begins with",
            "spec.settings: holds 1000011 bytes",
            "spec.admins[1].email: ann@example.com appears twice",
            "spec.admins[2].email: an admin needs an e-mail",
            "spec.identity.redirectUris[0]: `not a uri`",
            "spec.identity.redirectUris[1]: `https://*`",
            "spec.storage.quota: `-1Gi`",
            "spec.retention: must be longer than zero",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("redirectUris[2]"));
    }

    #[test]
    fn what_postgresql_cannot_store_is_reported_with_its_field() {
        for (spec, field) in [
            (json!({"displayName": "a\0b"}), "spec.displayName"),
            (
                json!({"displayName": "x", "settings": {"import": {"delimiter": "\0"}}}),
                "spec.settings.import.delimiter",
            ),
            (
                json!({"displayName": "x", "theme": {"logo": ["\0"]}}),
                "spec.theme.logo[0]",
            ),
        ] {
            assert_eq!(
                messages("acme", &spec),
                format!("{field}: must not contain U+0000, which PostgreSQL cannot store")
            );
        }
    }

    #[test]
    fn defaults_are_those_of_the_data_model() {
        let spec = tenant("acme", &json!({"displayName": "Acme"})).spec;
        assert_eq!(spec.identity.access_token_lifespan.value().as_secs(), 300);
        assert_eq!(spec.identity.sso_session_idle.value().as_secs(), 1_800);
        assert_eq!(spec.identity.sso_session_max.value().as_secs(), 36_000);
        assert_eq!(spec.retention.value().as_secs(), 720 * 3_600);
    }
}
