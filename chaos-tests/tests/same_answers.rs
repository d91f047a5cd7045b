//! An agent and Debian's Prometheus 2.42 give the same answers over the same data, but for a written list of changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use chaos_tests::{Agent, AgentOptions, Folder, alone, now_ms, report};
use serde_json::Value;
use testkit::{Peer, Process, eventually, free_port, peer, program};

const QUERIES: &str = include_str!("same_answers/queries.txt");
const CHANGES: &str = include_str!("same_answers/changes.txt");
const WRONG: &str = include_str!("same_answers/wrong.txt");
/// Queries that have no time to run: where that is noticed is left to chance.
const HURRIED: [&str; 3] = ["query=up&timeout=1ns", "query=up&timeout=-1", "query=up&timeout=0s"];

/// Seconds between samples.
const STEP: i64 = 15;
/// Samples of each series.
const COUNT: i64 = 160;
/// Numbers may differ by this share where an order of additions is not defined.
const SHARE: f64 = 1e-12;

struct Pair {
    agent: Agent,
    theirs: String,
    _prometheus: Process,
    /// The time of the newest samples, in seconds.
    newest: i64,
}

/// A page of series whose values are multiples of a quarter, so that sums are exact in any order.
fn page(newest: i64) -> String {
    let mut out = String::new();
    for at in 0..COUNT {
        let time = (newest - (COUNT - 1 - at) * STEP) * 1000;
        let mut put = |series: &str, value: f64| {
            let value = if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
            writeln!(out, "{series} {value} {time}").expect("a string");
        };
        // Some counters begin again.
        let grown = |speed: i64, reset: i64| ((at % reset) * speed) as f64 / 4.0;
        for instance in 1..=3 {
            let wave = (at * 37 * instance) % 101;
            put(
                &format!("memory_bytes{{instance=\"{instance}\"}}"),
                1000.0 + (wave * 64) as f64 + instance as f64,
            );
            put(
                &format!("code_number{{instance=\"{instance}\"}}"),
                [200.0, 404.0, 500.0][((at / 7 + instance) % 3) as usize],
            );
            put(&format!("info_metric{{instance=\"{instance}\",kind=\"k{instance}\"}}"), 1.0);
            for (place, path) in ["/a", "/b"].iter().enumerate() {
                for (other, code) in ["200", "500"].iter().enumerate() {
                    let speed = 3 + instance * 5 + place as i64 * 11 + other as i64;
                    let series =
                        format!("requests_total{{instance=\"{instance}\",path=\"{path}\",code=\"{code}\"}}");
                    put(&series, grown(speed, 90 + 10 * instance));
                }
            }
            for (place, le) in ["0.1", "0.5", "1", "+Inf"].iter().enumerate() {
                let series = format!("duration_seconds_bucket{{instance=\"{instance}\",le=\"{le}\"}}");
                put(&series, grown((place as i64 + 1) * (4 + instance), COUNT));
            }
        }
        if at % 20 < 8 {
            put("gappy{a=\"1\"}", at as f64);
        }
        if at % 31 > 2 {
            put("gappy{a=\"2\"}", -(at as f64));
        }
        put("odd{a=\"nan\"}", if at % 5 == 0 { f64::NAN } else { at as f64 });
        put("odd{a=\"inf\"}", if at % 7 == 0 { f64::INFINITY } else { at as f64 });
        put("odd{a=\"zero\"}", if at % 2 == 0 { -0.0 } else { 0.0 });
    }
    out
}

impl Pair {
    async fn start(folder: &Folder) -> Option<Self> {
        let program_of_theirs = peer(Peer::Prometheus)?;
        let options = AgentOptions {
            scrape: "  []\n".to_owned(),
            interval: "1s".to_owned(),
            ..AgentOptions::default()
        };
        let agent = Agent::new(folder, "ours", &options);
        let mut agent = agent.with_flag("--web.enable-remote-write-receiver");
        agent.start().await;
        let port = free_port();
        let config = folder.file("theirs.yml", "global: { evaluation_interval: 1m }\n");
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("theirs.data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = folder.path().join("theirs.log");
        let prometheus = Process::start(&program_of_theirs, &arguments, &log).expect("a Prometheus");
        let theirs = format!("http://127.0.0.1:{port}");
        eventually("Prometheus is ready", Duration::from_secs(60), || async {
            testkit::get(&format!("{theirs}/-/ready")).await.ok().filter(|answer| answer.status == 200)
        })
        .await;
        let newest = now_ms() / 1000 / 60 * 60;
        let page = folder.file("page.prom", &page(newest));
        for url in [agent.url(), theirs.clone()] {
            let output = Command::new(program("vedette-agent"))
                .args(["promtool", "push", "metrics", &format!("{url}/api/v1/write")])
                .arg(&page)
                .output()
                .expect("runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Some(Self { agent, theirs, _prometheus: prometheus, newest })
    }

    /// The answers of both to the same request.
    async fn ask(&self, path: &str, parameters: &str) -> (Reply, Reply) {
        let one = async |base: &str| {
            let url = format!("{base}/api/v1/{path}?{parameters}");
            let answer = testkit::get(&url).await.expect("an answer");
            let json = answer.json().unwrap_or(Value::String(answer.body.clone()));
            Reply { code: answer.status, json }
        };
        (one(&self.theirs).await, one(&self.agent.url()).await)
    }
}

#[derive(Debug)]
struct Reply {
    code: u16,
    json: Value,
}

/// What differs between two answers, and how many numbers only differ in their last digits.
fn difference(theirs: &Reply, ours: &Reply, ordered: bool) -> Result<usize, String> {
    let kind = |reply: &Reply| (reply.code, reply.json["status"].clone(), reply.json["errorType"].clone());
    if kind(theirs) != kind(ours) {
        return Err(format!("{:?} or {:?}: {} or {}", kind(theirs), kind(ours), theirs.json, ours.json));
    }
    let (a, b) = (&theirs.json["data"], &ours.json["data"]);
    if a["resultType"] != b["resultType"] {
        return Err(format!("{} or {}", a["resultType"], b["resultType"]));
    }
    let (a, b) = (&a["result"], &b["result"]);
    let (Some(left), Some(right)) = (a.as_array(), b.as_array()) else {
        return if a == b { Ok(0) } else { Err(format!("{a} or {b}")) };
    };
    if left.first().is_none_or(|first| !first.is_object()) {
        return if a == b { Ok(0) } else { Err(format!("{a} or {b}")) };
    }
    if left.len() != right.len() {
        return Err(format!("{} or {} series: {a} or {b}", left.len(), right.len()));
    }
    if ordered {
        let names = |list: &[Value]| list.iter().map(|one| one["metric"].to_string()).collect::<Vec<_>>();
        if names(left) != names(right) {
            return Err(format!("in another order: {a} or {b}"));
        }
    }
    let by_name = |list: &[Value]| -> BTreeMap<String, Value> {
        list.iter().map(|one| (one["metric"].to_string(), one.clone())).collect()
    };
    let (left, right) = (by_name(left), by_name(right));
    let mut inexact = 0;
    for (name, series) in &left {
        let Some(other) = right.get(name) else { return Err(format!("{name} is not there: {b}")) };
        inexact += points(series, other).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(inexact)
}

fn points(a: &Value, b: &Value) -> Result<usize, String> {
    let all = |series: &Value| match series["values"].as_array() {
        Some(points) => points.clone(),
        None => vec![series["value"].clone()],
    };
    let (a, b) = (all(a), all(b));
    if a.len() != b.len() {
        return Err(format!("{} or {} points", a.len(), b.len()));
    }
    let mut inexact = 0;
    for (a, b) in a.iter().zip(&b) {
        if a == b {
            continue;
        }
        let number = |point: &Value| point[1].as_str().and_then(|text| text.parse::<f64>().ok());
        let (Some(x), Some(y)) = (number(a), number(b)) else { return Err(format!("{a} or {b}")) };
        let near = (x - y).abs() <= SHARE * x.abs().max(y.abs());
        if a[0] != b[0] || !near {
            return Err(format!("{a} or {b}"));
        }
        inexact += 1;
    }
    Ok(inexact)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn changed(query: &str) -> bool {
    lines(CHANGES).any(|line| line.split_once("  # ").is_some_and(|(known, _)| known.trim() == query))
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        write!(out, "%{byte:02X}").expect("a string");
    }
    out
}

/// Parameters as a URL takes them.
fn written(parameters: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", escape(name), escape(value)),
        None => escape(pair),
    };
    parameters.split('&').map(pair).collect::<Vec<_>>().join("&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_language_of_2_42_gives_the_same() {
    let _turn = alone().await;
    let folder = Folder::new();
    let Some(pair) = Pair::start(&folder).await else { return };
    let (mut asked, mut inexact, mut wrong) = (0, 0, Vec::new());
    for query in lines(QUERIES) {
        let text = escape(query);
        let ordered = query.starts_with("sort");
        // Never at a sample's own time: since 3.0 a range is open on its left.
        let times = [pair.newest + 7, pair.newest - 397, pair.newest - 1203, pair.newest - 5000];
        let mut requests: Vec<(&str, String)> =
            times.iter().map(|time| ("query", format!("query={text}&time={time}"))).collect();
        let (start, end) = (pair.newest - 1803, pair.newest + 297);
        requests.push(("query_range", format!("query={text}&start={start}&end={end}&step=60")));
        requests.push(("query_range", format!("query={text}&start={start}&end={start}&step=1")));
        let mut differs = Vec::new();
        for (path, parameters) in requests {
            let (theirs, ours) = pair.ask(path, &parameters).await;
            asked += 1;
            match difference(&theirs, &ours, ordered) {
                Ok(count) => inexact += count,
                Err(what) => differs.push(format!("{path} {}: {what}", &parameters[text.len() + 6..])),
            }
        }
        match (changed(query), differs.first()) {
            (false, Some(what)) => wrong.push(format!("{query}\n    {what}")),
            (true, None) => wrong.push(format!("{query}\n    is said to have changed, and gives the same")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {} queries:\n{}", wrong.len(), lines(QUERIES).count(), wrong.join("\n"));
    report(&format!(
        "same_answers: {} queries, {asked} answers compared, {} queries changed since 2.42, {inexact} numbers differ in their last digits",
        lines(QUERIES).count(),
        lines(CHANGES).count()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_get_the_same_errors_and_lists_are_alike() {
    let _turn = alone().await;
    let folder = Folder::new();
    let Some(pair) = Pair::start(&folder).await else { return };
    let mut wrong = Vec::new();
    for line in lines(WRONG) {
        let (request, change) =
            line.split_once("  # ").map_or((line, None), |(request, what)| (request, Some(what)));
        let (path, parameters) = request.split_once(' ').unwrap_or((request, ""));
        let parameters = written(&parameters.replace("=T", &format!("={}", pair.newest)));
        let (theirs, ours) = pair.ask(path, &parameters).await;
        let kind = |reply: &Reply| (reply.code, reply.json["errorType"].clone());
        let same = (kind(&theirs) == kind(&ours), theirs.json["error"] == ours.json["error"]);
        let as_said = match change {
            None => same == (true, true),
            Some(what) if what.starts_with("text: ") => same == (true, false),
            Some(_) => !same.0,
        };
        if !as_said {
            wrong.push(format!(
                "{line}\n    {}: {}\n    {}: {}",
                theirs.code, theirs.json, ours.code, ours.json
            ));
        }
    }
    for parameters in HURRIED {
        let (theirs, ours) = pair.ask("query", parameters).await;
        let kind = |reply: &Reply| (reply.code, reply.json["errorType"].clone());
        if kind(&theirs) != kind(&ours) {
            wrong.push(format!("{parameters}: {theirs:?} or {ours:?}"));
        }
    }
    let range = format!("start={}&end={}", pair.newest - 3600, pair.newest);
    for (path, parameters) in [
        ("series", "match[]=requests_total"),
        ("series", "match[]=memory_bytes&match[]=odd"),
        ("labels", ""),
        ("labels", "match[]=odd"),
        ("label/instance/values", ""),
        ("label/a/values", "match[]=odd"),
        ("label/nothing/values", ""),
        ("label/__name__/values", ""),
        ("metadata", ""),
        ("rules", ""),
        ("alerts", ""),
        ("query_exemplars", "query=odd"),
        ("format_query", "query=sum(odd)"),
    ] {
        let (theirs, ours) = pair.ask(path, &written(&format!("{parameters}&{range}"))).await;
        if (theirs.code, &theirs.json) != (ours.code, &ours.json) {
            wrong.push(format!("{path}?{parameters}: {} or {}", theirs.json, ours.json));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
