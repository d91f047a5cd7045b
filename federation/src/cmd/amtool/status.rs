//! `cluster show` and `config show`.

use anyhow::Result;

use super::http::Server;
use super::show::Show;
use crate::kingpin::Call;

/// Prints the cluster.
pub(super) async fn cluster(call: &Call) -> Result<()> {
    let status = Server::new(call).await?.status().await?;
    Show::new(call).cluster(&status.cluster)
}

/// Prints the configuration in use.
pub(super) async fn config(call: &Call) -> Result<()> {
    let status = Server::new(call).await?.status().await?;
    Show::new(call).config(&status)
}
