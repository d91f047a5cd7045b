//! What operators see of a running agent: its logs of queries and scrapes, its notices, what is pushed to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chaos_tests::{Agent, AgentOptions, Folder, alone, metric, now_ms};
use serde_json::{Value, json};
use testkit::{eventually, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const WAIT: Duration = Duration::from_secs(60);
/// It runs until somebody ends it.
const ENDLESS: &str = "max_over_time(count_over_time(vector(1)[7d:1s])[7d:1s])";
const FAILED: &str = "Configuration reload has failed.";

struct Scene {
    _folder: Folder,
    agent: Agent,
    config: PathBuf,
}

impl Scene {
    async fn start() -> Self {
        let folder = Folder::new();
        let scrape = format!(
            "  - job_name: gone\n    static_configs:\n      - targets: [\"127.0.0.1:{}\"]\n",
            free_port()
        );
        let options = AgentOptions { scrape, interval: "300ms".to_owned(), ..AgentOptions::default() };
        let mut agent = Agent::new(&folder, "edge", &options);
        let config = folder.path().join("edge.yml");
        let text = std::fs::read_to_string(&config).expect("a configuration");
        let logs = "global:\n  query_log_file: query.log\n  scrape_failure_log_file: failures.log\n";
        std::fs::write(&config, text.replace("global:\n", logs)).expect("writes");
        for flag in [
            "--web.enable-lifecycle",
            "--web.enable-otlp-receiver",
            "--enable-feature=promql-per-step-stats,search-api",
        ] {
            agent = agent.with_flag(flag);
        }
        agent.start().await;
        Self { _folder: folder, agent, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.config.with_file_name(name)
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = testkit::get(&format!("{}/api/v1/{path}", self.agent.url())).await.expect("an answer");
        answer.json().expect("JSON")
    }

    async fn reload(&self) -> u16 {
        let url = format!("{}/-/reload", self.agent.url());
        testkit::post(&url, "", "").await.expect("an answer").status
    }

    /// A connection on which a request was sent.
    async fn sent(&self, path: &str) -> TcpStream {
        let address = self.agent.url().replace("http://", "");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Waits for a line that fits.
async fn has_line(path: &Path, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(what, WAIT, || {
        let found = lines(path).into_iter().find(|line| fits(line));
        async move { found }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_written_and_opened_again() {
    let _turn = alone().await;
    let scene = Scene::start().await;
    let (queries, failures) = (scene.path("query.log"), scene.path("failures.log"));
    let failure = has_line(&failures, "a scrape fails", |_| true).await;
    assert_eq!((&failure["job_name"], &failure["level"]), (&json!("gone"), &json!("ERROR")));
    assert!(failure["target"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{failure}");

    scene.ask("query?query=sum( up )&time=1".replace(' ', "%20").as_str()).await;
    let line = has_line(&queries, "a query is logged", |line| line["params"]["query"] == "sum( up )").await;
    let request = json!({ "clientIP": "127.0.0.1", "method": "GET", "path": "/api/v1/query" });
    assert_eq!(
        (&line["httpRequest"], &line["params"]["start"]),
        (&request, &json!("1970-01-01T00:00:01.000Z"))
    );
    assert!(line["stats"]["timings"]["execTotalTime"].is_number(), "{line}");

    // Somebody closes the page of a query that runs.
    let journal = scene.agent.data().join("queries.active");
    let runs =
        || std::fs::read(&journal).unwrap_or_default().windows(13).any(|part| part == b"max_over_time");
    let asking = scene.sent(&format!("/api/v1/query?query={ENDLESS}")).await;
    eventually("the query runs", WAIT, || async { runs().then_some(()) }).await;
    drop(asking);
    let line = has_line(&queries, "it is cancelled", |line| line["params"]["query"] == ENDLESS).await;
    assert_eq!(line["error"], "query was canceled in expression evaluation");
    // The only query's place is empty again.
    assert_eq!(std::fs::read(&journal).expect("a journal").first(), Some(&b'\n'));
    assert_eq!(metric(&scene.agent.url(), "prometheus_engine_queries").await.expect("a page"), Some(0.0));

    let moved = scene.path("query.log.1");
    std::fs::rename(&queries, &moved).expect("moves");
    assert_eq!(scene.reload().await, 200);
    scene.ask("query?query=2").await;
    has_line(&queries, "the new file is written", |line| line["params"]["query"] == "2").await;
    assert!(lines(&moved).iter().all(|line| line["params"]["query"] != "2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_failed_is_told() {
    let _turn = alone().await;
    let scene = Scene::start().await;
    assert_eq!(scene.ask("notifications").await["data"], json!([]));
    let mut listener = scene.sent("/api/v1/notifications/live").await;
    let good = std::fs::read_to_string(&scene.config).expect("a configuration");
    std::fs::write(&scene.config, format!("{good}nonsense: 1\n")).expect("writes");
    assert_eq!(scene.reload().await, 500);
    let told = scene.ask("notifications").await;
    assert_eq!((&told["data"][0]["text"], &told["data"][0]["active"]), (&json!(FAILED), &json!(true)));
    // A log that cannot be opened is a reload that failed, too.
    std::fs::write(&scene.config, good.replace("query.log", "none/query.log")).expect("writes");
    assert_eq!(scene.reload().await, 500);
    std::fs::write(&scene.config, &good).expect("writes");
    assert_eq!(scene.reload().await, 200);
    assert_eq!(scene.ask("notifications").await["data"], json!([]));
    let mut heard = String::new();
    let both = |heard: &str| heard.contains("\"active\":true") && heard.contains("\"active\":false");
    while !both(&heard) {
        let mut bytes = [0; 1_024];
        let read =
            tokio::time::timeout(WAIT, listener.read(&mut bytes)).await.expect("an event").expect("reads");
        assert!(read > 0, "the stream ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    assert!(heard.contains("text/event-stream") && heard.contains(FAILED), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_is_answered_with_what_it_cost() {
    let _turn = alone().await;
    let scene = Scene::start().await;
    let now = now_ms();
    let points: Vec<Value> = (0..10)
        .map(|at| {
            let time = (now - 100_000 + at * 10_000) * 1_000_000;
            json!({ "asInt": at, "timeUnixNano": time.to_string() })
        })
        .collect();
    let service = json!([{ "key": "service.name", "value": { "stringValue": "shop" } }]);
    let sum = json!({ "isMonotonic": true, "aggregationTemporality": 2, "dataPoints": points });
    let metric = json!({ "name": "sales.made", "unit": "{sale}", "sum": sum });
    let body = json!({ "resourceMetrics": [{
        "resource": { "attributes": service }, "scopeMetrics": [{ "metrics": [metric] }],
    }] });
    let url = format!("{}/api/v1/otlp/v1/metrics", scene.agent.url());
    let answer = testkit::post(&url, "application/json", &body.to_string()).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let (start, end) = ((now - 60_000) as f64 / 1e3, (now - 20_000) as f64 / 1e3);
    let range = format!("start={start}&end={end}&step=20&stats=all");
    let answer = scene.ask(&format!("query_range?query=sales_made_total&{range}")).await;
    let result = &answer["data"]["result"][0];
    assert_eq!(result["metric"], json!({ "__name__": "sales_made_total", "job": "shop" }), "{answer}");
    let samples = &answer["data"]["stats"]["samples"];
    let counts = |name: &str| -> Vec<u64> {
        let steps = samples[name].as_array().expect("steps");
        steps.iter().map(|step| step[1].as_u64().expect("a number")).collect()
    };
    assert_eq!(
        (counts("totalQueryableSamplesPerStep"), &samples["totalQueryableSamples"]),
        (vec![1, 1, 1], &json!(3))
    );
    assert_eq!(
        counts("samplesReadPerStep").iter().sum::<u64>(),
        samples["samplesRead"].as_u64().expect("a number")
    );
    let url =
        format!("{}/api/v1/search/metric_names?search[]=sales_made&fuzz_threshold=80", scene.agent.url());
    let found = testkit::get(&url).await.expect("an answer").body;
    assert_eq!(
        found,
        "{\"results\":[{\"name\":\"sales_made_total\"}]}\n{\"status\":\"success\",\"has_more\":false}\n"
    );
}
