//! Everything that operators are given loads: examples, the demo's files, the README's, and the units' flags.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alertmanager::config::AlertmanagerConfig;
use alertmanager::matcher::MatcherMode;
use config::Config;
use testkit::program;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below a folder whose name ends so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Checks a file as its name says, and that it asks for nothing that is not built.
fn check(path: &Path) -> Result<(), String> {
    match path.file_name().and_then(|name| name.to_str()).unwrap_or_default() {
        "rules.yml" => agent::check::rules(path).map(drop),
        "alertmanager.yml" => {
            let loaded = AlertmanagerConfig::load(path, MatcherMode::default())
                .map_err(|errors| errors.to_string())?;
            nothing_later(loaded.unsupported())
        }
        _ => {
            agent::check::config(path)?;
            nothing_later(Config::load(path).map_err(|errors| errors.to_string())?.unsupported())
        }
    }
}

fn nothing_later(places: &[impl ToString]) -> Result<(), String> {
    let lines: Vec<String> = places.iter().map(ToString::to_string).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

fn check_all(paths: &[PathBuf]) {
    let wrong: Vec<String> = paths.iter().filter_map(|path| check(path).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_of_deploy_loads() {
    let found = files(&root().join("deploy"), ".yml");
    assert!(found.len() > 5, "{found:?}");
    check_all(&found);
}

/// The README's examples: fenced blocks of YAML that begin with a comment that is a file's name.
#[test]
fn every_file_of_the_readme_loads() {
    let text = fs::read_to_string(root().join("README.md")).expect("README.md");
    let dir = tempfile::tempdir().expect("a folder");
    let mut found = Vec::new();
    for (at, block) in text.split("```yaml\n").skip(1).enumerate() {
        let block = block.split("```").next().expect("a block ends");
        let name = block
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "))
            .expect("a block begins with a name");
        // Each group of files that names another is one folder; the others do not mind.
        let path = dir.path().join(name);
        assert!(!path.exists(), "block {at} of README.md: {name} is there twice");
        fs::write(&path, block).expect("writes");
        found.push(path);
    }
    assert!(found.len() >= 4, "{found:?}");
    check_all(&found);
}

/// The flags that a unit gives are flags of that program, and the files it names have an example.
#[test]
fn units_start_what_there_is() {
    let units = files(&root().join("deploy"), ".service");
    assert_eq!(units.len(), 2, "{units:?}");
    for unit in units {
        let text = fs::read_to_string(&unit).expect("readable").replace("\\\n", " ");
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("ExecStart");
        let mut words = line.split_whitespace();
        let binary = words.next().expect("a program").rsplit('/').next().expect("a name");
        let help = Command::new(program(binary)).args(["run", "--help"]).output().expect("runs");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let known: BTreeSet<&str> = help
            .split(|c: char| c.is_whitespace() || ",[]".contains(c))
            .filter(|word| word.starts_with("--"))
            .collect();
        assert_eq!(words.next(), Some("run"), "{}", unit.display());
        for (flag, value) in words.filter_map(|word| word.split_once('=')) {
            assert!(known.contains(flag), "{}: no flag {flag} in {known:?}", unit.display());
            if let Some(name) = value.strip_prefix("/etc/vedette/") {
                assert!(
                    root().join("deploy/examples").join(name).is_file(),
                    "{}: no example of {name}",
                    unit.display()
                );
            }
        }
    }
}
