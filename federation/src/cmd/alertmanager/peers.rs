//! A member's name, its address, and the others' addresses.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use env::SharedRandom;

/// Where a name that was made up is kept.
const NAME_FILE: &str = "peer-name";
/// Pause before a name that nobody knows is looked up again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What other members are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advertise {
    /// The address that is listened on.
    Listener,
    /// This address, with the port that is listened on.
    Host(IpAddr),
    /// This.
    Named(String),
}

/// The name in the data folder; made up at the first start, so that several on one host are told apart and one
/// that moves to another host stays who it is.
pub(super) fn kept_name(dir: &Path, random: &SharedRandom) -> Result<String> {
    let path = dir.join(NAME_FILE);
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| path.display().to_string());
        }
        _ => {}
    }
    let name = format!("{:032x}", random.next_u128());
    let new = dir.join(format!("{NAME_FILE}.new"));
    let write = || {
        let mut file = std::fs::File::create(&new)?;
        std::io::Write::write_all(&mut file, name.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)
    };
    write().with_context(|| path.display().to_string())?;
    Ok(name)
}

/// The address of this host that others reach it by.
pub(super) fn own_address(public_too: bool) -> Result<IpAddr> {
    // Nothing is sent: the system only says which address it would send from.
    let from = |bind: &str, to: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
    };
    let found = from("0.0.0.0:0", "192.0.2.1:9").or_else(|| from("[::]:0", "[2001:db8::1]:9"));
    match found {
        Some(ip) if public_too || is_private(ip) => Ok(ip),
        Some(ip) => bail!(
            "--cluster.advertise-address: this host's address {ip} is public; name it, or say \
             --cluster.allow-insecure-public-advertise-address-discovery"
        ),
        None => bail!("--cluster.advertise-address: this host has no address that others reach; name one"),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// The addresses of other members: a name that stands for several becomes all of them. One that stands for one
/// stays a name, so that it is found again under another address; so does one that nobody knows yet.
pub(super) async fn resolved(wanted: &[&str], patience: Duration) -> Vec<String> {
    let looking = wanted.iter().map(|address| async move {
        match tokio::time::timeout(patience, addresses(address)).await {
            Ok(several) if several.len() > 1 => several,
            Ok(_) => vec![(*address).to_owned()],
            Err(_) => {
                tracing::warn!(address, "the name of this member is not known yet; it is tried on");
                vec![(*address).to_owned()]
            }
        }
    });
    let mut all = futures_util::future::join_all(looking).await.concat();
    all.sort();
    all.dedup();
    all
}

async fn addresses(name: &str) -> Vec<String> {
    loop {
        match tokio::net::lookup_host(name).await {
            Ok(found) => return found.map(|address| address.to_string()).collect(),
            // No HOST:PORT at all: consensus says so.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => return Vec::new(),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use env::SystemRandom;

    use super::*;

    #[test]
    fn a_name_is_made_up_once() {
        let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let name = |dir: &tempfile::TempDir| kept_name(dir.path(), &SystemRandom::shared()).expect("a name");
        assert_eq!(name(&one), name(&one));
        assert_ne!(name(&one), name(&other));
        assert_eq!(name(&one).len(), 32);
    }

    #[tokio::test]
    async fn addresses_stay_as_they_are_named() {
        let found = resolved(&["127.0.0.1:2", "127.0.0.1:1", "127.0.0.1:1"], Duration::from_secs(5)).await;
        assert_eq!(found, ["127.0.0.1:1", "127.0.0.1:2"]);
    }
}
