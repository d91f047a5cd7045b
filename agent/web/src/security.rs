//! The web-config file in use, read again when it or a file behind it changes, and what it asks of every
//! request.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use env::Tasks;
use http::{HeaderValue, StatusCode, header};
use parking_lot::RwLock;
use telemetry::{Counter, Registry};

use crate::auth::Authenticator;
use crate::web_config::{Loaded, WebConfigError};

/// The file in use; shared by the listeners and the middleware.
#[derive(Debug)]
pub(crate) struct Security {
    file: Option<PathBuf>,
    loaded: RwLock<Arc<Loaded>>,
    authenticator: Authenticator,
    reload_failures: Counter,
}

impl Security {
    pub(crate) fn new(
        file: Option<PathBuf>,
        tasks: &Tasks,
        registry: &Registry,
    ) -> Result<Self, WebConfigError> {
        let loaded = file.as_deref().map_or_else(|| Ok(Loaded::open()), Loaded::read)?;
        let reload_failures = Counter::default();
        registry.register(
            "vedette_web_config_reload_failures",
            "Changes of the web-config file or its certificates that were refused.",
            reload_failures.clone(),
        );
        Ok(Self {
            file,
            loaded: RwLock::new(Arc::new(loaded)),
            authenticator: Authenticator::new(tasks.clone()),
            reload_failures,
        })
    }

    /// What holds now. A changed file that cannot be used leaves the old content in force.
    pub(crate) fn current(&self) -> Arc<Loaded> {
        let loaded = Arc::clone(&self.loaded.read());
        let Some(file) = self.file.as_deref().filter(|_| loaded.is_outdated()) else { return loaded };
        let fresh = Loaded::read(file).and_then(|fresh| {
            // A port that changes between TLS and plain text would cut off everybody who relies on it.
            if fresh.tls.is_some() == loaded.tls.is_some() {
                return Ok(fresh);
            }
            let what = "TLS can only be switched on or off by a restart".to_owned();
            Err(WebConfigError { file: file.to_owned(), what })
        });
        let next = match fresh {
            Ok(fresh) => {
                tracing::info!(file = %file.display(), "web configuration read again");
                Arc::new(fresh)
            }
            Err(error) => {
                self.reload_failures.inc();
                tracing::error!(%error, "web configuration not changed");
                Arc::new(loaded.keep_with_new_times())
            }
        };
        *self.loaded.write() = Arc::clone(&next);
        next
    }
}

/// Refuses who is no user, and adds the file's headers to every answer.
pub(crate) async fn guard(State(security): State<Arc<Security>>, request: Request, next: Next) -> Response {
    let loaded = security.current();
    let mut response = if security.authenticator.admits(request.headers(), &loaded.users).await {
        next.run(request).await
    } else {
        let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))];
        (StatusCode::UNAUTHORIZED, challenge, "Unauthorized\n").into_response()
    };
    for (name, value) in &loaded.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}
