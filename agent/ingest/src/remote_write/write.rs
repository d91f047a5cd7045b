//! A decoded request into rows: labels checked, metadata kept, what is not stored counted.

use std::str;
use std::sync::Arc;

use model::{Labels, METRIC_NAME, Metadata};
use storage::AppendError;

use super::histogram::Observed;
use super::message::{Decoded, Family, Head, Said, Span, Version, metric_type};
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
    /// Histograms that are none.
    pub(crate) malformed: u64,
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
    let keeps_starts = rows.appender.keeps_starts();
    for family in &decoded.families {
        written.metadata_dropped += u64::from(!say(rows, decoded, family));
    }
    for head in &decoded.series {
        let samples = &decoded.samples[head.samples.0 as usize..head.samples.1 as usize];
        if !is_empty(head.exemplars) {
            exemplars(rows, decoded, version, head, &mut written.outcome);
        }
        if !is_empty(head.histograms) {
            histograms(rows, decoded, version, head, &mut written)?;
        }
        if samples.is_empty() {
            continue;
        }
        let id = match rows.table.find(head.key) {
            Some(id) => id,
            None => match admit(rows, decoded, version, head) {
                Ok(id) => id,
                Err(refused) => {
                    refuse(&mut written, refused, samples.len() as u64);
                    continue;
                }
            },
        };
        if version == Version::V2 {
            describe(rows, decoded, head, id);
        }
        let mut starts = decoded.starts(head.samples).iter().filter(|_| keeps_starts).peekable();
        for (at, sample) in (head.samples.0..).zip(samples) {
            rows.stage(id, sample.timestamp, sample.bits, &mut written.outcome);
            if let Some((_, start)) = starts.next_if(|(sample, _)| *sample == at) {
                rows.stage_start(id, sample.timestamp, *start);
            }
            if rows.is_full() {
                rows.flush(&mut written.outcome)?;
            }
        }
    }
    rows.flush(&mut written.outcome)?;
    Ok(written)
}

fn is_empty((start, end): Span) -> bool {
    start == end
}

/// Appends a series' histograms.
fn histograms(
    rows: &mut Rows,
    decoded: &Decoded,
    version: Version,
    head: &Head,
    written: &mut Written,
) -> Result<(), AppendError> {
    let all = &decoded.histograms[head.histograms.0 as usize..head.histograms.1 as usize];
    if !rows.histograms.has(head.key) {
        let admitted = labels(rows, decoded, version, head).map(|(labels, bytes)| {
            let said = (decoded.said_hash(&head.said) != 0).then(|| metadata_2(decoded, &head.said));
            let metadata = said.or_else(|| rows.families.of(labels.metric_name()).cloned());
            rows.histograms.admit(head.key, &labels, bytes, metadata.unwrap_or_default());
        });
        if let Err(refused) = admitted {
            refuse(written, refused, all.len() as u64);
            return Ok(());
        }
    }
    let (now, appender) = (rows.now, Arc::clone(&rows.appender));
    for Observed { timestamp, histogram } in all {
        match histogram {
            Ok(histogram) => rows.histograms.append(
                head.key,
                &*appender,
                (*timestamp, histogram),
                now,
                &mut written.outcome,
            )?,
            Err(what) => {
                written.malformed += 1;
                written.outcome.explain(|| format!("invalid native histogram: {what}"));
            }
        }
    }
    Ok(())
}

/// Appends a series' exemplars. As in Prometheus no request fails for them.
fn exemplars(rows: &mut Rows, decoded: &Decoded, version: Version, head: &Head, outcome: &mut Outcome) {
    let Ok((series, _)) = labels(rows, decoded, version, head) else { return };
    let all = &decoded.exemplars[head.exemplars.0 as usize..head.exemplars.1 as usize];
    let read = |exemplar: &super::message::Exemplar| {
        let pairs = decoded.exemplar_pairs(version, exemplar)?;
        let text = |bytes| str::from_utf8(bytes).ok();
        let pairs: Option<Vec<_>> =
            pairs.into_iter().map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        Some(model::Exemplar {
            labels: Labels::from_pairs(pairs?),
            value: f64::from_bits(exemplar.bits),
            timestamp: Some(exemplar.timestamp),
        })
    };
    let read: Vec<model::Exemplar> = all.iter().filter_map(read).collect();
    outcome.exemplars += rows.appender.append_exemplars(&series, &read).appended as u64;
}

fn refuse(written: &mut Written, refused: Refused, samples: u64) {
    match refused {
        Refused::Labels(what) => {
            written.invalid += samples;
            written.outcome.explain(|| what);
        }
        Refused::NoRoom => {
            written.outcome.no_room += samples;
            written.outcome.explain(|| {
                "too many series were written remotely within the last hour: a new one is refused until others \
                 have come no more for that long"
                    .to_owned()
            });
        }
    }
}

/// A new series' labels, and how many bytes they have.
fn labels(
    rows: &mut Rows,
    decoded: &Decoded,
    version: Version,
    head: &Head,
) -> Result<(Labels, usize), Refused> {
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
    Ok((rows.groups.labels(pairs.into_iter()), bytes))
}

fn admit(rows: &mut Rows, decoded: &Decoded, version: Version, head: &Head) -> Result<SeriesId, Refused> {
    let (labels, bytes) = labels(rows, decoded, version, head)?;
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
