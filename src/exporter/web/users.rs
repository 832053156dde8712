//! `basic_auth_users`: who may ask.
//!
//! A password is hashed once and then remembered (as a keyed digest), so that a scrape does not pay for bcrypt every
//! time. Unknown users cost as much as known ones. One hash is computed at a time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// Right passwords that are remembered. Wrong ones are not: they could push the right ones out.
const REMEMBERED: usize = 64;
/// How long a client waits for the hash to be its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Salt and hash that no password is known for.
const NOBODY: &str = ".....................................................";

/// What became of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are right, or none are needed.
    Admitted,
    /// They are missing or wrong.
    Refused,
    /// Too many passwords are being hashed.
    Busy,
}

/// Everybody who may ask.
pub(super) struct Users {
    hashes: BTreeMap<String, SecretString>,
    /// What the password of an unknown user is compared with.
    decoy: String,
    key: [u8; 32],
    right: Mutex<HashSet<blake3::Hash>>,
    turn: Semaphore,
    patience: Duration,
}

impl Users {
    /// `hashes` by user, all of them valid (see [`cost`]).
    pub(super) fn new(hashes: BTreeMap<String, SecretString>) -> Self {
        let costs = hashes.values().filter_map(|hash| cost(hash.expose_secret()).ok());
        let decoy = format!("$2b${:02}${NOBODY}", costs.max().unwrap_or(10));
        Self {
            hashes,
            decoy,
            key: rand::random(),
            right: Mutex::default(),
            turn: Semaphore::new(1),
            patience: PATIENCE,
        }
    }

    /// Is anybody who asks answered?
    pub(super) fn is_everybody(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Judge the header `Authorization`.
    pub(super) async fn judge(self: &Arc<Self>, authorization: Option<&HeaderValue>) -> Verdict {
        if self.is_everybody() {
            return Verdict::Admitted;
        }
        let Some((user, password)) = authorization.and_then(credentials) else { return Verdict::Refused };
        let known = self.hashes.get(&user);
        let hash = known.map_or(self.decoy.as_str(), |hash| hash.expose_secret()).to_owned();
        let digest = self.digest(&user, &password);
        if known.is_some() && self.right().contains(&digest) {
            return Verdict::Admitted;
        }
        let Ok(Ok(_turn)) = tokio::time::timeout(self.patience, self.turn.acquire()).await else {
            return Verdict::Busy;
        };
        let hashed = tokio::task::spawn_blocking(move || bcrypt::verify(&password, &hash).unwrap_or(false));
        let is_right = hashed.await.unwrap_or(false);
        if !is_right || known.is_none() {
            return Verdict::Refused;
        }
        let mut right = self.right();
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(digest);
        Verdict::Admitted
    }

    fn digest(&self, user: &str, password: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(user.len() as u64).to_le_bytes()).update(user.as_bytes()).update(password);
        hasher.finalize()
    }

    // A set of digests is whole after every step: a poisoned lock says nothing about it.
    fn right(&self) -> std::sync::MutexGuard<'_, HashSet<blake3::Hash>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

/// Largest cost of a hash: it takes half a minute, and a scrape has ten seconds.
const LARGEST_COST: u32 = 18;

/// Cost of a bcrypt hash. The error says what is wrong with it, never what it is.
pub(super) fn cost(hash: &str) -> Result<u32, String> {
    let parts: bcrypt::HashParts =
        hash.parse().map_err(|_| "must be a bcrypt hash such as `htpasswd -nBC 10 USER` prints".to_owned())?;
    match parts.get_cost() {
        cost @ 4..=LARGEST_COST => Ok(cost),
        cost => Err(format!("has the cost {cost}; write a hash with a cost between 10 and {LARGEST_COST}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Arc<Users> {
        let hash = |password: &str, cost| SecretString::from(bcrypt::hash(password, cost).unwrap());
        let hashes = BTreeMap::from([("ann".to_owned(), hash("s3cret", 5)), ("bob".to_owned(), hash("", 4))]);
        Arc::new(Users { patience: Duration::from_millis(10), ..Users::new(hashes) })
    }

    fn basic(text: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_admitted() {
        let users = users();
        for (text, wanted) in [
            ("ann:s3cret", Verdict::Admitted),
            ("bob:", Verdict::Admitted),
            ("ann:s3cret", Verdict::Admitted),
            ("ann:s3cret ", Verdict::Refused),
            ("bob:s3cret", Verdict::Refused),
            ("eve:s3cret", Verdict::Refused),
            ("ann", Verdict::Refused),
            ("", Verdict::Refused),
        ] {
            assert_eq!(users.judge(Some(&basic(text))).await, wanted, "{text}");
        }
        assert_eq!(users.judge(None).await, Verdict::Refused);
        for nonsense in ["Basic", "Basic !!!", "Bearer YW5uOnMzY3JldA==", "YW5uOnMzY3JldA=="] {
            assert_eq!(users.judge(Some(&HeaderValue::from_static(nonsense))).await, Verdict::Refused, "{nonsense}");
        }
        assert_eq!(users.right().len(), 2, "right passwords are remembered, wrong ones are not");
    }

    #[tokio::test]
    async fn a_remembered_password_waits_for_no_hash_and_an_unknown_user_waits_as_a_known_one_does() {
        let users = users();
        assert_eq!(cost(&users.decoy), Ok(5), "an unknown user costs as much as the dearest known one");
        assert_eq!(users.judge(Some(&basic("ann:s3cret"))).await, Verdict::Admitted);
        let _hashing = users.turn.acquire().await.unwrap();
        assert_eq!(users.judge(Some(&basic("ann:s3cret"))).await, Verdict::Admitted);
        for text in ["ann:wrong", "bob:", "eve:wrong"] {
            assert_eq!(users.judge(Some(&basic(text))).await, Verdict::Busy, "{text}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_without_being_repeated() {
        for nonsense in ["", "s3cret", "$2y$10$short", "$6$salt$hash"] {
            let error = cost(nonsense).unwrap_err();
            assert!(error.contains("bcrypt") && (nonsense.is_empty() || !error.contains(nonsense)), "{error}");
        }
        assert!(cost(&format!("$2b$31${NOBODY}")).unwrap_err().contains("cost 31"));
        assert_eq!(cost(&format!("$2y$10${NOBODY}")), Ok(10));
    }
}
