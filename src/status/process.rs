//! What the system says of this process: memory, processor time, files.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, sysconf};

/// Octets of memory that are not swapped out.
pub fn resident_octets() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(page).ok()?)
}

/// Seconds that processors spent on it, in the program and in the system.
pub fn processor_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Some(microseconds as f64 / 1e6)
}

/// Open files, and how many there may be.
pub fn open_files() -> Option<(u64, u64)> {
    // One of them is the directory itself.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some((open as u64, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        assert!(resident_octets().unwrap() > 1 << 20);
        assert!(processor_seconds().unwrap() >= 0.0);
        let (open, limit) = open_files().unwrap();
        let _file = fs::File::open("/dev/null").unwrap();
        assert!(open > 2 && open < limit);
    }
}
