//! Which message a request carries, and whether we read it.

use http::{HeaderMap, header};

use super::message::Version;

const MEDIA_TYPE: &str = "application/x-protobuf";

/// The version of a request by its `Content-Type`; without one it is version 1.
///
/// # Errors
/// What is not supported, for a 415.
pub(crate) fn version(headers: &HeaderMap) -> Result<Version, String> {
    let value = text(headers, &header::CONTENT_TYPE);
    let value = value.trim();
    if value.is_empty() {
        return Ok(Version::V1);
    }
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    if !media.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(format!("expected {MEDIA_TYPE} as the first (media) part, got {value} content-type"));
    }
    for part in parts {
        let Some((name, message)) = part.split_once('=') else {
            return Err(format!("expected parameters to be key-values, got {part} in {value} content-type"));
        };
        if name.trim() == "proto" {
            let message = message.trim().trim_matches('"');
            return Version::of_message(message).ok_or_else(|| {
                format!(
                    "got {value} content type; unknown remote write protobuf message {message}, supported: {}",
                    Version::ALL.map(Version::message).join(", ")
                )
            });
        }
    }
    Ok(Version::V1)
}

/// Refuses what is not snappy; a request that does not say is taken for it.
///
/// # Errors
/// What is not supported, for a 415.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<(), String> {
    let value = text(headers, &header::CONTENT_ENCODING);
    if value.is_empty() || value.eq_ignore_ascii_case("snappy") {
        return Ok(());
    }
    Err(format!("{value} encoding (compression) is not accepted by this server; only snappy is acceptable"))
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn messages_are_told_by_the_parameter() {
        for (value, expected) in [
            ("", Some(Version::V1)),
            ("application/x-protobuf", Some(Version::V1)),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Some(Version::V1)),
            ("application/x-protobuf; proto=io.prometheus.write.v2.Request", Some(Version::V2)),
            ("application/x-protobuf;charset=utf-8", Some(Version::V1)),
            ("application/x-protobuf;proto=other.Request", None),
            ("application/x-protobuf;proto", None),
            ("application/json", None),
        ] {
            assert_eq!(version(&with(header::CONTENT_TYPE, value)).ok(), expected, "{value}");
        }
        assert_eq!(version(&HeaderMap::new()), Ok(Version::V1));
    }

    #[test]
    fn only_snappy_is_read() {
        for (value, ok) in [("", true), ("snappy", true), ("Snappy", true), ("gzip", false), ("zstd", false)]
        {
            assert_eq!(encoding(&with(header::CONTENT_ENCODING, value)).is_ok(), ok, "{value}");
        }
    }
}
