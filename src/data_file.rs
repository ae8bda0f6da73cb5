//! The only place that opens data files: refuses what is no file, decompresses, hashes what it
//! reads, and says at the end whether the file stayed as it was meanwhile.
//!
//! (In the flow: before `zone_file`, whose parser reads from a [`DataFile`].)

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::bufread::MultiGzDecoder;
use nix::fcntl::OFlag;
use nix::sys::stat::makedev;
use xxhash_rust::xxh3::Xxh3Default;

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Its length in octets, compressed if it is.
    pub length: u64,
    /// When it was last written, with nanoseconds.
    pub modified: SystemTime,
    /// The device and the inode: a file renamed into place is another.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
}

impl Stamp {
    /// The stamp of the file that a path leads to now, symbolic links followed.
    ///
    /// # Errors
    /// As [`std::fs::metadata`].
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from_metadata(&metadata))
    }

    fn from_metadata(metadata: &Metadata) -> Self {
        let modified = match u64::try_from(metadata.mtime()) {
            Ok(seconds) => {
                let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
                UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).unwrap_or(UNIX_EPOCH)
            }
            Err(_) => UNIX_EPOCH,
        };
        Self { length: metadata.len(), modified, device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Bounds of what a file may decompress to, so that a small file cannot fill the memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Whether compressed files are taken at all.
    pub decompress: bool,
    /// The most octets that one file may give, 4 GiB by default: about a hundred million lines.
    pub most: u64,
    /// The most octets that one compressed octet may give beyond [`Limits::FREE`]; 256 by default.
    /// Lists compress to a tenth or less; gzip can reach 1032, zstd much more.
    pub ratio: u64,
}

impl Limits {
    /// What any compressed file may give, in octets: 64 MiB.
    pub const FREE: u64 = 64 << 20;

    fn for_length(&self, length: u64) -> u64 {
        self.ratio.saturating_mul(length).saturating_add(Self::FREE).min(self.most)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { decompress: true, most: 4 << 30, ratio: 256 }
    }
}

/// An open data file, read from its beginning to its end as plain text.
pub struct DataFile {
    path: PathBuf,
    stamp: Stamp,
    device_file: bool,
    content: Content,
    /// How many more octets the file may give.
    left: u64,
}

enum Content {
    Plain(BufReader<Hashing>),
    Gzip(Box<MultiGzDecoder<BufReader<Hashing>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Hashing>>>),
}

/// The octets of a file, hashed as they pass.
struct Hashing {
    file: File,
    hash: Box<Xxh3Default>,
    octets: u64,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.octets += count as u64;
        Ok(count)
    }
}

impl DataFile {
    /// Opens a regular file or /dev/null. A file that begins as gzip or zstd does is decompressed
    /// while it is read, all its members or frames.
    ///
    /// # Errors
    /// As [`File::open`]; `InvalidInput` for directories, pipes and devices, and for a compressed
    /// file where none is taken.
    pub fn open(path: &Path, limits: &Limits) -> io::Result<Self> {
        // Without O_NONBLOCK a pipe would wait here for somebody to write to it.
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        let metadata = file.metadata()?;
        let null = metadata.file_type().is_char_device() && metadata.rdev() == makedev(1, 3);
        if !metadata.is_file() && !null {
            let kind = if metadata.is_dir() { "a directory" } else { "a pipe or a device" };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{kind}, not a file")));
        }
        let stamp = Stamp::from_metadata(&metadata);
        let hashing = Hashing { file, hash: Box::default(), octets: 0 };
        let mut raw = BufReader::with_capacity(1 << 17, hashing);
        let magic = raw.fill_buf()?;
        let (gzip, zstd) = (magic.starts_with(b"\x1f\x8b"), magic.starts_with(b"\x28\xb5\x2f\xfd"));
        if (gzip || zstd) && !limits.decompress {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is compressed"));
        }
        let content = if gzip {
            Content::Gzip(Box::new(MultiGzDecoder::new(raw)))
        } else if zstd {
            Content::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(raw)?))
        } else {
            Content::Plain(raw)
        };
        let left = if gzip || zstd { limits.for_length(stamp.length) } else { limits.most };
        Ok(Self { path: path.to_path_buf(), stamp, device_file: null, content, left })
    }

    /// The version of the file that was opened.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The hash (xxh3, 64 bits) of the file's octets as they are on the disk, after the last was read.
    ///
    /// # Errors
    /// If the file is another, or another version, than when it was opened: what was read may be
    /// half of each. Or a read error.
    pub fn finish(mut self) -> io::Result<u64> {
        let raw = match &mut self.content {
            Content::Plain(raw) => raw,
            Content::Gzip(decoder) => decoder.get_mut(),
            Content::Zstd(decoder) => decoder.get_mut(),
        };
        // What no one read counts as well: the hash is one of the whole file.
        io::copy(raw, &mut io::sink())?;
        let hashing = raw.get_ref();
        let now = Stamp::from_metadata(&hashing.file.metadata()?);
        let same =
            now == self.stamp && hashing.octets == self.stamp.length && Stamp::of(&self.path)? == self.stamp;
        if !same && !self.device_file {
            return Err(io::Error::other("the file changed while it was read"));
        }
        Ok(hashing.hash.digest())
    }
}

impl Read for DataFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.content {
            Content::Plain(raw) => raw.read(buffer)?,
            Content::Gzip(decoder) => decoder.read(buffer)?,
            Content::Zstd(decoder) => decoder.read(buffer)?,
        };
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "the file gives more text than its limit allows")
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(path: &Path, limits: &Limits) -> io::Result<(Vec<u8>, u64)> {
        let mut file = DataFile::open(path, limits)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok((text, file.finish()?))
    }

    #[test]
    fn plain_and_compressed_files_give_their_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let zstd = |text: &[u8]| zstd::encode_all(text, 0).unwrap();
        for content in [
            b"one\ntwo\n".to_vec(),
            [gzip(b"one\n"), gzip(b"two\n")].concat(),
            [zstd(b"one\n"), zstd(b"two\n")].concat(),
        ] {
            std::fs::write(&path, &content).unwrap();
            let (text, hash) = read(&path, &Limits::default()).unwrap();
            assert_eq!(text, b"one\ntwo\n");
            assert_eq!(hash, xxhash_rust::xxh3::xxh3_64(&content));
        }
        let plain_only = Limits { decompress: false, ..Limits::default() };
        assert_eq!(read(&path, &plain_only).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(read(&path, &Limits::default()).unwrap().0, b"");
        assert_eq!(read(Path::new("/dev/null"), &Limits::default()).unwrap().0, b"");
    }

    #[test]
    fn broken_files_fail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let whole = gzip(&b"1.2.3.4\n".repeat(1000));
        let mut wrong_sum = whole.clone();
        let sum = wrong_sum.len() - 6;
        wrong_sum[sum] ^= 1;
        let zstd_cut = zstd::encode_all(&b"1.2.3.4\n".repeat(1000)[..], 0)
            .map(|all| all[..all.len() - 3].to_vec())
            .unwrap();
        for content in [whole[..whole.len() - 9].to_vec(), wrong_sum, zstd_cut] {
            std::fs::write(&path, &content).unwrap();
            assert!(read(&path, &Limits::default()).is_err());
        }
    }

    #[test]
    fn only_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [directory.path(), &pipe, Path::new("/dev/zero")] {
            let error = DataFile::open(path, &Limits::default()).err().map(|error| error.kind());
            assert_eq!(error, Some(io::ErrorKind::InvalidInput), "{}", path.display());
        }
        let missing = DataFile::open(&directory.path().join("no"), &Limits::default());
        assert_eq!(missing.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let other = directory.path().join("other");
        for change in 0..3 {
            std::fs::write(&path, b"1.2.3.4\n").unwrap();
            let mut file = DataFile::open(&path, &Limits::default()).unwrap();
            file.read_to_end(&mut Vec::new()).unwrap();
            match change {
                0 => OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap(),
                1 => {
                    std::fs::write(&other, b"1.2.3.5\n").unwrap();
                    std::fs::rename(&other, &path).unwrap();
                }
                _ => std::fs::remove_file(&path).unwrap(),
            }
            assert!(file.finish().is_err());
        }
    }

    #[test]
    fn bombs_are_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        std::fs::write(&path, gzip(&vec![b'\n'; 1 << 20])).unwrap();
        let tight = Limits { most: 1 << 19, ..Limits::default() };
        assert_eq!(read(&path, &tight).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(Limits { ratio: 10, ..Limits::default() }.for_length(100), Limits::FREE + 1000);
    }
}
