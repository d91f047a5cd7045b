//! A real agent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use testkit::{Process, eventually, free_port, program};

use crate::folder::Folder;

/// What differs from test to test.
#[derive(Clone, Debug, Default)]
pub struct AgentOptions {
    /// The list under `scrape_configs`, indented by two.
    pub scrape: String,
    /// Scrape interval, such as `1s`.
    pub interval: String,
    /// `host:port` of each replica's gRPC listener.
    pub endpoints: Vec<String>,
    /// Whether the host's own metrics are taken.
    pub host: bool,
}

/// An agent's files, address and process.
#[derive(Debug)]
pub struct Agent {
    name: String,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    flags: Vec<String>,
    process: Option<Process>,
}

impl Agent {
    /// Writes its configuration into the folder; starts nothing.
    #[must_use]
    pub fn new(folder: &Folder, name: &str, options: &AgentOptions) -> Self {
        let config = folder.file(&format!("{name}.yml"), &configuration(options));
        let path = |what: &str| folder.path().join(format!("{name}.{what}"));
        Self {
            name: name.to_owned(),
            config,
            data: path("data"),
            log: path("log"),
            port: free_port(),
            flags: Vec::new(),
            process: None,
        }
    }

    /// Starts with a further flag from now on.
    #[must_use]
    pub fn with_flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Starts the process and waits until it is ready.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub async fn start(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Starts the process.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch(&mut self) {
        let arguments = [
            "run".to_owned(),
            format!("--config.file={}", self.config.display()),
            format!("--storage.tsdb.path={}", self.data.display()),
            format!("--web.listen-address=127.0.0.1:{}", self.port),
            format!("--node-name={}", self.name),
        ];
        // Tests end it as they like; the one of safe mode says so.
        let is_told = self.flags.iter().any(|flag| flag.starts_with("--safe-mode.crashes"));
        let never = (!is_told).then(|| "--safe-mode.crashes=0".to_owned());
        let arguments: Vec<&str> =
            arguments.iter().chain(&never).chain(&self.flags).map(String::as_str).collect();
        self.process =
            Some(Process::start(&program("vedette-agent"), &arguments, &self.log).expect("an agent"));
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub async fn ready(&mut self) {
        let url = format!("{}/-/ready", self.url());
        let process = self.process.as_mut().expect("started");
        eventually(&format!("the agent {} is ready", self.name), Duration::from_secs(60), || {
            assert!(process.is_running(), "the agent ended:\n{}", process.tail());
            let url = &url;
            async move { testkit::get(url).await.ok().filter(|answer| answer.status == 200).map(drop) }
        })
        .await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
        self.process = None;
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it does not end in time.
    ///
    /// # Panics
    /// When it is not running.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().expect("started");
        process.terminate(Duration::from_secs(20)).await.map(drop)
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("started").id()
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its node name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of its store.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }
}

fn configuration(options: &AgentOptions) -> String {
    let interval = &options.interval;
    let mut text = format!(
        "global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\n  external_labels: {{ site: chaos }}\n\
         scrape_configs:\n{}vedette:\n  host: {{ enabled: {} }}\n",
        options.scrape, options.host
    );
    if !options.endpoints.is_empty() {
        let endpoints: Vec<String> = options.endpoints.iter().map(|one| format!("\"{one}\"")).collect();
        text +=
            &format!("  federation:\n    endpoints: [{}]\n    flush_interval: 200ms\n", endpoints.join(", "));
    }
    text
}
