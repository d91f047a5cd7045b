//! Reading a whole folder for damage: every record and frame of the log, every value of the sealed windows. Each
//! damage is told with its place; nothing is changed.

use std::fmt;
use std::path::Path;

use crate::metrics::Metrics;
use crate::open::missing_windows;
use crate::options::OpenError;
use crate::sealed::Vault;

use super::check_log;

/// Bytes that RocksDB's caches may take up meanwhile.
const SEALED_MEMORY: usize = 16 << 20;

/// Where damage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The log's folder, or a segment as a whole.
    Log(String),
    /// A stretch of a segment's file.
    Bytes {
        /// The segment's index.
        segment: u64,
        /// Where it starts, in bytes.
        offset: u64,
    },
    /// The database of sealed windows, or an entry of it that is no block.
    Sealed(String),
    /// A window's record of the manifest, or one of its generations as a whole.
    Window {
        /// Start of the window, milliseconds since the Unix epoch.
        window: i64,
        /// Which generation; 0 for the record.
        generation: u32,
    },
    /// A value of the blocks.
    Block {
        /// Start of the window, milliseconds since the Unix epoch.
        window: i64,
        /// The generation.
        generation: u32,
        /// The group's number.
        group: u32,
        /// Which of the group's values, as FORMAT.md has it.
        sub: u16,
        /// Which part of its rows.
        part: u16,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(what) => write!(f, "log/{what}"),
            Self::Bytes { segment, offset } => write!(f, "log/{segment:08}.seg offset {offset}"),
            Self::Sealed(what) => write!(f, "sealed/{what}"),
            Self::Window { window, generation: 0 } => write!(f, "sealed window {window}"),
            Self::Window { window, generation } => {
                write!(f, "sealed window {window} generation {generation}")
            }
            Self::Block { window, generation, group, sub, part } => {
                write!(
                    f,
                    "sealed window {window} generation {generation} group {group} sub-block {sub} part {part}"
                )
            }
        }
    }
}

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Segments of the log.
    pub segments: u64,
    /// Intact records of them.
    pub records: u64,
    /// Frames whose hash holds.
    pub frames: u64,
    /// Bytes at the last segment's end that are no whole record: as a process leaves them that is killed while it
    /// writes. They are no damage.
    pub torn_bytes: u64,
    /// Segments before the last that end so, and after which nothing is missing: no damage either.
    pub cut_off: u64,
    /// Sealed windows.
    pub windows: u64,
    /// Values of their blocks, damaged ones among them.
    pub values: u64,
    /// Samples of the blocks that are whole.
    pub samples: u64,
    /// How many damages were told.
    pub faults: u64,
}

/// What was read so far, and who is told of damage.
pub(crate) struct Report<'a> {
    pub(crate) checked: Checked,
    pub(crate) tell: &'a mut dyn FnMut(Fault),
}

impl Report<'_> {
    pub(crate) fn fault(&mut self, place: Place, what: impl Into<String>) {
        self.checked.faults += 1;
        (self.tell)(Fault { place, what: what.into() });
    }
}

/// Reads everything in the folder `dir` of a store that nobody runs on, or of a snapshot, and tells every damage.
///
/// # Errors
/// When a process has it open, or there is no store.
pub fn verify(dir: &Path, tell: &mut dyn FnMut(Fault)) -> Result<Checked, OpenError> {
    let _lock = super::lock(dir)?;
    Ok(check_folder(dir, tell))
}

/// The same for who has it locked.
pub(super) fn check_folder(dir: &Path, tell: &mut dyn FnMut(Fault)) -> Checked {
    let mut report = Report { checked: Checked::default(), tell };
    let told = check_log::check(&dir.join("log"), &mut report);
    let (vault, loss) =
        Vault::open_to_read(dir.join("sealed"), SEALED_MEMORY, &Metrics::new(&telemetry::Registry::new()));
    match loss {
        Some(loss) => report.fault(Place::Sealed(String::new()), loss.why),
        None => {
            for window in missing_windows(&told, &vault) {
                let what = "the log says that it is sealed: it is not there, or as it was earlier";
                report.fault(Place::Window { window, generation: 0 }, what);
            }
        }
    }
    if let Some(store) = vault.get() {
        store.check(&mut report);
    }
    report.checked
}
