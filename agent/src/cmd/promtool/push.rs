//! `push metrics`: pages of metrics to a remote write receiver, for tests.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use env::SystemClock;
use exposition::{Entry, Format, Parser};
use model::Labels;

use super::http::{Server, key_value};
use super::{HttpConfig, existing, failed};

#[derive(Args, Debug)]
pub(super) struct PushFlags {
    #[command(flatten)]
    http: HttpConfig,
    #[command(subcommand)]
    command: Push,
}

#[derive(Subcommand, Debug)]
enum Push {
    /// Push metrics to a prometheus remote write (for testing purpose only).
    Metrics(MetricsFlags),
}

#[derive(Args, Debug)]
struct MetricsFlags {
    /// Prometheus remote write url to push metrics.
    remote_write_url: String,
    /// The metric files to push, default is read from standard input.
    #[arg(value_parser = existing)]
    files: Vec<PathBuf>,
    /// Label to attach to metrics. Can be specified multiple times.
    #[arg(long, value_name = "KEY=VALUE", default_value = "job=promtool")]
    label: Vec<String>,
    /// The time to wait for pushing metrics.
    #[arg(long, default_value = "30s", value_parser = vedette_agent::flags::duration)]
    timeout: Duration,
    /// Prometheus remote write header.
    #[arg(long, value_name = "KEY=VALUE")]
    header: Vec<String>,
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "promtool's words")]
pub(super) fn run(PushFlags { http, command: Push::Metrics(flags) }: &PushFlags) -> Result<()> {
    let server = Server::new(&flags.remote_write_url, http, &flags.header)?;
    let labels: Vec<(&str, &str)> = flags.label.iter().map(|pair| key_value(pair)).collect::<Result<_>>()?;
    let mut wrong = false;
    let mut push = |page: std::io::Result<Vec<u8>>, done: &str| {
        let outcome =
            page.map_err(anyhow::Error::from).and_then(|page| send(&server, &page, &labels, flags.timeout));
        match outcome {
            Ok(()) => println!("  SUCCESS: {done} pushed to remote write."),
            Err(error) => {
                eprintln!("  FAILED: {error:#}");
                wrong = true;
            }
        }
    };
    if flags.files.is_empty() {
        println!("Parsing standard input");
        let mut page = Vec::new();
        push(std::io::stdin().read_to_end(&mut page).map(|_| page), "metrics");
    }
    for file in &flags.files {
        println!("Parsing metrics file {}", file.display());
        push(std::fs::read(file), &format!("metrics file {}", file.display()));
    }
    if wrong { Err(failed(1)) } else { Ok(()) }
}

fn send(server: &Server, page: &[u8], labels: &[(&str, &str)], timeout: Duration) -> Result<()> {
    let now = SystemClock::shared().now_ms();
    let mut series = Vec::new();
    for entry in Parser::new(page, Format::Text) {
        let Entry::Series(line) = entry? else { continue };
        let own = line.labels().map_err(anyhow::Error::msg)?;
        let mut builder = own.to_builder();
        for (name, value) in labels {
            builder.set(*name, *value);
        }
        series.push((builder.build(), line.value, line.timestamp.unwrap_or(now)));
    }
    let body = snap::raw::Encoder::new().compress_vec(&request(&series))?;
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let response = server.post(&headers, Bytes::from(body), timeout)?;
    if !response.status.is_success() {
        let text = String::from_utf8_lossy(&response.body);
        bail!("server returned HTTP status {}: {}", response.status, text.trim());
    }
    Ok(())
}

/// A `prometheus.WriteRequest` with one sample a series. It has three messages and two kinds of fields, which is less
/// than a dependency on the generated types.
fn request(series: &[(Labels, f64, i64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (labels, value, timestamp) in series {
        let mut one = Vec::new();
        for (name, text) in labels.pairs() {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, text.as_bytes());
            put_bytes(&mut one, 1, &label);
        }
        let mut sample = vec![1 << 3 | 1];
        sample.extend(value.to_le_bytes());
        sample.push(2 << 3);
        put_varint(&mut sample, timestamp.cast_unsigned());
        put_bytes(&mut one, 2, &sample);
        put_bytes(&mut out, 1, &one);
    }
    out
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_protobuf() {
        let labels = Labels::from_pairs([("a", "b")]);
        let wanted =
            [&[10, 21, 10, 6, 10, 1, b'a', 18, 1, b'b', 18, 11, 9][..], &1.5f64.to_le_bytes(), &[16, 0]];
        assert_eq!(request(&[(labels.clone(), 1.5, 0)]), wanted.concat());
        let late = request(&[(labels, 1.5, 300)]);
        assert_eq!(late[late.len() - 3..], [16, 0xac, 2]);
    }
}
