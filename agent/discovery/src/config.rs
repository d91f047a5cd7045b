//! Checked settings of discovery, and what it finds.

use std::path::PathBuf;
use std::time::Duration;

use model::Labels;

/// Targets that share labels and a place where they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Each target's own labels; `__address__` is always among them.
    pub targets: Vec<Labels>,
    /// Labels of all targets of the group; a target's own win.
    pub labels: Labels,
    /// Where the group was found; unique within a job.
    pub source: String,
}

/// One entry of `static_configs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfig {
    /// Addresses, as `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
}

/// One entry of `file_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSdConfig {
    files: Vec<PathBuf>,
    refresh_interval: Duration,
}

/// A `file_sd_config` that cannot be used; the texts are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileSdError {
    /// No files.
    #[error("file service discovery config must contain at least one path name")]
    NoFiles,
    /// A path with a wildcard outside its last element, or with an extension other than json, yml or yaml.
    #[error("path name {0:?} is not valid for file discovery")]
    BadPath(String),
    /// A refresh interval of zero.
    #[error("file service discovery needs a refresh_interval above zero")]
    NoInterval,
}

impl FileSdConfig {
    /// How often files are read even though nothing told of a change.
    pub const REFRESH_INTERVAL: Duration = Duration::from_secs(300);

    /// Checks paths (absolute, or relative to the working directory), whose last element may hold `*`.
    ///
    /// # Errors
    /// What [`FileSdError`] lists.
    pub fn new(files: Vec<PathBuf>, refresh_interval: Duration) -> Result<Self, FileSdError> {
        if files.is_empty() {
            return Err(FileSdError::NoFiles);
        }
        if let Some(path) = files.iter().find(|path| !is_valid_path(&path.to_string_lossy())) {
            return Err(FileSdError::BadPath(path.to_string_lossy().into_owned()));
        }
        if refresh_interval.is_zero() {
            return Err(FileSdError::NoInterval);
        }
        Ok(Self { files, refresh_interval })
    }

    /// The paths.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How often files are read even though nothing told of a change.
    #[must_use]
    pub fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }
}

/// Everything that finds one job's targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// `static_configs`.
    pub statics: Vec<StaticConfig>,
    /// `file_sd_configs`.
    pub files: Vec<FileSdConfig>,
}

fn is_valid_path(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    let known = matches!(extension, Some("json" | "yml" | "yaml" | "JSON" | "YML" | "YAML"));
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    known && !folder.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_in_the_last_element() {
        for (path, good) in [
            ("targets.json", true),
            ("/etc/t/*.yml", true),
            ("/etc/t/web-*.YAML", true),
            ("/etc/*/a.yml", false),
            ("/etc/t/a.txt", false),
            ("/etc/t.d/a", false),
        ] {
            let made = FileSdConfig::new(vec![path.into()], Duration::from_secs(1));
            assert_eq!(made.is_ok(), good, "{path}");
        }
        assert_eq!(FileSdConfig::new(Vec::new(), Duration::from_secs(1)), Err(FileSdError::NoFiles));
    }
}
