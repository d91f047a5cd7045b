//! Questions over one connection that is kept, and how long each takes until the last byte is there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use env::{SharedClock, Tasks};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Longest wait for an answer: as long as the systems are allowed to evaluate.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Values differ when they do so by more, relatively.
const TOLERANCE: f64 = 1e-9;

/// A connection to a system.
pub(super) struct Asker {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    clock: SharedClock,
}

/// Values by series and time.
pub(super) type Points = BTreeMap<(String, i64), f64>;

impl Asker {
    pub(super) async fn connect(url: &str, clock: SharedClock, tasks: &Tasks) -> Result<Self> {
        let authority = url.trim_start_matches("http://").to_owned();
        let stream =
            TcpStream::connect(&authority).await.with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tasks.spawn(async move {
            // What it fails with, the next request fails with too.
            let _ = connection.await;
        });
        Ok(Self { sender, authority, clock })
    }

    /// The answer's body, and how long it took.
    pub(super) async fn get(&mut self, path: &str) -> Result<(Bytes, Duration)> {
        let request = Request::get(path).header("host", &self.authority).body(Full::new(Bytes::new()))?;
        self.sender.ready().await?;
        let begun = self.clock.monotonic();
        let whole = async {
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            anyhow::Ok((status, body))
        };
        let (status, body) = tokio::time::timeout(TIMEOUT, whole).await.context("no answer in time")??;
        let took = self.clock.monotonic() - begun;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body);
            bail!("{}: {}", status, text.chars().take(300).collect::<String>());
        }
        Ok((body, took))
    }
}

/// The values of an answer of the query API; times in milliseconds.
pub(super) fn points(body: &[u8]) -> Result<Points> {
    let json: Value = serde_json::from_slice(body)?;
    let mut points = Points::new();
    let mut put = |labels: &Value, pair: &Value| -> Result<()> {
        let seconds = pair[0].as_f64().context("a time")?;
        let value = pair[1].as_str().context("a value")?.parse().context("a number")?;
        points.insert((labels.to_string(), (seconds * 1_000.0).round() as i64), value);
        Ok(())
    };
    for series in json["data"]["result"].as_array().context("no series")? {
        let labels = &series["metric"];
        if let Some(values) = series["values"].as_array() {
            values.iter().try_for_each(|pair| put(labels, pair))?;
        } else {
            put(labels, &series["value"])?;
        }
    }
    Ok(points)
}

/// How many points of either differ from the other's.
pub(super) fn differ(one: &Points, other: &Points) -> usize {
    let same = |a: f64, b: f64| {
        a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
    };
    let missing = other.keys().filter(|key| !one.contains_key(*key)).count();
    let others = one.iter().filter(|(key, value)| other.get(*key).is_none_or(|found| !same(**value, *found)));
    missing + others.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_point_by_point() {
        let range = r#"{"data":{"result":[{"metric":{"a":"1"},"values":[[1.5,"2"],[3,"NaN"]]}]}}"#;
        let one = points(range.as_bytes()).unwrap();
        assert_eq!(one.len(), 2);
        assert_eq!(differ(&one, &one), 0);
        let instant = r#"{"data":{"result":[{"metric":{"a":"1"},"value":[1.5,"2.1"]}]}}"#;
        assert_eq!(differ(&one, &points(instant.as_bytes()).unwrap()), 2);
        assert_eq!(differ(&points(instant.as_bytes()).unwrap(), &one), 2);
    }
}
