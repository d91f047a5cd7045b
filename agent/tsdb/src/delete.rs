//! Deleting series, cleaning up what deletions hide, and snapshots: what an administrator may ask for.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use model::{Labels, Matcher};
use storage::TimeRange;

use crate::notes::Note;
use crate::sealed::{Deletion, SealedError, SealedStore, Sealing};
use crate::store::{Inner, Store};
use crate::window::{DAY_MS, WINDOW_MS, day_of};

/// What an administrator asked for was not done.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct AdminError {
    /// What was to be done.
    what: &'static str,
    /// Why it was not.
    why: String,
}

impl AdminError {
    fn new(what: &'static str) -> impl Fn(String) -> Self {
        move |why| Self { what, why }
    }
}

impl Store {
    /// Hides the samples of series that pass all matchers, in a range, for good: also those that arrive later.
    /// A range that has no end ends with the newest sample, or now.
    ///
    /// # Errors
    /// When it cannot be recorded; then nothing is hidden.
    pub fn delete_series(&self, matchers: Vec<Matcher>, range: TimeRange) -> Result<(), AdminError> {
        let inner = &self.inner;
        let newest = inner.state.read().head.times().map_or(i64::MIN, |(_, newest)| newest);
        let end = range.end.min(newest.max(inner.clock.now_ms()));
        let range = TimeRange { start: range.start, end };
        let deletion = Deletion { matchers, range, external: Labels::empty() };
        if deletion.range.start > deletion.range.end {
            return Ok(());
        }
        let failed = AdminError::new("deleting series");
        let note = Note::deletion(&deletion);
        let store = inner.vault.get_or_create();
        let done = store.and_then(|store| store.delete(deletion));
        done.map_err(|error| failed(error.to_string()))?;
        // As a frame it goes to whoever gets the samples; said twice it is the same.
        let told = {
            let mut state = inner.state.write();
            let open = inner.check_open(&state);
            open.map(|()| state.put_note(note, inner.clock.now_ms()))
        };
        let told = told.and_then(|()| inner.write_all(true).map_err(|error| error.to_string()));
        told.map_err(|why| failed(format!("it is done here and will not reach others, repeat it: {why}")))
    }

    /// Takes what deletions hide out of sealed windows, and so off the disk. Deletions stay in force: what is in
    /// the log goes when its window is sealed.
    ///
    /// # Errors
    /// When a window cannot be written anew; it stays as it was.
    pub fn clean_tombstones(&self) -> Result<(), AdminError> {
        let _one = self.inner.sealing.lock();
        let failed = AdminError::new("cleaning up deletions");
        self.inner.clean().map_err(|error| failed(error.to_string()))
    }

    /// Makes a copy of the store in `snapshots/NAME` of its folder, which can be opened as a store: hard links
    /// where files do not change any more. `sealed_only` leaves the log out.
    ///
    /// # Errors
    /// When the copy cannot be made; what there is of it is removed.
    pub fn snapshot(&self, name: &str, sealed_only: bool) -> Result<(), AdminError> {
        let failed = AdminError::new("making a snapshot");
        let dir = self.inner.options.dir.join("snapshots").join(name);
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !plain || dir.exists() {
            return Err(failed(format!("{} cannot be made or is there already", dir.display())));
        }
        self.inner.copy_to(&dir, sealed_only).map_err(|error| {
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "what there is of a snapshot stays");
            }
            failed(error.to_string())
        })
    }
}

impl Inner {
    /// Writes sealed windows anew that deletions touch. The caller holds `sealing`.
    fn clean(&self) -> Result<(), SealedError> {
        let Some(store) = self.vault.get() else { return Ok(()) };
        let deletions = self.vault.deletions();
        self.clean_days(&store, &deletions)?;
        for window in self.vault.windows() {
            let range = TimeRange { start: window.start, end: window.start.saturating_add(WINDOW_MS - 1) };
            let is_touched = deletions.iter().any(|deletion| deletion.range.overlaps(&range));
            if !is_touched || window.generations.is_empty() || store.is_damaged(window.start) {
                continue;
            }
            let own = window.generations.iter();
            let sealing = Sealing {
                store: &store,
                start: window.start,
                is_day: false,
                fold: own.map(|generation| (window.start, std::sync::Arc::clone(generation))).collect(),
                resolve: &|number| store.group(number, &self.state.read()),
                stopped: &|| self.state.read().closed,
                salvage: false,
                written: &|| Ok(()),
            };
            let generation = sealing.write(Vec::new())?.map(std::sync::Arc::new);
            let mut cleaned = (*window).clone();
            cleaned.generations = generation.iter().cloned().collect();
            store.publish(cleaned)?;
        }
        store.tidy();
        Ok(())
    }

    /// The same for days, with what came late for them.
    fn clean_days(&self, store: &SealedStore, deletions: &[Deletion]) -> Result<(), SealedError> {
        for day in self.vault.days() {
            let range = TimeRange { start: day, end: day.saturating_add(DAY_MS - 1) };
            let windows = self.vault.windows();
            let of_day = || windows.iter().filter(|window| day_of(window.start) == day);
            let is_touched = deletions.iter().any(|deletion| deletion.range.overlaps(&range));
            if is_touched && !of_day().any(|window| store.is_damaged(window.start)) {
                self.write_day(store, day, &of_day().cloned().collect::<Vec<_>>(), &|| {
                    self.state.read().closed
                })?;
            }
        }
        Ok(())
    }

    fn copy_to(&self, dir: &Path, sealed_only: bool) -> Result<(), SealedError> {
        // Nothing is sealed meanwhile, so the log has what the copy of the blocks has not.
        let _one = self.sealing.lock();
        let log = dir.join("log");
        fs::create_dir_all(&log)?;
        if let Some(store) = self.vault.get() {
            store.copy_to(&dir.join("sealed"))?;
        }
        if !sealed_only {
            self.copy_log(&log)?;
        }
        for folder in [&log, dir] {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Links closed segments, and copies the open one as far as it is written.
    fn copy_log(&self, to: &Path) -> Result<(), SealedError> {
        self.write_all(true).map_err(|error| SealedError::Io(io::Error::other(error)))?;
        // Segments stay while it is held.
        let writer = self.writer.lock();
        let open = writer.log.current().map(|segment| segment.index);
        for segment in writer.log.segments() {
            let name = format!("{:08}.seg", segment.index);
            let (from, to) = (writer.log.dir().join(&name), to.join(&name));
            if open == Some(segment.index) {
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()?;
            } else {
                fs::hard_link(&from, &to)?;
            }
        }
        Ok(())
    }
}
