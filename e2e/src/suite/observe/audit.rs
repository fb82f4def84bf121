//! The API server's audit log: <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>.

use std::{fs::File, io::BufRead as _, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The operator's service account, as the API server names it.
pub const OPERATOR: &str = "system:serviceaccount:plexica-system:plexica-operator";

/// Its webhook's.
pub const WEBHOOKS: &str = "system:serviceaccount:plexica-system:plexica-webhooks";

/// A request that the API server answered (or, for a watch, began to answer).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Verb, such as `list`.
    pub verb: String,
    /// Who asked.
    pub user: User,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub uri: String,
    /// What it was about; absent where it was no resource.
    #[serde(default)]
    pub object_ref: Option<Object>,
    /// The answer.
    #[serde(default)]
    pub response_status: Option<Answer>,
    /// When it came in, RFC 3339.
    pub request_received_timestamp: jiff::Timestamp,
}

/// Who asked.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// Name.
    #[serde(default)]
    pub username: String,
}

/// What a request was about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Object {
    /// API group, empty for the core.
    pub api_group: String,
    /// Resource.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
}

/// How it was answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// HTTP status.
    #[serde(default)]
    pub code: u16,
}

impl Request {
    /// One line of the log.
    pub fn parse(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("no audit event: {line}"))
    }

    /// HTTP status of the answer; 0 where it is not known.
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |answer| answer.code)
    }

    /// Whether it may have changed something.
    pub fn is_mutating(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// The requests of lines with a text in them.
pub fn parsed(lines: &[String], text: &str) -> Result<Vec<Request>> {
    let lines = lines.iter().filter(|line| line.contains(text));
    lines.map(|line| Request::parse(line)).collect()
}

/// Whether it is a mutating request of the operator, other than for its lease.
pub fn is_own_write(request: &Request) -> bool {
    let object = request.object_ref.as_ref();
    let is_lease = object.is_some_and(|object| object.resource == "leases");
    request.user.username == OPERATOR && request.is_mutating() && !is_lease
}

/// All requests of one user, in rotated files too.
pub fn of_user(log: &Path, user: &str) -> Result<Vec<Request>> {
    let folder = log.parent().context("the audit log is in no folder")?;
    let mut found = vec![];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // Rotated files are named audit-<time>.log.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !(name.starts_with("audit") && path.extension().is_some_and(|extension| extension == "log")) {
            continue;
        }
        for line in std::io::BufReader::new(File::open(&path)?).lines() {
            let line = line?;
            // Most lines are others': looked for before they are parsed. The last may be half written.
            if line.contains(user)
                && line.ends_with('}')
                && let Ok(request) = Request::parse(&line)
                && request.user.username == user
            {
                found.push(request);
            }
        }
    }
    Ok(found)
}
