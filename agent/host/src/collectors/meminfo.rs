//! `meminfo`: every line of the kernel's memory account.

use super::{CollectError, number};
use crate::page::Page;

const FILE: &str = "/proc/meminfo";
const KIB: f64 = 1024.0;

pub(crate) fn collect(meminfo: &str, page: &mut Page) -> Result<(), CollectError> {
    for line in meminfo.lines() {
        let Some((field, rest)) = line.split_once(':') else {
            return Err(CollectError::Parse { file: FILE, what: format!("no field: {line:?}") });
        };
        let mut parts = rest.split_ascii_whitespace();
        let value = number(FILE, parts.next())?;
        // `Active(anon)` is called `Active_anon`.
        let name = field.replace('(', "_").replace(')', "");
        if parts.next() == Some("kB") {
            page.gauge(format!("node_memory_{name}_bytes"), "Memory information field.", &[], value * KIB);
        } else {
            page.gauge(format!("node_memory_{name}"), "Memory information field.", &[], value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::has;

    #[test]
    fn kilobytes_become_bytes_and_counts_stay() {
        let mut page = Page::default();
        collect("MemTotal:  3 kB\nActive(anon): 1 kB\nHugePages_Total:  7\n", &mut page).expect("valid");
        has(&page, "node_memory_MemTotal_bytes{} 3072");
        has(&page, "node_memory_Active_anon_bytes{} 1024");
        has(&page, "node_memory_HugePages_Total{} 7");
        assert!(collect("garbage", &mut Page::default()).is_err());
    }
}
