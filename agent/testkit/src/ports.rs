//! Ports that nobody listens on, and that nothing takes before their owner does.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// Below the range from which the kernel numbers outgoing connections and port 0 (Linux: 32768
/// and up), so that only an explicit bind can take one of them.
const FIRST: u16 = 12_000;
const END: u16 = 32_000;

/// What this process holds, with the locks that keep other test processes off.
static HELD: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());

/// A free loopback port, given to one caller among all test processes of the host, and held
/// until this process ends: a program that is killed and started again finds it free.
///
/// # Panics
/// When the host has no free port.
#[must_use]
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join("vedette-test-ports");
    fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let span = u32::from(END - FIRST);
    // Processes start at different places, so that they rarely ask for the same lock.
    let start = std::process::id().wrapping_mul(97) % span;
    for step in 0..span {
        let port = FIRST + u16::try_from((start + step) % span).expect("within the range");
        if held.contains_key(&port) {
            continue;
        }
        let Ok(lock) = File::create(folder.join(port.to_string())) else { continue };
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            held.insert(port, lock);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {END}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::net::TcpListener;

    use super::{END, FIRST, free_port};

    #[test]
    fn a_port_is_given_once_and_no_connection_can_take_it() {
        let ports: BTreeSet<u16> = (0..64).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 64);
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let range = range.expect("the kernel's range of local ports");
        let ephemeral: u16 = range.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a port");
        for port in ports {
            assert!((FIRST..END).contains(&port) && port < ephemeral, "{port} is in the kernel's range");
            TcpListener::bind(("127.0.0.1", port)).expect("nobody listens");
        }
    }
}
