//! `config routes show` and `config routes test`.

use std::path::Path;

use agent::cli::Quiet;
use alertmanager::config::AlertmanagerConfig;
use alertmanager::matcher::MatcherMode;
use alertmanager::{RouteSpec, RouteTree, matchers_key};
use anyhow::{Result, anyhow, bail};
use model::Labels;

use super::http::Server;
use super::{input, plain, say, warn};
use crate::kingpin::Call;

/// A line of a drawn tree and those below it.
struct Branch {
    line: String,
    below: Vec<Branch>,
}

/// Prints the whole tree.
pub(super) async fn show(call: &Call, mode: MatcherMode) -> Result<()> {
    let config = load(call, mode).await.map_err(|error| plain(format!("{error:#}")))?;
    say(&format!("Routing tree:\n{}\n", drawn(&whole(&config.route, ""))));
    Ok(())
}

/// Prints the receivers that labels reach; fails where others were expected.
pub(super) async fn test(call: &Call, mode: MatcherMode) -> Result<()> {
    let config = load(call, mode).await?;
    let labels =
        input::labels(&call.positional, mode, "Labels").map_err(|error| match error.to_string() {
            said if said.starts_with("Labels must") => anyhow!(said),
            said => anyhow!("Failed to parse labels: {said}"),
        })?;
    let labels = Labels::from_pairs(labels);
    if call.is_on("tree") {
        say(&format!("Matching routes:\n{}\n\n", drawn(&matching(&config.route, "", &labels))));
    }
    let tree = RouteTree::new(&config.route);
    let reached = tree.matches(&labels);
    let names: Vec<&str> =
        reached.iter().filter_map(|at| tree.get(*at)).map(|route| &*route.receiver).collect();
    let names = names.join(",");
    say(&format!("{names}\n"));
    let expected = call.text("verify.receivers").unwrap_or_default();
    if !expected.is_empty() && expected != names {
        say("WARNING: Expected receivers did not match resolved receivers.\n");
        return Err(Quiet(1).into());
    }
    Ok(())
}

/// The configuration of a file, else of the Alertmanager.
async fn load(call: &Call, mode: MatcherMode) -> Result<AlertmanagerConfig> {
    let url = call.text("alertmanager.url");
    let loaded = match (call.text("config.file"), url) {
        (Some(file), url) => {
            if url.is_some() {
                warn("Warning: --config.file flag overrides the --alertmanager.url.");
            }
            AlertmanagerConfig::load(Path::new(file), mode)
        }
        (None, Some(_)) => {
            let status = Server::new(call).await?.status().await?;
            AlertmanagerConfig::parse(&status.config.original, Path::new("alertmanager.yml"), mode)
        }
        (None, None) => {
            return Err(plain("You have to specify one of --config.file or --alertmanager.url flags."));
        }
    };
    match loaded {
        Ok(config) => Ok(config),
        Err(errors) => bail!("{errors}"),
    }
}

/// What names a route.
fn title(route: &RouteSpec) -> String {
    if route.matchers.is_empty() { "default-route".to_owned() } else { matchers_key(&route.matchers) }
}

fn receiver<'a>(route: &'a RouteSpec, parent: &'a str) -> &'a str {
    route.receiver.as_deref().unwrap_or(parent)
}

fn whole(route: &RouteSpec, parent: &str) -> Branch {
    let receiver = receiver(route, parent);
    let goes_on = if route.proceed { "  continue: true" } else { "" };
    Branch {
        line: format!("{}{goes_on}  receiver: {receiver}", title(route)),
        below: route.routes.iter().map(|child| whole(child, receiver)).collect(),
    }
}

/// The routes that labels take; those at the end of a way show their receiver.
fn matching(route: &RouteSpec, parent: &str, labels: &Labels) -> Branch {
    let receiver = receiver(route, parent);
    let mut below = Vec::new();
    for child in &route.routes {
        if child.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
            below.push(matching(child, receiver, labels));
            if !child.proceed {
                break;
            }
        }
    }
    let end = if below.is_empty() { format!("  receiver: {receiver}") } else { String::new() };
    Branch { line: format!("{}{end}", title(route)), below }
}

/// The tree below a dot.
fn drawn(root: &Branch) -> String {
    let mut out = String::from(".\n");
    draw(root, "", true, &mut out);
    out
}

fn draw(branch: &Branch, indent: &str, is_last: bool, out: &mut String) {
    let (edge, further) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
    out.push_str(&format!("{indent}{edge}{}\n", branch.line));
    let indent = format!("{indent}{further}");
    for (at, child) in branch.below.iter().enumerate() {
        draw(child, &indent, at + 1 == branch.below.len(), out);
    }
}
