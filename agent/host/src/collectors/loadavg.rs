//! `loadavg`: the load averages.

use super::{CollectError, number};
use crate::page::Page;

const FILE: &str = "/proc/loadavg";

pub(crate) fn collect(loadavg: &str, page: &mut Page) -> Result<(), CollectError> {
    let mut fields = loadavg.split_ascii_whitespace();
    page.gauge("node_load1", "1m load average.", &[], number(FILE, fields.next())?);
    page.gauge("node_load5", "5m load average.", &[], number(FILE, fields.next())?);
    page.gauge("node_load15", "15m load average.", &[], number(FILE, fields.next())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::has;

    #[test]
    fn three_averages_or_an_error() {
        let mut page = Page::default();
        collect("0.21 0.37 0.39 1/719 19737\n", &mut page).expect("valid");
        has(&page, "node_load15{} 0.39");
        assert!(collect("0.21", &mut Page::default()).is_err());
        assert!(collect("a b c", &mut Page::default()).is_err());
    }
}
