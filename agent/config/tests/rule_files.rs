//! Rule files load or are refused with place and rule: the published ones as their names say, and our own.

use std::path::{Path, PathBuf};

use model::NameValidation;
use vedette_config::parse_rules;

fn folder(name: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let root = std::env::var_os("VEDETTE_CONFORMANCE").map_or(default, PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is readable");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() > 5, "{} holds too little", folder.display());
    files
}

#[test]
fn rule_files_load_or_are_refused() {
    let Some(folder) = folder("rules") else { return };
    let mut wrong = Vec::new();
    for path in files(&folder) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let names = NameValidation::Utf8;
        match (parse_rules(&text, &path, names, &|_| Ok(())), name.ends_with(".bad.yaml")) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(errors), false) => wrong.push(format!("{name}: refused: {errors}")),
            (Err(errors), true) => println!("{errors}"),
            (Ok(_), false) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
