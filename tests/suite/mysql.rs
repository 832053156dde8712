//! The same promises on MySQL.

use crate::support::{Product, Server, World, fixture, wrong};

#[test]
fn chinook_and_torture_come_back_whole_on_mysql() {
    let server = Server::start_with(Product::MySql, &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]);
    server.load(&fixture("chinook.sql"));
    server.load(&fixture("torture-mysql.sql"));
    let world = World::new(&server, &[], "");
    let backup = world.backup();
    assert!(backup["rows"].as_u64().unwrap() > 15_607);
    let drill = world.json(&["drill"], 0);
    assert_eq!(wrong(&drill), Vec::<String>::new());
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
    assert!(drill["sandbox"]["server"].as_str().unwrap().starts_with("MySQL 9."), "{drill:#}");

    let target = Server::start(Product::MySql);
    world.json(&["restore", "shop", "--to", &target.destination()], 0);
    target.sql("UPDATE Chinook.Genre SET Name = 'Rock!' WHERE GenreId = 1");
    let report = world.json(&["verify", "shop", "--against", &target.destination()], 3);
    assert_eq!(wrong(&report), ["content Chinook.Genre"]);

    // A backup of one product is not loaded into the other.
    let other = Server::start(Product::MariaDb);
    let refused = world.run(&["restore", "shop", "--to", &other.destination()]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("it is MariaDB"), "{refused:?}");
}
