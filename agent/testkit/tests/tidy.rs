//! The house keeps its shape: arrows between rooms, a head on every file, sizes, and where wire types may stand.
//!
//! A failure says which rule was broken and how to comply.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the ground up: a room may depend only on rooms above it in this list.
/// `agent` and `federation` are the wings' binaries; dev-dependencies are free.
const ROOMS: &[&str] = &[
    "proto",
    "agent/env",
    "agent/telemetry",
    "agent/model",
    "agent/exposition",
    "agent/log",
    "agent/storage",
    "agent/block",
    "agent/tsdb",
    "agent/promql",
    "agent/client",
    "agent/yaml",
    "agent/discovery",
    "agent/scrape",
    "agent/host",
    "agent/ingest",
    "agent/uplink",
    "agent/template",
    "agent/rules",
    "agent/notifier",
    "agent/api",
    "agent/web",
    "agent/config",
    "agent",
    "federation/receive",
    "federation/repair",
    "federation/raft",
    "federation/alertmanager",
    "federation/integrations",
    "federation",
];

/// Pairs that the order allows and the architecture forbids: (room, must not know, why).
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("agent/promql", "agent/tsdb", "a query reads any storage::Querier"),
    ("agent/scrape", "agent/tsdb", "a scrape appends to any storage::Appender"),
    ("agent/ingest", "agent/tsdb", "pushed data goes to any storage::Appender"),
    ("agent/rules", "agent/tsdb", "rules read and write through the waist"),
    ("agent/api", "agent/tsdb", "the API answers over any storage::Querier"),
    ("agent/api", "agent/scrape", "the API shows small status types of its own"),
    ("agent/uplink", "agent/tsdb", "the uplink ships from any storage::FrameSource"),
    ("federation/receive", "agent/tsdb", "the receiver offers frames to any storage::FrameSink"),
    ("federation/alertmanager", "federation/raft", "federation/src joins them; a single node still alerts"),
    ("federation/raft", "agent/storage", "samples never pass through raft"),
    ("agent/tsdb", "proto", "wire types stay on the wire"),
];

const FILE_LINES_MAX: usize = 600;

/// How generated types are named.
const GENERATED: [&str; 3] = ["proto::v1", "proto::remote_write", "use proto"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names under which a manifest's `[dependencies]` lists rooms of the house.
fn dependencies(room: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).expect(room);
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside && let Some((name, _)) = line.split_once(['.', ' ', '=']) {
            found.push(name.to_owned());
        }
    }
    found
}

/// From the name in a manifest to the room's folder.
fn folders() -> BTreeMap<String, &'static str> {
    ROOMS.iter().map(|room| (room.rsplit('/').next().expect("a name").to_owned(), *room)).collect()
}

fn sources(folder: &Path, extension: &str, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !matches!(name.to_str(), Some("target" | "node_modules" | "dist" | ".git")) {
                sources(&path, extension, out);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
}

fn rust_sources() -> Vec<PathBuf> {
    let mut out = Vec::new();
    for top in ["agent", "federation", "proto", "chaos-tests", "benches", "fuzz"] {
        sources(&root().join(top), "rs", &mut out);
    }
    assert!(out.len() > 50, "the walk found only {} files", out.len());
    out
}

#[test]
fn rooms_depend_only_on_rooms_above_them() {
    let folders = folders();
    let mut broken = Vec::new();
    for (place, room) in ROOMS.iter().enumerate() {
        for dependency in dependencies(room) {
            let Some(known) = folders.get(&dependency) else { continue };
            let above = ROOMS.iter().position(|other| other == known).expect("listed");
            if above >= place {
                broken.push(format!(
                    "{room} depends on {known}, which is below it: move the shared type up, or pass it in from src/"
                ));
            }
            if let Some((_, _, why)) = FORBIDDEN.iter().find(|(from, to, _)| from == room && to == known) {
                broken.push(format!("{room} must not know {known}: {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_agent_never_knows_the_federation() {
    const THEIRS: [&str; 6] = ["raft", "alertmanager", "receive", "repair", "integrations", "openraft"];
    for room in ROOMS.iter().filter(|room| room.starts_with("agent")) {
        let knows: Vec<_> =
            dependencies(room).into_iter().filter(|name| THEIRS.contains(&name.as_str())).collect();
        assert!(knows.is_empty(), "{room} depends on {knows:?}: the wings meet only over proto/");
    }
}

#[test]
fn only_src_benches_and_chaos_tests_name_the_store_and_the_config() {
    for room in ROOMS.iter().filter(|room| room.contains('/')) {
        let named: Vec<_> =
            dependencies(room).into_iter().filter(|name| name == "tsdb" || name == "config").collect();
        assert!(
            named.is_empty(),
            "{room} depends on {named:?}: take storage's traits, or a Config type of your own"
        );
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let headless: Vec<_> = rust_sources()
        .into_iter()
        .filter(|path| !fs::read_to_string(path).expect("readable").starts_with("//! "))
        .collect();
    assert!(headless.is_empty(), "open these with `//! ` and a sentence on what they are for: {headless:#?}");
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = rust_sources()
        .into_iter()
        .map(|path| (fs::read_to_string(&path).expect("readable").lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "over {FILE_LINES_MAX} lines: split by purpose, one thing a file: {long:#?}");
}

#[test]
fn wire_types_stand_only_in_files_named_wire() {
    let may = |path: &Path| {
        path.file_name().is_some_and(|name| name == "wire.rs" || name == "tidy.rs")
            || path.starts_with(root().join("proto"))
            || path.components().any(|part| part.as_os_str() == "wire" || part.as_os_str() == "tests")
    };
    let broken: Vec<_> = rust_sources()
        .into_iter()
        .filter(|path| !may(path))
        .filter(|path| {
            let text = fs::read_to_string(path).expect("readable");
            let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            code.any(|line| GENERATED.iter().any(|name| line.contains(name)))
        })
        .collect();
    assert!(broken.is_empty(), "generated types belong in a wire.rs that converts them: {broken:#?}");
}

#[test]
fn one_tls_provider() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for name in ["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls"] {
        assert!(
            !lock.contains(&format!("name = \"{name}\"")),
            "{name} is in Cargo.lock: ring is the one TLS provider; switch the feature off that brings it in"
        );
    }
}
