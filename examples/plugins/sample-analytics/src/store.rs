//! The plugin's table. Bare names are enough: the role's `search_path` is the plugin's schema first.

use std::collections::BTreeMap;

use plexica_plugin_kit::Problem;
use serde::Serialize;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{FromRow, Row};

/// How often an event happened.
#[derive(Debug, Serialize)]
pub struct Total {
    /// Name of the event.
    pub name: String,
    /// How often.
    pub count: i64,
    /// The last time, as RFC 3339 writes it.
    pub last: String,
}

impl FromRow<'_, PgRow> for Total {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get("name")?,
            count: row.try_get("count")?,
            last: row.try_get("last")?,
        })
    }
}

/// Adds to today's counts. Names come in order, so that two requests do not wait for each other in a circle.
pub async fn add(database: &PgPool, counts: &BTreeMap<String, i64>) -> Result<(), Problem> {
    let (names, counts): (Vec<&str>, Vec<i64>) = counts.iter().map(|(name, count)| (name.as_str(), *count)).unzip();
    sqlx::query(
        "INSERT INTO counts AS c (name, count) SELECT * FROM unnest($1::text[], $2::bigint[]) \
         ON CONFLICT (name, day) DO UPDATE SET count = c.count + excluded.count, last_at = excluded.last_at",
    )
    .bind(&names)
    .bind(&counts)
    .execute(database)
    .await?;
    Ok(())
}

/// Counts of the last days, today included, the most frequent first.
pub async fn of_days(database: &PgPool, days: i32) -> Result<Vec<Total>, Problem> {
    let counts = sqlx::query_as(
        "SELECT name, sum(count)::bigint AS count, to_json(max(last_at)) #>> '{}' AS last FROM counts \
         WHERE day > (now() AT TIME ZONE 'UTC')::date - $1 GROUP BY name ORDER BY 2 DESC, name LIMIT 1000",
    )
    .bind(days)
    .fetch_all(database)
    .await?;
    Ok(counts)
}
