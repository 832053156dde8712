//! Accounts and grants: each comes back, whatever it is called and whatever it has, or is named.

use crate::support::{Product, Server, World, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

#[test]
fn an_untouched_stock_server_passes_its_first_drill() {
    for product in BOTH {
        let server = Server::stock(product);
        server.sql("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY); INSERT INTO app.t VALUES (1)");
        let world = World::new(&server, &[], "");
        world.backup();
        let drill = world.json(&["drill"], 0);
        assert_eq!(wrong(&drill), Vec::<String>::new(), "{product:?}");
        assert!(drill["checks"].to_string().contains("account root@localhost"), "{product:?}: {drill:#}");
        assert_eq!(drill["warnings"].to_string(), "[]", "{product:?}");
    }
}
