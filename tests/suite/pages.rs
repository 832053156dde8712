//! The status page in a real browser: over the real service with real backups and drills, and over a fleet with a history.

pub mod browser;
mod seeded;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use self::browser::Browser;
use self::seeded::Fleet;
use crate::files;
use crate::support::{PROGRAM, Running, World, wait_for};

/// Everything that must hold of every page, at every width, in light and dark.
fn assert_sound(browser: &mut Browser, base: &str, address: &str) {
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")] {
        let shown = format!("{address} at {width} in {scheme}");
        browser.look(width, scheme);
        browser.open(address);
        let wide = browser.evaluate("document.scrollingElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= u64::from(width), "{shown} is {wide} wide and scrolls sideways");
        assert_eq!(browser.evaluate(LOW_CONTRAST), serde_json::json!([]), "{shown}: text is hard to read");
        assert_eq!(browser.complaints(base), Vec::<String>::new(), "{shown}");
    }
    assert_accessible(browser, address);
    browser.look(1280, "light");
}

/// Texts whose contrast with what is behind them is below 4.5, the AA limit.
const LOW_CONTRAST: &str = r"(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (element) => { for (let e = element; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
    const bad = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'title', 'desc'].includes(element.tagName) || element.closest('.hidden')) continue;
        const style = getComputedStyle(element);
        const ink = rgba(element.closest('svg') ? style.fill : style.color);
        const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) bad.add(`${element.tagName}.${element.getAttribute('class')} ${[...ink]} on ${[...behind(element)]}`);
    }
    return [...bad];
})()";

fn assert_accessible(browser: &mut Browser, address: &str) {
    let names = browser.accessible_names();
    let must_have = [
        "link",
        "button",
        "searchbox",
        "navigation",
        "region",
        "table",
        "img",
        "image",
        "progressbar",
        "columnheader",
        "rowheader",
        "heading",
        "RootWebArea",
    ];
    for (role, name) in &names {
        assert!(!must_have.contains(&role.as_str()) || !name.trim().is_empty(), "{address}: a {role} has no name");
    }
    let count = |wanted: &str| names.iter().filter(|(role, _)| role == wanted).count();
    assert_eq!((count("main"), count("banner"), count("contentinfo")), (1, 1, 1), "{address}: {names:?}");
    let headings = browser.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((h) => Number(h.tagName[1]))");
    let levels: Vec<u64> = headings.as_array().unwrap().iter().map(|level| level.as_u64().unwrap()).collect();
    assert!(levels[0] == 1 && levels.iter().filter(|level| **level == 1).count() == 1, "{address}: {levels:?}");
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{address}: {levels:?}");
    let twice = "(() => { const all = [...document.querySelectorAll('[id]')].map((e) => e.id); return all.length - new Set(all).size; })()";
    assert_eq!(browser.evaluate(twice), 0, "{address}: two elements have one id");
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The service over this world, and its `host:port`.
fn serve(world: &World) -> (Running, String) {
    let mut command = world.command(&["serve", "--web.listen-address", "127.0.0.1:0"]);
    let mut service = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("listening on http://").trim_end_matches("/metrics").to_owned();
    (service, address)
}

const ASSERTION: &str = "[[source.ansible.verify.assertions]]\nname = \"playbooks parse\"\n";

fn configure(world: &World, assertion: &str) {
    let table = "[source.ansible.files]\npaths = [\"tree\"]\n";
    world.configure_source("ansible", "files", &format!("{table}{assertion}"));
}

#[test]
fn the_pages_of_the_service_tell_a_browser_what_really_happened() {
    let world = files::world("", "");
    files::fill(&world.path("tree"));
    let backup = world.json(&["backup"], 0);
    world.json(&["drill"], 0);
    configure(&world, &format!("{ASSERTION}command = [\"false\"]\n"));
    world.json(&["drill"], 3);
    let (_service, address) = serve(&world);
    let base = format!("http://{address}/");
    let page = format!("{base}sources/ansible");
    let mut browser = Browser::start();
    assert_sound(&mut browser, &base, &base);
    assert_sound(&mut browser, &base, &page);

    // Without JavaScript everything is there too.
    browser.allow_scripts(false);
    browser.open(&base);
    let text = browser.text("main");
    for words in ["The last drill failed", "playbooks parse", "/ 24h", "ansible", " drill ansible"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    browser.open(&page);
    let text = browser.text("main");
    let id = backup["recovery_point"].as_str().unwrap_or_else(|| panic!("{backup:#}"));
    for words in [id, "assertion playbooks parse", "disagrees", "No drill has passed on any"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    browser.allow_scripts(true);

    let head = get(&address, "/sources/ansible").split("\r\n\r\n").next().unwrap().to_lowercase();
    for header in ["default-src 'none'", "frame-ancestors 'none'", "nosniff", "referrer-policy: no-referrer"] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(!head.contains("unsafe-inline"), "{head}");
    let everything = format!("{}{}", get(&address, "/"), get(&address, "/sources/ansible"));
    assert!(!everything.contains("correct horse") && !everything.contains(&*world.path("repo").to_string_lossy()));
    assert!(get(&address, "/sources/nobody").starts_with("HTTP/1.1 404"));
    let status: Value =
        serde_json::from_str(get(&address, "/api/v1/status").split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let line = world.status();
    for key in line.as_object().unwrap().keys() {
        assert!(!status["sources"][0][key].is_null() || line[key].is_null(), "{key}: {status:#}");
    }
    assert_eq!(status["sources"][0]["met"], line["met"]);

    // The command on the page restores what it says.
    browser.open(&page);
    let command = browser.text("#restore ~ .command code");
    let to = world.path("restored");
    std::fs::create_dir(&to).unwrap();
    let directory = Path::new(PROGRAM).parent().unwrap().to_string_lossy().into_owned();
    let ran = Command::new("sh")
        .args(["-c", &command.replace("/PATH/TO/AN/EMPTY/DIRECTORY", &to.to_string_lossy())])
        .env("PATH", format!("{directory}:/usr/local/bin:/usr/bin:/bin"))
        .env("BACKUP_SLA_CONFIG", world.path("config.toml"))
        .output()
        .unwrap();
    assert!(command.contains(id) && ran.status.success(), "{command}: {ran:?}");
    let there = to.join(world.path("tree").strip_prefix("/").unwrap()).join("site.yml");
    assert!(there.exists(), "{}", there.display());
}

#[test]
fn what_runs_moves_by_itself_and_its_end_is_shown_without_a_reload() {
    let world = files::world("", "");
    files::fill(&world.path("tree"));
    world.json(&["backup"], 0);
    let (_service, address) = serve(&world);
    configure(&world, &format!("{ASSERTION}command = [\"sleep\", \"9\"]\n"));
    let base = format!("http://{address}/");
    let mut browser = Browser::start();
    browser.open(&base);
    browser.evaluate("window.mark = 'the same page'");
    assert!(browser.text("main").contains("Nothing is running"), "{}", browser.text("main"));
    let mut drill = world.command(&["drill"]);
    let mut drill = Running(drill.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let elapsed = "[data-run='ansible drill'] [data-field=elapsed]";
    let first = wait_for("the drill on the page", || Some(browser.text(elapsed)).filter(|text| !text.is_empty()));
    wait_for("time to go by", || (browser.text(elapsed) != first).then_some(()));
    assert!(get(&address, "/").contains("http-equiv=\"refresh\""), "a browser without scripts is told to come back");
    assert!(drill.0.wait().unwrap().success());
    wait_for("the end of the drill", || browser.text("main").contains("Nothing is running").then_some(()));
    assert!(browser.text("main").contains("passed"));
    assert_eq!(browser.evaluate("window.mark"), "the same page");
    assert_eq!(browser.complaints(&base), Vec::<String>::new());
}

#[test]
fn a_fleet_with_a_history_reads_well_and_its_progress_moves() {
    let fleet = Fleet::start();
    let mut browser = Browser::start();
    let base = fleet.address.clone();
    for (page, name) in [
        ("", "fleet"),
        ("sources/agama", "source"),
        ("sources/agama?days=30", "source-30"),
        ("sources/new-shop", "new"),
    ] {
        let address = format!("{base}{page}");
        assert_sound(&mut browser, &base, &address);
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light")] {
            browser.look(width, scheme);
            browser.open(&address);
            browser.picture(&format!("{name}-{width}-{scheme}"));
        }
    }
    browser.look(1280, "light");
    browser.open(&base);
    assert_eq!(browser.text("h1"), "4 of 12 sources break a promise; 1 is pending.");
    let ratio = "[data-run='warehouse drill'] [data-field=ratio]";
    assert_eq!(browser.text(ratio), "42.4 %");
    fleet.change(|view| view.service.running[0].done_bytes = 3_000_000_000);
    wait_for("the progress to move", || (browser.text(ratio) == "90.9 %").then_some(()));
    let bar = "document.querySelector(\"[data-run='warehouse drill'] progress\").value";
    assert!(browser.evaluate(bar).as_f64().unwrap() > 0.9);
    let bytes = browser.text("[data-run='warehouse drill'] [data-field=bytes]");
    assert_eq!(bytes, "2.8 GiB of about 3.1 GiB");
    assert_eq!(browser.complaints(&base), Vec::<String>::new());

    browser.open(&format!("{base}sources/agama"));
    let missed = browser.text("section[aria-labelledby=missed]");
    for words in [
        "Did not begin at their time: 51 backups and 3 drills",
        "full backup",
        "another operation on the source",
        "9d ago to 7d ago",
    ] {
        assert!(missed.contains(words), "{words}: {missed}");
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('section.notice').length"), 0, "nothing is lost");

    fleet.break_ledger();
    browser.open(&format!("{base}sources/agama"));
    let text = browser.text("main");
    assert!(text.contains("The ledger cannot be read") && text.contains("RPO"), "{text}");
    browser.open(&base);
    assert!(browser.text("h1").contains("the service itself is in trouble"), "{}", browser.text("h1"));
}

#[test]
fn a_fleet_that_lost_its_ledger_says_so_and_calls_nothing_never_that_nobody_knows() {
    let fleet = Fleet::after_losing_its_ledger();
    let mut browser = Browser::start();
    let base = fleet.address.clone();
    for (page, name) in [("", "lost-fleet"), ("sources/agama", "lost-source")] {
        let address = format!("{base}{page}");
        assert_sound(&mut browser, &base, &address);
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light")] {
            browser.look(width, scheme);
            browser.open(&address);
            browser.picture(&format!("{name}-{width}-{scheme}"));
        }
        browser.allow_scripts(false);
        browser.open(&address);
        let text = browser.text("main");
        for words in ["Earlier history is lost", "The ledger began 2026-09-21T11:13:20Z (3h ago)", "unknown"] {
            assert!(text.contains(words), "{address}: {words}: {text}");
        }
        browser.allow_scripts(true);
    }
    // The one source that never had a backup is not among those whose history is lost.
    browser.open(&base);
    assert!(!browser.text("section.notice").contains("new-shop"), "{}", browser.text("section.notice"));
}
