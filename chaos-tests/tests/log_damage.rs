//! Damage of an agent's log is told to whoever looks at Prometheus's own signs of it; the end that a kill leaves is
//! no damage.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chaos_tests::{Agent, AgentOptions, Folder, alone, metric};
use testkit::{FakeExporter, eventually};

const WAIT: Duration = Duration::from_secs(60);

/// What the agent says of its log: in its status, and on its page.
async fn corruptions(agent: &Agent) -> (u64, Option<f64>) {
    let page = testkit::get(&format!("{}/api/v1/status/runtimeinfo", agent.url())).await.expect("a page");
    let told = page.json().expect("JSON")["data"]["corruptionCount"].as_u64().expect("a number");
    (told, metric(&agent.url(), "prometheus_tsdb_wal_corruptions_total").await.expect("a page"))
}

/// Lets the exporter be scraped so many times more.
async fn scrapes(exporter: &FakeExporter, times: usize) {
    let wanted = exporter.served().len() + times;
    eventually("it scrapes", WAIT, || {
        let done = exporter.served().len() >= wanted;
        async move { done.then_some(()) }
    })
    .await;
}

fn largest(log: &Path) -> PathBuf {
    let files = std::fs::read_dir(log).expect("a folder").map(|entry| entry.expect("an entry").path());
    files.max_by_key(|file| std::fs::metadata(file).map_or(0, |file| file.len())).expect("a segment")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_counted_and_a_kill_is_not() {
    let _turn = alone().await;
    let folder = Folder::new();
    let exporter = FakeExporter::start(50).await;
    let scrape =
        format!("  - job_name: load\n    static_configs:\n      - targets: [\"{}\"]\n", exporter.address());
    let options = AgentOptions { scrape, interval: "100ms".to_owned(), ..AgentOptions::default() };
    let mut agent = Agent::new(&folder, "edge", &options);
    agent.start().await;
    scrapes(&exporter, 30).await;
    agent.kill();
    agent.start().await;
    assert_eq!(corruptions(&agent).await, (0, Some(0.0)), "a kill");
    agent.kill();

    let segment = largest(&agent.data().join("log"));
    let mut bytes = std::fs::read(&segment).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&segment, bytes).expect("writes");
    agent.start().await;
    let (told, counted) = corruptions(&agent).await;
    assert!(told >= 1, "nothing is told of {}", segment.display());
    assert_eq!(counted, Some(told as f64));
    scrapes(&exporter, 3).await;
    agent.stop().await.expect("stops");
}
