//! `debug`: what a server tells about itself, in a `debug.tar.gz`.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::http::Server;
use super::{HttpConfig, failed};

const ARCHIVE: &str = "debug.tar.gz";
/// Profiles take half a minute.
const TIMEOUT: Duration = Duration::from_secs(60);

const PPROF: [(&str, &str); 7] = [
    ("/debug/pprof/profile?seconds=30", "cpu.pb"),
    ("/debug/pprof/block", "block.pb"),
    ("/debug/pprof/goroutine", "goroutine.pb"),
    ("/debug/pprof/heap", "heap.pb"),
    ("/debug/pprof/mutex", "mutex.pb"),
    ("/debug/pprof/threadcreate", "threadcreate.pb"),
    ("/debug/pprof/trace?seconds=30", "trace.pb"),
];
const METRICS: [(&str, &str); 1] = [("/metrics", "metrics.txt")];

#[derive(Subcommand, Debug)]
pub(super) enum Debug {
    /// Fetch profiling debug information: a Prometheus has it, Vedette does not.
    Pprof {
        /// Prometheus server to get pprof files from.
        server: String,
    },
    /// Fetch metrics debug information.
    Metrics {
        /// Prometheus server to get metrics from.
        server: String,
    },
    /// Fetch all debug information.
    All {
        /// Prometheus server to get all debug information from.
        server: String,
    },
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "promtool's words")]
pub(super) fn run(debug: &Debug) -> Result<()> {
    let (server, pages) = match debug {
        Debug::Pprof { server } => (server, PPROF.to_vec()),
        Debug::Metrics { server } => (server, METRICS.to_vec()),
        Debug::All { server } => (server, [&PPROF[..], &METRICS].concat()),
    };
    match write(server, &pages) {
        Ok(()) => {
            println!("Compiling debug information complete, all files written in {ARCHIVE:?}.");
            Ok(())
        }
        Err(error) => {
            eprintln!("error completing debug command: {error:#}");
            Err(failed(1))
        }
    }
}

fn write(server: &str, pages: &[(&str, &str)]) -> Result<()> {
    let server = Server::new(server, &HttpConfig { http_config: None }, &[])?;
    let file =
        std::fs::File::create(ARCHIVE).with_context(|| format!("error creating archive {ARCHIVE:?}"))?;
    let mut archive = GzEncoder::new(file, Compression::default());
    for (path, name) in pages {
        let url = server.at(path);
        let response = server.get(path, TIMEOUT).context("error executing HTTP request")?;
        if response.status != http::StatusCode::OK {
            bail!("error executing HTTP request: {url} answered {}", response.status);
        }
        let mut body = response.body.to_vec();
        if body.starts_with(&[0x1f, 0x8b]) {
            // Profiles are packed, and the archive packs again.
            let mut plain = Vec::new();
            GzDecoder::new(&response.body[..]).read_to_end(&mut plain).context("error post-processing")?;
            body = plain;
        }
        archive.write_all(&header(name, body.len()))?;
        archive.write_all(&body)?;
        archive.write_all(&vec![0; body.len().next_multiple_of(512) - body.len()])?;
    }
    // The end of an archive is two empty blocks.
    archive.write_all(&[0; 1024])?;
    archive.finish()?.sync_all()?;
    Ok(())
}

/// The block in front of a file: POSIX's ustar, octal numbers in text.
fn header(name: &str, size: usize) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_add_up() {
        let block = header("metrics.txt", 1000);
        assert_eq!(&block[124..136], b"00000001750\0");
        let mut blank = block;
        blank[148..156].fill(b' ');
        let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(&block[148..155], format!("{sum:06o}\0").as_bytes());
    }
}
