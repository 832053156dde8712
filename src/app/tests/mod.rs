//! A new kind of source is one folder and one line.

mod toy;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;

use self::toy::Toy;
use super::App;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, parse};
use crate::domain::drill::Verdict;
use crate::engine::LoadOptions;
use crate::engine::destination::Credentials;
use crate::engine::kind::Kinds;
use crate::error::Result;
use crate::exporter::pages;
use crate::operations::backup::backup;
use crate::operations::drill::{DrillRequest, drill};
use crate::operations::restore::{RestoreReport, RestoreRequest, restore};
use crate::operations::select::Selection;
use crate::run_context::RunContext;
use crate::state::View;
use crate::state::service::ServiceState;

/// The line.
const KINDS: Kinds = &[&Toy];

const CONFIG: &str = r#"state_dir = "state"
[repository.local]
kind = "restic"
url = "repo"
password_file = "key"
[sla.standard]
rpo = "24h"
rto = "5h"
retention = "30d"
drill_interval = "24h"
[source.shopping]
kind = "toy"
repository = "local"
sla = "standard"
[source.shopping.toy]
file = "note.txt"
[[source.shopping.verify.assertions]]
name = "somebody buys milk"
contains = "milk"
"#;

fn configuration(dir: &Path, text: &str) -> Result<Config> {
    fs::write(dir.join("key"), "correct horse").unwrap();
    fs::set_permissions(dir.join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    parse(text, &dir.join("config.toml"), KINDS)
}

/// An app with one source, `shopping`, of a kind that has increments.
pub(crate) fn toy_app(dir: &Path, runtime: &Runtime) -> App {
    let config = configuration(dir, CONFIG).unwrap();
    App::open(config, SystemClock::shared(), runtime.handle().clone()).unwrap()
}

/// The same with increments all the time, and what is done after a break.
pub(crate) fn followed_toy_app(dir: &Path, runtime: &Runtime, clock: Arc<dyn Clock>, on_break: &str) -> App {
    let schedule = "schedule = { full = \"0 0 29 2 *\", incremental = \"continuous\" }";
    let text = CONFIG
        .replace("[source.shopping.toy]\n", &format!("{schedule}\n[source.shopping.toy]\non_break = \"{on_break}\"\n"));
    fs::write(dir.join("note.txt"), "bread\nmilk\n").unwrap();
    App::open(configuration(dir, &text).unwrap(), clock, runtime.handle().clone()).unwrap()
}

#[test]
fn a_new_kind_is_configured_backed_up_drilled_and_restored_by_the_same_code() {
    let (dir, runtime, context) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap(), RunContext::silent());
    let config = configuration(dir.path(), CONFIG).unwrap();
    let app = App::open(config, SystemClock::shared(), runtime.handle().clone()).unwrap();
    let source = app.source("shopping").unwrap();
    fs::write(dir.path().join("note.txt"), "bread\nmilk\n").unwrap();
    assert_eq!(source.engine.preflight(&context).unwrap().describe().unwrap().summary, "2 lines");
    let report = backup(&app, &source, &context).unwrap();
    assert_eq!((report.tables, report.rows), (1, 2));

    let report = drill(&app, &source, &DrillRequest::default(), &context).unwrap();
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::Passed, ""));
    assert!(report.checks.iter().any(|check| check.name == "assertion somebody buys milk" && check.ok), "{report:?}");

    let place = dir.path().join("restored");
    fs::create_dir(&place).unwrap();
    let bring_back = |overwrite: bool| -> Result<RestoreReport> {
        let request = RestoreRequest {
            selection: Selection::Newest,
            host: None,
            to: source.kind.destination(&format!("toy:{}", place.display()), &Credentials::default())?,
            options: LoadOptions { overwrite, ..LoadOptions::default() },
            verify: true,
        };
        restore(&app, &source, &request, &context)
    };
    assert_eq!(bring_back(false).unwrap().verified, Some(true));
    assert_eq!(fs::read_to_string(place.join("note.txt")).unwrap(), "bread\nmilk\n");
    assert!(bring_back(false).is_err(), "there is one");

    let page = app.block_on(async {
        let snapshot = app.ledger.snapshot().await?;
        let view = View::new(app.config.clone(), snapshot, ServiceState::default(), app.clock.wall());
        pages::answer(&view, (&app.ledger, None), "/sources/shopping", None).await
    });
    let page = String::from_utf8_lossy(&page.unwrap().unwrap().body).into_owned();
    assert!(page.contains("restore shopping --to toy:/EMPTY --recovery-point"), "{page}");

    // A wrong answer is a failed drill of this kind, too.
    fs::write(dir.path().join("note.txt"), "bread\n").unwrap();
    backup(&app, &source, &context).unwrap();
    let report = drill(&app, &source, &DrillRequest::default(), &context).unwrap();
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(report.reason, "assertion somebody buys milk: expected true, found false");
}

#[test]
fn a_new_kind_has_its_own_configuration_errors_beside_all_others() {
    let dir = tempfile::tempdir().unwrap();
    let text = CONFIG.replace("file =", "fiel =").replace("contains =", "sql =").replace("retention =", "retntion =");
    let error = configuration(dir.path(), &text).unwrap_err().to_string();
    for message in [
        "unknown key `retntion` in [sla.standard]: did you mean `retention`?",
        "unknown key `fiel` in [source.shopping.toy]: did you mean `file`?",
        "[source.shopping.verify.assertions] has no question: write contains = \"milk\"",
        "unknown key `sql` in [source.shopping.verify.assertions]: known keys are `name`, `contains`",
    ] {
        assert!(error.contains(message), "{message} is not in\n{error}");
    }
    let error = configuration(dir.path(), &CONFIG.replace("\"toy\"", "\"mysql\"")).unwrap_err().to_string();
    assert!(error.contains("`kind` cannot be \"mysql\": write one of `toy`"), "{error}");
}
