//! A real browser without a window, told what to do over its debugging pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Running;

const CHROMIUM: &str = "/usr/bin/chromium";
/// Most time for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    _running: Running,
    _profile: tempfile::TempDir,
    to: ChildStdin,
    from: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    events: Vec<Value>,
}

impl Browser {
    pub fn start() -> Self {
        assert!(Path::new(CHROMIUM).exists(), "chromium is missing: run scripts/setup --for test");
        let profile = tempfile::Builder::new().prefix("bsla-browser-").tempdir().unwrap();
        let mut command = Command::new("sh");
        // The pipe is at descriptors 3 and 4 of the browser.
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", CHROMIUM]);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--hide-scrollbars", "--disable-dev-shm-usage", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let (session, events) = (None, Vec::new());
        let mut browser = Self { _running: Running(child), _profile: profile, to, from, calls: 0, session, events };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.look(1280, "light");
        browser
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.next(method);
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn next(&mut self, waited_for: &str) -> Value {
        self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{waited_for}: {error}"))
    }

    /// Width of the window, and whether the person prefers `light` or `dark`.
    pub fn look(&mut self, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", scheme);
    }

    pub fn allow_scripts(&mut self, allowed: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !allowed}));
    }

    /// Load a page to its end. What was noted about earlier pages is forgotten.
    pub fn open(&mut self, address: &str) {
        self.events.clear();
        let gone = self.call("Page.navigate", json!({"url": address}));
        assert!(gone["errorText"].is_null(), "{address}: {gone}");
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            let event = self.next(address);
            self.events.push(event);
        }
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub fn text(&mut self, selector: &str) -> String {
        let found = self.evaluate(&format!("document.querySelector({selector:?})?.textContent ?? ''"));
        found.as_str().unwrap().to_owned()
    }

    /// Errors and warnings of the page, and requests to other places than `base`.
    pub fn complaints(&mut self, base: &str) -> Vec<String> {
        self.evaluate("0"); // what happened before this is there now
        let complaint = |event: &Value| match event["method"].as_str()? {
            "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled" => {
                Some(event["params"].to_string())
            }
            "Network.requestWillBeSent" => {
                let address = event["params"]["request"]["url"].as_str().unwrap();
                (!address.starts_with(base)).then(|| format!("request to {address}"))
            }
            _ => None,
        };
        self.events.iter().filter_map(complaint).collect()
    }

    /// Names that a screen reader has for everything that can be used or is a landmark, a table or a picture; those that
    /// have none as `role ""`.
    pub fn accessible_names(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != true);
        nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// The whole page as a picture.
    pub fn picture(&mut self, name: &str) -> PathBuf {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
        keep(&format!("{name}.png"), &shot)
    }

    /// Print the page on paper; the file.
    pub fn print(&mut self, name: &str) -> PathBuf {
        let printed = self.call("Page.printToPDF", json!({"preferCSSPageSize": true, "printBackground": true}));
        keep(&format!("{name}.pdf"), &printed)
    }
}

/// Keep what the browser sent, for people to look at.
fn keep(name: &str, sent: &Value) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    let coded = sent["data"].as_str().unwrap();
    let mut decode = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = decode.stdin.take().unwrap();
    let coded = coded.to_owned();
    let feed = std::thread::spawn(move || input.write_all(coded.as_bytes()));
    let output = decode.wait_with_output().unwrap();
    feed.join().unwrap().unwrap();
    std::fs::write(&path, output.stdout).unwrap();
    path
}
