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
    /// `exemplars.max_exemplars`; what is not above zero keeps none.
    pub exemplars_max: Option<usize>,
}

impl StorageSection {
    pub(crate) fn read(view: View<'_>) -> Self {
        let retention = view.map("tsdb").map("retention");
        Self {
            retention_time: retention.duration("time").filter(|time| !time.is_zero()),
            retention_size: retention.size("size").filter(|size| *size != 0),
            exemplars_max: view
                .map("exemplars")
                .int("max_exemplars")
                .map(|max| usize::try_from(max).unwrap_or(0)),
        }
    }
}
