//! `storage`: how long the local store keeps what.

use std::time::Duration;

use yaml::View;

/// `storage`; what is absent is for flags and defaults to decide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageSection {
    /// `tsdb.retention.time`.
    pub retention_time: Option<Duration>,
    /// `tsdb.retention.size`, bytes.
    pub retention_size: Option<u64>,
    /// `tsdb.out_of_order_time_window`; zero where it is absent.
    pub out_of_order_window: Duration,
    /// `exemplars.max_exemplars`; what is not above zero keeps none.
    pub exemplars_max: Option<usize>,
}

impl StorageSection {
    pub(crate) fn read(view: View<'_>) -> Self {
        let tsdb = view.map("tsdb");
        let retention = tsdb.map("retention");
        Self {
            retention_time: retention.duration("time").filter(|time| !time.is_zero()),
            retention_size: retention.size("size").filter(|size| *size != 0),
            out_of_order_window: tsdb.duration("out_of_order_time_window").unwrap_or_default(),
            exemplars_max: view
                .map("exemplars")
                .int("max_exemplars")
                .map(|max| usize::try_from(max).unwrap_or(0)),
        }
    }
}
