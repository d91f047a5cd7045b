//! The line between an agent and its pair breaks: nothing is missing, nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use chaos_tests::{
    Agent, AgentOptions, Folder, Pair, PairOptions, alone, instant, metric, now_ms, report, samples, size,
    vector, wait,
};
use testkit::{FakeExporter, Proxy, Sink, eventually};

/// Longest wait until all stores agree after a fault.
const HEALED: Duration = Duration::from_secs(90);
const SERIES: usize = 20;

/// An exporter, an agent, and a line to each replica.
struct Scene {
    folder: Folder,
    exporter: FakeExporter,
    agent: Agent,
    pair: Pair,
    /// To `a` and to `b`.
    lines: [Proxy; 2],
    _sink: Sink,
}

impl Scene {
    async fn start() -> Self {
        let folder = Folder::new();
        let exporter = FakeExporter::start(SERIES).await;
        let sink = Sink::start().await;
        let rules = "      - record: chaos:series\n        expr: count(scrape_number)\n".to_owned();
        let pair = Pair::start(&folder, &sink, &PairOptions { rules, ..PairOptions::default() }).await;
        let [a, b] = [pair.node("a").grpc(), pair.node("b").grpc()];
        let lines = [Proxy::start(&a).await, Proxy::start(&b).await];
        let options = AgentOptions {
            scrape: format!(
                "  - job_name: load\n    static_configs:\n      - targets: [\"{}\"]\n",
                exporter.address()
            ),
            interval: "200ms".to_owned(),
            endpoints: lines.iter().map(|line| line.address().to_string()).collect(),
            host: false,
        };
        let mut agent = Agent::new(&folder, "edge", &options);
        agent.start().await;
        let scene = Self { folder, exporter, agent, pair, lines, _sink: sink };
        scene.flows().await;
        scene
    }

    /// Every store, the agent's first.
    fn stores(&self) -> [String; 3] {
        [self.agent.url(), self.pair.node("a").url(), self.pair.node("b").url()]
    }

    /// How many scrapes were finished by now.
    fn served(&self) -> u64 {
        self.exporter.served().len() as u64
    }

    /// Waits until what is served from now on reaches all three stores.
    async fn flows(&self) {
        let now = self.served() + 2;
        for store in self.stores() {
            eventually(&format!("scrape {now} reaches {store}"), HEALED, || async {
                (*numbers(&store).await?.last()? >= now).then_some(())
            })
            .await;
        }
    }

    fn cut(&self) {
        self.lines.iter().for_each(Proxy::cut);
    }

    fn heal(&self) {
        self.lines.iter().for_each(Proxy::heal);
    }

    /// Waits until each of the stores holds all of `owed`; then both replicas hold the same.
    async fn owes(&self, stores: &[String], owed: &BTreeSet<u64>) {
        for store in stores {
            let held = async || {
                let held = numbers(store).await?;
                owed.is_subset(&held).then_some(())
            };
            let ended = tokio::time::timeout(HEALED, async {
                while held().await.is_none() {
                    wait(Duration::from_millis(100)).await;
                }
            });
            if ended.await.is_err() {
                let held = numbers(store).await.unwrap_or_default();
                let missing: Vec<_> = owed.difference(&held).collect();
                panic!("{store} still lacks {missing:?} of {} scrapes", owed.len());
            }
        }
        let last = self.served();
        let [_, a, b] = self.stores();
        eventually("both replicas hold the same", HEALED, || async {
            let (mut a, mut b) = (points(&a).await?, points(&b).await?);
            for held in [&mut a, &mut b] {
                held.values_mut().for_each(|points| points.retain(|_, number| *number <= last));
            }
            (a == b && !a.is_empty()).then_some(())
        })
        .await;
    }

    /// The exporter's own record: scrapes finished within these times.
    fn record(&self, from_ms: i64, to_ms: i64) -> BTreeSet<u64> {
        let inside = |served: &testkit::Served| {
            let at = served.at.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
            (from_ms..=to_ms).contains(&i64::try_from(at).expect("this century"))
        };
        self.exporter.served().into_iter().filter(inside).map(|served| served.number).collect()
    }

    /// Stops the agent, so that counters stand still: each replica kept or recognised all it received.
    async fn adds_up(&mut self, restarted: &[&str]) {
        self.agent.stop().await.expect("it ends");
        for replica in self.pair.replicas() {
            let url = replica.url();
            let count = async |what: &str| {
                let name = format!("vedette_receive_frames_{what}_total");
                metric(&url, &name).await.expect("metrics").unwrap_or(0.0)
            };
            let (received, kept, known) =
                (count("received").await, count("appended").await, count("duplicate").await);
            assert!((received - kept - known).abs() < 0.5, "{url}: {received} != {kept} + {known}");
            assert!(kept > 0.0 || restarted.contains(&replica.name()), "{url} received nothing");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_is_cut() {
    let _turn = alone().await;
    let mut scene = Scene::start().await;
    let begun = now_ms();
    scene.cut();
    during_the_cut(&scene).await;
    scene.heal();
    scene.flows().await;
    let owed = scene.record(0, now_ms());
    scene.owes(&scene.stores(), &owed).await;
    scene.adds_up(&[]).await;
    report(&format!("uplink_cut: {} scrapes in three stores, {} ms", owed.len(), now_ms() - begun));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_is_cut_and_a_replica_is_dead() {
    let _turn = alone().await;
    let mut scene = Scene::start().await;
    scene.cut();
    scene.pair.node_mut("b").kill();
    during_the_cut(&scene).await;
    scene.heal();
    // One replica alone takes what was missed; the other finds it at both.
    let now = scene.served() + 2;
    let a = scene.pair.node("a").url();
    eventually("the living replica catches up", HEALED, || async {
        (*numbers(&a).await?.last()? >= now).then_some(())
    })
    .await;
    let b = scene.pair.node_mut("b");
    b.launch();
    b.ready().await;
    scene.flows().await;
    let owed = scene.record(0, now_ms());
    scene.owes(&scene.stores(), &owed).await;
    scene.adds_up(&["b"]).await;
    report(&format!("uplink_cut, b dead: {} scrapes in three stores", owed.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_log_is_cut_back_to_its_last_sync() {
    let _turn = alone().await;
    let mut scene = Scene::start().await;
    // Only one replica has the newest frames, and the agent is about to forget them.
    scene.lines[1].cut();
    wait(Duration::from_millis(size(2_000, 20_000))).await;
    let synced = unsynced_moment(&scene).await;
    let killed = now_ms();
    scene.agent.kill();
    let lost = cut_back(scene.agent.data(), &synced);
    assert!(lost > 0, "nothing was cut off");
    after_the_restart(&mut scene, killed).await;
    report(&format!("uplink_cut, log cut back by {lost} bytes: no new sample missing"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_agents_directory_is_restored() {
    let _turn = alone().await;
    let mut scene = Scene::start().await;
    let copy = scene.folder.path().join("older");
    copy_folder(scene.agent.data(), &copy);
    wait(Duration::from_millis(size(2_000, 20_000))).await;
    scene.cut();
    wait(Duration::from_millis(size(1_000, 10_000))).await;
    let killed = now_ms();
    scene.agent.kill();
    std::fs::remove_dir_all(scene.agent.data()).expect("the agent's folder");
    std::fs::rename(&copy, scene.agent.data()).expect("the copy");
    // What was scraped during the cut is gone with the folder: nobody else had it.
    after_the_restart(&mut scene, killed - size(1_000, 10_000)).await;
    report("uplink_cut, older copy restored: no new sample missing");
}

/// The agent goes on alone: it scrapes and answers.
async fn during_the_cut(scene: &Scene) {
    let until = now_ms() + size(6_000, 60_000);
    let mut before = scene.served();
    while now_ms() < until {
        wait(Duration::from_secs(1)).await;
        let now = scene.served();
        assert!(now > before, "the agent stopped scraping at {before}");
        let newest = vector(&scene.agent.url(), "max(scrape_number)").await.expect("an answer");
        assert!(newest[0].1 >= before as f64, "the agent answers {newest:?} after scrape {before}");
        before = now;
    }
    let connected = metric(&scene.agent.url(), "vedette_uplink_connected").await.expect("metrics");
    assert_eq!(connected, Some(0.0), "the line was not cut");
    instant(&scene.pair.node("a").url(), "up").await.expect("a replica answers meanwhile");
}

/// Starts the agent on what is left of its folder and heals: what the exporter served until the kill and
/// was shipped, and everything since the start, is at both replicas.
async fn after_the_restart(scene: &mut Scene, shipped_until: i64) {
    let restarted = now_ms();
    scene.agent.start().await;
    scene.heal();
    wait(Duration::from_secs(size(2, 20))).await;
    scene.flows().await;
    let [agent, a, b] = scene.stores();
    let new = scene.record(restarted, now_ms());
    assert!(!new.is_empty(), "nothing was served since the start");
    let mut owed = new.clone();
    owed.extend(scene.record(0, shipped_until - 1_000));
    owed.extend(numbers(&agent).await.expect("the agent answers"));
    scene.owes(&[a, b], &owed).await;
    scene.owes(&[agent], &new).await;
    scene.adds_up(&[]).await;
}

/// Waits for a moment at which the log is longer than its last sync, and gives each file's length at that sync.
async fn unsynced_moment(scene: &Scene) -> BTreeMap<String, u64> {
    let syncs = async || metric(&scene.agent.url(), "vedette_log_syncs_total").await.ok().flatten();
    let log = scene.agent.data().join("log");
    let deadline = now_ms() + 30_000;
    let (mut count, mut before) = (syncs().await, lengths(&log));
    let mut synced: Option<BTreeMap<String, u64>> = None;
    loop {
        assert!(now_ms() < deadline, "the log is never ahead of its last sync");
        wait(Duration::from_millis(20)).await;
        let (now, length) = (syncs().await, lengths(&log));
        if now > count {
            // It ended since the last look, and covers at least what was there one look earlier.
            synced = Some(before.clone());
        }
        if let Some(synced) = synced.as_ref().filter(|_| now == count) {
            let ahead: u64 = length.values().sum::<u64>() - synced.values().sum::<u64>();
            if ahead > 0 {
                return synced.clone();
            }
        }
        (count, before) = (now, length);
    }
}

fn lengths(folder: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(folder).expect("the log's folder");
    let length = |entry: std::fs::DirEntry| {
        Some((entry.file_name().to_string_lossy().into_owned(), entry.metadata().ok()?.len()))
    };
    entries.flatten().filter_map(length).collect()
}

/// Cuts each file of the log to the length it had; gives the bytes that are gone.
fn cut_back(data: &Path, synced: &BTreeMap<String, u64>) -> u64 {
    let log = data.join("log");
    let mut gone = 0;
    for (name, length) in lengths(&log) {
        let keep = synced.get(&name).copied().unwrap_or(0);
        gone += length - keep;
        let file = std::fs::File::options().write(true).open(log.join(name)).expect("a segment");
        file.set_len(keep).expect("a shorter segment");
    }
    gone
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Scrape numbers that a store holds for every series.
async fn numbers(store: &str) -> Option<BTreeSet<u64>> {
    let points = points(store).await?;
    if points.len() != SERIES {
        return None;
    }
    let mut all = points.into_values().map(|points| BTreeSet::from_iter(points.into_values()));
    let first = all.next()?;
    Some(all.fold(first, |held, one| &held & &one))
}

/// Each series' samples: time to scrape number.
async fn points(store: &str) -> Option<BTreeMap<String, BTreeMap<i64, u64>>> {
    let stored = samples(store, "scrape_number[2h]").await.ok()?;
    let series = stored.into_iter().map(|(name, points)| {
        let count = points.len();
        let numbers: BTreeMap<i64, u64> =
            points.into_iter().map(|(at, bits)| (at, f64::from_bits(bits) as u64)).collect();
        let distinct: BTreeSet<u64> = numbers.values().copied().collect();
        assert_eq!(distinct.len(), count, "{store}: {name:?} holds a scrape twice");
        (name["series"].clone(), numbers)
    });
    Some(series.collect())
}
