//! Who this node is, and who the others are.

use anyhow::{Result, bail};
use config::{Loaded, Pair};

use crate::roles::{Role, Roles};

/// This node among the members of its pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Members {
    /// This node's name.
    pub(crate) name: String,
    /// What it does.
    pub(crate) roles: Roles,
    /// The other replica's name and gRPC address, at a replica.
    pub(crate) twin: Option<(String, String)>,
    /// Every other member's name and gRPC address.
    pub(crate) peers: Vec<(String, String)>,
    /// This node's gRPC address as the file names it.
    pub(crate) grpc: Option<String>,
}

impl Members {
    /// Finds this node in the configuration. What a flag says wins over the file.
    pub(crate) fn find(loaded: &Loaded, name: Option<String>, roles: Option<Roles>) -> Result<Self> {
        let name = name.or_else(|| loaded.vedette.node_name.clone()).unwrap_or_else(host::host_name);
        let section = &loaded.vedette.federation;
        let said = match roles {
            None if section.roles.is_empty() => None,
            None => Some(section.roles.join(",").parse().map_err(anyhow::Error::msg)?),
            given => given,
        };
        let Some(pair) = &section.pair else {
            let roles = said.unwrap_or_default();
            return Ok(Self { name, roles, twin: None, peers: Vec::new(), grpc: None });
        };
        let roles = role_in(pair, &name, said, &loaded.path.display().to_string())?;
        let others = |node: &&config::Node| node.name != name;
        let address = |node: &config::Node| (node.name.clone(), node.grpc.clone());
        Ok(Self {
            twin: pair.replicas.iter().find(others).filter(|_| !roles.has(Role::Witness)).map(address),
            peers: pair.replicas.iter().chain(&pair.witness).filter(others).map(address).collect(),
            grpc: pair
                .replicas
                .iter()
                .chain(&pair.witness)
                .find(|node| node.name == name)
                .map(|node| node.grpc.clone()),
            name,
            roles,
        })
    }
}

/// The roles of the member of that name; flag and file must agree on who the witness is.
fn role_in(pair: &Pair, name: &str, said: Option<Roles>, file: &str) -> Result<Roles> {
    let is_witness = pair.witness.as_ref().is_some_and(|witness| witness.name == name);
    if !is_witness && !pair.replicas.iter().any(|replica| replica.name == name) {
        let known: Vec<&str> =
            pair.replicas.iter().chain(&pair.witness).map(|node| node.name.as_str()).collect();
        bail!(
            "{file}: no member of vedette.pair is named {name:?}; expected --node-name to be one of {}",
            known.join(", ")
        );
    }
    let roles = match said {
        Some(roles) => roles,
        None if is_witness => Roles::witness(),
        None => Roles::default(),
    };
    if roles.has(Role::Witness) != is_witness {
        let place = if is_witness { "the witness" } else { "a replica" };
        bail!("{file}: {name:?} has the roles {roles}, but vedette.pair names it as {place}");
    }
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FILE: &str = "vedette:\n  pair:\n    replicas: [{name: a, grpc: \"h:1\"}, {name: b, grpc: \"h:2\"}]\n    witness: {name: w, grpc: \"h:3\"}\n";

    fn find(text: &str, name: &str, roles: Option<&str>) -> Result<Members> {
        let loaded = config::Config::parse(text, Path::new("federation.yml")).expect("valid");
        let roles = roles.map(|roles| roles.parse().expect("roles"));
        Members::find(&loaded, Some(name.to_owned()), roles)
    }

    #[test]
    fn each_member_finds_itself_and_the_others() {
        let a = find(FILE, "a", None).expect("a member");
        assert_eq!(a.twin, Some(("b".to_owned(), "h:2".to_owned())));
        assert_eq!((a.peers.len(), a.grpc.as_deref()), (2, Some("h:1")));
        let w = find(FILE, "w", None).expect("a member");
        assert!(w.roles.has(Role::Witness) && w.twin.is_none());
        let alone = find("{}", "x", None).expect("a node alone");
        assert!(alone.peers.is_empty() && alone.roles.has(Role::Alertmanager));
    }

    #[test]
    fn a_stranger_and_a_contradiction_are_refused() {
        assert!(find(FILE, "c", None).expect_err("a stranger").to_string().contains("a, b, w"));
        assert!(find(FILE, "a", Some("witness")).is_err());
        assert!(find(FILE, "w", Some("store")).is_err());
    }
}
