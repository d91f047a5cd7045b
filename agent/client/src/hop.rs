//! One step of a request, and where a redirect turns it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use url::Url;

use crate::error::{ClientError, ErrorKind};

/// One step of a request: redirects change it.
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Hop {
    pub(crate) fn new(request: Request<Bytes>) -> Result<Self, ClientError> {
        let (parts, body) = request.into_parts();
        Ok(Self { method: parts.method, url: parse(&parts.uri)?, headers: parts.headers, body })
    }

    pub(crate) fn origin(&self) -> url::Origin {
        self.url.origin()
    }

    /// Turns to the place that a redirect names, as browsers and Go do.
    pub(crate) fn redirect(
        &mut self,
        status: StatusCode,
        location: &[u8],
        origin: &url::Origin,
    ) -> Result<(), ClientError> {
        let bad = |what: String| ClientError::new(ErrorKind::Redirect, what);
        let text = HeaderValue::from_bytes(location).ok();
        let text = text.as_ref().and_then(|value| value.to_str().ok());
        let text = text.ok_or_else(|| bad("a redirect to a place that is no text".to_owned()))?;
        let next = self.url.join(text).map_err(|error| bad(format!("a redirect to {text:?}: {error}")))?;
        if !matches!(next.scheme(), "http" | "https") {
            return Err(bad(format!("a redirect to {text:?}: only http and https are followed")));
        }
        self.url = next;
        let same_method = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !same_method && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_LENGTH);
        }
        if self.url.origin() != *origin {
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(COOKIE);
        }
        Ok(())
    }
}

/// Whether a status sends the request elsewhere.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The address of a request as a URL.
pub(crate) fn parse(uri: &Uri) -> Result<Url, ClientError> {
    let bad = |error| ClientError::new(ErrorKind::BadUrl, format!("{uri:?}: {error}"));
    Url::parse(&uri.to_string()).map_err(bad)
}

/// The URL as a request's address: without user, password and fragment.
pub(crate) fn address(url: &Url) -> Result<Uri, ClientError> {
    let mut bare = url.clone();
    bare.set_fragment(None);
    // Both fail only for URLs without a host, which the next line refuses.
    let _ = (bare.set_username(""), bare.set_password(None));
    let uri: Uri =
        bare.as_str().parse().map_err(|error| ClientError::new(ErrorKind::BadUrl, format!("{error}")))?;
    if uri.host().is_none() || !matches!(bare.scheme(), "http" | "https") {
        return Err(ClientError::new(ErrorKind::BadUrl, "expected an http or https URL with a host"));
    }
    Ok(uri)
}
