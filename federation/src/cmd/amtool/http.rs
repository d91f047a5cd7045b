//! Asking an Alertmanager over its API v2.

use std::time::Duration;

use alertmanager::STANDS_IN_FOR;
use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use client::{Auth, Client, HttpClientConfig, Limits, Source};
use env::{SharedClock, SystemClock};
use http::{Method, Request, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::views::{Status, go_json};
use super::{plain, warn};
use crate::kingpin::Call;

/// Bytes that an answer may have.
const ANSWER_MAX: u64 = 1 << 30;
/// Bytes of a refusal that are shown.
const REFUSAL_MAX: usize = 1_000;

/// One thing that the API does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) method: Verb,
    /// Its path as the API's description writes it.
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// Refusals that the description names: their status, their name, and whether a text comes with them.
    pub(super) refusals: &'static [(u16, &'static str, bool)],
}

/// How it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

/// An answer that says no.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refused {
    pub(super) status: u16,
    text: String,
}

/// An Alertmanager.
pub(super) struct Server {
    client: Client,
    base: String,
    clock: SharedClock,
    /// Monotonic time at which the command's time is over.
    until: Duration,
    verbose: bool,
}

const GET_STATUS: Operation =
    Operation { method: Verb::Get, path: "/status", name: "getStatus", refusals: &[] };

impl Server {
    /// The Alertmanager of `--alertmanager.url`; compares versions unless told otherwise.
    pub(super) async fn new(call: &Call) -> Result<Self> {
        let text = call.text("alertmanager.url").unwrap_or_default();
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&whole).map_err(|error| anyhow!("parse {text:?}: {error}"))?;
        let mut config = match call.text("http.config.file") {
            Some(_) if !url.username().is_empty() => {
                return Err(plain("basic authentication and http.config.file are mutually exclusive"));
            }
            Some(file) => agent::http_config::load(file.as_ref())
                .map_err(|error| plain(format!("failed to load HTTP config file: {error:#}")))?,
            None => agent::http_config::plain(),
        };
        authenticate(&mut url, &mut config);
        let clock = SystemClock::shared();
        let server = Self {
            client: Client::new(&config)
                .map_err(|error| plain(format!("failed to create a new HTTP client: {error}")))?,
            base: format!("{}/api/v2", url.as_str().trim_end_matches('/')),
            until: clock.monotonic() + call.duration("timeout"),
            clock,
            verbose: call.is_on("verbose"),
        };
        if call.is_on("version-check") {
            server.compare_versions().await;
        }
        Ok(server)
    }

    async fn compare_versions(&self) {
        // Without an answer there is nothing to compare; what is asked for next will say why.
        let Ok(status) = self.status().await else { return };
        let theirs = status.version_info.version;
        let short = |version: &str| version.splitn(3, '.').take(2).map(str::to_owned).collect::<Vec<_>>();
        if short(&theirs) != short(STANDS_IN_FOR) {
            warn(&format!(
                "Warning: amtool version ({STANDS_IN_FOR}) and alertmanager version ({theirs}) are different."
            ));
        }
    }

    /// The Alertmanager's status.
    pub(super) async fn status(&self) -> Result<Status> {
        self.ask(GET_STATUS, "/status", None).await
    }

    /// Asks, and reads the answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T> {
        let answer = self.send(operation, path, body).await?;
        serde_json::from_slice(&answer).with_context(|| {
            format!("[{}] {}: no answer of an Alertmanager", operation.place(), operation.name)
        })
    }

    /// Asks; what comes back is not looked at.
    pub(super) async fn send(&self, operation: Operation, path: &str, body: Option<Bytes>) -> Result<Bytes> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder()
            .method(operation.method.http())
            .uri(&url)
            .header(header::USER_AGENT, format!("amtool/{STANDS_IN_FOR}"))
            .header(header::ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body.unwrap_or_default()).with_context(|| format!("parse {url:?}"))?;
        let timeout = self.until.saturating_sub(self.clock.monotonic());
        if timeout.is_zero() {
            bail!("{} {url:?}: the time of --timeout is over", operation.method.http());
        }
        let answer = self.client.send(request, Limits { timeout, body_max: ANSWER_MAX }).await?;
        if self.verbose {
            warn(&format!(
                "{} {url}: {}, {} bytes",
                operation.method.http(),
                answer.status,
                answer.body.len()
            ));
        }
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(operation.refused(answer.status.as_u16(), &answer.body).into())
    }
}

impl Verb {
    fn http(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }
}

impl Operation {
    fn place(self) -> String {
        format!("{} {}", self.method.http(), self.path)
    }

    /// A refusal in the words of amtool's generated client.
    fn refused(self, status: u16, body: &[u8]) -> Refused {
        let (place, name) = (self.place(), self.name);
        let text = match self.refusals.iter().find(|(known, ..)| *known == status) {
            Some((_, what, true)) => {
                let said: String = serde_json::from_slice(body).unwrap_or_default();
                format!("[{place}][{status}] {name}{what} {}", go_json(&said).unwrap_or_default())
            }
            Some((_, what, false)) => format!("[{place}][{status}] {name}{what}"),
            None => {
                let said = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_MAX)]).trim().to_owned();
                let said = if said.is_empty() { "{}".to_owned() } else { said };
                format!("[{place}] {name} (status {status}): {said}")
            }
        };
        Refused { status, text }
    }
}

/// A user in the URL becomes a header.
fn authenticate(url: &mut Url, config: &mut HttpClientConfig) {
    if url.username().is_empty() {
        return;
    }
    let source = |text: &str| Some(Source::inline(agent::http_config::percent_decoded(text)));
    config.auth = Some(Auth::Basic {
        username: source(url.username()),
        password: source(url.password().unwrap_or_default()),
    });
    // Fails only for URLs without a host, which have no user.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
}

/// A query string with its parameters in order of name.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort_by_key(|(name, _)| *name);
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(sorted).finish();
    if text.is_empty() { text } else { format!("?{text}") }
}

/// A body.
pub(super) fn body<T: Serialize>(value: &T) -> Result<Option<Bytes>> {
    Ok(Some(Bytes::from(serde_json::to_vec(value)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_amtools_do() {
        let operation = Operation {
            method: Verb::Post,
            path: "/silences",
            name: "postSilences",
            refusals: &[(400, "BadRequest", true), (404, "NotFound", false)],
        };
        for (status, body, want) in [
            (400, "\"a <b>\"\n", "[POST /silences][400] postSilencesBadRequest \"a \\u003cb\\u003e\""),
            (400, "no JSON", "[POST /silences][400] postSilencesBadRequest \"\""),
            (404, "", "[POST /silences][404] postSilencesNotFound"),
            (422, "{\"code\":602}\n", "[POST /silences] postSilences (status 422): {\"code\":602}"),
            (503, "", "[POST /silences] postSilences (status 503): {}"),
        ] {
            assert_eq!(operation.refused(status, body.as_bytes()).to_string(), want);
        }
    }

    #[test]
    fn parameters_are_sorted() {
        assert_eq!(query(&[("b", "1"), ("a", "x y"), ("b", "0")]), "?a=x+y&b=1&b=0");
        assert_eq!(query(&[]), "");
    }
}
