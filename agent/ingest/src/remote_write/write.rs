//! A decoded request into rows: labels checked, metadata kept, what is not stored counted.

use std::str;

use model::{Labels, METRIC_NAME, Metadata};
use storage::AppendError;

use super::message::{Decoded, Family, Head, Said, Version, metric_type};
use crate::rows::{Outcome, Rows};
use crate::table::SeriesId;

/// Bytes of one series' labels, at most. In version 2 a small request could name huge ones.
const LABEL_BYTES_MAX: usize = 64 << 10;

/// What a request came to.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) outcome: Outcome,
    /// Samples and histograms of series whose labels are refused.
    pub(crate) invalid: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
    /// Families for whose metadata there was no room.
    pub(crate) metadata_dropped: u64,
}

/// Why a series is not taken.
enum Refused {
    Labels(String),
    NoRoom,
}

/// Appends a request's samples.
///
/// # Errors
/// When the store cannot take data now; some of the request may be in it.
pub(crate) fn write(
    rows: &mut Rows,
    decoded: &Decoded,
    version: Version,
    now: u32,
) -> Result<Written, AppendError> {
    let mut written = Written::default();
    rows.begin(now);
    for family in &decoded.families {
        written.metadata_dropped += u64::from(!say(rows, decoded, family));
    }
    for head in &decoded.series {
        let samples = &decoded.samples[head.samples.0 as usize..head.samples.1 as usize];
        let id = match rows.table.find(head.key) {
            Some(id) => id,
            None => match admit(rows, decoded, version, head) {
                Ok(id) => id,
                Err(refused) => {
                    refuse(&mut written, refused, samples.len() as u64, u64::from(head.histograms));
                    continue;
                }
            },
        };
        if version == Version::V2 {
            describe(rows, decoded, head, id);
        }
        for sample in samples {
            rows.stage(id, sample.timestamp, sample.bits, &mut written.outcome);
            if rows.is_full() {
                rows.flush(&mut written.outcome)?;
            }
        }
        if head.histograms > 0 {
            written.histograms += u64::from(head.histograms);
            let series = || format!("native histograms are not supported for series {}", rows.labels(id));
            written.outcome.explain(series);
        }
        written.exemplars += u64::from(head.exemplars);
    }
    rows.flush(&mut written.outcome)?;
    Ok(written)
}

fn refuse(written: &mut Written, refused: Refused, samples: u64, histograms: u64) {
    match refused {
        Refused::Labels(what) => {
            written.invalid += samples + histograms;
            written.outcome.explain(|| what);
        }
        Refused::NoRoom => {
            written.outcome.no_room += samples + histograms;
            written.outcome.explain(|| "too many series: no room for a new one".to_owned());
        }
    }
}

fn admit(rows: &mut Rows, decoded: &Decoded, version: Version, head: &Head) -> Result<SeriesId, Refused> {
    let bytes = decoded.label_bytes(version, head);
    if bytes > LABEL_BYTES_MAX {
        let what =
            format!("invalid metric name or labels, got {bytes} bytes of labels, at most {LABEL_BYTES_MAX}");
        return Err(Refused::Labels(what));
    }
    let malformed =
        || Refused::Labels("invalid metric name or labels, got label references without texts".to_owned());
    let pairs = decoded.pairs(version, head).ok_or_else(malformed)?;
    let pairs = valid(&pairs).map_err(Refused::Labels)?;
    if !rows.has_room(bytes) {
        return Err(Refused::NoRoom);
    }
    let labels = rows.groups.labels(pairs.into_iter());
    let said = decoded.said_hash(&head.said);
    let metadata = (said != 0).then(|| metadata_2(decoded, &head.said));
    let described = metadata.clone();
    let id = rows.admit(head.key, &labels, bytes, metadata);
    if let Some(metadata) = described {
        rows.describe(id, said, metadata);
    }
    Ok(id)
}

/// The labels as text, if they can name a series.
fn valid<'a>(pairs: &[(&'a [u8], &'a [u8])]) -> Result<Vec<(&'a str, &'a str)>, String> {
    let shown = || {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Labels::from_pairs(pairs.iter().map(|(name, value)| (text(name), text(value)))).to_string()
    };
    let mut valid = Vec::with_capacity(pairs.len());
    for &(name, value) in pairs {
        match (str::from_utf8(name), str::from_utf8(value)) {
            (Ok(name), Ok(value)) if !name.is_empty() => valid.push((name, value)),
            _ => return Err(format!("invalid metric name or labels, got {}", shown())),
        }
    }
    valid.sort_unstable();
    if let Some(twice) = valid.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let name = twice[0].0;
        return Err(format!("invalid labels for series, labels {}, duplicated label {name}", shown()));
    }
    match valid.iter().find(|(name, _)| *name == METRIC_NAME) {
        Some((_, value)) if !value.is_empty() => Ok(valid),
        _ => Err(format!("invalid metric name or labels, got {}", shown())),
    }
}

/// Takes what version 2 says of a series' family, when that is new.
fn describe(rows: &mut Rows, decoded: &Decoded, head: &Head, id: SeriesId) {
    let said = decoded.said_hash(&head.said);
    let known = rows.table.get(id);
    if said == 0 || said == known.said {
        return;
    }
    let may = rows.groups.get(known.layout).is_some_and(|group| group.may_change(rows.now));
    if may {
        rows.describe(id, said, metadata_2(decoded, &head.said));
    }
}

fn metadata_2(decoded: &Decoded, said: &Said) -> Metadata {
    let text = |position| String::from_utf8_lossy(decoded.symbol(position).unwrap_or_default());
    Metadata {
        metric_type: metric_type(said.metric_type),
        help: text(said.help).into(),
        unit: text(said.unit).into(),
    }
}

/// Takes what version 1 says of a family; `false` where there is no room.
fn say(rows: &mut Rows, decoded: &Decoded, family: &Family) -> bool {
    let text = |span| String::from_utf8_lossy(decoded.text(span));
    let metadata = Metadata {
        metric_type: metric_type(family.metric_type),
        help: text(family.help).into(),
        unit: text(family.unit).into(),
    };
    rows.families.say(&text(family.name), metadata)
}
