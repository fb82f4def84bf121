//! A plugin's id and what is named after it.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use strum::{AsRefStr, EnumIter};

use super::{DNS_LABEL_MAX, ObjectName, POSTGRES_IDENTIFIER_MAX, RoleName, SchemaName, TenantSlug, slug};

/// Longest id of a plugin. `tenant_<24-byte slug>_plugin_<id>_a` must fit PostgreSQL's 63 bytes.
pub const PLUGIN_ID_MAX: usize = 22;
/// Shortest id of a plugin.
pub const PLUGIN_ID_MIN: usize = 2;

const SEPARATOR: &str = "_plugin_";
const ROLE_SUFFIX_LEN: usize = 2;
const DATABASE_SUFFIX: &str = "-database";

const _: () =
    assert!(slug::TENANT_SCHEMA_MAX + SEPARATOR.len() + PLUGIN_ID_MAX + ROLE_SUFFIX_LEN <= POSTGRES_IDENTIFIER_MAX);
const _: () = assert!(PLUGIN_ID_MAX + DATABASE_SUFFIX.len() <= DNS_LABEL_MAX);

/// Ids no plugin may have: Secret `plexica-database` is the tenant's own, and `core` is the source of what
/// belongs to no plugin (data-model.md).
pub const PLUGIN_ID_RESERVED: [&str; 2] = ["core", "plexica"];

/// One rule of a plugin's id: how the API server checks it, how the operator checks it, and what the user
/// reads. One table, so that the two checks cannot drift apart unseen.
pub struct PluginIdRule {
    /// Expression of CEL in which `ID` stands for the id.
    cel: &'static str,
    /// The sentence that names the rule.
    pub message: &'static str,
    /// The same rule on the id itself.
    pub holds: fn(&str) -> bool,
}

impl PluginIdRule {
    /// The expression for the id that stands at this path, for example `self.metadata.name`.
    pub fn cel(&self, path: &str) -> String {
        self.cel.replace("ID", path)
    }
}

/// All rules of a plugin's id, in the order in which they are reported.
pub const PLUGIN_ID_RULES: [PluginIdRule; 7] = [
    PluginIdRule {
        cel: "size(ID) >= 2 && size(ID) <= 22",
        message: "a plugin's id has 2 to 22 characters",
        holds: |id| (PLUGIN_ID_MIN..=PLUGIN_ID_MAX).contains(&id.len()),
    },
    PluginIdRule {
        cel: "ID.matches('^[a-z]')",
        message: "a plugin's id begins with a lower-case letter, not with a digit",
        holds: |id| id.starts_with(|c: char| c.is_ascii_lowercase()),
    },
    // Kubernetes admits dots in object names; schemas, hosts and labels do not.
    PluginIdRule {
        cel: "ID.matches('^[a-z0-9-]*$')",
        message: "a plugin's id holds only lower-case letters, digits and hyphens, no dot",
        holds: |id| {
            id.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        },
    },
    PluginIdRule {
        cel: "!ID.contains('--') && !ID.endsWith('-')",
        message: "a plugin's id has single hyphens between its segments: no double hyphen, none at the end",
        holds: |id| !id.contains("--") && !id.ends_with('-'),
    },
    PluginIdRule {
        cel: "!ID.matches('(^|-)plugin(-|$)')",
        message: "a plugin's id has no segment `plugin`: it separates tenant and plugin in schema names",
        holds: |id| id.split('-').all(|segment| segment != "plugin"),
    },
    PluginIdRule {
        cel: "!ID.matches('-(yellow|red|slot-a|slot-b)$')",
        message: "a plugin's id does not end with -yellow, -red, -slot-a or -slot-b: so are the Services named that reach a plugin's candidate, its development slot and its two slots",
        holds: |id| {
            ["-yellow", "-red", "-slot-a", "-slot-b"]
                .iter()
                .all(|end| !id.ends_with(end))
        },
    },
    PluginIdRule {
        cel: "!(ID in ['core', 'plexica'])",
        message: "a plugin's id is not one the platform keeps for itself (core, plexica)",
        holds: |id| !PLUGIN_ID_RESERVED.contains(&id),
    },
];

/// The id of a plugin: the same for all its versions, and the name of its installations.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PluginId(String);

impl PluginId {
    /// Parses an id; the error is the sentence of the first broken rule.
    ///
    /// ```
    /// use plexica_crds::names::PluginId;
    /// assert!(PluginId::parse("sample-analytics").is_ok());
    /// assert!(PluginId::parse("crm.eu").unwrap_err().to_string().contains("no dot"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidPluginId> {
        match PLUGIN_ID_RULES.iter().find(|rule| !(rule.holds)(text)) {
            None => Ok(Self(text.to_owned())),
            Some(rule) => Err(InvalidPluginId(rule.message)),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Secret in the tenant's namespace with the plugin's access to its schema.
    pub fn database_secret(&self) -> ObjectName {
        ObjectName(format!("{}{DATABASE_SUFFIX}", self.0))
    }

    /// Deployment of a slot.
    pub fn deployment(&self, slot: Slot) -> ObjectName {
        ObjectName(format!("{}-{}", self.0, slot.as_ref()))
    }

    /// Deployment of RED, the development slot, which is never live.
    pub fn red_deployment(&self) -> ObjectName {
        ObjectName(format!("{}-red", self.0))
    }

    /// Service that reaches GREEN, the live version.
    pub fn service(&self) -> ObjectName {
        ObjectName(self.0.clone())
    }

    /// Service that reaches a slot, whichever light shines on it: for routes that lead to slots.
    pub fn slot_service(&self, slot: Slot) -> ObjectName {
        ObjectName(format!("{}-slot-{}", self.0, slot.as_ref()))
    }

    /// Service that reaches YELLOW, the candidate or standby.
    pub fn yellow_service(&self) -> ObjectName {
        ObjectName(format!("{}-yellow", self.0))
    }

    /// Service that reaches RED, the development slot.
    pub fn red_service(&self) -> ObjectName {
        ObjectName(format!("{}-red", self.0))
    }
}

/// One of the two places of an installation that take turns at being live. Which light shines on a slot changes
/// with every promotion; its name never does.
#[derive(JsonSchema, AsRefStr, EnumIter, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl TenantSlug {
    /// Schema of a plugin of this tenant. Injective, since neither slug nor id holds an underscore or the
    /// segment `plugin`.
    pub fn plugin_schema(&self, id: &PluginId) -> SchemaName {
        SchemaName(format!("{}{SEPARATOR}{}", self.schema().0, id.0.replace('-', "_")))
    }

    /// Role that owns the plugin's schema and can never log in. It has a suffix like the login roles: the
    /// bare name for plugin `x-a` would be the login role of plugin `x`.
    pub fn plugin_owner_role(&self, id: &PluginId) -> RoleName {
        RoleName(format!("{}_o", self.plugin_schema(id).0))
    }

    /// The plugin's two login roles that take turns at rotation.
    pub fn plugin_login_roles(&self, id: &PluginId) -> [RoleName; 2] {
        let schema = self.plugin_schema(id).0;
        [RoleName(format!("{schema}_a")), RoleName(format!("{schema}_b"))]
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginId({})", self.0)
    }
}

impl<'de> Deserialize<'de> for PluginId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<'de, str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PluginId {
    fn schema_name() -> Cow<'static, str> {
        "PluginId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// Each rule has its own sentence, which a pattern could not have. The length is a bound for the cost of
    /// the rules, and wide enough that the rule of the length speaks.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let rules: Vec<_> = PLUGIN_ID_RULES
            .iter()
            .map(|rule| serde_json::json!({ "rule": rule.cel("self"), "message": rule.message }))
            .collect();
        json_schema!({ "type": "string", "maxLength": DNS_LABEL_MAX, "x-kubernetes-validations": rules })
    }
}

/// A text that is no plugin id; displays the rule it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPluginId(&'static str);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use strum::IntoEnumIterator;

    use super::*;

    const IDS: &str = "[a-z][a-z0-9]{0,4}(-[ab]|-o|-slot|-[a-z0-9]{1,4}){0,2}";
    const SLUGS: &str = "[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,6}){0,2}";

    fn id(text: &str) -> PluginId {
        PluginId::parse(text).unwrap()
    }

    #[test]
    fn each_broken_rule_is_named() {
        for (text, part) in [
            ("a", "2 to 22"),
            ("abcdefghijklmnopqrstuvw", "2 to 22"),
            ("9lives", "begins with a lower-case letter"),
            ("a.b", "no dot"),
            ("a_b", "no dot"),
            ("a--b", "double hyphen"),
            ("a-", "none at the end"),
            ("my-plugin", "segment `plugin`"),
            ("crm-yellow", "-yellow, -red"),
            ("crm-red", "-yellow, -red"),
            ("crm-slot-a", "-slot-a or -slot-b"),
            ("crm-slot-b", "-slot-a or -slot-b"),
            ("plexica", "keeps for itself"),
        ] {
            let message = PluginId::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(PluginId::parse("abcdefghijklmnopqrstuv").is_ok());
    }

    #[test]
    fn the_cel_list_of_reserved_ids_is_the_list() {
        let rule = PLUGIN_ID_RULES.last().unwrap().cel("self");
        assert!(
            PLUGIN_ID_RESERVED
                .iter()
                .all(|word| rule.contains(&format!("'{word}'")))
        );
        assert_eq!(rule.matches('\'').count(), PLUGIN_ID_RESERVED.len() * 2);
    }

    #[test]
    fn an_id_is_read_only_when_it_is_valid() {
        assert_eq!(serde_json::from_str::<PluginId>("\"crm\"").unwrap(), id("crm"));
        let error = serde_json::from_str::<PluginId>("\"9lives\"").unwrap_err();
        assert!(error.to_string().contains("begins with a lower-case letter"), "{error}");
    }

    #[test]
    fn the_longest_names_of_a_plugin_fit_postgresql() {
        let tenant = TenantSlug::parse(&"t".repeat(slug::SLUG_MAX)).unwrap();
        let plugin = id(&"p".repeat(PLUGIN_ID_MAX));
        assert_eq!(tenant.plugin_login_roles(&plugin)[0].as_str().len(), 63);
        assert_eq!(tenant.plugin_owner_role(&plugin).as_str().len(), 63);
    }

    #[test]
    fn names_are_those_that_other_services_expect() {
        let (tenant, plugin) = (TenantSlug::parse("acme-corp").unwrap(), id("sample-analytics"));
        let schema = tenant.plugin_schema(&plugin);
        assert_eq!(schema.as_str(), "tenant_acme_corp_plugin_sample_analytics");
        assert_eq!(plugin.database_secret().as_str(), "sample-analytics-database");
        let deployments: Vec<_> = Slot::iter().map(|slot| plugin.deployment(slot).0).collect();
        assert_eq!(deployments, ["sample-analytics-a", "sample-analytics-b"]);
        assert_eq!(plugin.red_deployment().as_str(), "sample-analytics-red");
    }

    /// Everything that a plugin calls its own in one tenant, by the kind that has to tell it apart.
    fn own(tenant: &TenantSlug, id: &PluginId) -> Vec<String> {
        let [a, b] = tenant.plugin_login_roles(id);
        [tenant.plugin_owner_role(id), a, b]
            .map(|role| format!("role {role}"))
            .into_iter()
            .chain([format!("schema {}", tenant.plugin_schema(id))])
            .chain([id.service(), id.yellow_service(), id.red_service()].map(|name| format!("service {tenant} {name}")))
            .chain(Slot::iter().map(|slot| format!("service {tenant} {}", id.slot_service(slot))))
            .chain(Slot::iter().map(|slot| format!("deployment {tenant} {}", id.deployment(slot))))
            .chain([format!("deployment {tenant} {}", id.red_deployment())])
            .chain([format!("secret {tenant} {}", id.database_secret())])
            .collect()
    }

    proptest! {
        #[test]
        fn nothing_is_named_after_two_plugins(a in IDS, b in IDS, s in SLUGS, t in SLUGS) {
            let (Ok(a), Ok(b)) = (PluginId::parse(&a), PluginId::parse(&b)) else { return Ok(()) };
            let (Ok(s), Ok(t)) = (TenantSlug::parse(&s), TenantSlug::parse(&t)) else { return Ok(()) };
            for (s, a, t, b) in [(&s, &a, &t, &b), (&s, &a, &s, &b), (&s, &a, &t, &a)] {
                let (one, other) = (own(s, a), own(t, b));
                let shared = one.iter().collect::<HashSet<_>>().intersection(&other.iter().collect()).count();
                prop_assert_eq!(shared, if (s, a) == (t, b) { one.len() } else { 0 });
            }
        }

        #[test]
        fn no_role_of_a_plugin_is_one_of_a_tenant(s in SLUGS, t in SLUGS, a in IDS) {
            let (Ok(s), Ok(t), Ok(a)) = (TenantSlug::parse(&s), TenantSlug::parse(&t), PluginId::parse(&a)) else { return Ok(()) };
            let tenants = [vec![t.owner_role()], t.login_roles().to_vec()].concat();
            let plugins = [vec![s.plugin_owner_role(&a)], s.plugin_login_roles(&a).to_vec()].concat();
            prop_assert!(plugins.iter().all(|role| !tenants.contains(role)));
        }
    }
}
