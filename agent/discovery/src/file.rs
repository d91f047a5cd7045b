//! The files of one job: which there are, and what they last said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{FileSdConfig, TargetGroup};
use crate::metrics::DiscoveryMetrics;
use crate::parse;

/// What each file said when it could last be read.
#[derive(Debug, Default)]
pub(crate) struct Files {
    last: BTreeMap<PathBuf, Vec<TargetGroup>>,
}

impl Files {
    /// Reads all files anew. A file that cannot be read keeps saying what it said; one that is gone says nothing.
    pub(crate) fn refresh(
        &mut self,
        configs: &[FileSdConfig],
        metrics: &DiscoveryMetrics,
    ) -> Vec<TargetGroup> {
        let mut now = BTreeMap::new();
        for path in configs.iter().flat_map(FileSdConfig::files).flat_map(|pattern| expand(pattern)) {
            if now.contains_key(&path) {
                continue;
            }
            let groups = match parse::read(&path) {
                Ok(groups) => groups,
                Err(error) => {
                    metrics.read_errors.inc();
                    tracing::error!(%error, "a file of targets cannot be read; what it said before stays");
                    self.last.remove(&path).unwrap_or_default()
                }
            };
            now.insert(path, groups);
        }
        self.last = now;
        self.last.values().flatten().cloned().collect()
    }
}

/// The files that a path names: itself, or those whose names its wildcards match, in order.
#[must_use]
pub fn expand(pattern: &Path) -> Vec<PathBuf> {
    let Some(name) = pattern.file_name().map(|name| name.to_string_lossy()) else { return Vec::new() };
    if !name.contains('*') {
        return if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let folder = folder(pattern);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| matches(&name, &entry.file_name().to_string_lossy()))
        .map(|entry| pattern.with_file_name(entry.file_name()))
        .collect();
    found.sort();
    found
}

/// The folder that holds a path's files.
pub(crate) fn folder(pattern: &Path) -> &Path {
    match pattern.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, fits) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c.json", "a-b--c.json", true),
            ("a*a.json", "a.json", false),
            ("web-*.json", "db-1.json", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
