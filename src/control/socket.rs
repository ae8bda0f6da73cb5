//! The socket in the file system: made so that nobody else can ever open it, in the place of one
//! that a dead server left behind, but of nothing else.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening socket of mode 0600; its file goes with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Makes the socket.
    ///
    /// # Errors
    /// `AddrInUse` if a server answers there, `AlreadyExists` if there is a file that is no socket,
    /// or what the system says.
    pub fn bind(path: &Path) -> io::Result<Self> {
        make_room(path)?;
        // Bound in a directory of our own, for between bind and chmod its mode is the umask's.
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let private = directory.unwrap_or(Path::new(".")).join(format!(".nibbl-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&private)?;
        let made = bind_privately(&private.join("s"), path);
        fs::remove_dir(&private)?;
        let listener = made?;
        listener.set_nonblocking(true)?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// Its connections. Needs to be called inside a tokio runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn connections(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

fn bind_privately(private: &Path, path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(private)?;
    let moved =
        fs::set_permissions(private, Permissions::from_mode(0o600)).and_then(|()| fs::rename(private, path));
    if let Err(error) = moved {
        fs::remove_file(private)?;
        return Err(error);
    }
    Ok(listener)
}

/// Fails where something is that must not be replaced; a dead socket is left to be renamed over.
fn make_room(path: &Path) -> io::Result<()> {
    let file_type = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file_type.is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another server answers there")),
    }
}

/// Nobody listens there.
pub(super) fn is_dead(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| says_nobody(&error))
}

/// True of what the system says of a socket at which nobody listens, or of none.
pub(super) fn says_nobody(error: &io::Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind())
}

/// Removes the file, if it is still this socket's.
impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            // If it cannot be removed, the next server replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
