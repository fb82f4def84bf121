//! What a caller may do: the permissions that the platform seeded into the tenant's schema for this plugin, as the
//! tenant's administrators have changed them since.

use sqlx::PgPool;

use super::Caller;
use crate::problem::Problem;

/// Role of the realm that is role `admin` of the tenant's schema; all others have the same name in both
/// (data-model.md).
const REALM_ADMIN: (&str, &str) = ("tenant_admin", "admin");

const GRANTED: &str = "SELECT EXISTS (SELECT FROM role_permissions JOIN roles ON roles.id = role_id \
     JOIN permissions ON permissions.id = permission_id WHERE roles.name = ANY($1) AND permissions.key = ANY($2))";

/// A permission of a plugin: `contacts:contacts:read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission(&'static str);

impl Permission {
    /// The permission of that key, which the plugin's manifest declares.
    pub const fn new(key: &'static str) -> Self {
        Self(key)
    }

    /// Its key.
    pub const fn key(self) -> &'static str {
        self.0
    }

    /// The keys that grant it: itself, and everything of its plugin (`contacts:*`).
    fn granted_by(self) -> [String; 2] {
        let plugin = self.0.split(':').next().unwrap_or_default();
        [self.0.to_owned(), format!("{plugin}:*")]
    }

    /// Lets a caller pass who has it. The tables are the tenant's, which come after the plugin's own in the role's
    /// `search_path`; the plugin's manifest must ask for Select on them (`database.tenantTables`).
    ///
    /// # Errors
    /// 403 for who has it not, 503 while the database does not answer.
    pub async fn require(self, caller: &Caller, database: &PgPool) -> Result<(), Problem> {
        let found: bool = sqlx::query_scalar(GRANTED)
            .bind(roles(caller))
            .bind(self.granted_by().as_slice())
            .fetch_one(database)
            .await?;
        if found {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this needs permission {}; an administrator of the tenant grants it to a role",
            self.0
        )))
    }
}

/// The caller's roles by their names in the tenant's schema.
fn roles(caller: &Caller) -> Vec<&str> {
    let (realm, schema) = REALM_ADMIN;
    let roles = caller.roles.iter().map(String::as_str);
    roles.map(|role| if role == realm { schema } else { role }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_granted_by_itself_and_by_all_of_its_plugin() {
        assert_eq!(
            Permission::new("crm:deals:read").granted_by(),
            ["crm:deals:read".to_owned(), "crm:*".to_owned()]
        );
    }

    #[test]
    fn the_realms_administrator_is_the_schemas() {
        let caller = Caller {
            subject: "ada".into(),
            roles: vec!["tenant_admin".into(), "user".into()],
            token: "t".into(),
        };
        assert_eq!(roles(&caller), ["admin", "user"]);
    }
}
