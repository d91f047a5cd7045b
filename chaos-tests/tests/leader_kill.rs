//! The raft leader is killed while an alert is under way: never no page, a second copy only where it is owed.

use std::sync::Arc;
use std::time::Duration;

use chaos_tests::{
    Agent, AgentOptions, Folder, NodeExporter, Open, Pair, PairOptions, alerts, alone, now_ms, open_intents,
    report, seeds, size, story, wait,
};
use env::SeededRandom;
use testkit::{Page, Sink, eventually};

const RULES: &str = "
      - alert: Switched
        expr: chaos_switch == 1
";
/// Longest wait for a page: an election, and a foreign announcement that is waited out.
const PAGED: Duration = Duration::from_secs(60);
/// An announcement of a dead leader is waited out: 15 s, an election, and a slow answer.
const ANNOUNCED: Duration = Duration::from_secs(20);
/// A kill falls so long after the alert at most.
const KILL_MS: u64 = 6_000;
/// The sink answers so late at most.
const ANSWER_MS: u64 = 1_500;
/// The alert lasts so long at most after its page.
const LASTS_MS: u64 = 3_000;

/// One kill: what must hold for it is judged when all pages are in.
struct Kill {
    seed: u64,
    run: String,
    /// What the dead leader had announced and not finished.
    open: Open,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_dies_between_alert_and_resolution() {
    kills("leader_kill", Duration::ZERO, size(4, 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_dies_while_the_witness_holds_the_longer_log() {
    kills("leader_kill, the survivor's traffic 1 s late", Duration::from_secs(1), size(2, 20)).await;
}

/// Kills until so many fell between an alert and its resolution.
async fn kills(name: &str, lag: Duration, count: usize) {
    let _turn = alone().await;
    let folder = Folder::new();
    let Some(exporter) = NodeExporter::start(&folder).await else { return };
    let sink = Sink::start().await;
    let rules = PairOptions { rules: RULES.to_owned(), proxied: true, ..PairOptions::default() };
    let mut pair = Pair::start(&folder, &sink, &rules).await;
    let options = AgentOptions {
        scrape: format!(
            "  - job_name: node\n    static_configs:\n      - targets: [\"{}\"]\n",
            exporter.target()
        ),
        interval: "1s".to_owned(),
        endpoints: pair.endpoints(),
        host: false,
    };
    let mut agent = Agent::new(&folder, "edge", &options);
    agent.start().await;

    let begun = now_ms();
    let mut judged = Vec::new();
    let mut tried = 0;
    let planned = seeds(count);
    // A kill that came too late does not count: its seed's successor is tried instead.
    let more = (1..=count as u64).map(|more| planned[0].wrapping_add(1_000 * more));
    for seed in planned.iter().copied().chain(more) {
        tried += 1;
        let run = format!("{tried}");
        if let Some(open) = one_kill(&mut pair, &agent, &exporter, &sink, &run, seed, lag).await {
            judged.push(Kill { seed, run, open });
        }
        if judged.len() == planned.len() {
            break;
        }
    }
    assert_eq!(judged.len(), planned.len(), "of {tried} runs only so many kills fell in time");
    let open = judged.iter().filter(|kill| kill.open != Open::default()).count();
    if judged.last().is_some_and(|kill| kill.open != Open::default()) {
        // A copy of what was announced comes once the announcement is waited out.
        wait(ANNOUNCED).await;
    }
    let mut copies = 0;
    for kill in &judged {
        match judge(&sink, kill) {
            Ok(more) => copies += more,
            Err(wrong) => {
                panic!("seed {}, run {}: {wrong}\n{}", kill.seed, kill.run, tale(&mut pair, &sink, &kill.run))
            }
        }
    }
    report(&format!(
        "{name}: {} kills in {} s, {open} with an open announcement, {copies} second copies of those, seeds {:?}",
        judged.len(),
        (now_ms() - begun) / 1000,
        judged.iter().map(|kill| kill.seed).collect::<Vec<_>>()
    ));
}

/// One alert with one kill; none if the resolution was through before the kill.
async fn one_kill(
    pair: &mut Pair,
    agent: &Agent,
    exporter: &NodeExporter,
    sink: &Sink,
    run: &str,
    seed: u64,
    lag: Duration,
) -> Option<Open> {
    let random = SeededRandom::shared(seed);
    let draw = |most: u64| Duration::from_millis(random.next_u64() % most);
    let (kill_after, lasts, restart_first) = (draw(KILL_MS), draw(LASTS_MS), draw(2) == Duration::ZERO);
    let answers = Arc::clone(&random);
    sink.set_delay(move || Duration::from_millis(answers.next_u64() % ANSWER_MS));
    let leader = pair.leader().await;
    let survivor = if leader == "a" { "b" } else { "a" };
    let line = |pair: &Pair, lag| pair.node(survivor).proxy().expect("proxied").delay(lag);
    line(pair, lag);

    exporter.switch(run, true);
    let mut urls: Vec<String> = pair.nodes().iter().map(chaos_tests::Node::url).collect();
    eventually("the alert reaches an alertmanager", Duration::from_secs(60), || async {
        for url in &urls {
            let held = alerts(url).await.unwrap_or_default();
            if held.iter().any(|alert| alert["labels"]["run"] == run) {
                return Some(());
            }
        }
        None
    })
    .await;
    urls.push(agent.url());
    report(&format!("seed {seed}, run {run}: kills {leader} {} ms after the alert", kill_after.as_millis()));

    let resolution = async {
        arrives(sink, &urls, run, "firing", seed).await;
        wait(lasts).await;
        exporter.switch(run, false);
        arrives(sink, &urls, run, "resolved", seed).await;
    };
    let kill = async {
        wait(kill_after).await;
        let in_time = pages(sink, run, "resolved").is_empty();
        pair.node_mut(leader).kill();
        // What the survivor lacks it lacks now; a line this slow at both ends would let nobody win.
        line(pair, Duration::ZERO);
        let open = open_intents(pair.node(leader).data(), &format!("run=\"{run}\"")).expect("its log");
        if restart_first {
            pair.node_mut(leader).launch();
        }
        in_time.then_some(open)
    };
    let (open, ()) = tokio::join!(kill, resolution);
    if !restart_first {
        pair.node_mut(leader).launch();
    }
    pair.node_mut(leader).ready().await;
    pair.formed().await;
    open
}

async fn arrives(sink: &Sink, urls: &[String], run: &str, status: &str, seed: u64) {
    let arrived = tokio::time::timeout(PAGED, async {
        while pages(sink, run, status).is_empty() {
            wait(Duration::from_millis(50)).await;
        }
    });
    if arrived.await.is_err() {
        panic!("seed {seed}: no {status} page of run {run}\n{}", Pair::describe(urls).await);
    }
}

/// Pages of one run. A page carries one alert: groups are by run.
fn pages(sink: &Sink, run: &str, status: &str) -> Vec<Page> {
    let of = |page: &Page| page.status() == status && page.body["groupLabels"]["run"] == run;
    sink.pages().into_iter().filter(of).collect()
}

/// Never no page; one copy more only of what the dead leader had announced and not finished.
fn judge(sink: &Sink, kill: &Kill) -> Result<usize, String> {
    let mut copies = 0;
    for (status, open) in [("firing", kill.open.firing), ("resolved", kill.open.resolved)] {
        let count = pages(sink, &kill.run, status).len();
        if count == 0 || count > 1 + open {
            return Err(format!("{count} {status} pages, {open} open"));
        }
        copies += count - 1;
    }
    Ok(copies)
}

/// Every page of a run, and what the logs of all nodes say of it. Ends the pair.
fn tale(pair: &mut Pair, sink: &Sink, run: &str) -> String {
    let of_run = |page: &Page| page.body["groupLabels"]["run"] == run;
    let pages = sink.pages().into_iter().filter(of_run).map(|page| {
        let (status, from) = (page.status().to_owned(), &page.body["externalURL"]);
        format!(
            "{} {status} from {from}: {} {}\n",
            page.at_ms, page.body["notification_reason"], page.body["alerts"]
        )
    });
    let mut told: String = pages.collect();
    for name in ["a", "b", "w"] {
        pair.node_mut(name).kill();
        let node = pair.node(name);
        let story = story(node.data(), &format!("run=\"{run}\""), &|alert| alert.labels.value("run") == run);
        told +=
            &format!("{name} ({}):\n{}", node.url(), story.unwrap_or_else(|error| format!("  {error:#}\n")));
    }
    told
}
