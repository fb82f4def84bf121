//! A table whose column is renamed between two releases: 1.x knows `name`, 2.x knows `full_name`. The migrations that make
//! it are the test's (`e2e/src/suite/promotions/renamed_column.rs`); a release without them answers with an error.
//!
//! `POST /names` stores the body, `GET /names` lists all, in the order in which they came.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use plexica_plugin_kit::{Plugin, Problem};
use sqlx::PgPool;

/// What this release says to the database.
#[derive(Clone)]
struct Names {
    database: PgPool,
    insert: &'static str,
    select: &'static str,
}

/// The routes, in the words of the release.
pub fn routes(plugin: &Plugin) -> Router {
    let (insert, select) = if plugin.environment.release.version.starts_with("1.") {
        (
            "INSERT INTO names (name) VALUES ($1)",
            "SELECT name FROM names ORDER BY id",
        )
    } else {
        (
            "INSERT INTO names (full_name) VALUES ($1)",
            "SELECT full_name FROM names ORDER BY id",
        )
    };
    Router::new().route("/names", get(list).post(store)).with_state(Names {
        database: plugin.database.clone(),
        insert,
        select,
    })
}

async fn list(State(names): State<Names>) -> Result<Json<Vec<String>>, Problem> {
    Ok(Json(sqlx::query_scalar(names.select).fetch_all(&names.database).await?))
}

async fn store(State(names): State<Names>, name: String) -> Result<StatusCode, Problem> {
    sqlx::query(names.insert).bind(name).execute(&names.database).await?;
    Ok(StatusCode::CREATED)
}
