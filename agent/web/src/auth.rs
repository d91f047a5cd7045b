//! Basic authentication against bcrypt hashes.
//!
//! A hash takes tens of milliseconds on purpose, so verdicts are remembered, and at most a few hashes are
//! computed at a time: a flood of wrong passwords costs its senders, not the host.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use env::Tasks;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// Most verdicts that are remembered.
const VERDICTS_MAX: usize = 100;

/// Most hashes that are computed at a time.
const HASHES_MAX: usize = 2;

/// Checked for users that do not exist, so that a name cannot be found out by the time an answer takes.
const NOBODYS_HASH: &str = "$2b$10$vedetteVedetteVedette.lhmfsiImIrZ/ivy7tJLkJ9ErbJ/ZHPC";

/// Decides who may.
#[derive(Debug)]
pub(crate) struct Authenticator {
    verdicts: Mutex<HashMap<[u8; 32], bool>>,
    hashes: Semaphore,
    tasks: Tasks,
}

impl Authenticator {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self { verdicts: Mutex::new(HashMap::new()), hashes: Semaphore::new(HASHES_MAX), tasks }
    }

    /// Whether the request's credentials are those of a user; without users everybody's are.
    pub(crate) async fn admits(&self, headers: &HeaderMap, users: &BTreeMap<String, String>) -> bool {
        if users.is_empty() {
            return true;
        }
        let Some((user, password)) = credentials(headers) else { return false };
        let known = users.get(&user);
        let hash = known.map_or(NOBODYS_HASH, String::as_str).to_owned();
        let key = key_of(&user, &hash, &password);
        if let Some(verdict) = self.verdicts.lock().get(&key) {
            return *verdict;
        }
        let verdict = self.verify(password, hash).await && known.is_some();
        let mut verdicts = self.verdicts.lock();
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        verdicts.insert(key, verdict);
        verdict
    }

    async fn verify(&self, password: String, hash: String) -> bool {
        // The semaphore is never closed.
        let Ok(_slot) = self.hashes.acquire().await else { return false };
        let check = self.tasks.spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
        check.await.unwrap_or(false)
    }
}

/// User and password of a `Basic` header.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// What a verdict is remembered under: never the password itself.
fn key_of(user: &str, hash: &str, password: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [user, hash, password] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(text));
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("a header"))])
    }

    #[tokio::test]
    async fn only_users_with_their_password_are_admitted() {
        let hash = bcrypt::hash("secret", 4).expect("hashed");
        let users = BTreeMap::from([("ann".to_owned(), hash)]);
        let authenticator = Authenticator::new(Tasks::new());
        // Twice: the second verdict is remembered.
        for _ in 0..2 {
            assert!(authenticator.admits(&headers("ann:secret"), &users).await);
            assert!(!authenticator.admits(&headers("ann:wrong"), &users).await);
            assert!(!authenticator.admits(&headers("bob:secret"), &users).await);
        }
        assert!(!authenticator.admits(&HeaderMap::new(), &users).await);
        assert!(!authenticator.admits(&headers("no colon"), &users).await);
        assert!(authenticator.admits(&HeaderMap::new(), &BTreeMap::new()).await);
    }

    #[tokio::test]
    async fn a_new_hash_forgets_the_old_verdict() {
        let authenticator = Authenticator::new(Tasks::new());
        let users =
            |password: &str| BTreeMap::from([("ann".to_owned(), bcrypt::hash(password, 4).expect("hashed"))]);
        assert!(authenticator.admits(&headers("ann:old"), &users("old")).await);
        assert!(!authenticator.admits(&headers("ann:old"), &users("new")).await);
    }

    #[tokio::test]
    async fn verdicts_are_bounded() {
        let users = BTreeMap::from([("ann".to_owned(), bcrypt::hash("secret", 4).expect("hashed"))]);
        let authenticator = Authenticator::new(Tasks::new());
        for number in 0..VERDICTS_MAX + 5 {
            authenticator.admits(&headers(&format!("ann:{number}")), &users).await;
        }
        assert!(authenticator.verdicts.lock().len() <= VERDICTS_MAX);
    }
}
