//! What other libraries' errors say, from the bottom of their causes.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy::Error as PoolError;
use rustls::AlertDescription;

use crate::error::{ClientError, ErrorKind};

/// What kind of trouble a request met.
pub(crate) fn classify(error: &PoolError) -> ClientError {
    let kind = if causes(error).any(|cause| cause.is::<rustls::Error>()) {
        ErrorKind::Tls
    } else if error.is_connect() {
        ErrorKind::Connect
    } else {
        ErrorKind::Protocol
    };
    ClientError::new(kind, deepest(error))
}

/// What kind of trouble it is when there is no secure connection.
pub(crate) fn handshake(error: &io::Error) -> ClientError {
    let refused = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    let http2_only = causes(error).any(|cause| cause.downcast_ref() == Some(&refused));
    let kind = if is_tls(error) { ErrorKind::Tls } else { ErrorKind::Connect };
    ClientError::new(kind, deepest(error)).for_http2(http2_only)
}

/// Whether an error is one of TLS, not of what it goes over.
pub(crate) fn is_tls(error: &io::Error) -> bool {
    causes(error).any(|cause| cause.is::<rustls::Error>())
}

/// An error and what caused it. An `io::Error` that wraps another hides it from `source`.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

/// What lies at the bottom of an error.
pub(crate) fn deepest(error: &(dyn StdError + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    let last = texts.last().cloned().unwrap_or_default();
    match texts.iter().rev().nth(1) {
        // The last one is often only an errno; the one before says during what.
        Some(before) if !before.contains(&last) => format!("{before}: {last}"),
        _ => last,
    }
}
