//! `cluster` and `agents`: what a node tells of its cluster, and changes to it, over its HTTP listener.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use client::{Client, HttpClientConfig, Limits};
use http::{Method, Request};

/// A change of members waits for the cluster's agreement.
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_MAX: u64 = 16 << 20;

/// Which node to ask.
#[derive(Args, Clone, Debug)]
pub(crate) struct Node {
    /// URL of any federation node.
    #[arg(long, default_value = "http://127.0.0.1:9093", value_name = "URL", global = true)]
    url: String,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ClusterCommand {
    /// Nodes, leader, twin and agents, as one node sees them.
    Status,
    /// The alertmanager's cluster, as amtool's `cluster show`.
    #[command(disable_help_flag = true)]
    Show(crate::Words),
    /// Make the node that listens for gRPC at HOST:PORT a member.
    Add {
        /// Its gRPC address.
        address: String,
    },
    /// Remove a member for good: its id is never used again.
    Remove {
        /// Its name or id.
        member: String,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum AgentsCommand {
    /// Every agent that the pair knows.
    List,
    /// Forget an agent, so that its silence is no longer reported.
    Remove {
        /// Its node name.
        name: String,
    },
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
pub(crate) async fn cluster(node: &Node, command: ClusterCommand) -> Result<()> {
    match command {
        // Its words are amtool's, which is asked elsewhere.
        ClusterCommand::Show(_) => {}
        ClusterCommand::Status => print_status(&node.get("vedette/cluster.json").await?),
        ClusterCommand::Add { address } => {
            println!(
                "{}",
                node.post("vedette/cluster/add", &serde_json::json!({ "address": address })).await?
            );
        }
        ClusterCommand::Remove { member } => {
            println!(
                "{}",
                node.post("vedette/cluster/remove", &serde_json::json!({ "member": member })).await?
            );
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
pub(crate) async fn agents(node: &Node, command: AgentsCommand) -> Result<()> {
    match command {
        AgentsCommand::List => print_agents(&node.get("vedette/cluster.json").await?),
        AgentsCommand::Remove { name } => {
            println!("{}", node.post("vedette/agents/remove", &serde_json::json!({ "name": name })).await?);
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn print_status(status: &serde_json::Value) {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    let changing = if status["changing"] == true { ", members are being changed" } else { "" };
    println!(
        "node {}, leader {}, term {}{changing}",
        text(&status["node"]),
        text(&status["leader"]),
        status["term"]
    );
    for node in status["nodes"].as_array().into_iter().flatten() {
        let role = match (node["leader"] == true, node["witness"] == true, node["voter"] == true) {
            (true, true, _) => "leader, witness",
            (true, false, _) => "leader",
            (false, true, _) => "witness",
            (false, false, true) => "voter",
            (false, false, false) => "learner",
        };
        let reach = if node["reachable"] == true { "reachable" } else { "unreachable" };
        println!(
            "  {:>4}  {:<16} {:<22} {role:<16} {reach}",
            node["id"],
            text(&node["name"]),
            text(&node["address"])
        );
    }
    if let Some(twin) = status["twin"].as_object() {
        println!("twin {}: {}", twin["name"], if twin["heard"] == true { "heard" } else { "silent" });
    }
    print_agents(status);
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn print_agents(status: &serde_json::Value) {
    for agent in status["agents"].as_array().into_iter().flatten() {
        let connected = if agent["connected"] == true { "connected" } else { "not connected" };
        println!(
            "agent {:<24} {connected:<14} silent for {} s",
            agent["name"].as_str().unwrap_or(""),
            agent["silentSeconds"]
        );
    }
}

impl Node {
    async fn get(&self, path: &str) -> Result<serde_json::Value> {
        let body = self.send(Method::GET, path, Bytes::new()).await?;
        serde_json::from_str(&body).with_context(|| format!("{} is no federation node: {body}", self.url))
    }

    async fn post(&self, path: &str, body: &serde_json::Value) -> Result<String> {
        self.send(Method::POST, path, Bytes::from(body.to_string())).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.url.trim_end_matches('/')))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let client = Client::new(&HttpClientConfig::default())?;
        let answer = client.send(request, Limits { timeout: TIMEOUT, body_max: ANSWER_MAX }).await?;
        let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
        if !answer.status.is_success() {
            bail!("{}: {text}", answer.status);
        }
        Ok(text)
    }
}
