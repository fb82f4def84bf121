//! What a contact is, and which are let in.

use plexica_plugin_kit::Problem;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

/// Longest text that a field holds; the table checks the same.
const TEXT_MAX: usize = 200;

/// The plugin's configuration: `configuration.schema` of plugin.yaml says the same to the platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// How many contacts a page of the list holds.
    pub page_size: u16,
    /// Whether a contact must have an e-mail address.
    pub require_email: bool,
}

/// A contact as it is sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContact {
    /// Name of the person.
    pub name: String,
    /// E-mail address; no two contacts have the same.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
}

/// A contact as it is stored and shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Id.
    pub id: Uuid,
    /// Name of the person.
    pub name: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// E-mail address of the user of the tenant who made it, if the tenant's schema knows that user.
    pub created_by: Option<String>,
    /// When, as RFC 3339 writes it.
    pub created_at: String,
}

impl NewContact {
    /// The contact with spaces cut off, if it is one that this tenant wants.
    ///
    /// # Errors
    /// 422, naming the field.
    pub fn checked(self, configuration: &Configuration) -> Result<Self, Problem> {
        let name = text("name", Some(self.name))?.ok_or_else(|| Problem::invalid("name is empty"))?;
        let email = text("email", self.email)?;
        let phone = text("phone", self.phone)?;
        match &email {
            None if configuration.require_email => {
                return Err(Problem::invalid(
                    "email is missing, and this tenant wants one of every contact",
                ));
            }
            Some(email) if !is_address(email) => return Err(Problem::invalid("email is no address")),
            _ => {}
        }
        Ok(Self { name, email, phone })
    }
}

/// A text without spaces around it, `None` when nothing is left.
fn text(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match &text {
        Some(long) if long.chars().count() > TEXT_MAX => {
            Err(Problem::invalid(format!("{field} has more than {TEXT_MAX} characters")))
        }
        Some(odd) if odd.contains(char::is_control) => {
            Err(Problem::invalid(format!("{field} holds control characters")))
        }
        _ => Ok(text),
    }
}

/// Something before one `@` and a host after it. Only a message that arrives proves more.
fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace)
    })
}

impl FromRow<'_, PgRow> for Contact {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            phone: row.try_get("phone")?,
            created_by: row.try_get("created_by")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, email: Option<&str>, require_email: bool) -> Result<NewContact, Problem> {
        let contact = NewContact {
            name: name.into(),
            email: email.map(Into::into),
            phone: Some("  ".into()),
        };
        contact.checked(&Configuration {
            page_size: 50,
            require_email,
        })
    }

    #[test]
    fn spaces_are_cut_off_and_empty_fields_are_none() {
        let contact = checked(" Grace Hopper ", Some(" grace@example.com "), true).unwrap();
        assert_eq!((contact.name.as_str(), contact.phone), ("Grace Hopper", None));
        assert_eq!(contact.email.as_deref(), Some("grace@example.com"));
    }

    #[test]
    fn the_tenant_says_whether_an_address_is_wanted() {
        assert!(checked("Grace", None, false).is_ok());
        assert_eq!(checked("Grace", None, true).unwrap_err().status(), 422);
    }

    #[test]
    fn what_is_no_name_or_address_is_refused() {
        assert!(checked("  ", None, false).is_err());
        assert!(checked(&"x".repeat(TEXT_MAX + 1), None, false).is_err());
        assert!(checked("Grace\n", None, false).is_ok());
        assert!(checked("Gr\nace", None, false).is_err());
        for address in ["grace", "@example.com", "grace@", "a@b@c", "grace hopper@example.com"] {
            assert!(checked("Grace", Some(address), false).is_err(), "{address}");
        }
    }
}
