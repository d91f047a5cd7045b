//! Foreign senders push to an agent: every sample arrives, bit for bit.

use std::path::Path;
use std::time::Duration;

use chaos_tests::{
    Agent, AgentOptions, Folder, NodeExporter, alone, metric, now_ms, report, samples, vector,
};
use testkit::{FakeExporter, Peer, Process, eventually, free_port, peer};

/// Longest wait for samples.
const SOON: Duration = Duration::from_secs(90);

/// An agent that scrapes nothing itself and takes what others push.
async fn receiver(folder: &Folder) -> Agent {
    let options =
        AgentOptions { scrape: "  []\n".to_owned(), interval: "1s".to_owned(), ..AgentOptions::default() };
    let mut agent = Agent::new(folder, "receiver", &options).with_flag("--web.enable-remote-write-receiver");
    agent.start().await;
    agent
}

fn start(program: &Path, arguments: &[String], folder: &Folder, name: &str) -> Process {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(program, &arguments, &folder.path().join(format!("{name}.log"))).expect("a sender")
}

/// What the agent refused must be nothing.
async fn nothing_refused(agent: &Agent) {
    for name in ["vedette_remote_write_rejected_samples_total", "vedette_remote_write_refused_requests_total"]
    {
        assert_eq!(metric(&agent.url(), name).await.expect("a page"), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_prometheus_scrapes_and_pushes_is_there_bit_for_bit() {
    let _turn = alone().await;
    let Some(program) = peer(Peer::Prometheus) else { return };
    let folder = Folder::new();
    let Some(node) = NodeExporter::start(&folder).await else { return };
    let agent = receiver(&folder).await;
    let port = free_port();
    let config = folder.file(
        "sender.yml",
        &format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: self\n    \
             static_configs: [{{ targets: [\"127.0.0.1:{port}\"] }}]\n  - job_name: node\n    static_configs: \
             [{{ targets: [\"{}\"] }}]\nremote_write:\n  - url: {}/api/v1/write\n    queue_config: {{ \
             batch_send_deadline: 1s }}\n",
            node.target(),
            agent.url()
        ),
    );
    let data = folder.path().join("sender.data");
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let _sender = start(&program, &arguments, &folder, "sender");
    let sender = format!("http://127.0.0.1:{port}");
    eventually("fifteen scrapes of both jobs", SOON, || async {
        let ups = vector(&sender, "count_over_time(up[5m]) >= 15").await.ok()?;
        (ups.len() == 2).then_some(())
    })
    .await;
    let (now, url) = (now_ms() / 1000, agent.url());
    let selector = format!("{{job=~\"self|node\"}}[5m] @ {now}");
    let wanted = samples(&sender, &selector).await.expect("the sender's samples");
    let count: usize = wanted.values().map(|samples| samples.len()).sum();
    assert!(wanted.len() > 500 && count > 5_000, "{} series, {count} samples", wanted.len());
    eventually("the same samples in the agent", SOON, || async {
        let found = samples(&url, &selector).await.ok()?;
        let same = wanted.iter().filter(|(name, samples)| found.get(*name) == Some(samples)).count();
        (same == wanted.len() && found.len() == same).then_some(())
    })
    .await;
    nothing_refused(&agent).await;
    report(&format!("remote_write: {count} samples of {} series from Prometheus are alike", wanted.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vmagent_scrapes_and_pushes_is_there_without_holes() {
    let _turn = alone().await;
    let Some(program) = peer(Peer::Vmagent) else { return };
    let folder = Folder::new();
    let exporter = FakeExporter::start(300).await;
    let mut agent = receiver(&folder).await;
    let scrape = folder.file(
        "vmagent.yml",
        &format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: load\n    \
             static_configs: [{{ targets: [\"{}\"] }}]\n",
            exporter.address()
        ),
    );
    let arguments = [
        format!("-promscrape.config={}", scrape.display()),
        format!("-remoteWrite.url={}/api/v1/write", agent.url()),
        format!("-remoteWrite.tmpDataPath={}", folder.path().join("vmagent.data").display()),
        format!("-httpListenAddr=127.0.0.1:{}", free_port()),
        // With two, a scrape may overtake the one before it.
        "-remoteWrite.queues=1".to_owned(),
    ];
    let _sender = start(&program, &arguments, &folder, "vmagent");
    let arrived = |count: usize, agent: &Agent| {
        let url = agent.url();
        async move {
            let found = samples(&url, "scrape_number[10m]").await.ok()?;
            let enough = found.len() == 300 && found.values().all(|samples| samples.len() >= count);
            enough.then_some(found)
        }
    };
    eventually("ten scrapes", SOON, || arrived(10, &agent)).await;
    nothing_refused(&agent).await;
    // What was acknowledged is in the log; what was not is sent again.
    agent.kill();
    agent.start().await;
    let pushed = exporter.served().len();
    let found = eventually("the scrapes before and after the kill", SOON, || arrived(pushed, &agent)).await;
    for (name, samples) in &found {
        for (number, bits) in (1_u32..).zip(samples.values()) {
            assert_eq!(*bits, f64::from(number).to_bits(), "{name:?}: scrape {number}");
        }
    }
    report(&format!("remote_write: {pushed} scrapes of 300 series from vmagent without a hole over a kill"));
}
