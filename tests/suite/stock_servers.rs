//! Data directories as the products' own packages make them: what users have on the first day.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Product, as_server, hand_to_server, own_temporary, place_of_this_run};

/// As postinst of Debian's mariadb-server calls it, and as the packages of MySQL do.
pub fn make(product: Product) -> (PathBuf, String) {
    let place = place_of_this_run(&format!("stock-{product:?}"));
    hand_to_server(&place);
    let mut command = match product {
        Product::MariaDb if rustix::process::geteuid().is_root() => {
            let mut command = Command::new("mariadb-install-db");
            command.args(["--no-defaults", "--rpm", "--cross-bootstrap", "--user=mysql", "--disable-log-bin"]);
            command.arg("--skip-test-db");
            command
        }
        // The owner of the server's process has the rights that `mysql` has on Debian.
        Product::MariaDb => {
            let mut command = Command::new("mariadb-install-db");
            command.args(["--no-defaults", "--rpm", "--cross-bootstrap", "--disable-log-bin", "--skip-test-db"]);
            command.arg(format!("--auth-root-socket-user={}", user(product)));
            command
        }
        Product::MySql => {
            let mut command = as_server(&product.program("server").to_string_lossy());
            command.args(["--no-defaults", "--initialize", "--secure-file-priv=NULL"]);
            command
        }
    };
    own_temporary(&mut command, &place);
    let output = command.arg(format!("--datadir={}/data", place.display())).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "make stock {product:?}: {said}");
    (place, said)
}

/// Whom a stock server lets in without a password: whoever runs the tests.
pub fn user(product: Product) -> String {
    match product {
        Product::MariaDb if !rustix::process::geteuid().is_root() => std::env::var("USER").unwrap(),
        _ => "root".to_owned(),
    }
}
