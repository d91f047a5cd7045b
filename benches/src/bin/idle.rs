//! What idle costs: the agent beside Prometheus and node_exporter, at the same time, on the same exporter.
//!
//! `idle [SECONDS]` (default 300): each program settles for the first half and is measured over the second.
//! The agent runs twice: once doing exactly what Prometheus does, once watching the host by itself, which
//! takes node_exporter's place too. The agent is the one built beside this program.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use testkit::{Peer, free_port, peer};

/// Clock ticks a second in /proc; the same on every Linux that Debian ships.
const TICKS: f64 = 100.0;

/// A program that ends with its value.
struct Running {
    name: &'static str,
    child: Child,
}

/// CPU seconds so far, and resident bytes now.
#[derive(Clone, Copy)]
struct Cost {
    cpu: f64,
    rss: f64,
}

impl Running {
    fn start(name: &'static str, command: &mut Command) -> std::io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { name, child })
    }

    /// Nothing once the program has ended.
    fn cost(&self) -> Option<Cost> {
        let folder = Path::new("/proc").join(self.child.id().to_string());
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th after it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(Cost { cpu: ticks / TICKS, rss: kib * 1024.0 })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::print_stderr, reason = "why there are no figures")]
fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(Ok(300), |text| text.parse());
    let Ok(seconds) = seconds else {
        eprintln!("expected a number of seconds");
        return ExitCode::from(2);
    };
    match measure(Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(time: Duration) -> std::io::Result<()> {
    let (Some(prometheus), Some(exporter)) = (peer(Peer::Prometheus), peer(Peer::NodeExporter)) else {
        return Err(std::io::Error::other("the peers are missing: `make test` unpacks them"));
    };
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let same = format!(
        "global: {{ scrape_interval: 15s }}\nscrape_configs:\n  - job_name: node\n    static_configs: [{{ targets: [\"127.0.0.1:{port}\"] }}]\n"
    );
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).map(|()| path)
    };
    let plain = file("prometheus.yml", &same)?;
    let agent_only = file("scrapes.yml", &format!("{same}vedette: {{ host: {{ enabled: false }} }}\n"))?;
    let alone = file("alone.yml", "global: { scrape_interval: 15s }\n")?;
    let server = |binary: &Path, config: &Path, data: &str| {
        let mut command = Command::new(binary);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join(data).display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", free_port()));
        command
    };
    let ours = std::env::current_exe()?.with_file_name("vedette-agent");
    let agent = |config: &Path, data: &str| {
        let mut command = Command::new(&ours);
        command.arg("run");
        let flags = server(Path::new("-"), config, data);
        command.args(flags.get_args());
        command
    };
    let running = [
        Running::start(
            "node_exporter",
            Command::new(exporter).arg(format!("--web.listen-address=127.0.0.1:{port}")),
        )?,
        Running::start("Prometheus, scrapes it", &mut server(&prometheus, &plain, "prometheus"))?,
        Running::start("agent, scrapes it", &mut agent(&agent_only, "scrapes"))?,
        Running::start("agent, watches the host itself", &mut agent(&alone, "alone"))?,
    ];
    show(&running, time)
}

#[allow(clippy::print_stdout, reason = "the figures are what was asked for")]
fn show(running: &[Running], time: Duration) -> std::io::Result<()> {
    let ended = |one: &Running| std::io::Error::other(format!("{} ended by itself", one.name));
    let costs =
        || running.iter().map(|one| one.cost().ok_or_else(|| ended(one))).collect::<Result<Vec<_>, _>>();
    std::thread::sleep(time / 2);
    let before = costs()?;
    std::thread::sleep(time / 2);
    let after = costs()?;
    let share = |at: usize| (after[at].cpu - before[at].cpu) / (time.as_secs_f64() / 2.0) * 100.0;
    for (at, one) in running.iter().enumerate() {
        println!("{:<32} {:>7.1} MiB  {:>6.2} % of a core", one.name, after[at].rss / 1_048_576.0, share(at));
    }
    println!("agent : Prometheus, same work             {:.2} of its memory", after[2].rss / after[1].rss);
    println!(
        "agent : Prometheus and node_exporter      {:.2} of their memory",
        after[3].rss / (after[0].rss + after[1].rss)
    );
    Ok(())
}
