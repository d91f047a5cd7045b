//! Which agents there are, and when each was last heard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use env::SharedClock;
use model::Labels;
use parking_lot::Mutex;
use storage::Epoch;

/// A name silent for so many heartbeats is free for whoever comes back under it.
const SILENT_HEARTBEATS: u32 = 2;

/// The list of agents could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct AgentsError {
    path: PathBuf,
    source: std::io::Error,
}

/// A connection was refused because its name is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "agent {name:?} is connected from {address}: give this one another --node-name, or the same vedette.ha_group to both"
)]
pub struct Refused {
    /// The name in question.
    pub name: String,
    /// Where its live connection comes from.
    pub address: String,
}

/// One agent as this replica knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentStatus {
    /// Its node name.
    pub name: String,
    /// Labels of everything that it ships.
    pub labels: Labels,
    /// Whether silence means gone rather than down.
    pub ephemeral: bool,
    /// Whether a connection stands.
    pub connected: bool,
    /// Where its last connection came from.
    pub address: String,
    /// Since its last frame or heartbeat here; `None` when it was not heard since this replica started.
    pub silent_for: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Agent {
    labels: Labels,
    ephemeral: bool,
    ha_group: Option<String>,
    instance: Option<Epoch>,
    address: String,
    /// The connection that may speak for the name now.
    connection: Option<u64>,
    heard: Option<Duration>,
}

/// What a connection says of its agent.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) ephemeral: bool,
    pub(crate) ha_group: Option<String>,
    pub(crate) instance: Epoch,
    pub(crate) address: String,
}

/// Every agent that ever said hello, until it is removed. Survives restarts.
#[derive(Debug)]
pub struct Agents {
    path: PathBuf,
    clock: SharedClock,
    silence_max: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    agents: BTreeMap<String, Agent>,
    /// Removed by an operator: the twin's news of them is no news, until they say hello again.
    forgotten: BTreeSet<String>,
    connections: u64,
}

impl Agents {
    /// The agents known from earlier lives of this replica.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(dir: &Path, heartbeat: Duration, clock: SharedClock) -> Result<Self, AgentsError> {
        let path = dir.join("agents");
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(AgentsError { path, source }),
        };
        let agents = text.lines().filter_map(parse_line).collect();
        let inner = Mutex::new(Inner { agents, ..Inner::default() });
        Ok(Self { path, clock, silence_max: heartbeat * SILENT_HEARTBEATS, inner })
    }

    /// Every agent, in order of name.
    #[must_use]
    pub fn list(&self) -> Vec<AgentStatus> {
        let now = self.clock.monotonic();
        let status = |(name, agent): (&String, &Agent)| AgentStatus {
            name: name.clone(),
            labels: agent.labels.clone(),
            ephemeral: agent.ephemeral,
            connected: agent.connection.is_some(),
            address: agent.address.clone(),
            silent_for: agent.heard.map(|heard| now.saturating_sub(heard)),
        };
        self.inner.lock().agents.iter().map(status).collect()
    }

    /// Forgets an agent, so that its silence is no longer reported; `false` when it was unknown.
    ///
    /// # Errors
    /// When the list cannot be written; then the agent stays.
    pub fn remove(&self, name: &str) -> Result<bool, AgentsError> {
        let mut inner = self.inner.lock();
        let Some(agent) = inner.agents.remove(name) else { return Ok(false) };
        if let Err(error) = self.save(&inner.agents) {
            inner.agents.insert(name.to_owned(), agent);
            return Err(error);
        }
        inner.forgotten.insert(name.to_owned());
        Ok(true)
    }

    /// Agents that an operator removed and that have not come back.
    #[must_use]
    pub fn forgotten(&self) -> Vec<String> {
        self.inner.lock().forgotten.iter().cloned().collect()
    }

    /// The twin was told to forget an agent: so does this replica, unless the agent is connected here.
    ///
    /// # Errors
    /// When the list cannot be written; then the agent stays.
    pub fn forget(&self, name: &str) -> Result<(), AgentsError> {
        let connected = self.inner.lock().agents.get(name).is_none_or(|agent| agent.connection.is_some());
        if connected { Ok(()) } else { self.remove(name).map(drop) }
    }

    /// Makes agents known that only the twin has met.
    ///
    /// # Errors
    /// When the list cannot be written; they are known all the same until a restart.
    pub fn learn(&self, met: impl IntoIterator<Item = (String, Labels, bool)>) -> Result<(), AgentsError> {
        let mut inner = self.inner.lock();
        let before = inner.agents.len();
        for (name, labels, ephemeral) in met {
            if inner.forgotten.contains(&name) {
                continue;
            }
            inner.agents.entry(name).or_insert_with(|| Agent::unheard(labels, ephemeral));
        }
        if inner.agents.len() == before { Ok(()) } else { self.save(&inner.agents) }
    }

    /// A connection claims a name; the number it gets is what it speaks with from now on.
    pub(crate) fn claim(&self, claim: Claim) -> Result<u64, Refused> {
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock();
        if let Some(agent) = inner.agents.get(&claim.name) {
            let silent = agent.heard.is_none_or(|heard| now.saturating_sub(heard) >= self.silence_max);
            let same_process = agent.instance == Some(claim.instance);
            let shared = claim.ha_group.is_some() && agent.ha_group == claim.ha_group;
            if agent.connection.is_some() && !silent && !same_process && !shared {
                return Err(Refused { name: claim.name, address: agent.address.clone() });
            }
        }
        inner.connections += 1;
        inner.forgotten.remove(&claim.name);
        let connection = inner.connections;
        let agent = Agent {
            labels: claim.labels,
            ephemeral: claim.ephemeral,
            ha_group: claim.ha_group,
            instance: Some(claim.instance),
            address: claim.address,
            connection: Some(connection),
            heard: Some(now),
        };
        inner.agents.insert(claim.name, agent);
        if let Err(error) = self.save(&inner.agents) {
            tracing::warn!(%error, "the list of agents could not be written");
        }
        Ok(connection)
    }

    /// A frame or heartbeat came; `false` when another connection took the name over.
    pub(crate) fn heard(&self, name: &str, connection: u64) -> bool {
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock();
        let Some(agent) = inner.agents.get_mut(name) else { return false };
        let shared = agent.ha_group.is_some();
        if agent.connection != Some(connection) && !shared {
            return false;
        }
        agent.heard = Some(now);
        true
    }

    /// A connection ended.
    pub(crate) fn left(&self, name: &str, connection: u64) {
        if let Some(agent) = self.inner.lock().agents.get_mut(name)
            && agent.connection == Some(connection)
        {
            agent.connection = None;
        }
    }

    /// One line an agent: whether it is ephemeral, then names and values, each escaped, by tabs.
    fn save(&self, agents: &BTreeMap<String, Agent>) -> Result<(), AgentsError> {
        let failed = |source| AgentsError { path: self.path.clone(), source };
        let mut text = String::new();
        for (name, agent) in agents {
            text.push_str(if agent.ephemeral { "ephemeral" } else { "agent" });
            for part in std::iter::once(name.as_str())
                .chain(agent.labels.pairs().flat_map(|(name, value)| [name, value]))
            {
                text.push('\t');
                text.extend(part.chars().flat_map(char::escape_default));
            }
            text.push('\n');
        }
        let temporary = self.path.with_extension("tmp");
        let mut file = fs::File::create(&temporary).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(failed)?;
        fs::rename(&temporary, &self.path).map_err(failed)
    }
}

impl Agent {
    fn unheard(labels: Labels, ephemeral: bool) -> Self {
        Self {
            labels,
            ephemeral,
            ha_group: None,
            instance: None,
            address: String::new(),
            connection: None,
            heard: None,
        }
    }
}

fn parse_line(line: &str) -> Option<(String, Agent)> {
    let mut parts = line.split('\t');
    let ephemeral = parts.next()? == "ephemeral";
    let texts: Vec<String> = parts.map(unescape).collect::<Option<_>>()?;
    let (name, labels) = texts.split_first()?;
    let pairs = labels.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
    Some((name.clone(), Agent::unheard(Labels::from_pairs(pairs), ephemeral)))
}

/// Undoes [`char::escape_default`].
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            'u' => {
                let hex: String = chars.by_ref().skip(1).take_while(|&c| c != '}').collect();
                char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?
            }
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use env::SimulatedClock;

    use super::*;

    fn claim(instance: u128, ha_group: Option<&str>) -> Claim {
        Claim {
            name: "höst\t1".to_owned(),
            labels: Labels::from_pairs([("agent", "höst\t1"), ("site", "a\\b\"c")]),
            ephemeral: false,
            ha_group: ha_group.map(str::to_owned),
            instance: Epoch(instance),
            address: format!("127.0.0.1:{instance}"),
        }
    }

    fn agents() -> (tempfile::TempDir, std::sync::Arc<SimulatedClock>, Agents) {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::at(0);
        let agents = Agents::load(dir.path(), Duration::from_secs(15), clock.clone()).expect("empty");
        (dir, clock, agents)
    }

    #[test]
    fn a_second_live_agent_of_one_name_is_refused_until_the_first_is_silent() {
        let (_dir, clock, agents) = agents();
        let first = agents.claim(claim(1, None)).expect("free");
        let refused = agents.claim(claim(2, None)).expect_err("taken");
        assert_eq!(refused.address, "127.0.0.1:1");
        clock.advance(Duration::from_secs(29));
        assert!(agents.heard("höst\t1", first));
        clock.advance(Duration::from_secs(29));
        assert!(agents.claim(claim(2, None)).is_err());
        clock.advance(Duration::from_secs(1));
        let second = agents.claim(claim(2, None)).expect("silent for two heartbeats");
        assert!(!agents.heard("höst\t1", first) && agents.heard("höst\t1", second));
    }

    #[test]
    fn the_same_process_and_a_declared_group_may_come_again() {
        let (_dir, _clock, agents) = agents();
        agents.claim(claim(1, None)).expect("free");
        agents.claim(claim(1, None)).expect("the same process after a broken connection");
        let connection = agents.claim(claim(1, Some("pair"))).expect("the same process");
        agents.claim(claim(2, Some("pair"))).expect("declared");
        assert!(agents.heard("höst\t1", connection));
    }

    #[test]
    fn agents_are_known_after_a_restart_until_they_are_removed() {
        let (dir, clock, agents) = agents();
        agents.claim(claim(1, None)).expect("free");
        let again = Agents::load(dir.path(), Duration::from_secs(15), clock.clone()).expect("readable");
        let known = again.list();
        assert_eq!((known.len(), known[0].connected, known[0].silent_for), (1, false, None));
        assert_eq!(known[0].labels, claim(1, None).labels);
        assert!(again.remove("höst\t1").expect("written"));
        let labels = Labels::empty();
        again
            .learn([("höst\t1".to_owned(), labels.clone(), false), ("other".to_owned(), labels, false)])
            .expect("written");
        assert_eq!(again.list().len(), 1, "the twin's news of a forgotten agent is no news");
        again.forget("other").expect("written");
        assert_eq!(again.forgotten(), ["höst\t1", "other"]);
        assert!(
            Agents::load(dir.path(), Duration::from_secs(15), clock).expect("readable").list().is_empty()
        );
    }
}
