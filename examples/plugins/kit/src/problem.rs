//! What a caller is told when a request fails: a problem as RFC 9457 describes it, without the cause's own words.

use std::error::Error;

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::{error, warn};

/// `type` of most problems: the status says it all. RFC 9457 section 4.2.1.
const BLANK: &str = "about:blank";
/// `type` of [`Problem::no_tenant`], a name by RFC 4151: who calls must not take it for something that is not there.
pub(crate) const NO_TENANT: &str = "tag:plexica.io,2026:no-tenant";

/// A failed request: `application/problem+json`.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    kind: &'static str,
    status: StatusCode,
    detail: String,
    /// `WWW-Authenticate`, of RFC 6750.
    challenge: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: BLANK,
            status,
            detail: detail.into(),
            challenge: None,
        }
    }

    /// 400: the request cannot be understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: there is no token.
    pub fn no_token() -> Self {
        let challenge = Some("Bearer");
        let detail = "send a token of the tenant's realm: `Authorization: Bearer …`";
        Self {
            challenge,
            ..Self::new(StatusCode::UNAUTHORIZED, detail)
        }
    }

    /// 401: the token does not count here.
    pub fn bad_token(detail: impl Into<String>) -> Self {
        let challenge = Some("Bearer error=\"invalid_token\"");
        Self {
            challenge,
            ..Self::new(StatusCode::UNAUTHORIZED, detail)
        }
    }

    /// 403: the caller is known and may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 404: a process for many tenants does not know whose request it is.
    pub(crate) fn no_tenant(detail: &str) -> Self {
        let kind = NO_TENANT;
        Self {
            kind,
            ..Self::not_found(detail)
        }
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
    }

    /// 409: it contradicts what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 422: understood, and not a valid value.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 503: something that the plugin needs does not answer. The cause goes to the log, `what` to the caller.
    pub fn unavailable(what: &str, cause: &dyn Error) -> Self {
        warn!(what, cause = chain(cause), "something that is needed does not answer");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{what} does not answer; try again in a moment"),
        )
    }

    /// 503: no longer, or not yet.
    pub fn not_ready(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// 500: a defect of the plugin. The cause goes to the log alone.
    pub fn unexpected(what: &str, cause: &dyn Error) -> Self {
        error!(what, cause = chain(cause), "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{what} failed; the plugin's log says why"),
        )
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": self.kind,
            "title": self.status.canonical_reason().unwrap_or("Unknown"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refusal) if !is_outage(refusal.code().as_deref()) => {
                Self::unexpected("a statement", &error)
            }
            sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::unexpected("a statement", &error)
            }
            _ => Self::unavailable("the database", &error),
        }
    }
}

/// Whether the server says "not now": connection failures, no slots or memory, shutdown, a lock or time limit.
/// SQLSTATEs: <https://www.postgresql.org/docs/18/errcodes-appendix.html>.
fn is_outage(sqlstate: Option<&str>) -> bool {
    sqlstate.is_some_and(|code| {
        ["08", "53", "58", "28"].iter().any(|class| code.starts_with(class))
            || [
                "57014", "57P01", "57P02", "57P03", "57P05", "55P03", "40001", "40P01", "25006",
            ]
            .contains(&code)
    })
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_json_of_its_own_media_type() {
        let response = Problem::bad_token("expired").into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            json!({ "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "expired" })
        );
    }

    #[test]
    fn the_causes_words_stay_in_the_log() {
        let problem = Problem::from(sqlx::Error::Protocol("password sesame".into()));
        assert_eq!(problem.status(), 503);
        assert!(!format!("{problem:?}").contains("sesame"));
        assert_eq!(Problem::from(sqlx::Error::RowNotFound).status(), 500);
    }

    #[test]
    fn a_server_that_shuts_down_is_an_outage_and_a_missing_right_is_not() {
        assert!(is_outage(Some("57P01")) && is_outage(Some("53300")));
        assert!(!is_outage(Some("42501")) && !is_outage(Some("23505")) && !is_outage(None));
    }
}
