//! A selection as its reader sees it: what takes no file is read at once, everything else on a thread for such
//! work, several batches at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use storage::{Batch, BatchSelect, Batches, BoxFuture, Coverage, QueryError};

use crate::group::Columns;
use crate::scan::Scan;
use crate::store::Inner;

/// Batches that are read at a time, at least, where there are so many.
const AT_ONCE: usize = 32;
/// Bytes that end that before.
const BYTES_AT_ONCE: usize = 1 << 20;

/// Batches of a store.
pub(crate) struct StoreBatches {
    inner: Arc<Inner>,
    /// None while a thread reads, and once reading failed.
    scan: Option<Scan>,
    ready: VecDeque<Batch>,
    in_memory: bool,
}

impl StoreBatches {
    /// Finds out what is to be read.
    pub(crate) async fn open(
        inner: Arc<Inner>,
        select: BatchSelect,
        in_memory: bool,
    ) -> Result<Self, QueryError> {
        let owner = Arc::clone(&inner);
        let scan = run(in_memory, move || Scan::new(&owner, select, Columns::Samples)).await?;
        Ok(Self { inner, scan: Some(scan), ready: VecDeque::new(), in_memory })
    }

    async fn fill(&mut self) -> Result<(), QueryError> {
        let Some(mut scan) = self.scan.take() else { return Err(cancelled()) };
        let inner = Arc::clone(&self.inner);
        let (scan, ready) = run(self.in_memory, move || {
            let ready = read(&mut scan, &inner)?;
            Ok((scan, ready))
        })
        .await?;
        self.scan = Some(scan);
        self.ready = ready;
        Ok(())
    }
}

impl Batches for StoreBatches {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Batch>, QueryError>> {
        Box::pin(async {
            if self.ready.is_empty() {
                self.fill().await?;
            }
            Ok(self.ready.pop_front())
        })
    }

    fn coverage(&mut self) -> Coverage {
        self.scan.as_mut().map(|scan| scan.coverage(&self.inner)).unwrap_or_default()
    }
}

/// Some batches; none when there are no more.
fn read(scan: &mut Scan, inner: &Inner) -> Result<VecDeque<Batch>, QueryError> {
    let (mut ready, mut bytes) = (VecDeque::new(), 0);
    while ready.len() < AT_ONCE && bytes < BYTES_AT_ONCE {
        let Some(batches) = scan.next(inner)? else { break };
        bytes += batches.iter().map(|batch| batch.charge.bytes()).sum::<usize>();
        ready.extend(batches);
    }
    Ok(ready)
}

/// Does work here, or where it may wait for a disk.
pub(crate) async fn run<T: Send + 'static>(
    in_memory: bool,
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if !in_memory => runtime.spawn_blocking(work).await.map_err(|_| cancelled())?,
        _ => work(),
    }
}

fn cancelled() -> QueryError {
    QueryError::Unavailable("the query was cancelled".to_owned())
}
