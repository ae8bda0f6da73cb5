//! Becoming another user, and what must happen just before it: rbldnsd's `-p`, `-r`, `-w` and `-u`,
//! in its order. Called when the sockets are bound and before any data is read.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{Gid, Group, Uid, User, chown, chroot, geteuid, getgrouplist, setgid, setgroups, setuid};

/// What is to be given up, in this order; `None` is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descent {
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// The new root directory.
    pub root: Option<PathBuf>,
    /// The new working directory, inside the root directory.
    pub dir: Option<PathBuf>,
    /// The user and the group to become, by name or number; the user's own group by default.
    pub user: Option<(String, Option<String>)>,
}

/// Why a step failed: the server must not go on.
#[derive(Debug, thiserror::Error)]
pub enum DescentError {
    /// There is no such user.
    #[error("unknown user `{0}`")]
    UnknownUser(String),
    /// There is no such group.
    #[error("unknown group `{0}`")]
    UnknownGroup(String),
    /// The user is root.
    #[error("user `{0}` is root")]
    Root(String),
    /// The system refused.
    #[error("{step} {what}: {source}")]
    System {
        /// What was tried.
        step: &'static str,
        /// With what.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Whom root is to become of these users: the first that there is, or the first, if there is none.
/// `None` where the process does not run as root.
pub fn user_for_root<'u>(users: &[&'u str]) -> Option<&'u str> {
    let exists = |user: &&&str| User::from_name(user).is_ok_and(|entry| entry.is_some());
    users.iter().find(exists).or(users.first()).copied().filter(|_| geteuid().is_root())
}

/// Whether there is such a user, with such a group, who may be become.
///
/// # Errors
/// There is not.
pub fn find(user: &str, group: Option<&str>) -> Result<(), DescentError> {
    Identity::find(user, group).map(|_| ())
}

/// The number of the user that the process runs as.
pub fn user_id() -> u32 {
    geteuid().as_raw()
}

/// Does it.
///
/// # Errors
/// The first step that failed; those before it are done.
pub fn descend(descent: &Descent) -> Result<(), DescentError> {
    // Users are looked up first: inside the new root directory there may be no /etc/passwd.
    let identity = descent.user.as_ref().map(|(user, group)| Identity::find(user, group.as_deref()));
    let identity = identity.transpose()?;
    if let Some(path) = &descent.pid_file {
        let text = format!("{}\n", std::process::id());
        fs::write(path, text).map_err(failed("cannot write the process id to", path))?;
    }
    if let Some(root) = &descent.root {
        chroot(root).map_err(io::Error::from).map_err(failed("cannot change the root directory to", root))?;
        std::env::set_current_dir("/").map_err(failed("cannot enter", Path::new("/")))?;
    }
    if let Some(dir) = &descent.dir {
        std::env::set_current_dir(dir).map_err(failed("cannot enter", dir))?;
    }
    match identity {
        Some(identity) => identity.assume(),
        None => Ok(()),
    }
}

/// Makes a directory for whoever the process becomes, unless it is there.
///
/// # Errors
/// It cannot be made, or not be given away.
pub fn make_directory(path: &Path, descent: &Descent) -> Result<(), DescentError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(failed("cannot make the directory", path))?;
    let owner =
        descent.user.as_ref().map(|(user, group)| Identity::find(user, group.as_deref())).transpose()?;
    match owner.filter(|_| geteuid().is_root()) {
        Some(Identity { user, group, .. }) => chown(path, Some(user), Some(group))
            .map_err(io::Error::from)
            .map_err(failed("cannot give away the directory", path)),
        None => Ok(()),
    }
}

/// From now on no program that this thread or one that it starts executes has more privileges than it has itself
/// (prctl(2), PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// The system refuses.
pub fn gain_none() -> Result<(), DescentError> {
    let process = Path::new("for this process");
    set_no_new_privs().map_err(io::Error::from).map_err(failed("cannot rule new privileges out", process))
}

struct Identity {
    name: String,
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
}

impl Identity {
    fn find(user: &str, group: Option<&str>) -> Result<Self, DescentError> {
        let unknown_user = || DescentError::UnknownUser(user.to_owned());
        let entry = match user.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(user),
        };
        let entry = entry.ok().flatten().ok_or_else(unknown_user)?;
        if entry.uid.is_root() {
            return Err(DescentError::Root(user.to_owned()));
        }
        let (group, groups) = match group {
            Some(name) => {
                let entry = match name.parse() {
                    Ok(number) => Group::from_gid(Gid::from_raw(number)),
                    Err(_) => Group::from_name(name),
                };
                let unknown_group = || DescentError::UnknownGroup(name.to_owned());
                let gid = entry.ok().flatten().ok_or_else(unknown_group)?.gid;
                (gid, vec![gid])
            }
            None => {
                let name = CString::new(entry.name).map_err(|_| unknown_user())?;
                let groups = getgrouplist(&name, entry.gid).map_err(io::Error::from);
                (entry.gid, groups.map_err(failed("cannot find the groups of", Path::new(user)))?)
            }
        };
        Ok(Self { name: user.to_owned(), user: entry.uid, group, groups })
    }

    fn assume(self) -> Result<(), DescentError> {
        if geteuid() == self.user {
            return Ok(());
        }
        setgroups(&self.groups)
            .and_then(|()| setgid(self.group))
            .and_then(|()| setuid(self.user))
            .map_err(io::Error::from)
            .map_err(failed("cannot become user", Path::new(&self.name)))
    }
}

fn failed(step: &'static str, what: &Path) -> impl FnOnce(io::Error) -> DescentError {
    let what = what.display().to_string();
    move |source| DescentError::System { step, what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Root directories and users change the whole process: `tests/` has them with the real binary.

    #[test]
    fn what_cannot_be_is_named() {
        let user = |user: &str, group: Option<&str>| Descent {
            user: Some((user.to_owned(), group.map(str::to_owned))),
            ..Descent::default()
        };
        for (descent, message) in [
            (user("no-such-user", None), "unknown user `no-such-user`"),
            (user("4294967294", None), "unknown user `4294967294`"),
            (user("nobody", Some("no-such-group")), "unknown group `no-such-group`"),
            (user("root", None), "user `root` is root"),
            (
                Descent { pid_file: Some("/nonexistent/pid".into()), ..Descent::default() },
                "cannot write the process id to /nonexistent/pid: ",
            ),
            (
                Descent { dir: Some("/nonexistent".into()), ..Descent::default() },
                "cannot enter /nonexistent: ",
            ),
        ] {
            let error = descend(&descent).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_process_id_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        descend(&Descent { pid_file: Some(pid_file.clone()), ..Descent::default() }).unwrap();
        assert_eq!(fs::read_to_string(pid_file).unwrap(), format!("{}\n", std::process::id()));
    }
}
