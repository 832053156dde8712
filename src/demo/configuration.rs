//! The configuration of the demo.

use super::ansible::AnsibleRepository;
use super::monitoring::{self, Monitoring};
use super::production::{BACKUP_USER, Production};
use super::shop;

/// A configuration that backs up and drills the shop alone, in its own directory.
pub fn of_shop(production: &Production) -> String {
    format!(
        r#"# Made by `backup-sla demo`.
state_dir = "state"

[repository.onsite]
kind = "restic"
url = "repository"
password_file = "repository.key"

[sla.standard]
rpo = "15m"
rto = "5m"
retention = "30d"
drill_interval = "24h"

[source.shop]
kind = "mysql"
repository = "onsite"
sla = "standard"
schedule = {{ full = "@every 10m", incremental = "@every 20s", drill = "@every 2m", jitter = "5s" }}

[source.shop.mysql]
socket = {socket:?}
user = "{BACKUP_USER}"
password_file = {password:?}
databases = ["{database}"]

[[source.shop.verify.assertions]]
name = "orders are fresh"
sql = "SELECT COUNT(*) > 0 FROM shop.orders WHERE placed > UTC_TIMESTAMP() - INTERVAL 2 DAY"

"#,
        socket = production.socket().display().to_string(),
        password = production.password_file().display().to_string(),
        database = shop::DATABASE,
    )
}

/// A configuration that backs up and drills all three, in its own directory.
pub fn text(production: &Production, monitor: &Monitoring, ansible: &AnsibleRepository) -> String {
    let shop = of_shop(production);
    format!(
        r#"{shop}[source.telegraf]
kind = "influxdb"
repository = "onsite"
sla = "standard"
schedule = {{ full = "@every 1m", drill = "@every 2m", jitter = "20s" }}

[source.telegraf.influxdb]
url = {url:?}
rpc_address = {rpc_address:?}
databases = ["{telegraf}"]

[[source.telegraf.verify.assertions]]
name = "there are points of the last hour"
influxql = "SELECT COUNT(usage_user) FROM cpu WHERE time > now() - 1h"

[source.ansible]
kind = "files"
repository = "onsite"
sla = "standard"
schedule = {{ full = "@every 1m", drill = "@every 2m", jitter = "20s" }}

[source.ansible.files]
paths = [{ansible:?}]
exclude = ["*.retry"]

[[source.ansible.verify.assertions]]
name = "every role of the playbook is there"
command = ["sh", "-c", "for role in $(sed -n 's/^    - //p' site.yml); do test -s roles/$role/tasks/main.yml || exit; done"]
"#,
        url = monitor.url(),
        rpc_address = monitor.rpc_address(),
        telegraf = monitoring::DATABASE,
        ansible = ansible.directory().display().to_string(),
    )
}
