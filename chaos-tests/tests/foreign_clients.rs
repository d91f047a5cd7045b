//! Debian's own tools talk to our servers.

use std::path::PathBuf;
use std::time::Duration;

use chaos_tests::{Agent, AgentOptions, Folder, Pair, PairOptions, alone, remote_reader, report, vector};
use testkit::{FakeExporter, Peer, Process, Sink, eventually, free_port, peer};
use tokio::process::Command;

/// Longest wait for a page or a sample.
const SOON: Duration = Duration::from_secs(60);

/// Runs a client; what it printed. It must succeed.
async fn client(program: &PathBuf, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().await.expect("a client");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {arguments:?}: {said}{complained}", program.display());
    said.into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_amtool_and_prometheus_work_with_our_servers() {
    let _turn = alone().await;
    let (Some(promtool), Some(amtool), Some(prometheus)) =
        (peer(Peer::Promtool), peer(Peer::Amtool), peer(Peer::Prometheus))
    else {
        return;
    };
    let folder = Folder::new();
    let sink = Sink::start().await;
    let rules = "      - record: chaos:series\n        expr: count(scrape_number)\n".to_owned();
    let pair = Pair::start(&folder, &sink, &PairOptions { rules, ..PairOptions::default() }).await;
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

    for server in [agent.url(), pair.node("a").url(), pair.node("b").url()] {
        eventually(&format!("samples in {server}"), SOON, || async {
            (vector(&server, "scrape_number").await.ok()?.len() == 3).then_some(())
        })
        .await;
        queries(&promtool, &server).await;
    }
    for (reader, server) in [agent.url(), pair.node("a").url()].into_iter().enumerate() {
        reads(&folder, &prometheus, reader, &server).await;
    }
    for node in pair.nodes() {
        alerts_and_silences(&amtool, &node.url(), node.name()).await;
    }
    let managers: Vec<String> =
        pair.nodes().iter().map(|node| format!("\"{}\"", host(&node.url()))).collect();
    let _prometheus = foreign_prometheus(&folder, &prometheus, &managers);
    eventually("a page for the alert of Debian's Prometheus", SOON, || async {
        (!sink.pages_of("Foreign", "firing").is_empty()).then_some(())
    })
    .await;
    assert_eq!(sink.pages_of("Foreign", "firing").len(), 1, "three nodes were told, one page is sent");
    report("foreign_clients: promtool, amtool and prometheus are served");
}

fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

async fn queries(promtool: &PathBuf, server: &str) {
    let said = client(promtool, &["query", "instant", server, "sum(scrape_number > bool 0)"]).await;
    assert!(said.starts_with("{} => 3 @["), "{server}: {said}");
    let now = chaos_tests::now_ms() / 1000;
    let (start, end) = (format!("--start={}", now - 60), format!("--end={}", now + 1));
    let range = ["query", "range", &start, &end, "--step=1s", server, "count(scrape_number)"];
    let said = client(promtool, &range).await;
    assert!(said.starts_with("{} =>\n") && said.contains("3 @["), "{server}: {said}");
    let said = client(promtool, &["query", "series", "--match=scrape_number{series=\"1\"}", server]).await;
    let wanted = ["__name__=\"scrape_number\"", "job=\"load\"", "series=\"1\""];
    assert!(wanted.iter().all(|part| said.contains(part)) && said.lines().count() == 1, "{server}: {said}");
    let said = client(promtool, &["query", "labels", server, "series"]).await;
    assert_eq!(said.lines().collect::<Vec<_>>(), ["0", "1", "2"], "{server}");
}

/// A Prometheus without samples of its own answers with ours, and with the labels under which it knows us.
async fn reads(folder: &Folder, prometheus: &std::path::Path, number: usize, server: &str) {
    let (reader, _process) = remote_reader(folder, prometheus, &format!("reader-{number}"), server);
    let values = async |url: &str, selector: &str| -> Option<Vec<serde_json::Value>> {
        let found = chaos_tests::instant(url, selector).await.ok()?;
        let all = found.as_array()?;
        (all.len() == 3).then(|| all.iter().map(|series| series["values"].clone()).collect())
    };
    // What was scraped by then is there by now.
    let (selector, wanted) = eventually(&format!("samples in {server}"), SOON, || async {
        let selector = format!("scrape_number[1m] @ {}", chaos_tests::now_ms() / 1000 - 3);
        let wanted = values(server, &selector).await?;
        Some((selector, wanted))
    })
    .await;
    eventually(&format!("samples of {server} by remote read"), SOON, || async {
        (values(&reader, &selector).await? == wanted).then_some(())
    })
    .await;
}

async fn alerts_and_silences(amtool: &PathBuf, server: &str, node: &str) {
    let url = format!("--alertmanager.url={server}");
    let (label, other) = (format!("node={node}"), "run=amtool");
    client(amtool, &[&url, "alert", "add", "alertname=ByHand", &label, other, "--annotation=summary=hello"])
        .await;
    let said = client(amtool, &[&url, "alert", "query", "alertname=ByHand", &label, "-o", "extended"]).await;
    assert!(said.contains("summary=\"hello\""), "{node}: {said}");

    let made = ["silence", "add", "alertname=ByHand", &label, "--author=test", "--comment=quiet", "-d", "1h"];
    let id = client(amtool, &[&[url.as_str()], &made[..]].concat()).await;
    let id = id.trim();
    let said = client(amtool, &[&url, "silence", "query", &label]).await;
    assert!(said.contains(id) && said.contains("quiet"), "{node}: {said}");
    let shown = client(amtool, &[&url, "alert", "query", &label]).await;
    assert!(!shown.contains("ByHand"), "{node}: a silenced alert is hidden: {shown}");
    client(amtool, &[&url, "silence", "expire", id]).await;
    let said = client(amtool, &[&url, "silence", "query", &label]).await;
    assert!(!said.contains(id), "{node}: {said}");
    let said = client(amtool, &[&url, "silence", "query", "--expired", &label]).await;
    assert!(said.contains(id), "{node}: {said}");
}

fn foreign_prometheus(folder: &Folder, program: &std::path::Path, managers: &[String]) -> Process {
    let rules = "groups:\n  - name: foreign\n    rules:\n      - alert: Foreign\n        expr: vector(1)\n";
    let _ = folder.file("foreign-rules.yml", rules);
    let config = folder.file(
        "foreign.yml",
        &format!(
            "global: {{ evaluation_interval: 1s }}\nrule_files: [foreign-rules.yml]\nalerting:\n  alertmanagers:\n    \
             - static_configs:\n        - targets: [{}]\n",
            managers.join(", ")
        ),
    );
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.path().join("foreign.data").display()),
        format!("--web.listen-address=127.0.0.1:{}", free_port()),
        // Its first alert is due before it has found its alertmanagers.
        "--rules.alert.resend-delay=1s".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(program, &arguments, &folder.path().join("foreign.log")).expect("Debian's Prometheus")
}
