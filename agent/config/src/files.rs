//! Files and folders around a configuration: patterns, existence.

use std::path::{Path, PathBuf};

/// The files that a path names, whose last element may hold one `*`; sorted. A path without `*`
/// names itself where it exists.
pub(crate) fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((head, tail)) = name.split_once('*') else {
        return if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() };
    };
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let fits =
        |name: &str| name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(fits))
        .map(|entry| pattern.with_file_name(entry.file_name()))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_within_the_last_element() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.yml", "b.yml", "b.yaml"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let found = |pattern: &str| -> Vec<String> {
            let paths = matching(&folder.path().join(pattern));
            paths
                .iter()
                .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(found("*.yml"), ["a.yml", "b.yml"]);
        assert_eq!(found("b*"), ["b.yaml", "b.yml"]);
        assert_eq!(found("a.yml"), ["a.yml"]);
        assert!(found("c.yml").is_empty() && found("a.yml*a.yml").is_empty());
    }
}
