//! Streams: who wrote a frame, and in which life.

use std::fmt;
use std::sync::Arc;

use model::Labels;

/// 128 random bits, minted at every start of a process (and when its external labels change), so
/// that no restart, power cut, restored copy or cloned disk continues a sequence that another has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u128);

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One life of one writer: the unit in which frames are numbered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The writer's node name.
    pub agent: Arc<str>,
    /// Which of its lives.
    pub epoch: Epoch,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.agent, self.epoch)
    }
}

/// A stream and what holds for all its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Which stream.
    pub id: StreamId,
    /// When the epoch was minted, milliseconds since the Unix epoch: only for people to read.
    pub minted_ms: i64,
    /// Labels that every series of the stream carries *away from its writer* (external labels and
    /// `agent`); a name that the series has already keeps the series' value. At the writer's own
    /// store they are not applied.
    pub external: Labels,
}

impl StreamInfo {
    /// Label that names the agent on everything that left it.
    pub const AGENT: &str = "agent";
    /// Where a target's own `agent` label goes.
    pub const EXPORTED_AGENT: &str = "exported_agent";

    /// The labels of a series as readers away from its writer see them: the series' own labels win,
    /// except that its own `agent` moves to `exported_agent`.
    #[must_use]
    pub fn outside(&self, series: &Labels) -> Labels {
        if self.external.is_empty() {
            return series.clone();
        }
        let mut builder = series.to_builder();
        for label in self.external.iter() {
            match series.get(&label.name) {
                Some(own) if &*label.name == Self::AGENT => {
                    builder.set(Self::EXPORTED_AGENT, own.to_owned());
                    builder.set(Self::AGENT, label.value.clone());
                }
                Some(_) => {}
                None => {
                    builder.set(label.name.clone(), label.value.clone());
                }
            }
        }
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_keeps_its_own_labels_but_agent() {
        let id = StreamId { agent: "host-1".into(), epoch: Epoch(1) };
        let external = Labels::from_pairs([("site", "x"), ("agent", "host-1"), ("job", "never")]);
        let info = StreamInfo { id, minted_ms: 0, external };
        let series = Labels::from_pairs([("__name__", "up"), ("job", "n"), ("agent", "theirs")]);
        let expected = Labels::from_pairs([
            ("__name__", "up"),
            ("job", "n"),
            ("agent", "host-1"),
            ("exported_agent", "theirs"),
            ("site", "x"),
        ]);
        assert_eq!(info.outside(&series), expected);
    }
}
