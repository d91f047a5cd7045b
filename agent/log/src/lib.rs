//! Segmented, checksummed, resynchronising record log.
//!
//! Knows bytes only: a record is a kind and a payload. The files' bytes are described in tsdb's
//! FORMAT.md. What was written survives the process, what was synced survives a power cut, and
//! damaged bytes cost the records they hit and nothing else.

mod ahead;
mod disk;
mod error;
mod log;
mod record;
mod rewrite;
mod scan;

pub use disk::{Disk, SegmentFile, SystemDisk};
pub use error::LogError;
pub use log::{Log, LogOptions, Moved, SegmentStat, segments};
pub use record::{Location, RECORD_MAX, Record};
pub use rewrite::{Rewritten, rewrite_segment, set_segment_aside};
pub use scan::{Damage, Found, Recovery, SegmentReader, scan_segment, survey_segment};
