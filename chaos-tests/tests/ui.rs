//! The UI in a real browser: a graph is drawn, an alert shows, a silence is made and expired.

use std::path::Path;
use std::time::Duration;

use chaos_tests::{Agent, AgentOptions, Folder, Pair, PairOptions, alerts, alone, report, samples};
use testkit::{FakeExporter, Sink, eventually};
use tokio::process::Command;

const RULES: &str = "
      - alert: ShownAlert
        expr: count(scrape_number) > 0
        labels: { severity: critical }
";
const BROWSER: &str = "/usr/bin/chromium";
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stderr, reason = "a test says that it was skipped")]
async fn graph_alert_and_silence_in_a_browser() {
    let _turn = alone().await;
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let there = Path::new(BROWSER).exists() && driver.join("node_modules/playwright-core").exists();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "no browser or driver: `make test` installs both");
        eprintln!("skipped: no {BROWSER} or no driver; `make test` installs both");
        return;
    }
    let folder = Folder::new();
    let sink = Sink::start().await;
    let rules = PairOptions { rules: RULES.to_owned(), ..PairOptions::default() };
    let pair = Pair::start(&folder, &sink, &rules).await;
    let exporter = FakeExporter::start(3).await;
    let options = AgentOptions {
        scrape: format!(
            "  - job_name: load\n    static_configs:\n      - targets: [\"{}\"]\n",
            exporter.address()
        ),
        interval: "1s".to_owned(),
        endpoints: pair.endpoints(),
        host: false,
    };
    let mut agent = Agent::new(&folder, "edge", &options);
    agent.start().await;
    let replica = pair.node("a").url();
    eventually("samples and an alert at the replica", SOON, || async {
        let held = samples(&replica, "scrape_number[5m]").await.ok()?;
        let enough = held.values().next()?.len() > 5;
        (enough && !alerts(&replica).await.ok()?.is_empty()).then_some(())
    })
    .await;

    let profile = folder.path().join("browser");
    let output = Command::new("node")
        .arg(driver.join("drive.mjs"))
        .args([agent.url(), replica, BROWSER.to_owned(), profile.display().to_string()])
        .env("HOME", folder.path())
        .output()
        .await
        .expect("node");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    report(&format!("ui: {}", said.trim().replace('\n', "; ")));
}
