//! What a repair does to the database itself, before its windows are written anew.

use std::path::Path;

use super::db::{self, IDENTITY, MANIFEST};
use super::error::SealedError;
use super::keys::BlockKey;
use super::manifest::SealedWindow;
use super::store::{SealedStore, Vault};
use crate::metrics::Metrics;

/// Bytes that RocksDB's caches may take up meanwhile.
const MEMORY: usize = 16 << 20;

/// Brings the database in `dir` to where it can be opened and all but its blocks can be read. What cannot be mended goes
/// to `aside`; whether that was everything.
pub(crate) fn mend(dir: &Path, aside: &Path, tell: &mut dyn FnMut(String)) -> Result<bool, SealedError> {
    let error = match try_open(dir) {
        Ok(lost) => return Ok(lost),
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(error),
    };
    tell(format!("sealed: cannot be read: {error}"));
    std::fs::create_dir_all(aside)?;
    let to = (0u64..).map(|number| aside.join(format!("sealed.{number}"))).find(|to| !to.exists());
    let Some(to) = to else { return Err(error) };
    std::fs::rename(dir, &to)?;
    tell(format!("sealed: set aside as {}", to.display()));
    Ok(true)
}

/// Opens the database, which repairs what RocksDB can repair, and reads all of its small families.
fn try_open(dir: &Path) -> Result<bool, SealedError> {
    let metrics = Metrics::new(&telemetry::Registry::new());
    let (vault, loss) = Vault::open(dir.to_owned(), MEMORY, &metrics);
    let Some(store) = vault.get() else {
        let why = loss.map_or_else(String::new, |loss| loss.why);
        tracing::error!(why, "the database cannot be opened");
        // Its own error says whether that is damage.
        return db::open(dir, MEMORY).map_err(SealedError::from).and_then(|opened| {
            for family in [MANIFEST, IDENTITY] {
                let family =
                    opened.db.cf_handle(family).ok_or(SealedError::Malformed("a family is missing"))?;
                for entry in opened.db.iterator_cf(&family, rocksdb::IteratorMode::Start) {
                    entry?;
                }
            }
            Err(SealedError::Malformed("what it holds cannot be read"))
        });
    };
    store.read_families()?;
    Ok(loss.is_some_and(|loss| loss.for_good))
}

impl SealedStore {
    /// Whether the manifest and the identity can be read to their ends.
    fn read_families(&self) -> Result<(), SealedError> {
        for family in [MANIFEST, IDENTITY] {
            let family = self.db.cf_handle(family).ok_or(SealedError::Malformed("a family is missing"))?;
            for entry in self.db.iterator_cf(&family, rocksdb::IteratorMode::Start) {
                entry?;
            }
        }
        Ok(())
    }

    /// Gives the files of a window's generations a second name in `aside`.
    pub(crate) fn keep_aside(&self, window: &SealedWindow, aside: &Path) -> Result<(), SealedError> {
        for (file, is_there) in self.block_files()? {
            let Some(first) = file.start_key.as_deref().and_then(BlockKey::read) else { continue };
            let is_ours = first.window == window.start && window.generation(first.generation).is_some();
            if !is_ours || !is_there {
                continue;
            }
            std::fs::create_dir_all(aside)?;
            let name = file.name.trim_start_matches('/');
            let names = (0u64..).map(|number| aside.join(format!("{name}.{number}")));
            let to = names.into_iter().find(|to| !to.exists());
            if let Some(to) = to {
                std::fs::hard_link(self.db.path().join(name), to)?;
            }
        }
        Ok(())
    }
}
