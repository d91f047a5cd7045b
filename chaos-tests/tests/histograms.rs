//! Native histograms from a target through Debian's Prometheus, and straight from the target: an agent answers
//! with what was observed.

use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use chaos_tests::{Agent, AgentOptions, Folder, alone, instant, metric, now_ms, report};
use testkit::{Peer, Process, eventually, free_port, peer};
use tokio::net::TcpListener;

/// Longest wait for samples.
const SOON: Duration = Duration::from_secs(90);

/// A field of a message that has bytes.
fn piece(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A page of `io.prometheus.client.MetricFamily` with one histogram, which has as many buckets as it was asked
/// for times, one observation more in each.
fn page(scrape: u64) -> Vec<u8> {
    let mut histogram = Vec::new();
    let buckets = scrape.min(100);
    // Bucket 0 has the most observations, one for each scrape, and every further one fewer.
    let total: u64 = (0..buckets).map(|bucket| scrape - bucket).sum();
    number(&mut histogram, 1, total + 2);
    double(&mut histogram, 2, scrape as f64 / 8.0);
    number(&mut histogram, 5, 3 << 1);
    double(&mut histogram, 6, 0.001);
    number(&mut histogram, 7, 2);
    let mut span = Vec::new();
    number(&mut span, 1, 0);
    number(&mut span, 2, buckets);
    piece(&mut histogram, 12, &span);
    let mut deltas = Vec::new();
    varint(&mut deltas, scrape << 1);
    (1..buckets).for_each(|_| varint(&mut deltas, 1));
    piece(&mut histogram, 13, &deltas);
    let mut sample = Vec::new();
    piece(&mut sample, 7, &histogram);
    let mut family = Vec::new();
    piece(&mut family, 1, b"latency_seconds");
    number(&mut family, 3, 4);
    piece(&mut family, 4, &sample);
    let mut page = Vec::new();
    varint(&mut page, family.len() as u64);
    page.extend(family);
    page
}

/// Serves such pages on a free port.
#[allow(clippy::disallowed_methods, reason = "tests run on the host's own time")]
async fn target() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let scrapes = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let answer = move || {
        let scrape = scrapes.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let content_type =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        async move { ([(header::CONTENT_TYPE, content_type)], page(scrape)) }
    };
    let router = Router::new().route("/metrics", get(answer));
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    address.to_string()
}

async fn histograms(base: &str, expression: &str) -> Option<Vec<serde_json::Value>> {
    let found = instant(base, expression).await.ok()?;
    let [series] = &found.as_array()?[..] else { return None };
    series["histograms"].as_array().cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_prometheus_pushes_is_what_it_answers() {
    let _turn = alone().await;
    let Some(program) = peer(Peer::Prometheus) else { return };
    let folder = Folder::new();
    let options =
        AgentOptions { scrape: "  []\n".to_owned(), interval: "1s".to_owned(), ..AgentOptions::default() };
    let mut agent = Agent::new(&folder, "receiver", &options).with_flag("--web.enable-remote-write-receiver");
    agent.start().await;
    let port = free_port();
    let config = folder.file(
        "sender.yml",
        &format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: native\n    \
             static_configs: [{{ targets: [\"{}\"] }}]\nremote_write:\n  - url: {}/api/v1/write\n    \
             send_native_histograms: true\n    queue_config: {{ batch_send_deadline: 1s }}\n",
            target().await,
            agent.url()
        ),
    );
    let (config, data, log) = (
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.path().join("sender.data").display()),
        folder.path().join("sender.log"),
    );
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let arguments = [config.as_str(), &data, &listen, "--enable-feature=native-histograms"];
    let _sender = Process::start(&program, &arguments, &log).expect("a sender");
    let sender = format!("http://127.0.0.1:{port}");
    eventually("ten histograms at the sender", SOON, || async {
        let found = histograms(&sender, "latency_seconds[5m]").await?;
        (found.len() >= 10).then_some(())
    })
    .await;
    let selector = format!("latency_seconds[5m] @ {}", now_ms() / 1000);
    let wanted = histograms(&sender, &selector).await.expect("the sender's histograms");
    let url = agent.url();
    eventually("the same in the agent", SOON, || async {
        (histograms(&url, &selector).await? == wanted).then_some(())
    })
    .await;
    // And after a kill, out of the log; what was not acknowledged by then is sent again.
    agent.kill();
    agent.start().await;
    let url = agent.url();
    eventually("the same after a kill", SOON, || async {
        (histograms(&url, &selector).await? == wanted).then_some(())
    })
    .await;
    assert_eq!(metric(&url, "vedette_remote_write_rejected_samples_total").await.expect("a page"), None);
    report(&format!("histograms: {} native histograms from Prometheus are alike", wanted.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_scrapes_is_what_the_target_said() {
    let _turn = alone().await;
    let folder = Folder::new();
    let scrape = format!(
        "  - job_name: native\n    scrape_native_histograms: true\n    static_configs:\n      - targets: [\"{}\"]\n",
        target().await
    );
    let options = AgentOptions { scrape, interval: "1s".to_owned(), ..AgentOptions::default() };
    let mut agent = Agent::new(&folder, "scraper", &options);
    agent.start().await;
    let url = agent.url();
    let found = eventually("five histograms", SOON, || async {
        histograms(&url, "latency_seconds[5m]").await.filter(|found| found.len() >= 5)
    })
    .await;
    for (scrape, one) in (1_u64..).zip(&found) {
        let histogram = &one[1];
        assert_eq!(histogram["sum"], serde_json::json!((scrape as f64 / 8.0).to_string()), "{one}");
        let buckets = histogram["buckets"].as_array().expect("buckets");
        assert_eq!(buckets.len() as u64, scrape + 1, "{one}");
        assert_eq!(buckets[0], serde_json::json!([3, "-0.001", "0.001", "2"]));
        assert_eq!(buckets[1][3], serde_json::json!(scrape.to_string()), "{one}");
        assert_eq!(buckets[1][2], serde_json::json!("1"));
    }
}
