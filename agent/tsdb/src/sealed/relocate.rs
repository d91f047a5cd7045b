//! After RocksDB's own repair: it puts files that were taken in whole into the default family, as they do not say which
//! one is theirs. Their values go back to the blocks, a file for each generation as before.

use rocksdb::{IteratorMode, SstFileWriter};

use super::db::MANIFEST;
use super::error::SealedError;
use super::keys::BlockKey;
use super::store::SealedStore;

impl SealedStore {
    /// Brings blocks back that lie among the manifest's records. What cannot be read stays behind.
    pub(super) fn bring_blocks_back(&self) -> Result<(), SealedError> {
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let path = self.staging.join("back.sst");
        let mut open: Option<(BlockKey, SstFileWriter<'_>)> = None;
        let mut moved = Vec::new();
        let mut finish = |open: Option<(BlockKey, SstFileWriter<'_>)>| -> Result<(), SealedError> {
            let Some((first, mut file)) = open else { return Ok(()) };
            file.finish()?;
            self.ingest(&path)?;
            moved.push(first);
            Ok(())
        };
        for entry in self.db.iterator_cf(&family, IteratorMode::Start) {
            let (key, value) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::error!(%error, "what is behind this in the repaired database is lost");
                    break;
                }
            };
            // The manifest's keys have other lengths.
            let Some(block) = BlockKey::read(&key) else { continue };
            let first = BlockKey::first(block.window, block.generation);
            if open.as_ref().is_none_or(|(known, _)| *known != first) {
                finish(open.take())?;
                let file = SstFileWriter::create(&self.file_options);
                file.open(&path)?;
                open = Some((first, file));
            }
            if let Some((_, file)) = &mut open {
                file.put(&key, &value)?;
            }
        }
        finish(open)?;
        for first in moved {
            let last = BlockKey::first(first.window, first.generation.saturating_add(1));
            self.db.delete_range_cf(&family, first.bytes(), last.bytes())?;
        }
        Ok(())
    }
}
