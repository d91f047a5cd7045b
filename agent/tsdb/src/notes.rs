//! Notes: frames without layouts. They say in their stream's order what no row can: that samples are deleted, or which
//! exemplars there are. They are logged, shipped, repaired and counted as every other frame.

use model::{Exemplar, Labels};
use storage::{Frame, FrameError, StreamInfo};

use crate::bytes::Malformed;
use crate::exemplars::Exemplars;
use crate::record;
use crate::sealed::{Deletion, SealedError, Vault};
use crate::store::Inner;

const DELETION: u8 = 1;
const EXEMPLARS: u8 = 2;

/// What a note says.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Samples are hidden for good.
    Deletion(Deletion),
    /// Exemplars by series, in the order in which they were taken.
    Exemplars(Vec<(Labels, Vec<Exemplar>)>),
    /// A later version's, or nothing: kept and passed on as it is.
    Other,
}

impl Note {
    /// A deletion as a frame's body.
    pub(crate) fn deletion(deletion: &Deletion) -> Vec<u8> {
        let mut body = vec![DELETION];
        body.extend_from_slice(&deletion.put());
        body
    }

    /// Exemplars, as a record has them, as a frame's body.
    pub(crate) fn exemplars(payload: &[u8]) -> Vec<u8> {
        let mut body = vec![EXEMPLARS];
        body.extend_from_slice(payload);
        body
    }

    /// What a frame says, if it is a note.
    pub(crate) fn of(frame: &Frame) -> Option<Result<Self, Malformed>> {
        frame.layouts().is_empty().then(|| Self::read(frame.body()))
    }

    fn read(body: &[u8]) -> Result<Self, Malformed> {
        match body.split_first() {
            Some((&DELETION, deletion)) => Deletion::read(deletion).map(Self::Deletion),
            Some((&EXEMPLARS, payload)) => record::exemplars(payload).map(Self::Exemplars),
            _ => Ok(Self::Other),
        }
    }
}

/// What the notes of a log say, in its order.
pub(crate) struct Said {
    pub(crate) exemplars: Exemplars,
    deletions: Vec<Deletion>,
}

impl Said {
    pub(crate) fn new(exemplars: Exemplars) -> Self {
        Self { exemplars, deletions: Vec::new() }
    }

    /// Takes a frame of a stream, if it is a note; damage to it is told when the log is verified.
    pub(crate) fn take(&mut self, frame: &Frame, info: &StreamInfo, own: bool) {
        match Note::of(frame) {
            Some(Ok(Note::Deletion(deletion))) => {
                self.deletions.push(if own { deletion } else { deletion.in_stream(info) });
            }
            Some(Ok(Note::Exemplars(all))) => {
                for (series, exemplars) in all {
                    let series = if own { series } else { info.outside(&series) };
                    self.exemplars.add(&series, &exemplars);
                }
            }
            _ => {}
        }
    }

    /// Puts in force what a kill kept from the manifest; gives the exemplars.
    pub(crate) fn obey(self, vault: &Vault) -> Exemplars {
        for deletion in self.deletions {
            let done = vault.get_or_create().and_then(|store| store.delete(deletion));
            if let Err(error) = done {
                tracing::error!(%error, "a deletion in the log is not in force: what it hides is shown");
            }
        }
        self.exemplars
    }
}

impl Inner {
    /// Puts a deletion in force that another store took; `info` is the stream that says so. One that hides nothing any
    /// more is passed over, one that is in force is that already.
    pub(crate) fn take_deletion(&self, deletion: Deletion, info: Option<&StreamInfo>) -> Result<(), String> {
        let deletion = match info {
            Some(info) => deletion.in_stream(info),
            None => deletion,
        };
        if deletion.range.end < self.floor_ms().max(self.vault.floor()) {
            return Ok(());
        }
        let done = self.vault.get_or_create().and_then(|store| store.delete(deletion));
        match done {
            Ok(()) => Ok(()),
            // Room comes with retention, or never: the frames behind it do not wait for that.
            Err(error @ SealedError::Malformed(_)) => {
                self.metrics.deletions_refused.inc();
                tracing::error!(%error, "a deletion that another store took is not in force here: clean up there, and delete again");
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Does what a received note says, before its frame is taken.
    pub(crate) fn obey(&self, note: Note, info: &StreamInfo, own: bool) -> Result<(), FrameError> {
        match note {
            Note::Deletion(deletion) => {
                self.take_deletion(deletion, (!own).then_some(info)).map_err(FrameError::Unavailable)
            }
            Note::Exemplars(all) => {
                let mut kept = self.exemplars.lock();
                for (series, exemplars) in all {
                    let series = if own { series } else { info.outside(&series) };
                    kept.add(&series, &exemplars);
                }
                Ok(())
            }
            Note::Other => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Note::read(&bytes);
        }
    }
}
