//! Whether somebody writes to a server while it is restored to: what telegraf sends meanwhile mixes with the backup.

use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::client::{Address, Client};
use crate::run_context::Cancel;

/// How long the server is asked to look who writes.
const LOOK: &str = "/debug/requests?seconds=5";
const TIMEOUT: Duration = Duration::from_secs(20);

/// How far the server's counter of points was, and who is writing.
pub struct Writers {
    points: Option<u64>,
    looking: Option<JoinHandle<BTreeSet<String>>>,
}

impl Writers {
    /// Note the counter, and begin to look where anybody has ever written. A server that does not tell has no writers that
    /// we know of.
    pub fn watch(client: &mut Client, address: &Address) -> Self {
        let address = address.clone();
        let look = move || {
            Client::open(&address, TIMEOUT, &Cancel::default())
                .map(|mut client| clients(&mut client))
                .unwrap_or_default()
        };
        let points = points(client);
        let looking = (points != Some(0))
            .then(|| std::thread::Builder::new().name("writers".to_owned()).spawn(look).ok())
            .flatten();
        Self { points, looking }
    }

    /// Points that came so far.
    pub fn came(&self, client: &mut Client) -> u64 {
        points(client).zip(self.points).map_or(0, |(now, before)| now.saturating_sub(before))
    }

    /// A warning if points came since then.
    pub fn seen(mut self, client: &mut Client) -> Option<String> {
        let clients = self.looking.take().and_then(|looking| looking.join().ok()).unwrap_or_default();
        let came = self.came(client);
        if came == 0 && clients.is_empty() {
            return None;
        }
        let who = if clients.is_empty() {
            String::new()
        } else {
            format!(" ({})", clients.into_iter().collect::<Vec<_>>().join(", "))
        };
        Some(format!(
            "writers are still connected{who}: {came} points were written during the restore; stop telegraf and others first"
        ))
    }
}

/// Who writes, as `user:address`.
fn clients(client: &mut Client) -> BTreeSet<String> {
    let requests: Value = serde_json::from_slice(&client.get(LOOK).unwrap_or_default()).unwrap_or_default();
    let writes = |request: &Value| request.get("writes").and_then(Value::as_u64).unwrap_or(0) > 0;
    let writing = requests.as_object().into_iter().flatten().filter(|(_, request)| writes(request));
    writing.map(|(name, _)| name.clone()).collect()
}

/// Points written through HTTP since the server was started.
fn points(client: &mut Client) -> Option<u64> {
    let vars: Value = serde_json::from_slice(&client.get("/debug/vars").ok()?).ok()?;
    let http = vars.as_object()?.iter().find(|(name, _)| name.starts_with("httpd:"))?.1;
    http.get("values")?.get("pointsWrittenOK")?.as_u64()
}
