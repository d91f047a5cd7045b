//! Reads a file of target groups: a list of `{targets: [...], labels: {...}}` in JSON or YAML.

use std::collections::BTreeMap;
use std::path::Path;

use model::Labels;
use serde::{Deserialize, Deserializer};

use crate::config::TargetGroup;

/// Label that every target carries.
pub(crate) const ADDRESS: &str = "__address__";
/// Label that names the file a target came from.
const FILEPATH: &str = "__meta_filepath";

/// Bytes that a file may have.
const FILE_MAX: u64 = 64 << 20;

/// A file that gives no groups.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}")]
pub struct FileError {
    path: String,
    what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    #[serde(default, deserialize_with = "null_is_empty")]
    targets: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    labels: BTreeMap<String, String>,
}

/// As everywhere in Prometheus's files, a key without a value is an empty one.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// The groups of one file; each knows the file and its place in it.
///
/// # Errors
/// When the file cannot be read, or is no list of target groups.
pub fn read(path: &Path) -> Result<Vec<TargetGroup>, FileError> {
    let bad = |what: String| FileError { path: path.display().to_string(), what };
    let size = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
    if size > FILE_MAX {
        return Err(bad(format!("{size} bytes, at most {FILE_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let raw: Vec<Option<RawGroup>> = if json {
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?
    } else if text.trim().is_empty() {
        Vec::new()
    } else {
        serde_saphyr::from_str(&text).map_err(|error| bad(error.to_string()))?
    };
    let file: std::sync::Arc<str> = path.to_string_lossy().into();
    raw.into_iter()
        .enumerate()
        .map(|(index, raw)| {
            let raw = raw.ok_or_else(|| bad(format!("nil target group item found (index {index})")))?;
            let mut labels = Labels::from_pairs(raw.labels).to_builder();
            labels.set(FILEPATH, std::sync::Arc::clone(&file));
            Ok(TargetGroup {
                targets: raw
                    .targets
                    .into_iter()
                    .map(|address| Labels::from_pairs([(ADDRESS, address)]))
                    .collect(),
                labels: labels.build(),
                source: format!("{file}:{index}"),
            })
        })
        .collect()
}
