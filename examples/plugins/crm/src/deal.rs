//! What a deal is, and which are let in.

use plexica_plugin_kit::Problem;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

/// Longest title; the table checks the same.
const TITLE_MAX: usize = 200;

/// The plugin's configuration: `configuration.schema` of plugin.yaml says the same to the platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// Currency of all amounts, as ISO 4217 writes it.
    pub currency: String,
    /// The stages of a deal in order; a new deal is in the first.
    pub stages: Vec<String>,
}

/// A deal as it is sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewDeal {
    /// What it is about.
    pub title: String,
    /// Id of a contact of plugin `contacts`.
    pub contact_id: Uuid,
    /// Amount in the smallest unit of the currency.
    pub amount: i64,
    /// Stage; the first if none is named.
    pub stage: Option<String>,
}

/// Another stage for a deal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The stage.
    pub stage: String,
}

/// A deal as it is stored.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deal {
    /// Id.
    pub id: Uuid,
    /// What it is about.
    pub title: String,
    /// The contact.
    pub contact_id: Uuid,
    /// Amount in the smallest unit of the currency.
    pub amount: i64,
    /// Stage.
    pub stage: String,
    /// Media type of the attachment, if there is one.
    pub attachment: Option<String>,
    /// When it was made, as RFC 3339 writes it.
    pub created_at: String,
}

impl NewDeal {
    /// The deal with its stage, if it is one that this tenant wants.
    ///
    /// # Errors
    /// 422, naming the field.
    pub fn checked(self, configuration: &Configuration) -> Result<(Self, String), Problem> {
        let title = self.title.trim().to_owned();
        if title.is_empty() || title.chars().count() > TITLE_MAX || title.contains(char::is_control) {
            return Err(Problem::invalid(format!(
                "title has 1 to {TITLE_MAX} characters, none of them a control character"
            )));
        }
        if self.amount < 0 {
            return Err(Problem::invalid("amount is negative"));
        }
        let stage = configuration.stage(self.stage.as_deref())?;
        Ok((Self { title, ..self }, stage))
    }
}

impl Configuration {
    /// The stage of that name, or the first.
    ///
    /// # Errors
    /// 422, with the stages there are.
    pub fn stage(&self, name: Option<&str>) -> Result<String, Problem> {
        let stage = match name {
            None => self.stages.first(),
            Some(name) => self.stages.iter().find(|stage| *stage == name),
        };
        stage
            .cloned()
            .ok_or_else(|| Problem::invalid(format!("stage is one of: {}", self.stages.join(", "))))
    }
}

impl FromRow<'_, PgRow> for Deal {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            title: row.try_get("title")?,
            contact_id: row.try_get("contact_id")?,
            amount: row.try_get("amount")?,
            stage: row.try_get("stage")?,
            attachment: row.try_get("attachment")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> Configuration {
        Configuration {
            currency: "EUR".into(),
            stages: vec!["lead".into(), "won".into()],
        }
    }

    fn checked(title: &str, amount: i64, stage: Option<&str>) -> Result<String, Problem> {
        let deal = NewDeal {
            title: title.into(),
            contact_id: Uuid::nil(),
            amount,
            stage: stage.map(Into::into),
        };
        deal.checked(&configuration()).map(|(_, stage)| stage)
    }

    #[test]
    fn a_deal_begins_in_the_first_stage_of_the_tenant() {
        assert_eq!(checked("Engine", 100, None).unwrap(), "lead");
        assert_eq!(checked("Engine", 100, Some("won")).unwrap(), "won");
    }

    #[test]
    fn what_is_no_deal_is_refused() {
        assert!(checked(" ", 100, None).is_err());
        assert!(checked("Engine", -1, None).is_err());
        let problem = format!("{:?}", checked("Engine", 1, Some("lost")).unwrap_err());
        assert!(problem.contains("lead, won"), "{problem}");
    }
}
