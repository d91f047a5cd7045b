//! What libFuzzer drives: the target that `VEDETTE_FUZZ_TARGET` names. With `VEDETTE_FUZZ_SEEDS` it only writes
//! seeds and earlier findings there, a folder a target, and prints the targets' names.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;
use std::{fs, io};

use fuzz_targets::{TARGETS, Target, findings, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    target(&std::env::var("VEDETTE_FUZZ_TARGET").expect("VEDETTE_FUZZ_TARGET names a target"))
});

libfuzzer_sys::fuzz_target!(init: seeds_if_asked(), |data: &[u8]| (TARGET.run)(data));

fn seeds_if_asked() {
    let Some(folder) = std::env::var_os("VEDETTE_FUZZ_SEEDS") else { return };
    write_seeds(Path::new(&folder)).expect("a writable folder");
    std::process::exit(0);
}

#[allow(clippy::print_stdout, reason = "a shell loop reads the names")]
fn write_seeds(folder: &Path) -> io::Result<()> {
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        for (at, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{at}")), seed)?;
        }
        for file in findings(target.name) {
            fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        println!("{}", target.name);
    }
    Ok(())
}
