//! Figures that releases are judged by, printed: what an idle agent costs, how large the programs are, pages a second.

use std::time::Duration;

use chaos_tests::{
    Agent, AgentOptions, AlertGroup, Folder, Pair, PairOptions, alone, instant, now_ms, report, size, wait,
};
use serde_json::json;
use testkit::{Sink, eventually, program};

/// Ticks of the kernel's process times in a second, on every Linux that we run on.
const TICKS: f64 = 100.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_agent() {
    let _turn = alone().await;
    let folder = Folder::new();
    let options = AgentOptions {
        scrape: "  []\n".to_owned(),
        interval: "15s".to_owned(),
        host: true,
        ..AgentOptions::default()
    };
    let mut agent = Agent::new(&folder, "idle", &options);
    agent.start().await;
    wait(Duration::from_secs(5)).await;
    let seconds: u32 = size(20, 300);
    let before = cpu_seconds(agent.id());
    wait(Duration::from_secs(u64::from(seconds))).await;
    let used = cpu_seconds(agent.id()) - before;
    let resident = resident_kib(agent.id());
    report(&format!(
        "figures: idle agent ({}): RSS {:.1} MiB, CPU {:.3} % over {seconds} s",
        build(),
        f64::from(resident) / 1024.0,
        100.0 * used / f64::from(seconds)
    ));
    // The host is watched all the time: what is measured is no agent asleep.
    eventually("the host's own metrics", Duration::from_secs(30), || async {
        instant(&agent.url(), "node_load1").await.ok()?.as_array().filter(|found| !found.is_empty()).map(drop)
    })
    .await;
    assert!(resident < 512 << 10, "an idle agent holds {resident} KiB");
}

#[test]
fn the_size_of_both_programs() {
    for name in ["vedette-agent", "vedette-federation"] {
        let here = program(name);
        let release = here.ancestors().nth(2).expect("target").join("release").join(name);
        let path = if release.is_file() { release } else { here };
        let bytes = std::fs::metadata(&path).expect("the program").len();
        report(&format!("figures: {}: {:.1} MiB", path.display(), bytes as f64 / f64::from(1 << 20)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_a_second() {
    let _turn = alone().await;
    let folder = Folder::new();
    let sink = Sink::start().await;
    let group =
        AlertGroup { by: "alertname, n".to_owned(), wait: "0s".to_owned(), interval: "5m".to_owned() };
    let rules = "      - record: chaos:one\n        expr: vector(1)\n".to_owned();
    let pair = Pair::start(&folder, &sink, &PairOptions { rules, group, proxied: false }).await;
    let url = format!("{}/api/v2/alerts", pair.node(pair.leader().await).url());

    let count: usize = size(300, 10_000);
    let begun = now_ms();
    for from in (0..count).step_by(100) {
        let batch = from..count.min(from + 100);
        let alerts: Vec<_> =
            batch.map(|n| json!({ "labels": { "alertname": "Many", "n": n.to_string() } })).collect();
        let body = serde_json::Value::from(alerts).to_string();
        let answer = testkit::post(&url, "application/json", &body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    eventually(&format!("{count} pages"), Duration::from_secs(size(60, 600)), || async {
        (sink.pages().len() >= count).then_some(())
    })
    .await;
    let took = (now_ms() - begun).max(1);
    report(&format!(
        "figures: {count} pages of as many groups in {took} ms through raft on three nodes ({}): {:.0} pages/s",
        build(),
        count as f64 * 1000.0 / took as f64
    ));
    assert_eq!(sink.pages().len(), count, "each is sent once");
}

fn build() -> &'static str {
    let folder = program("vedette-agent");
    if folder.parent().is_some_and(|folder| folder.ends_with("release")) { "release" } else { "debug" }
}

/// Seconds on a processor so far: of the threads that live, or of the whole process where that is more.
fn cpu_seconds(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    // The second field is the program's name in parentheses; user and kernel time are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum();
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("a process").flatten();
    let nanoseconds = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    (ticks / TICKS).max(threads.filter_map(nanoseconds).sum::<f64>() / 1e9)
}

fn resident_kib(id: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a size")
}
