//! An agent that is killed again and again by what it is asked starts with the minimum, and leaves that by itself.

use std::time::Duration;

use chaos_tests::{Agent, AgentOptions, Folder, alone, instant, metric, report};
use testkit::{FakeExporter, eventually};

const WAIT: Duration = Duration::from_secs(60);
/// It runs until somebody ends it.
const DEADLY: &str = "max_over_time(count_over_time(vector(1)[7d:1s])[7d:1s])";

fn options(exporter: &FakeExporter) -> AgentOptions {
    let scrape =
        format!("  - job_name: load\n    static_configs:\n      - targets: [\"{}\"]\n", exporter.address());
    AgentOptions { scrape, interval: "200ms".to_owned(), ..AgentOptions::default() }
}

async fn is_safe(agent: &Agent) -> bool {
    metric(&agent.url(), "vedette_safe_mode").await.expect("a page") == Some(1.0)
}

async fn status(agent: &Agent) -> serde_json::Value {
    let page = testkit::get(&format!("{}/api/v1/status/runtimeinfo", agent.url())).await.expect("a page");
    page.json().expect("JSON")["data"]["safeMode"].clone()
}

/// Kills the agent while it answers the deadly query.
async fn die(agent: &mut Agent) {
    let url = agent.url();
    let journal = agent.data().join("queries.active");
    let killed = async {
        eventually("the query runs", WAIT, || {
            let text = std::fs::read(&journal).unwrap_or_default();
            let runs = text.windows(13).any(|part| part == b"max_over_time");
            async move { runs.then_some(()) }
        })
        .await;
        agent.kill();
    };
    let (answer, ()) = tokio::join!(instant(&url, DEADLY), killed);
    assert!(answer.is_err(), "nobody was left to answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_deaths_an_agent_runs_with_the_minimum_until_it_is_stable() {
    let _turn = alone().await;
    let folder = Folder::new();
    let exporter = FakeExporter::start(5).await;
    // Longer than three lives take, also on a busy machine; where they took longer there are more of them.
    let flags = ["--safe-mode.crashes=3", "--safe-mode.window=10s"];
    let mut agent = Agent::new(&folder, "edge", &options(&exporter));
    for flag in flags {
        agent = agent.with_flag(flag);
    }
    let mut deaths = 0;
    loop {
        agent.start().await;
        if is_safe(&agent).await {
            break;
        }
        assert!(status(&agent).await.is_null());
        deaths += 1;
        assert!(deaths < 20, "no safe mode");
        die(&mut agent).await;
    }
    assert!(deaths >= 3, "after {deaths} deaths");
    assert!(status(&agent).await.as_str().is_some_and(|why| why.starts_with("safe mode: ")));
    let refused = instant(&agent.url(), DEADLY).await.expect_err("it is refused").to_string();
    assert!(refused.contains("safe mode"), "{refused}");
    assert_eq!(
        metric(&agent.url(), "vedette_safe_mode_refused_queries_total").await.expect("a page"),
        Some(1.0)
    );
    // What matters goes on.
    let before = exporter.served().len();
    eventually("it scrapes", WAIT, || {
        let more = exporter.served().len() > before + 3;
        async move { more.then_some(()) }
    })
    .await;
    assert!(!instant(&agent.url(), "up").await.expect("an answer").as_array().expect("a vector").is_empty());

    eventually("it leaves safe mode", WAIT, || {
        let agent = &agent;
        async move { (!is_safe(agent).await).then_some(()) }
    })
    .await;
    assert!(status(&agent).await.is_null());
    // Asked again it runs: it may kill again.
    die(&mut agent).await;
    agent.start().await;
    assert!(!is_safe(&agent).await, "one end is none too many");
    agent.stop().await.expect("stops");
    assert!(!agent.data().join("starts").exists(), "an end in order is no crash");
    report(&format!("safe_mode: entered after {deaths} deaths, and left"));
}
