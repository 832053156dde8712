//! The two ports of one destination: that what answers on the port for files is the server that was asked over HTTP.
//!
//! The port for files asks for no password and tells nobody whose it is. Beside a server on another HTTP port, port 8088 of
//! the same host is as a rule production's, and a restore through it would write there.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::answer::quoted;
use super::client::Client;
use super::target::Target;
use crate::error::{Error, OrFailed, Result};

const PATIENCE: Duration = Duration::from_secs(10);
/// First byte of a connection for the backup service, then the request "which shards has this database".
const BACKUP_SERVICE: u8 = 3;
const DATABASE_INFO: u8 = 3;
/// Longest answer to it that is read: the database that is asked for has no shards.
const LONGEST_ANSWER: u64 = 4096;
const HINT: &str = "pass this server's own `bind-address` as --rpc-address HOST:PORT";

/// `HOST:PORT` of the backup service that belongs to the server behind `client`. A restore may write to it.
///
/// Errors: none was given where it cannot be told, or the one at hand is another server's.
pub fn transfer_address<'t>(client: &mut Client, to: &'t Target) -> Result<&'t str> {
    let Some(address) = to.transfer_address.as_deref() else {
        let said =
            bind_address(client).map_or(String::new(), |said| format!("; the server says that its own is {said}"));
        let what = format!(
            "cannot restore to {}: the address of its backup service is not given, and port 8088 of that host may be \
             another server's",
            to.url
        );
        return Err(Error::configuration(what).hint(format!("{HINT}{said}")));
    };
    if to.fresh {
        return Ok(address);
    }
    let name = format!("backup_sla_{}", ulid::Ulid::generate().to_string().to_lowercase());
    client.query("", &format!("CREATE DATABASE {}", quoted(&name)))?;
    let known = knows(address, &name);
    client.query("", &format!("DROP DATABASE {}", quoted(&name)))?;
    match known {
        Ok(true) => Ok(address),
        Ok(false) => {
            let what = format!("cannot restore to {}: {address} is not the backup service of this server", to.url);
            let said = bind_address(client).map_or(String::new(), |said| format!("; the server says that its own is {said}"));
            Err(Error::configuration(what).hint(format!("{HINT}{said}")))
        }
        Err(error) => Err(error.hint(
            "pass this server's own `bind-address` as --rpc-address HOST:PORT; from another host it has to listen on more \
             than loopback",
        )),
    }
}

/// Whether the backup service at `address` knows a database that was made a moment ago, and is empty.
fn knows(address: &str, database: &str) -> Result<bool> {
    let what = || format!("cannot reach the destination's backup service at {address}");
    let mut reached = Err(Error::failed(what()));
    for place in address.to_socket_addrs().or_failed(what())? {
        reached = TcpStream::connect_timeout(&place, PATIENCE).or_failed(what());
        if reached.is_ok() {
            break;
        }
    }
    let mut stream = reached?;
    stream.set_read_timeout(Some(PATIENCE)).or_failed(what())?;
    stream.set_write_timeout(Some(PATIENCE)).or_failed(what())?;
    let mut request = vec![BACKUP_SERVICE, DATABASE_INFO];
    let question = serde_json::json!({ "Type": DATABASE_INFO, "BackupDatabase": database });
    request.extend_from_slice(question.to_string().as_bytes());
    request.push(b'\n');
    let mut answer = Vec::new();
    // A service of another kind hangs up, answers something else or waits for more: all of them do not know the name.
    let _ = stream.write_all(&request).and_then(|()| stream.take(LONGEST_ANSWER).read_to_end(&mut answer));
    Ok(serde_json::from_slice::<DatabaseInfo>(&answer).is_ok_and(|info| info.paths.is_none()))
}

/// Which shards a database has.
#[derive(serde::Deserialize)]
struct DatabaseInfo {
    #[serde(rename = "Paths")]
    paths: Option<Vec<String>>,
}

/// What the server says its own backup service listens on.
fn bind_address(client: &mut Client) -> Option<String> {
    let diagnostics = client.query("", "SHOW DIAGNOSTICS").ok()?;
    let [address] = diagnostics.iter().find(|series| series.name == "config")?.texts(["bind-address"]).pop()?;
    (!address.is_empty()).then_some(address)
}
