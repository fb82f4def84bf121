//! Another plugin of the same tenant, asked as the user who asked us: it checks the token and the permissions itself.

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::auth::{Caller, TENANT_SLUG};
use crate::plugin::Plugin;
use crate::problem::{NO_TENANT, Problem};

/// What is read of a problem.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
}

/// A plugin that this one depends on.
#[derive(Clone, Debug)]
pub struct Provider {
    plugin: &'static str,
    /// Slug of the tenant, for a plugin whose process is for many.
    tenant: String,
    url: Url,
    client: Client,
}

impl Provider {
    /// The plugin of that id, if it is installed for the tenant.
    pub fn find(plugin: &Plugin, provider: &'static str) -> Option<Self> {
        Some(Self {
            plugin: provider,
            tenant: plugin.environment.tenant.clone(),
            url: plugin.environment.provider(provider)?.clone(),
            client: plugin.http.clone(),
        })
    }

    /// What is at a path, given as its segments; `None` when there is nothing.
    ///
    /// # Errors
    /// 403 when the caller may not see it there, 503 when the plugin does not answer as it should.
    pub async fn get<T: DeserializeOwned>(&self, caller: &Caller, path: &[&str]) -> Result<Option<T>, Problem> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let unavailable =
            |error: reqwest::Error| Problem::unavailable(&format!("plugin {}", self.plugin), &error.without_url());
        let answer = self
            .client
            .get(url)
            .bearer_auth(caller.token())
            .header(TENANT_SLUG, &self.tenant)
            .send()
            .await
            .map_err(unavailable)?;
        match answer.status() {
            StatusCode::NOT_FOUND => match answer.json().await {
                Ok(Told { kind }) if kind == NO_TENANT => Err(Problem::not_ready(format!(
                    "plugin {} does not serve this tenant yet; try again in a moment",
                    self.plugin
                ))),
                _ => Ok(None),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Problem::forbidden(format!(
                "plugin {} does not let you see this",
                self.plugin
            ))),
            _ => {
                let found = answer.error_for_status().map_err(unavailable)?.json().await;
                found.map(Some).map_err(unavailable)
            }
        }
    }
}
