//! Whether somebody writes to a server while it is restored to: what telegraf sends meanwhile mixes with the backup.

use std::collections::BTreeSet;

use serde_json::Value;

use super::client::Client;

/// How far the server's counter of points was, and who was writing.
pub struct Writers {
    points: Option<u64>,
    clients: BTreeSet<String>,
}

impl Writers {
    /// Look for two seconds, and note the counter. A server that does not tell has none that we know of.
    pub fn watch(client: &mut Client) -> Self {
        let requests = client.get("/debug/requests?seconds=2").unwrap_or_default();
        let requests: Value = serde_json::from_slice(&requests).unwrap_or_default();
        let writes = |request: &Value| request.get("writes").and_then(Value::as_u64).unwrap_or(0) > 0;
        let clients = requests.as_object().into_iter().flatten().filter(|(_, request)| writes(request));
        Self { clients: clients.map(|(name, _)| name.clone()).collect(), points: points(client) }
    }

    /// A warning if points came since then.
    pub fn seen(self, client: &mut Client) -> Option<String> {
        let came = points(client).zip(self.points).map_or(0, |(now, before)| now.saturating_sub(before));
        if came == 0 && self.clients.is_empty() {
            return None;
        }
        let who = if self.clients.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.clients.into_iter().collect::<Vec<_>>().join(", "))
        };
        Some(format!(
            "writers are still connected{who}: {came} points were written during the restore; stop telegraf and others first"
        ))
    }
}

/// Points written through HTTP since the server was started.
fn points(client: &mut Client) -> Option<u64> {
    let vars: Value = serde_json::from_slice(&client.get("/debug/vars").ok()?).ok()?;
    let http = vars.as_object()?.iter().find(|(name, _)| name.starts_with("httpd:"))?.1;
    http.get("values")?.get("pointsWrittenOK")?.as_u64()
}
