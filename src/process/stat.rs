//! What the kernel's table of processes says of one.

use std::path::Path;

/// One process, as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    state: char,
    /// The process that started it, or took it over.
    pub parent: u32,
    /// User and system time, in clock ticks.
    pub cpu_ticks: u64,
    /// When it was started, in clock ticks since boot: with its id it names one process for as long as the machine is up.
    pub started: u64,
}

impl Stat {
    /// Look at a process; none where there is no such one.
    pub fn of(pid: u32) -> Option<Self> {
        Self::read(&Path::new("/proc").join(pid.to_string()))
    }

    /// Look at this process.
    pub fn own() -> Option<Self> {
        Self::read(Path::new("/proc/self"))
    }

    fn read(process: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(process.join("stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may itself contain both: counted from behind it.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            cpu_ticks: number(14)?.saturating_add(number(15)?),
            started: number(22)?,
        })
    }

    /// Whether it has ended and only waits to be reaped.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Whether a signal stopped it; a debugger that holds it for a moment is another state.
    pub fn is_stopped(&self) -> bool {
        self.state == 'T'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_and_spaces_does_not_confuse_the_reader() {
        let line = |state: &str| format!("7 (a) b (c) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 99");
        let running = Stat::parse(&line("S")).unwrap();
        assert_eq!(running, Stat { state: 'S', parent: 1, cpu_ticks: 11 + 12, started: 4242 });
        assert!(!running.has_ended() && !running.is_stopped());
        assert!(Stat::parse(&line("Z")).unwrap().has_ended());
        assert!(Stat::parse(&line("T")).unwrap().is_stopped());
        assert_eq!(Stat::parse("7 (a) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn our_own_process_is_found_by_its_number_too() {
        let (own, by_number) = (Stat::own().unwrap(), Stat::of(std::process::id()).unwrap());
        assert_eq!((own.started, own.parent), (by_number.started, by_number.parent));
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert_eq!(Stat::of(u32::MAX), None);
    }
}
