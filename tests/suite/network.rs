//! Servers that are reached over TCP, with TLS.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::{Product, Server, World, fixture};

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(directory).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A CA, a certificate of it for 127.0.0.1, and a CA that signed nothing.
pub fn certificates(directory: &Path) {
    let new = "req -x509 -newkey rsa:2048 -nodes -days 2";
    openssl(directory, &format!("{new} -subj /CN=ours -keyout ca.key -out ca.pem"));
    openssl(directory, &format!("{new} -subj /CN=stranger -keyout other.key -out other.pem"));
    openssl(directory, "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr");
    fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    // The server reads them as another user.
    let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(directory).status().unwrap();
    assert!(opened.success());
}

fn secured(product: Product, directory: &Path, port: u16) -> Server {
    let file = |name: &str| directory.join(name).display().to_string();
    Server::start_with(
        product,
        &[
            &format!("--port={port}"),
            "--bind-address=127.0.0.1",
            "--require-secure-transport=ON",
            &format!("--ssl-ca={}", file("ca.pem")),
            &format!("--ssl-cert={}", file("server.pem")),
            &format!("--ssl-key={}", file("server.key")),
        ],
    )
}

#[test]
fn backup_and_restore_work_over_tcp_with_tls_and_not_with_a_stranger() {
    let keys = tempfile::Builder::new().prefix("bsla-").tempdir_in("/tmp").unwrap();
    certificates(keys.path());
    for product in [Product::MariaDb, Product::MySql] {
        let (port, other_port) = (free_port(), free_port());
        let server = secured(product, keys.path(), port);
        server.load(&fixture("chinook.sql"));
        let target = secured(product, keys.path(), other_port);
        for server in [&server, &target] {
            server.sql("CREATE USER dba@'127.0.0.1' IDENTIFIED BY 'p\"w#1' REQUIRE SSL");
            server.sql("GRANT ALL PRIVILEGES ON *.* TO dba@'127.0.0.1' WITH GRANT OPTION");
        }
        let world = World::new(&server, &["Chinook"], "");
        world.secret("pw", "p\"w#1");
        let socket = fs::read_to_string(world.path("config.toml")).unwrap();
        let by_socket = format!("socket = \"{}\"\nuser = \"root\"", server.socket.display());
        let configure = |ca: &str| {
            let ca = keys.path().join(ca);
            let by_tcp = format!(
                "host = \"127.0.0.1\"\nport = {port}\nuser = \"dba\"\npassword_file = \"pw\"\ntls = {{ ca = \"{}\" }}",
                ca.display()
            );
            assert!(socket.contains(&by_socket));
            fs::write(world.path("config.toml"), socket.replace(&by_socket, &by_tcp)).unwrap();
        };
        configure("other.pem");
        let refused = world.run(&["backup"]);
        assert_eq!(refused.status, 1, "{refused:?}");
        assert!(refused.stderr.contains("certificate"), "{refused:?}");

        configure("ca.pem");
        world.backup();
        assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
        let to = format!("mysql://dba@127.0.0.1:{other_port}");
        let (password, ca) = (world.path("pw"), keys.path().join("ca.pem"));
        let credentials = ["--password-file", password.to_str().unwrap(), "--tls-ca", ca.to_str().unwrap()];
        let restored = world.json(&[&["restore", "shop", "--to", &to], &credentials[..]].concat(), 0);
        assert_eq!(restored["verified"], true, "{restored:#}");
        let verified = world.json(&[&["verify", "shop", "--against", &to], &credentials[..]].concat(), 0);
        assert_eq!(verified["verdict"], "passed", "{verified:#}");
        // The source by another way is still the source.
        let here = format!("mysql://dba@127.0.0.1:{port}");
        let refused = world.run(&[&["restore", "shop", "--to", &here], &credentials[..]].concat());
        assert!(refused.status == 1 && refused.stderr.contains("it is the source itself"), "{refused:?}");
    }
}
