//! The HTTP API.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use plexica_plugin_kit::auth::{Caller, permission::Permission};
use plexica_plugin_kit::extract::Json;
use plexica_plugin_kit::provider::Provider;
use plexica_plugin_kit::serve::Routes;
use plexica_plugin_kit::{Incomplete, Plugin, Problem};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::event::{Batch, Configuration};
use crate::{echo, store};

/// The plugin's permissions, as its manifest declares them.
const READ: Permission = Permission::new("sample-analytics:events:read");
const WRITE: Permission = Permission::new("sample-analytics:events:write");

/// Header by which a collector shows the key of the configuration.
const INGEST_KEY: &str = "x-ingest-key";

/// What handlers need.
#[derive(Clone)]
struct Analytics {
    database: PgPool,
    configuration: Arc<Configuration>,
    /// Plugin `crm`, where it is installed.
    crm: Option<Provider>,
}

/// All routes of the plugin.
pub fn routes(plugin: &Plugin) -> Result<Routes, Incomplete> {
    let state = Analytics {
        database: plugin.database.clone(),
        configuration: Arc::new(plugin.environment.configuration()?),
        crm: Provider::find(plugin, "crm"),
    };
    Ok(Routes {
        gated: Router::new()
            .route("/events", post(count))
            .route("/counts", get(counts))
            .route("/summary", get(summary))
            .with_state(state.clone()),
        open: Router::new()
            .route("/ingest", post(ingest))
            .with_state(state)
            .merge(echo::router(plugin)),
        ready: "SELECT FROM counts LIMIT 1",
    })
}

/// Events of a user.
async fn count(
    State(state): State<Analytics>,
    caller: Caller,
    Json(batch): Json<Batch>,
) -> Result<StatusCode, Problem> {
    WRITE.require(&caller, &state.database).await?;
    state.add(batch).await
}

/// Events of a collector that shows the key.
async fn ingest(
    State(state): State<Analytics>,
    headers: HeaderMap,
    Json(batch): Json<Batch>,
) -> Result<StatusCode, Problem> {
    let shown = headers.get(INGEST_KEY).and_then(|key| key.to_str().ok());
    if !shown.is_some_and(|key| state.configuration.ingest.admits(key)) {
        return Err(Problem::forbidden(format!(
            "header {INGEST_KEY} is not this tenant's key"
        )));
    }
    state.add(batch).await
}

impl Analytics {
    async fn add(&self, batch: Batch) -> Result<StatusCode, Problem> {
        let counts = batch.counted(&self.configuration.ingest)?;
        store::add(&self.database, &counts).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}

async fn counts(State(state): State<Analytics>, caller: Caller) -> Result<Body<Value>, Problem> {
    READ.require(&caller, &state.database).await?;
    let days = state.configuration.days;
    let counts = store::of_days(&state.database, days).await?;
    Ok(Body(json!({ "days": days, "counts": counts })))
}

/// Events and, where plugin `crm` is installed, deals: null says that it is not.
async fn summary(State(state): State<Analytics>, caller: Caller) -> Result<Body<Value>, Problem> {
    READ.require(&caller, &state.database).await?;
    let counts = store::of_days(&state.database, state.configuration.days).await?;
    let deals: Option<Value> = match &state.crm {
        None => None,
        Some(crm) => crm.get(&caller, &["summary"]).await?,
    };
    let events: i64 = counts.iter().map(|count| count.count).sum();
    Ok(Body(
        json!({ "events": events, "deals": deals.map(|deals| deals["stages"].clone()) }),
    ))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn the_manifest_declares_what_the_code_uses() {
        let manifest: Value = serde_saphyr::from_str(include_str!("../plugin.yaml")).unwrap();
        let declared: Vec<_> = manifest["spec"]["permissions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["key"])
            .collect();
        assert_eq!(declared, [READ, WRITE].map(Permission::key));
        let defaults = &manifest["spec"]["configuration"]["defaults"];
        Configuration::deserialize(defaults).unwrap();
    }
}
