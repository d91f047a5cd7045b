//! The configurations that the Prometheus authors publish load or are refused as
//! their names say.

mod support;

use support::{files, folder};
use vedette_config::Config;

/// Two kinds of file are refused although their names do not end in `.bad.yml`: an OTLP strategy
/// that needs UTF-8 names beside the legacy scheme, and the alertmanager API v1, gone since
/// Prometheus 3.
fn is_bad(name: &str) -> bool {
    name.ends_with(".bad.yml")
        || name.ends_with(".incompatible.yml")
        || name == "config_with_deprecated_am_api_config.yml"
}

#[test]
fn prometheus_configs_load_or_are_refused() {
    let Some(folder) = folder("prometheus-config") else { return };
    // Three files include this one, which the folder does not hold.
    let copies = tempfile::tempdir().expect("a folder");
    let included = copies.path().join("scrape_config_files.good.yml");
    std::fs::write(&included, "scrape_configs: [{job_name: prometheus}]\n").expect("written");
    let mut wrong = Vec::new();
    for path in files(&folder) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        match (Config::parse(&text, &copies.path().join(&name)), is_bad(&name)) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(errors), false) => wrong.push(format!("{name}: refused: {errors}")),
            (Err(errors), true) => {
                let first = &errors.0[0];
                assert!(first.at.line > 0 && first.message.len() > 10, "{first}");
                println!("{errors}");
            }
            (Ok(_), false) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
