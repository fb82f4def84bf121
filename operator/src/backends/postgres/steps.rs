//! Things to set right, and those of them that are the same for the roles of tenants and of plugins.

use plexica_crds::names::RoleName;

use super::{
    catalog::{Grant, Role},
    holding::Holding,
    sql::{Script, identifier, literal},
};

/// A session that holds a transaction open and does nothing is ended after this time.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "60s";
/// A session waits for a lock no longer than this.
const LOCK_TIMEOUT: &str = "10s";
/// What services may do with tables and sequences; nothing of the kind of TRUNCATE, ALTER or DROP.
pub(super) const TABLE_PRIVILEGES: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
/// See [`TABLE_PRIVILEGES`].
pub(super) const SEQUENCE_PRIVILEGES: [&str; 2] = ["USAGE", "SELECT"];

/// One thing to set right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// What differs, for people.
    pub(super) difference: String,
    /// What heals it.
    pub(super) script: Script,
}

/// A new password for the active login role.
#[derive(Debug, Clone)]
pub(super) struct NewCredential {
    /// Id of the credential.
    pub(super) id: String,
    /// SCRAM verifier: what the server stores, so that the password never travels in SQL.
    pub(super) verifier: String,
}

/// A list of steps.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

/// What a login role shall be.
pub(super) struct LoginRole<'a> {
    pub(super) holding: &'a Holding,
    pub(super) name: &'a RoleName,
    pub(super) connection_limit: i32,
    pub(super) statement_timeout: std::time::Duration,
    /// Schemas in which a bare name is looked for.
    pub(super) search_path: &'a [&'a str],
    pub(super) connect_group: &'a str,
}

impl Steps {
    /// Adds a step.
    pub(super) fn push(&mut self, difference: impl Into<String>, statements: &[String]) {
        self.0.push(Step {
            difference: difference.into(),
            script: statements.iter().collect(),
        });
    }

    pub(super) fn into_vec(self) -> Vec<Step> {
        self.0
    }

    /// One of the two that take turns.
    pub(super) fn login_role(
        &mut self,
        wanted: &LoginRole<'_>,
        found: Option<&Role>,
        credential: Option<&NewCredential>,
    ) {
        let LoginRole { holding, name, .. } = wanted;
        let quoted = identifier(name.as_str());
        let active = *name == holding.active_role();
        let login = if active { "LOGIN" } else { "NOLOGIN" };
        let limit = wanted.connection_limit;
        if found.is_none() {
            let mark = literal(&holding.comment());
            self.push(
                format!("role {name} is missing"),
                &[
                    format!("CREATE ROLE {quoted} {login} CONNECTION LIMIT {limit}"),
                    format!("COMMENT ON ROLE {quoted} IS {mark}"),
                ],
            );
        }
        let fresh = Role {
            login: active,
            limit,
            ..Role::default()
        };
        let role = found.unwrap_or(&fresh);
        if role.login != active {
            let says = if active {
                "may not log in"
            } else {
                "may log in, and has no turn"
            };
            self.push(format!("role {name} {says}"), &[format!("ALTER ROLE {quoted} {login}")]);
        }
        if role.limit != limit {
            self.push(
                format!("role {name} has connection limit {}, not {limit}", role.limit),
                &[format!("ALTER ROLE {quoted} CONNECTION LIMIT {limit}")],
            );
        }
        self.settings(wanted, role);
        self.powers(name, role);
        self.connects(name, role, wanted.connect_group);
        if let Some(credential) = credential.filter(|_| active) {
            self.credential(holding, name, credential);
        }
    }

    /// A password, and the mark by which it is known.
    pub(super) fn credential(&mut self, holding: &Holding, name: &RoleName, credential: &NewCredential) {
        let NewCredential { id, verifier } = credential;
        let quoted = identifier(name.as_str());
        let comment = literal(&holding.comment_with_credential(id));
        self.push(
            format!("role {name} gets credential {id}"),
            &[
                format!("ALTER ROLE {quoted} PASSWORD {}", literal(verifier)),
                format!("COMMENT ON ROLE {quoted} IS {comment}"),
            ],
        );
    }

    fn settings(&mut self, wanted: &LoginRole<'_>, role: &Role) {
        let LoginRole { name, search_path, .. } = wanted;
        let schemas = search_path.iter().map(|schema| literal(schema)).collect::<Vec<_>>();
        let timeout = format!("{}ms", wanted.statement_timeout.as_millis());
        let one = |key, value: &str| (key, value.to_owned(), literal(value));
        let settings = [
            ("search_path", search_path.join(", "), schemas.join(", ")),
            one("statement_timeout", &timeout),
            one("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            one("lock_timeout", LOCK_TIMEOUT),
        ];
        let missing: Vec<_> = settings
            .iter()
            .filter(|(key, stored, _)| !role.settings.contains(&format!("{key}={stored}")))
            .collect();
        if missing.is_empty() {
            return;
        }
        let names = missing.iter().map(|(key, ..)| *key).collect::<Vec<_>>().join(", ");
        let quoted = identifier(name.as_str());
        let statements: Vec<_> = missing
            .iter()
            .map(|(key, _, value)| format!("ALTER ROLE {quoted} SET {key} = {value}"))
            .collect();
        self.push(format!("role {name} lacks its settings: {names}"), &statements);
    }

    /// Attributes that no role of a tenant has.
    pub(super) fn powers(&mut self, name: &RoleName, role: &Role) {
        if role.powers.is_empty() {
            return;
        }
        let without = role
            .powers
            .iter()
            .map(|power| format!("NO{power}"))
            .collect::<Vec<_>>()
            .join(" ");
        self.push(
            format!("role {name} has {}", role.powers.join(", ")),
            &[format!("ALTER ROLE {} {without}", identifier(name.as_str()))],
        );
    }

    /// Membership in the group of those that may connect to the database.
    pub(super) fn connects(&mut self, name: &RoleName, role: &Role, connect_group: &str) {
        if role.member_of.iter().any(|group| group == connect_group) {
            return;
        }
        let (group, quoted) = (identifier(connect_group), identifier(name.as_str()));
        self.push(
            format!("role {name} may not connect"),
            &[format!("GRANT {group} TO {quoted} WITH INHERIT TRUE, SET FALSE")],
        );
    }
}

/// Whether a role has a privilege among these.
pub(super) fn has(grants: &[Grant], kind: &str, role: &RoleName, privilege: &str) -> bool {
    grants
        .iter()
        .any(|grant| grant.kind == kind && grant.grantee == role.as_str() && grant.privilege == privilege)
}

/// Names as a list of identifiers.
pub(super) fn identifiers<'a>(roles: impl IntoIterator<Item = &'a RoleName>) -> String {
    let quoted: Vec<_> = roles.into_iter().map(|role| identifier(role.as_str())).collect();
    quoted.join(", ")
}
