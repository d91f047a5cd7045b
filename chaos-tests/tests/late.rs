//! Samples that come late, through a whole agent: `storage.tsdb.out_of_order_time_window` takes them, and follows a
//! reload.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chaos_tests::{Agent, AgentOptions, Folder, alone, instant, metric, now_ms};
use testkit::eventually;
use tokio::net::TcpListener;

/// Longest wait for samples.
const SOON: Duration = Duration::from_secs(60);

/// Serves a page with a time of its own: every other one is two minutes older.
#[allow(clippy::disallowed_methods, reason = "tests run on the host's own time")]
async fn target() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let scrapes = Arc::new(AtomicU64::new(0));
    let answer = move || {
        let late = scrapes.fetch_add(1, Ordering::Relaxed) % 2;
        let page = format!("m {} {}\n", late, now_ms() - late as i64 * 120_000);
        async move { page }
    };
    let router = Router::new().route("/metrics", get(answer));
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    address.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_samples_are_taken_as_long_as_the_configuration_says_so() {
    let _turn = alone().await;
    let folder = Folder::new();
    let scrape =
        format!("  - job_name: late\n    static_configs: [{{ targets: [\"{}\"] }}]\n", target().await);
    let options = AgentOptions { scrape, interval: "1s".to_owned(), ..AgentOptions::default() };
    let mut agent = Agent::new(&folder, "late", &options).with_flag("--web.enable-lifecycle");
    let path = folder.path().join("late.yml");
    let without = std::fs::read_to_string(&path).expect("reads");
    let mut file = std::fs::File::options().append(true).open(&path).expect("opens");
    file.write_all(b"\nstorage: { tsdb: { out_of_order_time_window: 10m } }\n").expect("writes");
    agent.start().await;
    let url = agent.url();
    eventually("late samples are shown", SOON, || async {
        let found = instant(&url, "m offset 110s").await.ok()?;
        (found[0]["value"][1] == "1").then_some(())
    })
    .await;
    let taken = "prometheus_tsdb_head_out_of_order_samples_appended_total";
    assert!(metric(&url, taken).await.expect("a page").is_some_and(|count| count >= 1.0));
    let refused = "prometheus_tsdb_out_of_order_samples_total";
    assert_eq!(metric(&url, refused).await.expect("a page"), Some(0.0));
    std::fs::write(&path, without).expect("writes");
    testkit::post(&format!("{url}/-/reload"), "text/plain", "").await.expect("reloads");
    eventually("late samples are refused", SOON, || async {
        metric(&url, refused).await.ok()?.filter(|count| *count >= 1.0).map(drop)
    })
    .await;
    agent.stop().await.expect("stops");
}
