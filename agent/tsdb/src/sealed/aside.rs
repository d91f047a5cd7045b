//! Files of blocks that are gone or not of their size: RocksDB can read nothing of them, and takes no file in beside
//! them.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{Direction, IteratorMode, LiveFile};

use super::db::BLOCKS;
use super::error::SealedError;
use super::keys::BlockKey;
use super::manifest::SealedWindow;
use super::store::SealedStore;

impl SealedStore {
    /// The files of blocks, as the database knows them; whether each is on the disk as it was written.
    pub(super) fn block_files(&self) -> Result<Vec<(LiveFile, bool)>, SealedError> {
        let blocks = self.db.live_files()?.into_iter().filter(|file| file.column_family_name == BLOCKS);
        Ok(blocks
            .map(|file| {
                let is_there = is_there(self.db.path(), &file);
                (file, is_there)
            })
            .collect())
    }

    /// The windows whose damaged file stands behind all files of a window; none where what is there can be read.
    pub(crate) fn blocked_behind(&self, start: i64) -> Result<Option<Vec<i64>>, SealedError> {
        let family = self.db.cf_handle(BLOCKS).ok_or(SealedError::Malformed("the blocks are missing"))?;
        let own = BlockKey::first(start, self.newest_generation()).bytes();
        let mut behind = self.db.iterator_cf(&family, IteratorMode::From(&own, Direction::Forward));
        let Some(Err(error)) = behind.next() else { return Ok(None) };
        let error = SealedError::from(error);
        if !error.is_damage() {
            return Err(error);
        }
        let is_behind = |file: &LiveFile| file.end_key.as_deref().is_some_and(|end| end >= &own[..]);
        let mut files: Vec<LiveFile> = self.block_files()?.into_iter().map(|(file, _)| file).collect();
        files.retain(is_behind);
        let first = files.iter().filter_map(|file| BlockKey::read(file.start_key.as_deref()?)).min();
        let Some(first) = first else { return Ok(None) };
        let windows = self.windows();
        let has = |window: &&Arc<SealedWindow>| window.generation(first.generation).is_some();
        Ok(Some(windows.iter().filter(has).map(|window| window.start).collect()))
    }

    /// Takes files that cannot be read at all out of the database; what is left of them goes to `aside`. The manifest
    /// goes on to name their generations, which are damage from then on.
    pub(super) fn set_files_aside(&self, aside: &Path) {
        let files = match self.block_files() {
            Ok(files) => files,
            Err(error) => return tracing::warn!(%error, "files of sealed data cannot be listed"),
        };
        for (file, _) in files.into_iter().filter(|(_, is_there)| !is_there) {
            if let Err(error) = self.set_file_aside(&file, aside) {
                tracing::warn!(%error, file = file.name, "a damaged file of sealed data stays where it is");
            }
        }
    }

    /// The same for one file, whatever is wrong with it.
    pub(super) fn set_file_aside(&self, file: &LiveFile, aside: &Path) -> Result<(), SealedError> {
        let name = file.name.trim_start_matches('/');
        let from = self.db.path().join(name);
        let (Some(start), Some(end)) = (&file.start_key, &file.end_key) else { return Ok(()) };
        let family = self.db.cf_handle(BLOCKS).ok_or(SealedError::Malformed("the blocks are missing"))?;
        if from.exists() {
            std::fs::create_dir_all(aside)?;
            let free = (0..).map(|number| aside.join(format!("{name}.{number}"))).find(|to| !to.exists());
            if let Some(to) = free {
                std::fs::rename(&from, &to)?;
                tracing::error!(from = %from.display(), to = %to.display(), "a damaged file of sealed data is set aside");
            }
        }
        Ok(self.db.delete_file_in_range_cf(&family, start, end)?)
    }
}

/// Whether a file is on the disk as it was written; where the disk does not tell, that is no damage.
fn is_there(dir: &Path, file: &LiveFile) -> bool {
    match std::fs::metadata(dir.join(file.name.trim_start_matches('/'))) {
        Ok(found) => found.is_file() && found.len() == file.size as u64,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}
