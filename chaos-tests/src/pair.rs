//! A real pair of replicas and its witness.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use testkit::{Process, Proxy, Sink, eventually, free_port, program};

use crate::ask;
use crate::folder::Folder;

/// How long a cluster may take to form or to come back, on a busy machine.
const FORMED: Duration = Duration::from_secs(90);

/// How alerts are grouped into pages.
#[derive(Clone, Debug)]
pub struct AlertGroup {
    /// The list of `group_by`.
    pub by: String,
    /// `group_wait`.
    pub wait: String,
    /// `group_interval`.
    pub interval: String,
}

impl Default for AlertGroup {
    fn default() -> Self {
        Self { by: "alertname, run".to_owned(), wait: "1s".to_owned(), interval: "2s".to_owned() }
    }
}

/// What differs from test to test.
#[derive(Clone, Debug, Default)]
pub struct PairOptions {
    /// The list under `rules` of the one rule group.
    pub rules: String,
    /// Route settings.
    pub group: AlertGroup,
    /// Members reach each other through a proxy in front of each.
    pub proxied: bool,
}

/// One federation process.
#[derive(Debug)]
pub struct Node {
    name: &'static str,
    http: u16,
    grpc: u16,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    proxy: Option<Proxy>,
    process: Option<Process>,
}

/// Replicas `a` and `b` and the witness `w`.
#[derive(Debug)]
pub struct Pair {
    nodes: Vec<Node>,
}

impl Pair {
    /// Writes configurations, starts all three, and waits until they have a leader that sends.
    ///
    /// # Panics
    /// When they do not come up in time.
    pub async fn start(folder: &Folder, sink: &Sink, options: &PairOptions) -> Self {
        let mut nodes = Vec::new();
        for name in ["a", "b", "w"] {
            let grpc = free_port();
            let proxy =
                if options.proxied { Some(Proxy::start(&format!("127.0.0.1:{grpc}")).await) } else { None };
            let path = |what: &str| folder.path().join(format!("{name}.{what}"));
            nodes.push(Node {
                name,
                http: free_port(),
                grpc,
                config: folder.path().join("federation.yml"),
                data: path("data"),
                log: path("log"),
                proxy,
                process: None,
            });
        }
        let member = |node: &Node| format!("{{ name: {}, grpc: \"{}\" }}", node.name, node.advertised());
        let _ = folder.file("federation.yml", &federation(&nodes.iter().map(member).collect::<Vec<_>>()));
        let _ = folder.file("alertmanager.yml", &alertmanager(sink, &options.group));
        let _ = folder.file("rules.yml", &format!("groups:\n  - name: chaos\n    rules:\n{}", options.rules));
        for node in &mut nodes {
            node.launch();
        }
        let mut pair = Self { nodes };
        for node in &mut pair.nodes {
            node.ready().await;
        }
        pair.formed().await;
        pair
    }

    /// Waits until all three agree on a leader that is a replica, and reach each other.
    ///
    /// # Panics
    /// When they do not in time.
    pub async fn formed(&self) {
        eventually("all three nodes reach each other and follow one replica", FORMED, || async {
            let mut leaders = Vec::new();
            for node in &self.nodes {
                let seen = ask::cluster(&node.url()).await.ok()?;
                let members = seen["nodes"].as_array()?;
                let all = members.len() == 3 && members.iter().all(|one| one["reachable"] == true);
                leaders.push(seen["leader"].as_str().filter(|_| all)?.to_owned());
            }
            (leaders[0] != "w" && leaders.iter().all(|leader| *leader == leaders[0])).then_some(())
        })
        .await;
    }

    /// The replica that leads, as a majority of the living says it.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn leader(&self) -> &'static str {
        eventually("a replica leads", FORMED, || async {
            let mut named = Vec::new();
            for node in self.nodes.iter().filter(|node| node.process.is_some()) {
                let seen = ask::cluster(&node.url()).await.ok()?;
                named.push(seen["leader"].as_str().unwrap_or("").to_owned());
            }
            let votes = |name: &&str| named.iter().filter(|leader| leader == name).count() >= 2;
            ["a", "b"].into_iter().find(votes)
        })
        .await
    }

    /// What the nodes say of alerts and rules: shown when a page does not come.
    pub async fn describe(urls: &[String]) -> String {
        let mut out = String::new();
        let asked = [
            "/api/v2/alerts",
            "/api/v1/rules",
            "/api/v1/query?query=ALERTS[10s]",
            "/api/v1/query?query=chaos_switch[10s]",
            "/api/v1/query?query=vedette_rule_group_evaluated[10s]",
            "/vedette/cluster.json",
        ];
        for url in urls {
            for path in asked {
                let said =
                    testkit::get(&format!("{url}{path}")).await.map_or_else(|e| e.to_string(), |a| a.body);
                out += &format!("{url}{path}: {said}\n");
            }
        }
        out
    }

    /// A node by its name.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("a, b or w")
    }

    /// A node by its name, to start or kill it.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).expect("a, b or w")
    }

    /// Both replicas.
    #[must_use]
    pub fn replicas(&self) -> &[Node] {
        &self.nodes[..2]
    }

    /// All three nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where agents ship to: `host:port` of each replica, past any proxy.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.replicas().iter().map(Node::grpc).collect()
    }
}

impl Node {
    /// Starts the process.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch(&mut self) {
        let mut arguments = vec![
            "run".to_owned(),
            format!("--config.file={}", self.config.display()),
            format!("--storage.tsdb.path={}", self.data.display()),
            format!("--web.listen-address=127.0.0.1:{}", self.http),
            format!("--grpc.listen-address=127.0.0.1:{}", self.grpc),
            format!("--grpc.advertise-address={}", self.advertised()),
            format!("--node-name={}", self.name),
        ];
        if self.name == "w" {
            arguments.push("--role=witness".to_owned());
        } else {
            arguments.push("--web.enable-admin-api".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = Process::start(&program("vedette-federation"), &arguments, &self.log);
        self.process = Some(process.expect("a federation node"));
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub async fn ready(&mut self) {
        let url = format!("{}/-/ready", self.url());
        let process = self.process.as_mut().expect("started");
        eventually(&format!("the node {} is ready", self.name), FORMED, || {
            assert!(process.is_running(), "the node ended:\n{}", process.tail());
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

    /// `a`, `b` or `w`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// `host:port` of its gRPC listener, past any proxy.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// The line between the other members and this one.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The folder of its store.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn advertised(&self) -> String {
        self.proxy.as_ref().map_or_else(|| self.grpc(), |proxy| proxy.address().to_string())
    }
}

fn federation(members: &[String]) -> String {
    let (replicas, witness) = (members[..2].join(", "), &members[2]);
    format!(
        "global:\n  evaluation_interval: 1s\n  external_labels: {{ pair: chaos }}\n\
         rule_files: [rules.yml]\n\
         vedette:\n  pair:\n    name: chaos\n    replicas: [{replicas}]\n    witness: {witness}\n  \
         alertmanager_config: alertmanager.yml\n  rules: {{ query_offset: 1s }}\n"
    )
}

fn alertmanager(sink: &Sink, group: &AlertGroup) -> String {
    format!(
        "route:\n  receiver: sink\n  group_by: [{}]\n  group_wait: {}\n  group_interval: {}\n  \
         repeat_interval: 4h\nreceivers:\n  - name: sink\n    webhook_configs:\n      \
         - {{ url: \"{}\", send_resolved: true }}\n",
        group.by,
        group.wait,
        group.interval,
        sink.url()
    )
}
