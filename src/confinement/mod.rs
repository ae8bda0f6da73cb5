//! Confines the process to what a running server needs: Landlock takes the files away, seccomp the
//! system calls, and nothing can be gained by executing a program.
//!
//! A hole in a parser of packets or of zone files is then a hole into an almost empty room: the data
//! files can be read, the log written, the open sockets answered, and that is all. Called by `serve`
//! when the sockets are bound and the user is the one to stay, before any thread is started (what is
//! taken here is taken from this thread and those that it starts), and before any data is read.
//!
//! What the kernel lacks is said and gone without: a server that answers is worth more.

mod system_calls;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, PathFdError,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// What stays open to the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files that are read now and again; also after they were replaced, so their directories are
    /// open to be read. A directory is itself.
    pub read: Vec<PathBuf>,
    /// Files and sockets that are made, written and removed; of these too the directories.
    pub written: Vec<PathBuf>,
}

/// What could not be done, or only in part: the server runs with less protection.
#[derive(Debug, thiserror::Error)]
pub enum ConfinementError {
    /// The kernel knows no Landlock (before Linux 5.13, or not enabled).
    #[error("the kernel has no Landlock: files are not confined")]
    NoLandlock,
    /// The kernel knows less of Landlock than is asked for.
    #[error("the kernel has an old Landlock: files are confined in part")]
    OldLandlock,
    /// Landlock refused.
    #[error("files are not confined: {0}")]
    Landlock(#[from] RulesetError),
    /// A directory cannot be opened.
    #[error("{0}: it will not be found later either")]
    Directory(#[from] PathFdError),
    /// seccomp refused.
    #[error("system calls are not confined: {0}")]
    Seccomp(#[from] seccompiler::Error),
    /// There is no list of system calls for this processor.
    #[error("system calls are not confined: no list for {0}")]
    Processor(&'static str),
}

/// The Landlock of Linux 6.12; older kernels do what they can.
const LANDLOCK: ABI = ABI::V6;
/// What the standard library and the allocator ask the system about itself.
const OF_THE_SYSTEM: [&str; 3] = ["/proc/self", "/sys/devices/system/cpu", "/sys/fs/cgroup"];

/// Confines this thread, and all that it starts from now on. Returns what could not be done.
pub fn confine(needs: &Needs) -> Vec<ConfinementError> {
    let mut lacking = Vec::new();
    if let Err(error) = confine_files(needs, &mut lacking) {
        lacking.push(error);
    }
    if let Err(error) = system_calls::confine() {
        lacking.push(error);
    }
    lacking
}

fn confine_files(needs: &Needs, lacking: &mut Vec<ConfinementError>) -> Result<(), ConfinementError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::MakeSock
        | AccessFs::MakeDir
        | AccessFs::RemoveDir
        | AccessFs::RemoveFile
        | AccessFs::Truncate
        | AccessFs::Refer;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        // The sockets are open; a server that answers connects to nobody.
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    let system = OF_THE_SYSTEM.iter().map(Path::new).filter(|path| path.exists());
    let read_only = directories(&needs.read).into_iter().chain(system.map(Path::to_owned));
    let opened = read_only
        .map(|path| (path, read))
        .chain(directories(&needs.written).into_iter().map(|path| (path, read | write)));
    for (directory, access) in opened {
        match PathFd::new(&directory) {
            Ok(opened) => rules = rules.add_rule(PathBeneath::new(opened, narrowed(&directory, access)))?,
            Err(error) => lacking.push(error.into()),
        }
    }
    match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => lacking.push(ConfinementError::OldLandlock),
        RulesetStatus::NotEnforced => lacking.push(ConfinementError::NoLandlock),
    }
    Ok(())
}

/// The directories of files, as named and as they are without symbolic links; what is not there
/// yet counts as a file.
fn directories(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let named = paths.iter().flat_map(|path| [Some(path.clone()), path.canonicalize().ok()]).flatten();
    named
        .map(|path| match path.parent() {
            Some(parent) if !path.is_dir() && parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) if !path.is_dir() => parent.to_owned(),
            _ => path,
        })
        .collect()
}

/// Rights that make sense for a directory; of a file (`/proc` has such) only those of files.
fn narrowed(path: &Path, access: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Confinement holds for good: `tests/` has it with the real binary.

    #[test]
    fn the_directories_of_files() {
        let root = tempfile::tempdir().unwrap();
        let (real, linked) = (root.path().join("real"), root.path().join("linked"));
        std::fs::create_dir_all(&real).unwrap();
        std::fs::create_dir_all(&linked).unwrap();
        std::fs::write(real.join("data"), "").unwrap();
        std::os::unix::fs::symlink(real.join("data"), linked.join("data")).unwrap();
        let found = directories(&[linked.join("data"), real.join("not-yet"), "bare".into()]);
        assert_eq!(found, BTreeSet::from([real, linked, ".".into()]));
        assert_eq!(directories(&[root.path().into()]), BTreeSet::from([root.path().to_owned()]));
    }
}
