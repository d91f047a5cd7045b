//! Frames that were taken and that a damaged log has lost: they count as received no more, so that whoever has them
//! sends them again.

use std::collections::HashMap;
use std::sync::Arc;

use storage::{IntervalSet, StreamId};

use crate::record::Held;
use crate::sealed::SealedWindow;
use crate::segments::Segments;
use crate::state::State;
use crate::streams::{StreamNo, Streams};

/// Where frames are, or count as received without being anywhere.
pub(crate) struct Frames<'a> {
    pub(crate) segments: &'a Segments,
    pub(crate) sealed: &'a [Arc<SealedWindow>],
    /// What nobody has any more.
    pub(crate) adopted: &'a [(StreamId, IntervalSet)],
}

impl Frames<'_> {
    /// Takes out of what was received what is lost; gives how many frames. `held` is what the log held when segments
    /// were dropped last. Without it, from a version that did not tell, what a damaged log has lost cannot be told from
    /// what is past retention: then only what is there counts, but for own streams, which nobody sends.
    pub(crate) fn forget_lost(&self, streams: &mut Streams, held: Option<&Held>, is_damaged: bool) -> u64 {
        let mut lost: Vec<(StreamNo, IntervalSet)> = Vec::new();
        match held {
            Some(held) => {
                for (id, frames) in held {
                    let Some(no) = streams.find(id) else { continue };
                    lost.push((no, frames.difference(&self.here(id, no))));
                }
            }
            None if is_damaged => {
                for (no, stream) in streams.iter().filter(|(_, stream)| !stream.own) {
                    lost.push((no, stream.received.difference(&self.here(&stream.info.id, no))));
                }
            }
            None => {}
        }
        let mut count = 0;
        for (no, frames) in lost.into_iter().filter(|(_, frames)| !frames.is_empty()) {
            let stream = streams.get_mut(no);
            stream.received = stream.received.difference(&frames);
            count += frames.count();
            tracing::error!(stream = %stream.info.id, %frames, "the log has lost frames: they are asked for again");
        }
        count
    }

    fn here(&self, id: &StreamId, no: StreamNo) -> IntervalSet {
        let mut here = IntervalSet::new();
        let segments = self.segments.values().filter_map(|segment| segment.frames.get(&no));
        let sealed = self.sealed.iter().filter_map(|window| window.frames.get(id));
        let adopted = self.adopted.iter().filter(|(of, _)| of == id).map(|(_, frames)| frames);
        segments.chain(sealed).chain(adopted).for_each(|frames| here.union(frames));
        here
    }
}

impl State {
    /// The frames that all segments hold but some.
    pub(crate) fn held_without(&self, going: &[u64]) -> Held {
        let mut held: HashMap<StreamNo, IntervalSet> = HashMap::new();
        for (_, segment) in self.segments.iter().filter(|(index, _)| !going.contains(index)) {
            for (no, frames) in &segment.frames {
                held.entry(*no).or_default().union(frames);
            }
        }
        let mut held: Held =
            held.into_iter().map(|(no, frames)| (self.streams.get(no).info.id.clone(), frames)).collect();
        held.sort_by(|(a, _), (b, _)| a.cmp(b));
        held
    }
}
