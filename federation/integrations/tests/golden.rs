//! Every integration against a real HTTP server: configuration and alerts in, requests and outcome out.
//!
//! A case is a file in `golden/`: a line that says what it shows, then sections. `== global` and `== receiver`
//! are alertmanager.yml; `== file NAME` is a file beside it. Each `== answer STATUS [TYPE] [HEADER=VALUE]` is what
//! the server says to one request, then `== notify firing|resolved [again] [KEY=VALUE]` sends, `== expect` has the requests, and
//! `== outcome` what the alertmanager is told (without it: success, and nothing to remember). With `VEDETTE_BLESS=1`
//! what came is written into the files, for somebody to read.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use support::{Sink, built, notification, shown_outcome};

/// Headers that belong to what is agreed with a receiver.
const HEADERS: [&str; 11] = [
    "accept-language",
    "authorization",
    "content-type",
    "idempotency-key",
    "user-agent",
    "x-amz-date",
    "x-amz-security-token",
    "x-auth-token",
    "x-custom",
    "x-user-id",
    "proxy-authorization",
];

struct Section {
    name: String,
    args: Vec<String>,
    body: String,
}

fn sections(text: &str) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("== ") {
            let mut words = head.split_whitespace().map(str::to_owned);
            let name = words.next().expect("a section's name");
            found.push(Section { name, args: words.collect(), body: String::new() });
        } else if let Some(last) = found.last_mut() {
            last.body.push_str(line);
            last.body.push('\n');
        }
    }
    found
}

fn rendered(requests: &[support::Request]) -> String {
    let mut out = String::new();
    for request in requests {
        let _ = writeln!(out, "{} {}", request.method, request.target);
        let headers: BTreeMap<_, _> =
            HEADERS.iter().filter_map(|name| Some((name, request.headers.get(*name)?))).collect();
        for (name, value) in headers {
            // The agent's name is the same everywhere; it is looked at once, below.
            if *name != "user-agent" {
                let value = value.to_str().expect("text");
                // The signature is over the port too; a test of its own has a known one.
                let shown = value.split_once("Signature=").map_or(value, |(head, _)| head);
                let _ = writeln!(out, "{name}: {shown}");
            }
        }
        let agent = request.headers.get("user-agent").and_then(|it| it.to_str().ok());
        assert_eq!(agent, Some("Alertmanager/0.34.0"));
        let _ = write!(out, "\n{}", request.body);
        if !request.body.ends_with('\n') {
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

/// A case's text with the requests and outcomes that came.
async fn run(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::start().await;
    let dir = folder.path().to_string_lossy().into_owned();
    let place = |text: &str| text.replace("SINK", &sink.url()).replace("DIR", &dir);
    let hide = |text: &str| text.replace(&sink.url(), "SINK").replace(&dir, "DIR");
    let all = sections(text);
    let body_of = |name: &str| all.iter().find(|it| it.name == name).map_or("", |it| &*it.body);
    for section in all.iter().filter(|it| it.name == "file") {
        std::fs::write(folder.path().join(&section.args[0]), place(&section.body)).expect("written");
    }
    let notifiers = built(&place(body_of("global")), &place(body_of("receiver")), &sink.url());
    let notifier = notifiers.first().expect("an integration");
    assert!(name.starts_with(notifier.integration()), "{name} is about {}", notifier.integration());
    let head = text.split("== ").next().unwrap_or_default();
    let mut out = head.to_owned();
    for section in all.iter().filter(|it| !matches!(it.name.as_str(), "expect" | "outcome")) {
        let head = [std::slice::from_ref(&section.name), &section.args].concat().join(" ");
        let _ = write!(out, "== {head}\n{}", section.body);
        match section.name.as_str() {
            "answer" => sink.will_answer(&section.args, section.body.trim_end()),
            "notify" => {
                let outcome = notifier.notify(support::NID, &notification(&section.args)).await;
                let (outcome, requests) = (shown_outcome(outcome), rendered(&sink.take()));
                let _ = write!(out, "== expect\n{}", hide(&requests));
                if outcome != "accepted\n" {
                    let _ = write!(out, "== outcome\n{}", hide(&outcome));
                }
            }
            _ => {}
        }
    }
    out
}

#[tokio::test]
async fn requests_are_those_of_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).expect("cases").map(|it| it.expect("a case").path()).collect();
    names.sort();
    assert!(names.len() >= 30, "{} cases", names.len());
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a case");
        let came = run(&name, &text).await;
        if std::env::var_os("VEDETTE_BLESS").is_some() {
            std::fs::write(&path, &came).expect("written");
        } else if came != text {
            wrong.push(format!("{name}: came\n{came}\nwanted\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
