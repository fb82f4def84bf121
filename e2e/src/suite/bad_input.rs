//! Wrong manifests: each is refused with a sentence that names the rule, by the API server where the schema can state
//! it, else by the operator in the conditions Stalled and Ready.

use anyhow::{Result, ensure};
use plexica_crds::tenant::conditions::Type;
use serde_json::{Value, json};

use super::{
    Case,
    env::{Env, condition_of, contains, unique},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_full_pool_stalls_the_next_tenant_until_one_is_deleted,
        an_unknown_pool_stalls_the_tenant_and_the_message_lists_the_pools,
        settings_of_a_megabyte_are_accepted_by_the_api_server_and_stall_the_tenant,
        a_text_that_postgresql_cannot_store_stalls_the_tenant_with_its_field,
        a_spec_that_is_corrected_makes_a_stalled_tenant_ready,
        a_name_that_begins_with_a_digit_is_refused,
        a_name_with_a_double_hyphen_is_refused,
        a_name_with_a_dot_is_refused,
        a_name_with_the_segment_plugin_is_refused,
        a_name_that_the_platform_keeps_for_itself_is_refused,
        a_name_that_is_too_short_or_too_long_is_refused,
        a_negative_quota_is_refused,
        a_quota_that_is_no_quantity_is_refused,
        a_retention_of_zero_is_refused,
        an_admin_without_an_email_is_refused,
        the_same_email_twice_is_refused_whatever_its_case,
        a_redirect_uri_that_is_no_uri_is_refused,
        a_namespace_label_of_kubernetes_is_refused,
        a_tenant_without_a_display_name_is_refused,
        a_pool_cannot_be_changed_once_set,
    ]
}

/// The API server refuses the tenant, and the user reads `sentence`.
async fn refused(env: &Env, name: &str, spec: Value, sentence: &str) -> Result<()> {
    contains(&env.refusal(name, spec).await?, sentence)
}

// Rules of names: design.md section 2, "Tenant".

async fn a_name_that_begins_with_a_digit_is_refused(env: &Env) -> Result<()> {
    let sentence = "a tenant's name begins with a lower-case letter, not with a digit";
    refused(env, "9lives", json!({}), sentence).await
}

async fn a_name_with_a_double_hyphen_is_refused(env: &Env) -> Result<()> {
    refused(env, "two--hyphens", json!({}), "no double hyphen").await
}

async fn a_name_with_a_dot_is_refused(env: &Env) -> Result<()> {
    let sentence = "a tenant's name holds only lower-case letters, digits and hyphens, no dot";
    refused(env, "with.dot", json!({}), sentence).await
}

async fn a_name_with_the_segment_plugin_is_refused(env: &Env) -> Result<()> {
    for name in ["plugin", "my-plugin", "plugin-shop", "my-plugin-shop"] {
        refused(env, name, json!({}), "a tenant's name has no segment `plugin`").await?;
    }
    // Only the whole segment is the separator.
    env.create(&unique("plugins"), json!({})).await.map(drop)
}

async fn a_name_that_the_platform_keeps_for_itself_is_refused(env: &Env) -> Result<()> {
    for name in ["www", "core", "master", "plexica"] {
        refused(
            env,
            name,
            json!({}),
            "a tenant's name is not one the platform keeps for itself",
        )
        .await?;
    }
    Ok(())
}

async fn a_name_that_is_too_short_or_too_long_is_refused(env: &Env) -> Result<()> {
    for name in ["a", "a23456789-123456789-12345"] {
        refused(env, name, json!({}), "a tenant's name has 2 to 24 characters").await?;
    }
    Ok(())
}

async fn a_negative_quota_is_refused(env: &Env) -> Result<()> {
    let spec = json!({ "storage": { "quota": "-1Gi" } });
    refused(
        env,
        &unique("quota"),
        spec,
        "a storage quota is a positive quantity of bytes, such as 10Gi",
    )
    .await
}

async fn a_quota_that_is_no_quantity_is_refused(env: &Env) -> Result<()> {
    let spec = json!({ "storage": { "quota": "plenty" } });
    refused(env, &unique("quota"), spec, "spec.storage.quota").await
}

async fn a_retention_of_zero_is_refused(env: &Env) -> Result<()> {
    let spec = json!({ "retention": "0s" });
    refused(env, &unique("zero"), spec, "retention must be longer than zero").await
}

async fn an_admin_without_an_email_is_refused(env: &Env) -> Result<()> {
    let missing = json!({ "admins": [{ "firstName": "Ada" }] });
    refused(env, &unique("admin"), missing, "spec.admins[0].email").await?;
    let wrong = json!({ "admins": [{ "email": "ada" }] });
    refused(env, &unique("admin"), wrong, "spec.admins[0].email").await
}

async fn the_same_email_twice_is_refused_whatever_its_case(env: &Env) -> Result<()> {
    let other_case = json!({ "admins": [{ "email": "ada@example.com" }, { "email": "Ada@Example.com" }] });
    refused(
        env,
        &unique("twice"),
        other_case,
        "an e-mail appears only once among the admins",
    )
    .await?;
    // The list is a map by e-mail: the schema itself refuses the very same key.
    let same = json!({ "admins": [{ "email": "ada@example.com" }, { "email": "ada@example.com" }] });
    refused(env, &unique("twice"), same, "spec.admins").await
}

async fn a_redirect_uri_that_is_no_uri_is_refused(env: &Env) -> Result<()> {
    for uri in ["not a uri", "javascript:alert(1)", "https://*", "/relative"] {
        let spec = json!({ "identity": { "redirectUris": [uri] } });
        let sentence = "a redirect URI is an absolute http or https URI with a host";
        refused(env, &unique("uri"), spec, sentence).await?;
    }
    Ok(())
}

async fn a_namespace_label_of_kubernetes_is_refused(env: &Env) -> Result<()> {
    for key in [
        "pod-security.kubernetes.io/enforce",
        "kubernetes.io/metadata.name",
        "plexica.io/tenant",
    ] {
        let spec = json!({ "namespace": { "labels": { key: "privileged" } } });
        let sentence = "labels of kubernetes.io, k8s.io and plexica.io are set by the platform";
        refused(env, &unique("label"), spec, sentence).await?;
    }
    Ok(())
}

async fn a_tenant_without_a_display_name_is_refused(env: &Env) -> Result<()> {
    let spec = json!({ "displayName": null });
    refused(env, &unique("nameless"), spec, "spec.displayName").await
}

/// A tenant does not move between pools: nothing would move its data.
async fn a_pool_cannot_be_changed_once_set(env: &Env) -> Result<()> {
    let name = unique("stays");
    env.create(&name, json!({ "storage": { "pool": "main" } })).await?;
    for pool in [json!("proxied"), Value::Null] {
        match env
            .patch(&name, json!({ "spec": { "storage": { "pool": pool } } }))
            .await
        {
            Ok(_) => anyhow::bail!("the change to {pool} was accepted"),
            Err(error) => contains(
                &format!("{error:#}"),
                "a tenant does not move between pools: storage.pool cannot change once set",
            )?,
        }
    }
    Ok(())
}

/// The tenant is Stalled, Ready says the same, and nothing is waited for.
async fn stalled(env: &Env, name: &str, reason: &'static str, sentences: &[&str]) -> Result<()> {
    let told = env.reason(name, Type::Stalled, reason).await?;
    ensure!(told.status == "True", "Stalled is {}", told.status);
    for sentence in sentences {
        contains(&told.message, sentence)?;
    }
    let tenant = env.tenants().get(name).await?;
    let ready = condition_of(&tenant, Type::Ready).map(|ready| (ready.status.as_str(), ready.reason.as_str()));
    ensure!(ready == Some(("False", reason)), "Ready says {ready:?}");
    Ok(())
}

async fn an_unknown_pool_stalls_the_tenant_and_the_message_lists_the_pools(env: &Env) -> Result<()> {
    for (part, kind, pools) in [
        ("database", "postgres", "main, proxied, small"),
        ("identity", "keycloak", "main, proxied"),
        ("storage", "s3", "main, proxied"),
    ] {
        let name = unique("nowhere");
        env.create(&name, json!({ part: { "pool": "nowhere" } })).await?;
        let sentence = format!("the platform has no {kind} pool `nowhere`; it has: {pools}");
        stalled(env, &name, "PoolUnknown", &[&sentence]).await?;
    }
    Ok(())
}

/// Pool `small` has room for one (e2e/stack-values.yaml).
async fn a_full_pool_stalls_the_next_tenant_until_one_is_deleted(env: &Env) -> Result<()> {
    let (first, second) = (unique("first"), unique("second"));
    let spec = json!({ "database": { "pool": "small" } });
    env.create(&first, spec.clone()).await?;
    env.ready(&first).await?;
    env.create(&second, spec).await?;
    stalled(
        env,
        &second,
        "PoolFull",
        &["no room in postgres pool small (capacity 1)", "delete tenants"],
    )
    .await?;
    env.delete(&first).await?;
    env.ready(&second).await.map(drop)
}

/// CEL could not count it: the operator's own check does (crds/src/tenant/validation.rs, 64 KiB).
async fn settings_of_a_megabyte_are_accepted_by_the_api_server_and_stall_the_tenant(env: &Env) -> Result<()> {
    let name = unique("large");
    env.create(&name, json!({ "settings": { "blob": "x".repeat(1_000_000) } }))
        .await?;
    let sentence = "spec.settings: holds 1000011 bytes of JSON; at most 65536 are kept";
    stalled(env, &name, "InvalidSpec", &[sentence]).await
}

async fn a_text_that_postgresql_cannot_store_stalls_the_tenant_with_its_field(env: &Env) -> Result<()> {
    let name = unique("nul");
    env.create(&name, json!({ "settings": { "import": { "delimiter": "\0" } } }))
        .await?;
    let sentence = "spec.settings.import.delimiter: must not contain U+0000, which PostgreSQL cannot store";
    stalled(env, &name, "InvalidSpec", &[sentence]).await
}

async fn a_spec_that_is_corrected_makes_a_stalled_tenant_ready(env: &Env) -> Result<()> {
    let name = unique("corrected");
    env.create(&name, json!({ "theme": { "blob": "x".repeat(100_000) } }))
        .await?;
    stalled(env, &name, "InvalidSpec", &["spec.theme: holds 100011 bytes"]).await?;
    env.patch(&name, json!({ "spec": { "theme": null } })).await?;
    let tenant = env.ready(&name).await?;
    ensure!(
        condition_of(&tenant, Type::Stalled).is_none(),
        "a Ready tenant has no condition Stalled"
    );
    Ok(())
}
