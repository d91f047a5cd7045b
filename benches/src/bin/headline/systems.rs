//! The programs that are measured: where they are, how they are started, how they are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use testkit::{Peer, Process, free_port, peer};

use crate::cost::{Cost, forget_peak, peak};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Vedette,
    Prometheus,
    Victoria,
}

impl System {
    pub(crate) const ALL: [Self; 3] = [Self::Vedette, Self::Prometheus, Self::Victoria];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vedette => "Vedette",
            Self::Prometheus => "Prometheus",
            Self::Victoria => "VictoriaMetrics",
        }
    }

    /// How it names itself to exporters.
    pub(crate) fn reader(self) -> &'static str {
        match self {
            Self::Vedette => "Vedette",
            Self::Prometheus => "Prometheus",
            Self::Victoria => "vm_promscrape",
        }
    }

    /// Where its binary is: what the environment names, or ours beside this program and the peers as unpacked.
    pub(crate) fn binary(self) -> Option<PathBuf> {
        let (variable, found) = match self {
            Self::Vedette => {
                let beside = std::env::current_exe().ok()?.with_file_name("vedette-agent");
                ("VEDETTE_BENCH_AGENT", Some(beside).filter(|path| path.is_file()))
            }
            Self::Prometheus => ("VEDETTE_BENCH_PROMETHEUS", None),
            Self::Victoria => ("VEDETTE_BENCH_VICTORIA", None),
        };
        if let Some(path) = std::env::var_os(variable) {
            return Some(PathBuf::from(path));
        }
        match self {
            Self::Vedette => found,
            Self::Prometheus => peer(Peer::Prometheus),
            Self::Victoria => peer(Peer::VictoriaMetrics),
        }
    }

    /// The first line of what it says of its version; where it says nothing, the package that it was unpacked from.
    pub(crate) fn version(self, binary: &Path) -> String {
        let flag = if self == Self::Victoria { "-version" } else { "--version" };
        let said = Command::new(binary).arg(flag).output();
        let text = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| !line.trim().is_empty()).map(str::to_owned);
        line.or_else(|| package(binary)).unwrap_or_else(|| "unknown".to_owned())
    }

    /// A scrape configuration as this system wants it.
    fn configuration(self, scrapes: &str) -> String {
        match self {
            // The peers do not watch the host either.
            Self::Vedette => format!("{scrapes}vedette:\n  host: {{ enabled: false }}\n"),
            Self::Prometheus | Self::Victoria => scrapes.to_owned(),
        }
    }

    fn arguments(self, config: &Path, data: &Path, port: u16) -> Vec<String> {
        let (config, data) = (config.display(), data.display());
        let prometheus = [
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={data}"),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        match self {
            Self::Vedette => {
                let own = ["run".to_owned(), format!("--node-name={NODE}"), RECEIVER.to_owned()];
                own.into_iter().chain(prometheus).collect()
            }
            Self::Prometheus => prometheus.into_iter().chain([RECEIVER.to_owned()]).collect(),
            Self::Victoria => vec![
                format!("-promscrape.config={config}"),
                format!("-storageDataPath={data}"),
                format!("-httpListenAddr=127.0.0.1:{port}"),
            ],
        }
    }
}

/// VictoriaMetrics takes remote write anyway.
const RECEIVER: &str = "--web.enable-remote-write-receiver";

/// Our agent's name.
pub(crate) const NODE: &str = "bench";

/// A system that runs on a folder of its own.
pub(crate) struct Running {
    pub(crate) system: System,
    binary: PathBuf,
    arguments: Vec<String>,
    process: Process,
    log: PathBuf,
    data: PathBuf,
    port: u16,
}

/// Longest wait for a system to be ready.
const READY: Duration = Duration::from_secs(600);
/// Between two looks at a system that is not ready.
const LOOK: Duration = Duration::from_millis(10);

impl Running {
    /// Starts a system under `dir` with these scrapes.
    pub(crate) fn start(system: System, binary: &Path, dir: &Path, scrapes: &str) -> Result<Self> {
        Self::start_with(system, binary, dir, scrapes, &[])
    }

    /// The same with more flags.
    pub(crate) fn start_with(
        system: System,
        binary: &Path,
        dir: &Path,
        scrapes: &str,
        flags: &[&str],
    ) -> Result<Self> {
        let (data, dir) = (Self::data_in(system, dir), dir.join(system.name()));
        std::fs::create_dir_all(&dir)?;
        let (config, log) = (dir.join("prometheus.yml"), dir.join("log"));
        std::fs::write(&config, system.configuration(scrapes))?;
        let port = free_port();
        let mut arguments = system.arguments(&config, &data, port);
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let process = launch(binary, &arguments, &log)?;
        Ok(Self { system, binary: binary.to_path_buf(), arguments, process, log, data, port })
    }

    /// Where a system that is started under `dir` has its data.
    pub(crate) fn data_in(system: System, dir: &Path) -> PathBuf {
        dir.join(system.name()).join("data")
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder of its data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What it has used so far.
    pub(crate) fn cost(&mut self) -> Result<Cost> {
        if !self.process.is_running() {
            bail!("{} ended by itself:\n{}", self.system.name(), self.process.tail());
        }
        Cost::of(self.process.id())
    }

    /// The most bytes that were resident since they were forgotten last.
    pub(crate) fn peak(&self) -> Result<f64> {
        peak(self.process.id())
    }

    /// Forgets what was resident before.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        forget_peak(self.process.id())
    }

    /// SIGKILL, and the same again.
    pub(crate) fn kill_and_restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = launch(&self.binary, &self.arguments, &self.log)?;
        Ok(())
    }

    /// Waits until it answers queries.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let name = self.system.name();
        let waited = tokio::time::timeout(READY, async {
            while self.sum("vector(1)", None).await.is_err() {
                self.cost()?;
                tokio::time::sleep(LOOK).await;
            }
            anyhow::Ok(())
        });
        waited.await.with_context(|| format!("{name} was not ready in time"))?
    }

    /// The value of an expression that gives one series, at a time in milliseconds or now.
    pub(crate) async fn sum(&self, expression: &str, at_ms: Option<i64>) -> Result<f64> {
        let result = self.ask(expression, at_ms).await?;
        let value = if result[0].is_object() { &result[0]["value"][1] } else { &result[1] };
        number(value).with_context(|| format!("{}: {expression}", self.url()))
    }

    /// The values of an expression that gives one series an instance, at a time in milliseconds.
    pub(crate) async fn sums(&self, expression: &str, at_ms: i64) -> Result<BTreeMap<String, f64>> {
        let result = self.ask(expression, Some(at_ms)).await?;
        let series = result.as_array().context("no vector")?.iter();
        let name = |one: &Value| one["metric"]["instance"].as_str().unwrap_or("").to_owned();
        series.map(|one| Ok((name(one), number(&one["value"][1])?))).collect()
    }

    /// What each part of a program says that it takes up, in bytes; peers say nothing.
    pub(crate) async fn memory_parts(&self) -> Result<Vec<(String, f64)>> {
        let page = testkit::get(&format!("{}/metrics", self.url())).await?;
        let part = |line: &str| {
            let (name, bytes) = line.strip_prefix("vedette_memory_part_bytes{part=\"")?.split_once("\"} ")?;
            Some((name.to_owned(), bytes.parse().ok()?))
        };
        Ok(page.body.lines().filter_map(part).collect())
    }

    async fn ask(&self, expression: &str, at_ms: Option<i64>) -> Result<Value> {
        let mut body = format!("query={}&nocache=1", escape(expression));
        if let Some(at) = at_ms {
            body += &format!("&time={}.{:03}", at / 1_000, at % 1_000);
        }
        let url = format!("{}/api/v1/query", self.url());
        let answer = testkit::post(&url, "application/x-www-form-urlencoded", &body).await?;
        let json = answer.json()?;
        if json["status"] != "success" {
            bail!("{url} {expression}: {}", answer.body);
        }
        Ok(json["data"]["result"].clone())
    }
}

/// The name of the archive beside `usr/bin` that a program came in.
fn package(binary: &Path) -> Option<String> {
    let name = binary.file_name()?.to_str()?;
    let entries = std::fs::read_dir(binary.ancestors().nth(3)?.join("debs")).ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.into_iter().find(|file| file.starts_with(&format!("{name}_")))
}

fn launch(binary: &Path, arguments: &[String], log: &Path) -> Result<Process> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(binary, &arguments, log)
}

fn number(value: &Value) -> Result<f64> {
    Ok(value.as_str().context("no value")?.parse()?)
}

/// A text as a parameter of a URL.
pub(crate) fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The systems that are there; those that are not are named on the error output.
#[allow(clippy::print_stderr, reason = "a table without a column says why")]
pub(crate) fn found() -> Result<Vec<(System, PathBuf)>> {
    let mut found = Vec::new();
    for system in System::ALL {
        match system.binary() {
            Some(path) => found.push((system, path)),
            None if system == System::Vedette => {
                bail!(
                    "vedette-agent is not beside this program: `make build`, or name one by VEDETTE_BENCH_AGENT"
                )
            }
            None => eprintln!("{} is left out", system.name()),
        }
    }
    Ok(found)
}
