//! The plugin's table. Bare names are enough: the role's `search_path` is the plugin's schema first.

use plexica_plugin_kit::Problem;
use sqlx::PgPool;
use uuid::Uuid;

use crate::deal::{Deal, NewDeal};

/// Longest list: the newest deals.
const LIST_MAX: i64 = 200;

/// A statement that selects deals.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, title, contact_id, amount, stage, attachment, to_json(created_at) #>> '{}' AS created_at \
             FROM deals ",
            $rest
        )
    };
}

/// The newest deals, of one stage if it is named.
pub async fn list(database: &PgPool, stage: Option<&str>) -> Result<Vec<Deal>, Problem> {
    let deals = sqlx::query_as(select!(
        "WHERE $1::text IS NULL OR stage = $1 ORDER BY deals.created_at DESC, id LIMIT $2"
    ))
    .bind(stage)
    .bind(LIST_MAX)
    .fetch_all(database)
    .await?;
    Ok(deals)
}

/// How many deals there are in each stage.
pub async fn count(database: &PgPool) -> Result<Vec<(String, i64)>, Problem> {
    let counts = sqlx::query_as("SELECT stage, count(*) FROM deals GROUP BY stage ORDER BY stage")
        .fetch_all(database)
        .await?;
    Ok(counts)
}

/// One deal.
pub async fn find(database: &PgPool, id: Uuid) -> Result<Deal, Problem> {
    let deal = sqlx::query_as(select!("WHERE id = $1"))
        .bind(id)
        .fetch_optional(database)
        .await?;
    deal.ok_or_else(|| none(id))
}

/// Adds a deal; gives its id.
pub async fn add(database: &PgPool, deal: &NewDeal, stage: &str) -> Result<Uuid, Problem> {
    let id =
        sqlx::query_scalar("INSERT INTO deals (title, contact_id, amount, stage) VALUES ($1, $2, $3, $4) RETURNING id")
            .bind(&deal.title)
            .bind(deal.contact_id)
            .bind(deal.amount)
            .bind(stage)
            .fetch_one(database)
            .await?;
    Ok(id)
}

/// Moves a deal to another stage.
pub async fn move_to(database: &PgPool, id: Uuid, stage: &str) -> Result<(), Problem> {
    let moved = sqlx::query("UPDATE deals SET stage = $2 WHERE id = $1")
        .bind(id)
        .bind(stage)
        .execute(database)
        .await?;
    if moved.rows_affected() == 0 {
        Err(none(id))
    } else {
        Ok(())
    }
}

/// Records that a deal has an attachment of that media type.
pub async fn attached(database: &PgPool, id: Uuid, media_type: &str) -> Result<(), Problem> {
    sqlx::query("UPDATE deals SET attachment = $2 WHERE id = $1")
        .bind(id)
        .bind(media_type)
        .execute(database)
        .await?;
    Ok(())
}

/// Removes a deal.
pub async fn remove(database: &PgPool, id: Uuid) -> Result<(), Problem> {
    sqlx::query("DELETE FROM deals WHERE id = $1")
        .bind(id)
        .execute(database)
        .await?;
    Ok(())
}

fn none(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no deal {id}"))
}
