//! Sealed windows at the waist: how what one store has sealed is copied into another, behind the log.
//!
//! A window travels as it lies in the store: generation by generation, group by group, value by value. The receiver
//! checks each value, gives the groups numbers of its own, and shows nothing before the whole window is there.

use std::sync::Arc;

use crate::interval::IntervalSet;
use crate::layout::Layout;
use crate::stream::StreamId;

/// A sealed window as a store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowInfo {
    /// Its first millisecond.
    pub start: i64,
    /// Its generations in order.
    pub generations: Vec<u32>,
    /// Bytes of its files.
    pub bytes: u64,
    /// The frames whose rows are all in it.
    pub frames: Vec<(StreamId, IntervalSet)>,
}

/// A group of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowGroup {
    /// Its number at the store that gives it.
    pub number: u32,
    /// Whose it is.
    pub stream: StreamId,
    /// Its series.
    pub layout: Arc<Layout>,
}

/// One value of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowValue {
    /// What of the group.
    pub sub: u16,
    /// Which rows.
    pub part: u16,
    /// What the value says that it is, a hash over stream, layout and place.
    pub name: u128,
    /// What it holds, with a checksum.
    pub bytes: Vec<u8>,
}

/// A window was not given or taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WindowError {
    /// It is not there any more as it was told: ask anew which there are.
    #[error("window {0} has changed: it is asked for again")]
    Changed(i64),
    /// Its bytes are wrong at the store that gives them, or were changed on the way.
    #[error("window {start}: {what}")]
    Damaged {
        /// Start of the window.
        start: i64,
        /// What is wrong.
        what: String,
    },
    /// The store cannot take or give it now: try again later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// Gives sealed windows.
pub trait WindowSource: Send + Sync {
    /// Changes whenever the sealed windows do.
    fn windows_version(&self) -> u64;

    /// Samples before this time are gone here, or go next, and are taken no more.
    fn floor_ms(&self) -> i64;

    /// Changes whenever the deletions in force do; equal where they are equal.
    fn deletions_version(&self) -> u64;

    /// The deletions in force, in the store's own words: samples that they hide must be hidden wherever windows go.
    fn deletions(&self) -> Vec<Vec<u8>>;

    /// The newest windows that hold frames of these, at most `max`; windows with known damage are left out.
    fn windows_holding(&self, lacking: &[(StreamId, IntervalSet)], max: usize) -> Vec<WindowInfo>;

    /// The groups of a generation in order of number, from the one after `after` on.
    ///
    /// # Errors
    /// When it is not there any more, or damaged.
    fn window_groups(&self, start: i64, generation: u32, after: Option<u32>)
    -> Result<Vec<u32>, WindowError>;

    /// A group of a generation and all of its values.
    ///
    /// # Errors
    /// When it is not there any more, or damaged.
    fn window_group(
        &self,
        start: i64,
        generation: u32,
        number: u32,
    ) -> Result<(WindowGroup, Vec<WindowValue>), WindowError>;
}

/// Takes sealed windows.
pub trait WindowSink: Send + Sync {
    /// Whether a window may be copied here: it has left memory and is above the floor.
    fn takes_window(&self, start: i64) -> bool;

    /// What the twin still has, `floor_ms` being its floor: answers over what is gone here and not there say so.
    fn twin_floor(&self, floor_ms: i64);

    /// Puts another store's deletion in force here; one that is in force is that already.
    ///
    /// # Errors
    /// When it is none, or the store cannot take it now.
    fn take_deletion(&self, deletion: &[u8]) -> Result<(), WindowError>;

    /// Begins to take a window in. Its streams must have been opened.
    ///
    /// # Errors
    /// When the store cannot take it now.
    fn copy_window(&self, info: WindowInfo) -> Result<Box<dyn WindowCopy>, WindowError>;
}

/// A window on its way into a store. Dropped before its end it leaves nothing behind.
pub trait WindowCopy: Send {
    /// Takes the next group of a generation with all of its values; generations come in order.
    ///
    /// # Errors
    /// When something is not what it says it is, or cannot be kept.
    fn take(
        &mut self,
        generation: u32,
        group: WindowGroup,
        values: Vec<WindowValue>,
    ) -> Result<(), WindowError>;

    /// Makes the window part of the store, together with what the store had of it, and counts its frames as received.
    ///
    /// # Errors
    /// When it cannot be written; then the store is as it was.
    fn finish(self: Box<Self>) -> Result<(), WindowError>;
}
