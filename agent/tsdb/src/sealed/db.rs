//! The RocksDB of sealed data: its options, and opening it whatever its files have come to.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, ErrorKind, Options,
    WriteBufferManager,
};

/// Blocks: `BlockKey` to a named value. Written as whole files only.
pub(crate) const BLOCKS: &str = "blocks";
/// Streams, shapes, layouts and groups.
pub(crate) const IDENTITY: &str = "identity";
/// The manifest. RocksDB insists on this name for one of them.
pub(crate) const MANIFEST: &str = "default";

/// Open files, at most.
const FILES_MAX: i32 = 128;
/// Of the write buffers' share of the memory: both small families together write some kilobytes a window.
const WRITE_SHARE: usize = 4;

/// An open database, and the options that files for it are written with.
pub(crate) struct Opened {
    pub(crate) db: DB,
    pub(crate) file_options: Options,
    pub(crate) cache: Cache,
    /// It is not whole, and RocksDB goes on writing after a write that failed.
    pub(crate) lenient: bool,
    /// What became of data that could not be opened.
    pub(crate) loss: Option<String>,
}

/// Opens the database in `dir`, created where missing; its caches and buffers take up `memory` bytes. Files that
/// are damaged or gone are met when they are read. A database that cannot be opened for damage is repaired, and
/// where that fails set aside, and an empty one takes its place.
pub(crate) fn open(dir: &Path, memory: usize) -> Result<Opened, rocksdb::Error> {
    clear_logs(dir);
    let cache = Cache::new_lru_cache(memory);
    let mut strict = database_options(&cache, memory);
    // After a write that failed nothing more may be written until the disk is whole: a later record would be lost
    // behind the torn one.
    strict.set_paranoid_checks(true);
    let strictly = match try_open(dir, &strict, &cache) {
        Ok(db) => return Ok(Opened { lenient: false, ..opened(db, &cache, None) }),
        Err(error) => error,
    };
    tracing::warn!(dir = %dir.display(), error = %strictly, "sealed data is not whole: what there is of it is opened");
    // A file that is damaged or missing costs what is in it, not the start.
    let options = database_options(&cache, memory);
    let first = match try_open(dir, &options, &cache) {
        Ok(db) => return Ok(opened(db, &cache, None)),
        Err(error) => error,
    };
    if !is_damage(&first) {
        return Err(first);
    }
    tracing::error!(dir = %dir.display(), error = %first, "sealed data cannot be opened: it is repaired");
    let repaired = DB::repair(&options, dir).and_then(|()| try_open(dir, &options, &cache));
    let second = match repaired {
        Ok(db) => {
            let loss = format!("sealed data was damaged and has been repaired: {first}");
            return Ok(opened(db, &cache, Some(loss)));
        }
        Err(error) => error,
    };
    let aside =
        (1..).map(|number| dir.with_extension(format!("damaged-{number}"))).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| dir.with_extension("damaged"));
    tracing::error!(dir = %dir.display(), error = %second, aside = %aside.display(),
        "sealed data cannot be repaired: it is set aside; remove it, or open it elsewhere with RocksDB's tools");
    if std::fs::rename(dir, &aside).is_err() {
        return Err(second);
    }
    let loss = format!("sealed data was damaged and lies in {}", aside.display());
    Ok(Opened { lenient: false, ..opened(try_open(dir, &strict, &cache)?, &cache, Some(loss)) })
}

/// Opens the database in `dir` to read only: nothing is changed, repaired or set aside.
pub(crate) fn open_to_read(dir: &Path, memory: usize) -> Result<Opened, rocksdb::Error> {
    let cache = Cache::new_lru_cache(memory);
    let mut options = database_options(&cache, memory);
    options.create_if_missing(false);
    options.create_missing_column_families(false);
    let db = DB::open_cf_descriptors_read_only(&options, dir, families(&cache), false)?;
    Ok(opened(db, &cache, None))
}

/// The database renames and removes its own reports, and does not open where one of them is a folder.
fn clear_logs(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_log = entry.file_name().to_string_lossy().starts_with("LOG");
        if is_log && entry.path().is_dir() {
            let removed = std::fs::remove_dir_all(entry.path());
            tracing::warn!(folder = %entry.path().display(), ?removed, "a folder stood in a report's place");
        }
    }
}

fn opened(db: DB, cache: &Cache, loss: Option<String>) -> Opened {
    Opened { db, file_options: block_options(cache), cache: cache.clone(), lenient: true, loss }
}

fn try_open(dir: &Path, options: &Options, cache: &Cache) -> Result<DB, rocksdb::Error> {
    DB::open_cf_descriptors(options, dir, families(cache))
}

fn families(cache: &Cache) -> [ColumnFamilyDescriptor; 3] {
    let small = || {
        let mut options = Options::default();
        options.set_write_buffer_size(1 << 20);
        options.set_compression_type(DBCompressionType::Zstd);
        options.set_block_based_table_factory(&tables(cache));
        options
    };
    let families = [(MANIFEST, small()), (IDENTITY, small()), (BLOCKS, block_options(cache))];
    families.map(|(name, options)| ColumnFamilyDescriptor::new(name, options))
}

fn database_options(cache: &Cache, memory: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(false);
    options.set_skip_stats_update_on_db_open(true);
    let share = memory / WRITE_SHARE;
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        share,
        false,
        cache.clone(),
    ));
    options.set_max_total_wal_size(share as u64);
    options.set_max_open_files(FILES_MAX);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_max_background_jobs(2);
    options
}

/// Of the blocks: they are compressed already, lie where they were put, and go by whole files.
fn block_options(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(1 << 20);
    options.set_compression_type(DBCompressionType::None);
    options.set_disable_auto_compactions(true);
    options.set_block_based_table_factory(&tables(cache));
    options
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(16 << 10);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_cache_index_and_filter_blocks_with_high_priority(true);
    tables
}

/// Whether other bytes would have been opened: then trying again is of no use.
fn is_damage(error: &rocksdb::Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::Corruption | ErrorKind::NotFound | ErrorKind::InvalidArgument | ErrorKind::NotSupported)
        // A manifest that is gone is told as an error of the file system.
        || (kind == ErrorKind::IOError && error.as_ref().contains("No such file"))
}
