//! Memory: its parts add up to what the kernel says. At the limit a target with more series than there is room for
//! fails and says why, and what is known goes on, also after a kill.

use std::time::Duration;

use chaos_tests::{Agent, AgentOptions, Folder, alone, instant, metric, now_ms, report, size};
use testkit::{FakeExporter, eventually};

const SOON: Duration = Duration::from_secs(20);
/// Room for a target of some hundred series, and not for one of these.
const ROOM: u64 = 8 << 20;
const TOO_MANY: usize = 50_000;

fn options(jobs: &[(&str, &FakeExporter)]) -> AgentOptions {
    let job = |(name, exporter): &(&str, &FakeExporter)| {
        format!("  - job_name: {name}\n    static_configs:\n      - targets: [\"{}\"]\n", exporter.address())
    };
    AgentOptions {
        scrape: jobs.iter().map(job).collect(),
        interval: "500ms".to_owned(),
        ..AgentOptions::default()
    }
}

/// What an agent that has hardly anything to do takes up.
async fn idle(folder: &Folder, known: &FakeExporter) -> u64 {
    let mut agent = Agent::new(folder, "idle", &options(&[("known", known)]));
    agent.start().await;
    let url = format!("{}/metrics", agent.url());
    let bytes = eventually("the parts are counted", SOON, || async {
        let page = testkit::get(&url).await.ok()?.body;
        let parts = page.lines().filter(|line| line.starts_with("vedette_memory_part_bytes{"));
        let sum: f64 = parts.filter_map(|line| line.split_once("} ")?.1.parse::<f64>().ok()).sum();
        (sum > 0.0).then_some(sum as u64)
    })
    .await;
    agent.kill();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_with_too_many_series_fails_and_the_others_go_on() {
    let _turn = alone().await;
    let folder = Folder::new();
    let (known, large) = (FakeExporter::start(300).await, FakeExporter::start(TOO_MANY).await);
    let limit = idle(&folder, &known).await + ROOM;
    let options = options(&[("known", &known), ("large", &large)]);
    let mut agent =
        Agent::new(&folder, "edge", &options).with_flag(&format!("--storage.memory-limit={limit}"));
    agent.start().await;
    let url = agent.url();
    eventually("the large target is told why", SOON, || async {
        let targets = testkit::get(&format!("{url}/api/v1/targets")).await.ok()?.body;
        (targets.contains("memory limit exceeded (") && targets.contains(&format!("limit: {limit} bytes")))
            .then_some(())
    })
    .await;
    let refused = metric(&url, "vedette_memory_refused_series_total").await.expect("a page");
    assert!(refused.is_some_and(|refused| refused >= TOO_MANY as f64), "{refused:?}");
    let now = now_ms();
    for newest in [
        "max(timestamp(scrape_number{job=\"known\"}))",
        "max(timestamp(up{job=\"known\"} == 1))",
        "max(timestamp(up{job=\"large\"} == 0))",
    ] {
        eventually(&format!("{newest} rises"), SOON, || async {
            let answer = instant(&url, newest).await.ok()?;
            let seconds: f64 = answer[0]["value"][1].as_str()?.parse().ok()?;
            (seconds * 1000.0 > now as f64 + 500.0).then_some(())
        })
        .await;
    }
    let stored = instant(&url, "count(scrape_number{job=\"large\"})").await.expect("an answer");
    assert_eq!(stored.as_array().map(Vec::len), Some(0), "none of its series was begun");
    report(&format!("memory: {} series refused at {limit} bytes", refused.unwrap_or_default()));
}

/// Of what the kernel says, to either side.
const TOLERANCE: f64 = 0.1;

/// What an agent's parts say together at its last count, and what the kernel said then.
async fn counted(url: &str) -> Option<(f64, f64)> {
    let page = testkit::get(&format!("{url}/metrics")).await.ok()?.body;
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    let of = |name: &'static str| page.lines().filter(move |line| line.starts_with(name)).filter_map(value);
    let parts: f64 = of("vedette_memory_part_bytes{").sum();
    Some((parts, parts + of("vedette_memory_unaccounted_bytes ").next()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_add_up_to_what_the_kernel_says() {
    let _turn = alone().await;
    let folder = Folder::new();
    let (targets, series) = size((20, 1_000), (500, 600));
    let mut exporters = Vec::new();
    for _ in 0..targets {
        exporters.push(FakeExporter::start(series).await);
    }
    let addresses: Vec<_> = exporters.iter().map(|one| format!("\"{}\"", one.address())).collect();
    let scrape =
        format!("  - job_name: many\n    static_configs:\n      - targets: [{}]\n", addresses.join(", "));
    let interval = size("1s", "5s").to_owned();
    let mut agent =
        Agent::new(&folder, "edge", &AgentOptions { scrape, interval, ..AgentOptions::default() });
    agent.start().await;
    let url = agent.url();
    eventually("all series are there", size(2, 6) * SOON, || async {
        let known = metric(&url, "prometheus_tsdb_head_series").await.ok()??;
        (known >= (targets * series) as f64).then_some(())
    })
    .await;
    // They are counted every ten seconds; the first of these counts may be of before.
    let (mut last, mut worst) = (counted(&url).await, 0.0_f64);
    for number in 0..size(4, 60) {
        let next = eventually("the parts are counted anew", 2 * SOON, || async {
            let next = counted(&url).await;
            if next == last { None } else { next }
        })
        .await;
        let (parts, resident) = next;
        let off = parts / resident - 1.0;
        if number > 0 {
            assert!(off.abs() <= TOLERANCE, "count {number}: parts say {parts} bytes of {resident}");
            worst = worst.max(off.abs());
        }
        last = Some(next);
    }
    let (parts, resident) = last.unwrap_or_default();
    report(&format!(
        "memory: {} series, {:.1} MiB resident, the parts say {:.1} MiB; at worst {:.1} % off",
        targets * series,
        resident / 1_048_576.0,
        parts / 1_048_576.0,
        worst * 100.0
    ));
}
