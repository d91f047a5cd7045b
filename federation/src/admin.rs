//! What this node tells of its cluster, and changes to it: `/vedette/cluster.json` and the calls of
//! `cluster` and `agents`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use raft::Raft;
use receive::Agents;
use repair::PairView;
use serde::{Deserialize, Serialize};

/// A change of members needs the cluster's agreement.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// What the pages speak of. A witness has no agents and no twin.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) node: String,
    pub(crate) raft: Arc<Raft>,
    pub(crate) agents: Option<Arc<Agents>>,
    pub(crate) twin: Option<(String, PairView)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    node: String,
    term: u64,
    /// Members are being changed.
    changing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    nodes: Vec<NodeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    twin: Option<Twin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Vec<AgentView>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeView {
    id: u64,
    name: String,
    address: String,
    leader: bool,
    witness: bool,
    voter: bool,
    reachable: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Twin {
    name: String,
    heard: bool,
    same_config: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentView {
    name: String,
    labels: serde_json::Map<String, serde_json::Value>,
    connected: bool,
    address: String,
    silent_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct AddNode {
    address: String,
}

#[derive(Deserialize)]
struct RemoveNode {
    member: String,
}

#[derive(Deserialize)]
struct RemoveAgent {
    name: String,
}

type Outcome = Result<String, (StatusCode, String)>;

/// The routes.
pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/vedette/cluster.json", get(cluster))
        .route("/vedette/cluster/add", post(add))
        .route("/vedette/cluster/remove", post(remove))
        .route("/vedette/agents/remove", post(remove_agent))
        .with_state(admin)
}

async fn cluster(State(admin): State<Admin>) -> Json<Cluster> {
    let status = admin.raft.status();
    let node = |node: raft::NodeStatus| NodeView {
        leader: status.leader == Some(node.id),
        reachable: node.reachable || node.id == status.node_id,
        id: node.id,
        name: node.name,
        address: node.address,
        witness: node.witness,
        voter: node.voter,
    };
    let nodes: Vec<NodeView> = status.nodes.iter().cloned().map(node).collect();
    Json(Cluster {
        leader: nodes.iter().find(|node| node.leader).map(|node| node.name.clone()),
        node: admin.node.clone(),
        term: status.term,
        changing: status.changing,
        nodes,
        twin: admin.twin.as_ref().map(|(name, view)| Twin {
            name: name.clone(),
            heard: view.heard().is_some(),
            same_config: view.last().is_none_or(|twin| twin.same_config),
        }),
        agents: admin.agents.as_ref().map(|agents| agents.list().into_iter().map(agent).collect()),
    })
}

fn agent(agent: receive::AgentStatus) -> AgentView {
    AgentView {
        labels: agent.labels.pairs().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        name: agent.name,
        connected: agent.connected,
        address: agent.address,
        silent_seconds: agent.silent_for.map(|silent| silent.as_secs()),
    }
}

async fn add(State(admin): State<Admin>, Json(node): Json<AddNode>) -> Outcome {
    let id = admin.raft.add(&node.address, CHANGE_TIMEOUT).await.map_err(conflict)?;
    Ok(format!("{} is member {id}", node.address))
}

async fn remove(State(admin): State<Admin>, Json(node): Json<RemoveNode>) -> Outcome {
    admin.raft.remove(&node.member, CHANGE_TIMEOUT).await.map_err(conflict)?;
    Ok(format!("{} is removed; its id is never used again", node.member))
}

fn conflict(error: raft::MemberError) -> (StatusCode, String) {
    (StatusCode::CONFLICT, error.to_string())
}

async fn remove_agent(State(admin): State<Admin>, Json(agent): Json<RemoveAgent>) -> Outcome {
    let Some(agents) = &admin.agents else {
        return Err((StatusCode::NOT_FOUND, "this node receives no agents".to_owned()));
    };
    match agents.remove(&agent.name) {
        Ok(true) => Ok(format!("agent {} is forgotten here", agent.name)),
        Ok(false) => Err((StatusCode::NOT_FOUND, format!("no agent is named {:?}", agent.name))),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
