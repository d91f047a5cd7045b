//! Loading: file to [`Loaded`].

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ingest::OtlpConfig;
use scrape::ScrapeConfig;
use yaml::{Checker, ConfigErrors, Located, Node, Position, View};

use crate::files::matching;
use crate::global::Global;
use crate::schema;
use crate::storage::StorageSection;
use crate::vedette::VedetteConfig;
use crate::{alerting, job};

/// Bytes of one file at most.
const MAX_FILE: u64 = 64 << 20;

/// The entry to loading.
#[derive(Debug)]
pub struct Config;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file.
    pub path: PathBuf,
    /// `global`.
    pub global: Global,
    /// Every job, those of `scrape_config_files` after the file's own; names are unique.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// `rule_files`: paths whose last element may hold one `*`.
    pub rule_files: Vec<PathBuf>,
    /// `alerting`, with `external_labels`; the pair is for the caller to add.
    pub notifier: notifier::NotifierConfig,
    /// `storage`.
    pub storage: StorageSection,
    /// `otlp`.
    pub otlp: OtlpConfig,
    /// `vedette`.
    pub vedette: VedetteConfig,
    patterns: Vec<(Located, PathBuf)>,
    unsupported: Vec<Located>,
    moot: Vec<Located>,
    redacted: String,
    job_yaml: BTreeMap<String, String>,
}

impl Config {
    /// Reads and checks a prometheus.yml and the scrape config files that it names.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
        let text = read(path)?;
        Self::parse(&text, path)
    }

    /// Checks `text` as if it stood in `path`; relative paths in it are below that file's folder.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn parse(text: &str, path: &Path) -> Result<Loaded, ConfigErrors> {
        Self::parse_with(text, path, &|name| std::env::var(name).ok())
    }

    /// As [`Config::parse`], with `variable` to look up environment variables.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn parse_with(
        text: &str,
        path: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded, ConfigErrors> {
        let file = name_of(path);
        let root = yaml::parse(&file, text)?;
        let mut check = Checker::new(&file);
        check.object(&root, &schema::FILE);
        let view = View::of(&root);
        let base = folder(path);
        let global = Global::read(view.map("global"), base, &mut check, variable);
        let mut jobs = Jobs::default();
        jobs.read(view, &file, &global, base, &mut check);
        let notifier =
            alerting::read(view.map("alerting"), &global.external_labels, global.names, base, &mut check);
        relabel_writes(view, &global, &mut check);
        let vedette = VedetteConfig::read(view.map("vedette"), global.names, base, &mut check);
        let redacted = yaml::redacted(&root, check.secrets());
        let moot = check.take_moot();
        let mut unsupported = check.finish()?;
        unsupported.extend(jobs.included(view, &global, base)?);
        Ok(Loaded {
            path: path.to_owned(),
            storage: StorageSection::read(view.map("storage")),
            otlp: crate::otlp::read(view.map("otlp")),
            rule_files: view.texts("rule_files").iter().map(|path| yaml::join(base, path)).collect(),
            patterns: patterns(view, &file, base),
            scrape_configs: jobs.found,
            job_yaml: jobs.yaml,
            global,
            notifier,
            vedette,
            unsupported,
            moot,
            redacted,
        })
    }
}

impl Loaded {
    /// Valid keys that ask for what is not built, in order of place.
    #[must_use]
    pub fn unsupported(&self) -> &[Located] {
        &self.unsupported
    }

    /// Valid keys that Prometheus reads and that have no effect here, in order of place.
    #[must_use]
    pub fn moot(&self) -> &[Located] {
        &self.moot
    }

    /// The file as YAML with every secret as `<secret>`.
    #[must_use]
    pub fn redacted_yaml(&self) -> &str {
        &self.redacted
    }

    /// One job's part of it, with what it takes from `global`.
    #[must_use]
    pub fn job_yaml(&self, name: &str) -> Option<&str> {
        self.job_yaml.get(name).map(String::as_str)
    }

    /// The rule files that exist now, patterns resolved, sorted within each pattern.
    #[must_use]
    pub fn rule_paths(&self) -> Vec<PathBuf> {
        self.rule_files.iter().flat_map(|pattern| matching(pattern)).collect()
    }

    /// Notes files that are named without `*` and do not exist, as `check config` wants to know.
    ///
    /// # Errors
    /// One entry for each missing file, at the place that names it.
    pub fn check_files(&self) -> Result<(), ConfigErrors> {
        let missing: Vec<Located> = self
            .patterns
            .iter()
            .filter(|(_, path)| !path.to_string_lossy().contains('*') && !path.exists())
            .map(|(place, path)| Located {
                message: format!("{} does not exist; expected a file", path.display()),
                ..place.clone()
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(ConfigErrors(missing)) }
    }
}

/// The jobs found so far, and where each name stands.
#[derive(Default)]
struct Jobs {
    found: Vec<ScrapeConfig>,
    names: HashMap<String, (Arc<str>, Position)>,
    /// By name, as YAML with what it takes from `global`.
    yaml: BTreeMap<String, String>,
}

impl Jobs {
    fn read(&mut self, view: View<'_>, file: &Arc<str>, global: &Global, base: &Path, check: &mut Checker) {
        for entry in view.list("scrape_configs") {
            let name = entry.text_or_empty("job_name");
            if name.is_empty() {
                continue;
            }
            let at = entry.value_at("job_name");
            if let Some((other, first)) = self.names.get(name) {
                let message = format!(
                    "found multiple scrape configs with job name {name:?}; expected unique names, the first is at {other}:{}",
                    first.line
                );
                check.error(at, message);
                continue;
            }
            self.names.insert(name.to_owned(), (Arc::clone(file), at));
            let Some(job) = job::read(entry, global, base, check) else { continue };
            self.yaml.insert(name.to_owned(), job_yaml(entry, &job, check));
            self.found.push(job);
        }
    }

    /// Reads the files of `scrape_config_files`; one that is not there is passed over, as Prometheus does.
    fn included(
        &mut self,
        view: View<'_>,
        global: &Global,
        base: &Path,
    ) -> Result<Vec<Located>, ConfigErrors> {
        let mut later = Vec::new();
        for pattern in view.texts("scrape_config_files") {
            for path in matching(&yaml::join(base, &pattern)) {
                let file = name_of(&path);
                let root = yaml::parse(&file, &read(&path)?)?;
                let mut check = Checker::new(&file);
                check.object(&root, &schema::SCRAPE_FILE);
                self.read(View::of(&root), &file, global, folder(&path), &mut check);
                later.extend(check.finish()?);
            }
        }
        Ok(later)
    }
}

/// A job as YAML with every secret hidden: what is written, and after it what the defaults say.
fn job_yaml(view: View<'_>, job: &ScrapeConfig, check: &Checker) -> String {
    let mut out = view.node().map_or_else(String::new, |node| yaml::redacted(node, check.secrets()));
    let duration = model::format_duration;
    for (key, value) in [
        ("honor_labels", job.honor_labels.to_string()),
        ("honor_timestamps", job.honor_timestamps.to_string()),
        ("track_timestamps_staleness", job.track_timestamps_staleness.to_string()),
        ("scrape_interval", duration(job.interval)),
        ("scrape_timeout", duration(job.timeout)),
        ("metrics_path", job.metrics_path.clone()),
        ("scheme", job.scheme.as_str().to_owned()),
        ("enable_compression", job.enable_compression.to_string()),
    ] {
        if !view.has(key) {
            let _ = writeln!(out, "{key}: {value}");
        }
    }
    out
}

/// Checks rules that nothing built applies yet.
fn relabel_writes(view: View<'_>, global: &Global, check: &mut Checker) {
    for queue in view.list("remote_write") {
        crate::relabel::rules(queue, "write_relabel_configs", global.names, check);
    }
}

fn patterns(view: View<'_>, file: &Arc<str>, base: &Path) -> Vec<(Located, PathBuf)> {
    let named = |node: &Node| {
        let place = Located { file: Arc::clone(file), at: node.at, message: String::new() };
        (place, yaml::join(base, node.text().unwrap_or_default()))
    };
    let lists = ["rule_files", "scrape_config_files"].into_iter().flat_map(|key| view.items(key));
    let mut found: Vec<_> = lists.map(named).collect();
    found.extend(view.map("vedette").get("alertmanager_config").map(named));
    found
}

fn name_of(path: &Path) -> Arc<str> {
    Arc::from(path.to_string_lossy().as_ref())
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The text of a file of bounded size.
pub(crate) fn read(path: &Path) -> Result<String, ConfigErrors> {
    let fail = |message: String| Located { file: name_of(path), at: Position::START, message };
    let size = std::fs::metadata(path)
        .map_err(|error| fail(format!("cannot be read: {error}; expected a file")))?
        .len();
    if size > MAX_FILE {
        return Err(fail(format!("{size} bytes; expected at most {MAX_FILE}")).into());
    }
    let bytes =
        std::fs::read(path).map_err(|error| fail(format!("cannot be read: {error}; expected a file")))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let at = Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
        Located { at, ..fail("no UTF-8 text; expected YAML".to_owned()) }.into()
    })
}
