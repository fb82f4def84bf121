//! The policy of a tenant's user: its own bucket, without what would hide or open it, and nothing else.
//!
//! Its statement ids carry the tenant's mark, so that a policy or user of the tenant's name that somebody else made
//! is told from ours. Actions: github.com/minio/pkg `policy/action.go`, `policy/admin-action.go`; the server refuses
//! ones that it does not know.

use std::collections::BTreeSet;

use plexica_crds::{
    names::{BucketName, TenantSlug},
    ownership::Owner,
};
use serde_json::{Value, json};

use crate::backends::hash::sha256_hex;

/// What the tenant may not do with its own bucket: open it to others, remove it, change its marks or its settings.
const DENIED: [&str; 9] = [
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:ForceDeleteBucket",
    "s3:PutBucketNotification",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketPolicy",
    "s3:PutBucketTagging",
    "s3:PutBucketVersioning",
    "s3:PutReplicationConfiguration",
];
/// What MinIO lets every user do unless it is denied: change its own secret key, which would make the tenant's Secret
/// untrue, and make further keys, which nobody would know of.
const DENIED_ADMIN: [&str; 3] = [
    "admin:CreateServiceAccount",
    "admin:CreateUser",
    "admin:UpdateServiceAccount",
];

/// Name of the policy.
pub(super) fn name(slug: &TenantSlug) -> BucketName {
    slug.bucket()
}

/// The policy's document.
pub(super) fn document(owner: &Owner, bucket: &BucketName) -> Value {
    let mark = mark(owner);
    let resources = [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")];
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Sid": mark, "Effect": "Allow", "Action": ["s3:*"], "Resource": resources },
            { "Sid": format!("{mark}Deny"), "Effect": "Deny", "Action": DENIED, "Resource": resources },
            { "Sid": format!("{mark}DenyAdmin"), "Effect": "Deny", "Action": DENIED_ADMIN },
        ],
    })
}

/// The mark as a statement id, which is alphanumeric.
fn mark(owner: &Owner) -> String {
    let installation = sha256_hex(&owner.installation);
    format!("Plexica{}{}", owner.tenant_id.simple(), &installation[..8])
}

/// Whether a policy bears this mark.
pub(super) fn bears(policy: &Value, owner: &Owner) -> bool {
    let mark = mark(owner);
    let mut statements = policy["Statement"].as_array().into_iter().flatten();
    statements.any(|statement| statement["Sid"].as_str() == Some(&mark))
}

/// Whether two documents say the same, in whatever order.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    normal(a) == normal(b)
}

/// A statement whose lists are sets.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Statement {
    id: String,
    effect: String,
    actions: BTreeSet<String>,
    resources: BTreeSet<String>,
    /// Whatever else it says.
    rest: String,
}

fn normal(policy: &Value) -> BTreeSet<Statement> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let set = |value: &Value| match value {
        Value::String(one) => BTreeSet::from([one.clone()]),
        other => other.as_array().into_iter().flatten().map(text).collect(),
    };
    let statements = policy["Statement"].as_array().into_iter().flatten();
    statements
        .map(|statement| {
            let rest = json!([statement["NotAction"], statement["NotResource"], statement["Condition"]]).to_string();
            Statement {
                id: text(&statement["Sid"]),
                effect: text(&statement["Effect"]),
                actions: set(&statement["Action"]),
                resources: set(&statement["Resource"]),
                rest,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn owner(id: u128, installation: &str) -> Owner {
        Owner {
            tenant_id: Uuid::from_u128(id),
            installation: installation.into(),
        }
    }

    #[test]
    fn a_policy_bears_the_mark_of_its_tenant_and_installation_alone() {
        let bucket = TenantSlug::parse("acme").unwrap().bucket();
        let document = document(&owner(7, "prod-eu"), &bucket);
        assert!(bears(&document, &owner(7, "prod-eu")));
        assert!(!bears(&document, &owner(8, "prod-eu")));
        assert!(!bears(&document, &owner(7, "prod-us")));
        assert!(!bears(&json!({ "Statement": [{ "Sid": "" }] }), &owner(7, "prod-eu")));
        assert!(!bears(&Value::Null, &owner(7, "prod-eu")));
    }

    #[test]
    fn order_is_no_difference_and_a_further_action_is_one() {
        let bucket = TenantSlug::parse("acme").unwrap().bucket();
        let wanted = document(&owner(7, "prod-eu"), &bucket);
        let mut found = wanted.clone();
        found["Statement"].as_array_mut().unwrap().reverse();
        found["Statement"][0]["Action"].as_array_mut().unwrap().reverse();
        assert!(same(&found, &wanted));
        found["Statement"][1]["Action"].as_array_mut().unwrap().pop();
        assert!(!same(&found, &wanted));
        let mut conditional = wanted.clone();
        conditional["Statement"][0]["Condition"] = json!({ "Bool": { "aws:SecureTransport": "true" } });
        assert!(!same(&conditional, &wanted));
    }

    #[test]
    fn every_resource_is_the_tenants_bucket() {
        let bucket = TenantSlug::parse("acme").unwrap().bucket();
        let document = document(&owner(7, "prod-eu"), &bucket);
        for statement in document["Statement"].as_array().unwrap() {
            for resource in statement["Resource"].as_array().into_iter().flatten() {
                assert!(
                    ["arn:aws:s3:::tenant-acme", "arn:aws:s3:::tenant-acme/*"].contains(&resource.as_str().unwrap())
                );
            }
        }
    }
}
