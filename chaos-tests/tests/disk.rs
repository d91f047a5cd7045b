//! A disk that is full, read-only, or out of inodes, and a process out of descriptors: an agent goes on scraping,
//! answering and evaluating from memory, and needs no restart when the trouble is over.
//!
//! The disk is a small tmpfs, which takes root; without it the test says so and is skipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use chaos_tests::{Agent, AgentOptions, Folder, alone, instant, metric, now_ms, report, samples, size, wait};
use testkit::{FakeExporter, eventually};

/// A response that was finished so long before a kill must be there.
const FINISHED: i64 = 1_000;
/// After the trouble is over the log must be written again within this time.
const RECOVERED: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);

/// A small disk, gone when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where this process may not mount.
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).expect("a folder");
        run("mount", &["-t", "tmpfs", "-o", "size=8m,nr_inodes=64", "tmpfs", &path.display().to_string()])
            .then(|| Self(path.to_path_buf()))
    }

    fn remount(&self, how: &str) {
        assert!(
            run("mount", &["-o", &format!("remount,{how}"), &self.0.display().to_string()]),
            "remount {how}"
        );
    }

    /// Somebody else fills it.
    fn fill(&self) {
        let block = vec![7_u8; 64 << 10];
        let mut file = fs::File::create(self.0.join("others")).expect("room for a file");
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        // To the last byte.
        while std::io::Write::write_all(&mut file, &[7]).is_ok() {}
    }

    fn fill_inodes(&self) {
        let mut names = (0..).map(|n| self.0.join(format!("others-{n}")));
        while names.next().is_some_and(|name| fs::write(name, "").is_ok()) {}
    }

    /// What others left is removed.
    fn free(&self) {
        for entry in fs::read_dir(&self.0).expect("lists").flatten() {
            if entry.file_name().to_string_lossy().starts_with("others") {
                fs::remove_file(entry.path()).expect("removes");
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The agent, its disk, and what it owes.
struct Scene {
    agent: Agent,
    exporter: FakeExporter,
    owed: BTreeSet<u64>,
    lived: usize,
    // Unmounted after the agent is gone.
    disk: Disk,
}

impl Scene {
    /// SIGKILL; all that was served well before it is owed.
    fn kill(&mut self) {
        let killed = now_ms();
        self.agent.kill();
        let served = self.exporter.served();
        let finished = served.iter().skip(self.lived).filter(|served| {
            let at = served.at.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
            i64::try_from(at).expect("this century") <= killed - FINISHED
        });
        self.owed.extend(finished.map(|served| served.number));
        self.lived = served.len();
    }

    async fn log_is_failing(&self, failing: bool) {
        let url = self.agent.url();
        let what = if failing { "the log takes nothing" } else { "the log is written again" };
        eventually(what, if failing { SOON } else { RECOVERED }, || async {
            let value = metric(&url, "vedette_log_failing").await.ok()??;
            (value == f64::from(u8::from(failing))).then_some(())
        })
        .await;
    }

    /// Scrapes, recorded samples and alerts newer than now can be asked for.
    async fn goes_on(&self, what: &str) {
        let (url, now) = (self.agent.url(), now_ms());
        for newest in [
            "max(timestamp(scrape_number))",
            "max(timestamp(twice))",
            "max(timestamp(ALERTS{alertname=\"Always\",alertstate=\"firing\"}))",
        ] {
            eventually(&format!("{newest} rises: {what}"), SOON, || async {
                let answer = instant(&url, newest).await.ok()?;
                let seconds: f64 = answer[0]["value"][1].as_str()?.parse().ok()?;
                (seconds * 1000.0 > now as f64 + 500.0).then_some(())
            })
            .await;
        }
        let twice = instant(&url, "max(twice) % 2 == 0 and max(twice) > 0").await.expect("an answer");
        assert_eq!(twice.as_array().map(Vec::len), Some(1), "{what}: a recorded value that is no double");
    }

    /// All that is owed is there, and nothing that was not served.
    async fn is_whole(&self, series: usize) {
        let last = self.exporter.served().len() as u64;
        let stored = samples(&self.agent.url(), "scrape_number[2h]").await.expect("an answer");
        assert_eq!(stored.len(), series);
        for (name, points) in &stored {
            let numbers = BTreeSet::from_iter(points.values().map(|bits| f64::from_bits(*bits) as u64));
            assert_eq!(numbers.len(), points.len(), "{name:?}: a scrape stands there twice");
            let lost: Vec<_> = self.owed.difference(&numbers).collect();
            assert!(lost.is_empty(), "{name:?} lacks {lost:?} of {}", self.owed.len());
            assert!(numbers.iter().all(|number| (1..=last + 20).contains(number)), "{name:?}: {numbers:?}");
        }
    }
}

fn scene(folder: &Folder, exporter: FakeExporter) -> Option<Scene> {
    let rules = folder.file(
        "rules.yml",
        "groups:\n  - name: disk\n    interval: 1s\n    rules:\n      - record: twice\n        expr: max(scrape_number) * 2\n      \
         - alert: Always\n        expr: max(scrape_number) > 0\n",
    );
    let options = AgentOptions {
        scrape: format!(
            "  - job_name: load\n    static_configs:\n      - targets: [\"{}\"]\nrule_files: [\"{}\"]\n",
            exporter.address(),
            rules.display()
        ),
        interval: "200ms".to_owned(),
        ..AgentOptions::default()
    };
    let agent = Agent::new(folder, "edge", &options);
    let Some(disk) = Disk::mount(agent.data()) else {
        report("disk: skipped, this process may not mount a tmpfs");
        return None;
    };
    Some(Scene { agent, exporter, owed: BTreeSet::new(), lived: 0, disk })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_goes_on_without_its_disk_and_recovers_without_a_restart() {
    let _turn = alone().await;
    let folder = Folder::new();
    let series = size(100, 500);
    let Some(mut scene) = scene(&folder, FakeExporter::start(series).await) else { return };
    scene.agent.start().await;
    scene.goes_on("healthy").await;
    for round in 0..size(1, 10) {
        scene.disk.fill();
        scene.log_is_failing(true).await;
        scene.goes_on("full").await;
        pause(size(500, 10_000)).await;
        scene.disk.free();
        scene.log_is_failing(false).await;
        scene.goes_on("freed").await;

        // Started where nothing can be written, it knows what it had, and goes on.
        pause(1_500).await;
        scene.kill();
        scene.disk.remount("ro");
        scene.agent.start().await;
        scene.is_whole(series).await;
        scene.goes_on("read-only").await;
        scene.log_is_failing(true).await;
        scene.disk.remount("rw");
        scene.log_is_failing(false).await;
        scene.goes_on("writable").await;

        pause(1_500).await;
        scene.kill();
        scene.disk.fill_inodes();
        scene.agent.start().await;
        scene.goes_on("without inodes").await;
        scene.log_is_failing(true).await;
        scene.disk.free();
        scene.log_is_failing(false).await;

        without_descriptors(&mut scene).await;
        pause(1_500).await;
        scene.kill();
        scene.agent.start().await;
        scene.is_whole(series).await;
        report(&format!("disk round {round}: {} scrapes owed, all there", scene.owed.len()));
    }
}

/// It may open nothing for a while, no connection among it.
async fn without_descriptors(scene: &mut Scene) {
    let id = scene.agent.id();
    let limit = |soft: &str| run("prlimit", &["--pid", &id.to_string(), &format!("--nofile={soft}:")]);
    let before = fs::read_to_string(format!("/proc/{id}/limits")).expect("its limits");
    let line = before.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let before = line.split_whitespace().nth(3).expect("the soft limit").to_owned();
    assert!(limit("8"), "prlimit");
    let served = scene.exporter.served().len();
    let _ = testkit::get(&format!("{}/-/ready", scene.agent.url())).await;
    pause(size(1_000, 5_000)).await;
    assert!(limit(&before), "prlimit");
    scene.goes_on("with descriptors again").await;
    assert!(scene.exporter.served().len() > served, "it scrapes");
}

async fn pause(ms: u64) {
    wait(Duration::from_millis(ms)).await;
}
