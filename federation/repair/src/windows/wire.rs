//! Sealed windows on the wire, both sides.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proto::v1;
use proto::v1::pair_copied::Kind;
use storage::{IntervalSet, Layout, ShapeId, StreamId, WindowError, WindowGroup, WindowInfo, WindowValue};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use uplink::wire as up;

use super::{Copied, Failure};
use crate::Store;
use crate::wire::{Twin, u128_in};

/// Windows in one answer, at most.
const WINDOWS_MAX: u32 = 64;
/// Values that one group may have: as many as its slots and rows can need, by far.
const VALUES_MAX: u32 = 1 << 24;

/// The groups of a generation, as they arrive.
pub(crate) struct Copying {
    parts: Streaming<v1::PairCopied>,
    shapes: HashMap<ShapeId, Layout>,
}

impl Twin {
    /// The newest windows there that hold some of these frames.
    pub(crate) async fn windows(
        &mut self,
        lacking: &[(StreamId, IntervalSet)],
        max: u32,
    ) -> Result<Vec<WindowInfo>, Failure> {
        let lacking = lacking.iter().map(|(stream, set)| up::stream_ranges_out(stream, set)).collect();
        let ask = v1::PairWindows { lacking, max };
        let mut answer = self.client().windows(ask).await.map_err(failure)?.into_inner();
        let mut windows = Vec::new();
        while let Some(window) = answer.message().await.map_err(failure)? {
            windows.push(window_in(window)?);
        }
        Ok(windows)
    }

    /// The deletions in force there.
    pub(crate) async fn deletions(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut answer = self.client().deletions(v1::PairDeletions {}).await.map_err(failure)?.into_inner();
        let mut deletions = Vec::new();
        while let Some(deletion) = answer.message().await.map_err(failure)? {
            deletions.push(deletion.deletion.into());
        }
        Ok(deletions)
    }

    /// The groups of a generation after one of them.
    pub(crate) async fn copy(
        &mut self,
        start: i64,
        generation: u32,
        after: Option<u32>,
    ) -> Result<Copying, Failure> {
        let ask = v1::PairCopy { start_ms: start, generation, after };
        let parts = self.client().copy(ask).await.map_err(failure)?.into_inner();
        Ok(Copying { parts, shapes: HashMap::new() })
    }
}

impl Copying {
    /// The next group with all of its values; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Copied>, Failure> {
        let group = loop {
            match self.part().await? {
                None => return Ok(None),
                Some(Kind::Shape(shape)) => {
                    let shape = up::layout_in(shape).map_err(|error| wrong(error.to_string()))?;
                    self.shapes.insert(shape.shape(), shape);
                }
                Some(Kind::Group(group)) => break group,
                Some(Kind::Value(_)) => return Err(wrong("a value of no group".to_owned())),
            }
        };
        let shape = ShapeId(u128_in(&group.shape).map_err(wrong)?);
        let shape = self.shapes.get(&shape).ok_or_else(|| wrong("a group of no known shape".to_owned()))?;
        let layout = Layout::new(up::labels_in(group.target), shape.slots().to_vec());
        let layout =
            Arc::new(layout.map_err(|error| wrong(error.to_string()))?.sharing(shape.shared_slots()));
        let stream = up::stream_in(group.stream).map_err(|error| wrong(error.to_string()))?;
        if group.values > VALUES_MAX {
            return Err(wrong(format!("a group of {} values, at most {VALUES_MAX}", group.values)));
        }
        let mut values = Vec::new();
        for _ in 0..group.values {
            match self.part().await? {
                Some(Kind::Value(value)) => values.push(value_in(value)?),
                _ => return Err(wrong("a group without its values".to_owned())),
            }
        }
        Ok(Some(Copied { group: WindowGroup { number: group.number, stream, layout }, values }))
    }

    async fn part(&mut self) -> Result<Option<Kind>, Failure> {
        let Some(part) = self.parts.message().await.map_err(failure)? else { return Ok(None) };
        part.kind.map(Some).ok_or_else(|| wrong("an empty part".to_owned()))
    }
}

fn wrong(what: String) -> Failure {
    Failure::Link(what)
}

fn failure(status: Status) -> Failure {
    match status.code() {
        // An older build at the twin has none of this.
        Code::NotFound | Code::Unimplemented => Failure::Changed,
        Code::DataLoss => Failure::Damaged(status.message().to_owned()),
        _ => Failure::Link(status.message().to_owned()),
    }
}

pub(crate) type WindowSender = mpsc::Sender<Result<v1::PairWindow, Status>>;
pub(crate) type CopySender = mpsc::Sender<Result<v1::PairCopied, Status>>;

/// Answers which windows hold some of the frames; it may wait for the disk and for the twin.
pub(crate) fn send_windows(store: &dyn Store, ask: v1::PairWindows, sender: &WindowSender) {
    let lacking: Result<Vec<_>, _> = ask.lacking.into_iter().map(up::stream_ranges_in).collect();
    let lacking = match lacking {
        Ok(lacking) => lacking,
        Err(error) => {
            // A twin that is gone needs no reason.
            let _ = sender.blocking_send(Err(Status::invalid_argument(error.to_string())));
            return;
        }
    };
    for window in store.windows_holding(&lacking, ask.max.min(WINDOWS_MAX) as usize) {
        if sender.blocking_send(Ok(window_out(&window))).is_err() {
            return;
        }
    }
}

/// Sends the groups of a generation; it may wait for the disk and for the twin.
pub(crate) fn send_copy(store: &dyn Store, ask: v1::PairCopy, sender: &CopySender, stop: &dyn Fn() -> bool) {
    if let Err(error) = try_send_copy(store, &ask, sender, stop) {
        let status = match error {
            WindowError::Changed(_) => Status::not_found(error.to_string()),
            WindowError::Damaged { .. } => Status::data_loss(error.to_string()),
            WindowError::Unavailable(_) => Status::unavailable(error.to_string()),
        };
        // A twin that is gone needs no reason.
        let _ = sender.blocking_send(Err(status));
    }
}

fn try_send_copy(
    store: &dyn Store,
    ask: &v1::PairCopy,
    sender: &CopySender,
    stop: &dyn Fn() -> bool,
) -> Result<(), WindowError> {
    let gone = || WindowError::Unavailable("the twin hung up".to_owned());
    let send = |kind| {
        let part = v1::PairCopied { kind: Some(kind) };
        sender.blocking_send(Ok(part)).map_err(|_| gone())
    };
    let mut shapes = HashSet::new();
    for number in store.window_groups(ask.start_ms, ask.generation, ask.after)? {
        if stop() {
            return Err(gone());
        }
        let (group, values) = store.window_group(ask.start_ms, ask.generation, number)?;
        let layout = &group.layout;
        if shapes.insert(layout.shape()) {
            send(Kind::Shape(v1::Layout { target: Vec::new(), ..up::layout_out(layout) }))?;
        }
        send(Kind::Group(v1::CopiedGroup {
            number,
            stream: Some(up::stream_out(&group.stream)),
            shape: layout.shape().0.to_be_bytes().to_vec().into(),
            target: up::labels_out(layout.target()),
            values: values.len() as u32,
        }))?;
        for value in values {
            send(Kind::Value(value_out(value)))?;
        }
    }
    Ok(())
}

fn window_out(window: &WindowInfo) -> v1::PairWindow {
    v1::PairWindow {
        start_ms: window.start,
        generations: window.generations.clone(),
        bytes: window.bytes,
        frames: window.frames.iter().map(|(stream, set)| up::stream_ranges_out(stream, set)).collect(),
    }
}

fn window_in(window: v1::PairWindow) -> Result<WindowInfo, Failure> {
    let frames = window.frames.into_iter().map(up::stream_ranges_in).collect::<Result<_, _>>();
    Ok(WindowInfo {
        start: window.start_ms,
        generations: window.generations,
        bytes: window.bytes,
        frames: frames.map_err(|error| wrong(error.to_string()))?,
    })
}

fn value_out(value: WindowValue) -> v1::CopiedValue {
    v1::CopiedValue {
        sub: value.sub.into(),
        part: value.part.into(),
        name: value.name.to_be_bytes().to_vec().into(),
        bytes: value.bytes.into(),
    }
}

fn value_in(value: v1::CopiedValue) -> Result<WindowValue, Failure> {
    let half = |number: u32| u16::try_from(number).map_err(|_| wrong("a value out of place".to_owned()));
    Ok(WindowValue {
        sub: half(value.sub)?,
        part: half(value.part)?,
        name: u128_in(&value.name).map_err(wrong)?,
        bytes: value.bytes.into(),
    })
}

#[cfg(test)]
mod tests {
    use storage::Epoch;

    use super::*;

    #[test]
    fn a_window_and_a_value_come_back() {
        let stream = StreamId { agent: "a".into(), epoch: Epoch(7) };
        let frames = vec![(stream, IntervalSet::from_iter([1..=3, 9..=u64::MAX]))];
        let window = WindowInfo { start: -7_200_000, generations: vec![1, 9], bytes: 5, frames };
        assert_eq!(window_in(window_out(&window)).ok(), Some(window));
        let value = WindowValue { sub: u16::MAX, part: 3, name: u128::MAX - 1, bytes: vec![1, 2] };
        assert_eq!(value_in(value_out(value.clone())).ok(), Some(value));
        assert!(value_in(v1::CopiedValue { sub: 1 << 16, ..Default::default() }).is_err());
    }
}
