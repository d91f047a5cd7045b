//! Who holds a TCP port, from `/proc`: "address in use" helps nobody.

use std::fs;
use std::net::SocketAddr;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

/// The process that listens on the port of `address`, where this process may see it.
pub(crate) fn owner_of(address: SocketAddr) -> Option<Owner> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address.port()))
        .collect();
    processes().find(|pid| holds(*pid, &inodes)).map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Owner { pid, name: name.trim_end().to_owned() }
    })
}

/// Inodes of the sockets in a `/proc/net/tcp` table that listen on `port`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    /// `TCP_LISTEN` in the kernel's numbering.
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
            let ours = u16::from_str_radix(local_port, 16).ok()? == port && *fields.get(3)? == LISTEN;
            ours.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
        })
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn holds(pid: u32, inodes: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|wanted| wanted == inode))
    })
}

/// Why an address could not be taken, in words; a port that is in use is named with its owner.
#[must_use]
pub fn describe_bind_error(address: SocketAddr, error: &std::io::Error) -> String {
    let owner = (error.kind() == std::io::ErrorKind::AddrInUse).then(|| owner_of(address)).flatten();
    match owner {
        Some(owner) => format!("{address} is taken by pid {} ({})", owner.pid, owner.name),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1\n\
             1: 0100007F:2382 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0  0 4712 1\n\
             2: 0100007F:2383 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4713 1\n";
        assert_eq!(listening_inodes(table, 9090), ["4711"]);
        assert!(listening_inodes("garbage\nmore garbage\n", 9090).is_empty());
    }

    #[test]
    fn this_process_owns_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let owner = owner_of(listener.local_addr().expect("bound")).expect("an owner");
        assert_eq!(owner.pid, std::process::id());
        assert!(!owner.name.is_empty());
    }
}
