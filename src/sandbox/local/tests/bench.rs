//! This sandbox as the contract suite wants it.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::{State, is_gone, leftovers, sandbox};
use crate::sandbox::contract::{self, Bench};
use crate::sandbox::local::{copying, namespace, processes};
use crate::sandbox::{Instance, Sandbox};

/// A bench over a new private state directory, or over the one that is there.
pub(crate) fn bench(place: Option<&Path>) -> Box<dyn Bench> {
    if let Some(place) = place {
        return Box::new(LocalBench { state: place.to_owned(), _own: None });
    }
    let own = State::new();
    Box::new(LocalBench { state: own.path().to_owned(), _own: Some(own) })
}

struct LocalBench {
    state: PathBuf,
    _own: Option<State>,
}

impl Bench for LocalBench {
    fn place(&self) -> PathBuf {
        self.state.clone()
    }

    fn open(&self) -> Box<dyn Sandbox> {
        Box::new(sandbox(&self.state))
    }

    fn leftovers(&self) -> Vec<String> {
        leftovers(&self.state).into_iter().map(|path| path.display().to_string()).collect()
    }

    fn processes(&self) -> Vec<u32> {
        leftovers(&self.state).iter().flat_map(|directory| processes::marked(directory)).collect()
    }

    fn mode(&self, instance: &dyn Instance) -> u32 {
        super::mode(instance.directory())
    }

    fn exposed(&self, instance: &dyn Instance) -> Vec<String> {
        let pid = instance.pid().unwrap();
        if namespace::is_apart(pid) { Vec::new() } else { processes::listens_on(pid).unwrap() }
    }

    fn kill(&self, pid: u32) {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }

    fn is_gone(&self, pid: u32) -> bool {
        is_gone(pid)
    }

    fn take(&self, instance: &dyn Instance, to: &Path) {
        copying::copy_tree(&instance.access().directory, to).unwrap();
    }

    fn lay(&self, from: &Path, instance: &dyn Instance) {
        let directory = &instance.access().directory;
        std::fs::remove_dir(directory).unwrap();
        copying::copy_tree(from, directory).unwrap();
    }
}

#[test]
fn a_local_sandbox_without_a_server_keeps_the_contract() {
    contract::run_with_a_directory(bench);
}
