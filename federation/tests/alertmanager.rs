//! The program under the name alertmanager: its flags, its pages, its clusters.

mod common;

use std::os::unix::fs::symlink;
use std::process::Command;

use common::{Server, Tool};
use rustix::process::Signal;
use serde_json::Value;

const FILE: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

async fn get(url: &str) -> (u16, String) {
    let answer = testkit::get(url).await.expect("answers");
    (answer.status, answer.body)
}

async fn status(server: &Server) -> Value {
    let (code, text) = get(&format!("{}/api/v2/status", server.url)).await;
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

fn members(tool: &Tool) -> usize {
    tool.ok("cluster -o extended").lines().skip(4).count()
}

/// Every flag of Alertmanager's is taken, and those that mean nothing here are named once.
#[tokio::test]
async fn every_flag_is_taken() {
    let flags = [
        "--data.retention=24h",
        "--data.maintenance-interval=1m",
        "--silences.max-silences=5",
        "--silences.max-silence-size-bytes=10000",
        "--log.silences",
        "--alerts.gc-interval=10m",
        "--alerts.per-alertname-limit=10",
        "--dispatch.maintenance-interval=10s",
        "--dispatch.start-delay=1s",
        "--web.get-concurrency=5",
        "--web.timeout=10s",
        "--auto-gomemlimit.ratio=0.8",
        "--log.level=debug",
        "--log.format=logfmt",
        "--enable-feature=utf8-strict-mode,auto-gomemlimit",
        "--cluster.advertise-address=127.0.0.1:9999",
        "--cluster.peer-timeout=10s",
        "--cluster.peers-resolve-timeout=1s",
        "--cluster.gossip-interval=200ms",
        "--cluster.pushpull-interval=1m0s",
        "--cluster.tcp-timeout=10s",
        "--cluster.probe-timeout=500ms",
        "--cluster.probe-interval=1s",
        "--cluster.settle-timeout=0s",
        "--cluster.reconnect-interval=10s",
        "--cluster.reconnect-timeout=6h",
        "--no-cluster.allow-insecure-public-advertise-address-discovery",
        "--cluster.label=here",
    ];
    let mut server = Server::start(FILE, &flags).await;
    let idle = "flags=auto-gomemlimit.ratio,dispatch.maintenance-interval,cluster.gossip-interval,cluster.pushpull-interval,cluster.tcp-timeout,cluster.probe-timeout,cluster.probe-interval,cluster.reconnect-interval,cluster.reconnect-timeout";
    assert_eq!(server.log().matches(idle).count(), 1, "{}", server.log());
    let tool = Tool::at(&server.url);
    server.until(|| tool.ok("cluster").contains("ready")).await;
    assert!(tool.ok("cluster -o extended").contains("127.0.0.1:9999"));
    let id = tool.ok("silence add a=b -c x");
    let said = format!("msg=\"a silence was set\" id={}", id.trim());
    assert!(server.log().contains(&said), "{}", server.log());
    server.stop().await;
}

/// What is not built, or cannot be, is refused with the flag's name: flags, what is said.
#[test]
fn what_cannot_be_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("alertmanager");
    symlink(env!("CARGO_BIN_EXE_vedette-federation"), &program).expect("linked");
    std::fs::write(dir.path().join("alertmanager.yml"), FILE).expect("written");
    for (flags, said) in [
        ("--bogus", "alertmanager: error: unknown long flag '--bogus', try --help"),
        (
            "--data.retention=5d",
            "alertmanager: error: time: unknown unit \"d\" in duration \"5d\", try --help",
        ),
        ("word", "alertmanager: error: unexpected word, try --help"),
        (
            "--log.level=loud",
            "alertmanager: error: enum value must be one of debug,info,warn,error, got 'loud', try --help",
        ),
        ("--web.systemd-socket", "--web.systemd-socket: "),
        ("--enable-feature=event-recorder", "--enable-feature=event-recorder: "),
        ("--enable-feature=nothing", "unknown option 'nothing' for --enable-feature"),
        (
            "--enable-feature=classic-mode,utf8-strict-mode",
            "cannot have both classic and UTF-8 modes enabled",
        ),
        ("--config.file=nowhere.yml", "Loading configuration file failed: nowhere.yml"),
        ("--web.listen-address=nowhere", "--web.listen-address="),
        ("--web.external-url=ftp://host", "invalid \"ftp\" scheme"),
        ("--cluster.listen-address= --cluster.peer=a:1", "--cluster.peer: "),
        ("--cluster.advertise-address=host", "--cluster.advertise-address=host: expected HOST:PORT"),
        ("--cluster.tls-config=nowhere.yml", "--cluster.tls-config=nowhere.yml: "),
    ] {
        let mut command = Command::new(&program);
        let output = command.args(flags.split(' ')).current_dir(dir.path()).output().expect("ends");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{flags}: {err}");
        assert!(err.contains(said), "{flags}: {err}");
    }
    let version = Command::new(&program).arg("--version").output().expect("ends");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("alertmanager, version 0.34.0 (branch: "));
}

#[tokio::test]
async fn alone_without_a_cluster() {
    let mut server = Server::start(FILE, &["--cluster.listen-address=", "--cluster.settle-timeout=0s"]).await;
    let tool = Tool::at(&server.url);
    let cluster = status(&server).await["cluster"].clone();
    assert_eq!(cluster, serde_json::json!({"peers": [], "status": "disabled"}));
    let id = tool.ok("silence add a=b -c kept");
    server.stop().await;
    // What was answered is there again.
    let dir = std::mem::replace(&mut server.dir, tempfile::tempdir().expect("a folder"));
    let mut again = Server::start_in(dir, FILE, &["--cluster.listen-address="]).await;
    let tool = Tool::at(&again.url);
    again.until(|| tool.run("silence query -q", "").out == id).await;
    again.stop().await;
}

#[tokio::test]
async fn pages_and_signals() {
    let mut server =
        Server::start(FILE, &["--web.route-prefix=/foo/", "--web.external-url=http://am/bar"]).await;
    let at = |path: &str| format!("{}{path}", server.url);
    for (path, code, part) in [
        ("/foo/-/healthy", 200, "OK"),
        ("/foo/-/ready", 200, "OK"),
        ("/foo/api/v2/status", 200, "versionInfo"),
        ("/foo/api/v1/alerts", 410, "deprecated"),
        ("/foo/metrics", 200, "alertmanager_config_last_reload_successful 1"),
        ("/api/v2/status", 404, ""),
    ] {
        let (status, text) = get(&at(path)).await;
        assert!(status == code && text.contains(part), "{path}: {status} {text}");
    }
    let tool = Tool::at(&at("/foo"));
    let file = server.dir.path().join("alertmanager.yml");
    std::fs::write(&file, "route: {receiver: other}\nreceivers: [{name: other}]\n").expect("written");
    server.signal(Signal::HUP);
    server.until(|| tool.ok("config").contains("other")).await;
    std::fs::write(&file, "route: {}\n").expect("written");
    server.signal(Signal::HUP);
    server.until(|| server.log().contains("could not be loaded")).await;
    assert!(tool.ok("config").contains("other"), "the old one stays");
    let (_, metrics) = get(&at("/foo/metrics")).await;
    assert!(metrics.contains("alertmanager_config_last_reload_successful 0"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn limits_are_kept() {
    let flags = [
        "--silences.max-silences=2",
        "--silences.max-silence-size-bytes=300",
        "--alerts.per-alertname-limit=2",
    ];
    let mut server = Server::start(FILE, &flags).await;
    let tool = Tool::at(&server.url);
    let long = format!("silence add a=b -c {}", "x".repeat(300));
    let refused = tool.run(&long, "");
    assert!(refused.err.contains("postSilencesBadRequest \"silence exceeded maximum size: "), "{refused:?}");
    let first = tool.ok("silence add a=1 -c x");
    tool.ok("silence add a=2 -c x");
    let third = tool.run("silence add a=3 -c x", "");
    assert!(third.err.contains("exceeded maximum number of silences: 2 (limit: 2)"), "{third:?}");
    tool.ok(&format!("silence update -q -d 9h {}", first.trim()));
    for n in 0..4 {
        tool.ok(&format!("alert add Many n={n}"));
        tool.ok(&format!("alert add Few{n} n={n}"));
    }
    tool.ok("alert add Many n=0");
    assert_eq!(tool.ok("alert query Many").lines().count(), 3);
    assert_eq!(tool.ok("alert query").lines().count(), 7);
    let (_, metrics) = get(&format!("{}/metrics", server.url)).await;
    assert!(metrics.contains("alertmanager_alerts_limited_total 2"), "{metrics}");
    server.stop().await;
}

/// The classic mode knows only the names that Prometheus 2 knew.
#[tokio::test]
async fn features_decide_what_names_are() {
    let mut classic = Server::start(FILE, &["--enable-feature=classic-mode"]).await;
    let mut utf8 = Server::start(FILE, &["--enable-feature=utf8-strict-mode"]).await;
    let (old, new) = (Tool::at(&classic.url), Tool::at(&utf8.url));
    for line in ["alert add a=b gr\u{fc}n=1", "silence add gr\u{fc}n=1 -c x"] {
        assert_eq!(new.run(line, "").code, Some(0), "{line}");
        let refused = old.run(line, "");
        assert!(refused.code == Some(1) && refused.err.contains("invalid"), "{line}: {refused:?}");
    }
    classic.stop().await;
    utf8.stop().await;
}

/// The first knows nobody; the others name it, and all of them see three members with one state.
#[tokio::test]
async fn three_become_a_cluster() {
    let mut first = Server::start(FILE, &["--cluster.settle-timeout=0s"]).await;
    let tool = Tool::at(&first.url);
    let member = || tool.ok("cluster -o extended").lines().nth(4).map(str::to_owned);
    first.until(|| member().is_some()).await;
    let peer =
        member().and_then(|line| line.split_whitespace().next().map(str::to_owned)).expect("an address");
    let flag = format!("--cluster.peer={peer}");
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(Server::start(FILE, &["--cluster.settle-timeout=0s", &flag]).await);
    }
    let all: Vec<&Server> = std::iter::once(&first).chain(&others).collect();
    let tools: Vec<Tool> = all.iter().map(|server| Tool::at(&server.url)).collect();
    first.until(|| tools.iter().all(|tool| members(tool) == 3)).await;
    let names: std::collections::BTreeSet<String> =
        tools.iter().map(|tool| tool.ok("cluster").lines().nth(1).unwrap_or_default().to_owned()).collect();
    assert_eq!(names.len(), 3, "each made a name of its own up: {names:?}");
    let id = tools[1].ok("silence add a=b -c x");
    for tool in &tools {
        assert_eq!(tool.ok("silence query -q"), id);
    }
    first.stop().await;
    others[0].until(|| tools[1].run("silence add c=d -c x", "").code == Some(0)).await;
    for server in &mut others {
        server.stop().await;
    }
}
