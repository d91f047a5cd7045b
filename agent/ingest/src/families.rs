//! What senders of remote write 1 say of metric families, apart from the samples.

use std::collections::HashMap;
use std::sync::Arc;

use exposition::belongs_to_family;
use model::Metadata;

/// Bytes of text that are kept.
const BYTES_MAX: usize = 16 << 20;
/// What a family costs beside its texts.
const OVERHEAD: usize = 128;
/// Endings that series of a family may have, as far as their family is not named like them.
const ENDINGS: [&str; 8] = ["_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"];

/// Metadata by family.
#[derive(Debug, Default)]
pub(crate) struct Families {
    known: HashMap<Arc<str>, Metadata>,
    bytes: usize,
    version: u64,
}

impl Families {
    /// Takes what is said of a family; `false` when there is no room for it.
    pub(crate) fn say(&mut self, family: &str, metadata: Metadata) -> bool {
        let cost = |metadata: &Metadata| metadata.help.len() + metadata.unit.len() + family.len() + OVERHEAD;
        let old = self.known.get(family);
        if old == Some(&metadata) {
            return true;
        }
        let bytes = self.bytes - old.map_or(0, cost) + cost(&metadata);
        if bytes > BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.known.insert(family.into(), metadata);
        self.version += 1;
        true
    }

    /// Changes whenever something new was said.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What is known of a series' family.
    pub(crate) fn of(&self, series: &str) -> Option<&Metadata> {
        let exact = self.known.get(series);
        exact.or_else(|| {
            let family = ENDINGS.iter().find_map(|ending| series.strip_suffix(ending))?;
            let metadata = self.known.get(family)?;
            belongs_to_family(series, family, metadata.metric_type).then_some(metadata)
        })
    }
}

#[cfg(test)]
mod tests {
    use model::MetricType;

    use super::*;

    fn metadata(metric_type: MetricType) -> Metadata {
        Metadata { metric_type, ..Metadata::default() }
    }

    #[test]
    fn a_series_finds_its_family() {
        let mut families = Families::default();
        assert!(families.say("h", metadata(MetricType::Histogram)));
        assert!(families.say("c_total", metadata(MetricType::Counter)));
        assert_eq!(families.version(), 2);
        assert!(families.say("c_total", metadata(MetricType::Counter)));
        assert_eq!(families.version(), 2);
        let of = |series| families.of(series).map(|metadata| metadata.metric_type);
        assert_eq!(of("h_bucket"), Some(MetricType::Histogram));
        assert_eq!(of("c_total"), Some(MetricType::Counter));
        assert_eq!((of("h_total"), of("x")), (None, None));
    }

    #[test]
    fn the_room_is_limited() {
        let mut families = Families::default();
        let help: Arc<str> = "x".repeat(BYTES_MAX / 3).into();
        let long = || Metadata { help: Arc::clone(&help), ..Metadata::default() };
        assert!(families.say("a", long()) && families.say("b", long()));
        assert!(!families.say("c", long()));
        assert!(families.say("a", Metadata::default()) && families.say("c", long()));
    }
}
