//! Keys in BIND's files: `Kbl.example.+013+12345.key` has the DNSKEY record, the file `.private` beside it the
//! private key and the times of the key's life.
//!
//! `dnssec-keygen`, `dnssec-settime`, `dnssec-signzone` and Knot's `keymgr` read and write the same files. The
//! private file must not be open to everybody; what is in it never gets into an error message. Both files are
//! written aside and renamed, the private one first: whoever reads the directory meanwhile finds whole keys.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use nix::fcntl::OFlag;

use super::key::{Algorithm, Key, KeyError, PRIVATE_OCTETS, Role};
use super::key_set::{KeySet, KeySetError, TimedKey, Timing};
use super::time_text;
use crate::name::Name;

/// A file of more octets is refused; those of BIND have less than 1,000.
const MOST_OCTETS: u64 = 64 << 10;
/// Permissions of a private file that are refused: those of the group to write, and all of others.
const TOO_OPEN: u32 = 0o037;

/// A key, its times, and what else its files say.
#[derive(Clone)]
pub struct KeyFile {
    /// The key.
    pub key: Arc<Key>,
    /// Its times.
    pub timing: Timing,
    /// The TTL that the DNSKEY record has in the file.
    pub ttl: Option<u32>,
    /// The path of the file `.key`.
    path: PathBuf,
    /// Lines of the private file that are not ours, such as `Successor: 54321`.
    others: Vec<String>,
    access: Access,
}

/// Who may read a private file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    /// Its permissions.
    mode: u32,
    /// Its user and group; those of the directory where it is `None`.
    owner: Option<(u32, u32)>,
}

impl Access {
    /// That of a file that nobody has given another.
    const NEW: Self = Self { mode: 0o600, owner: None };
}

/// Why the keys of a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// A directory or file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a file is wrong.
    #[error("{path}:{line}:{column}: {fault}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in octets.
        column: usize,
        /// What is wrong.
        fault: Fault,
    },
    /// A file as a whole is wrong.
    #[error("{path}: {fault}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
    /// The directory has no key of this zone.
    #[error("{path}: no key of {zone}: `nibbl key generate` makes one", path = directory.display())]
    NoKey {
        /// The directory.
        directory: PathBuf,
        /// The zone.
        zone: Name,
    },
    /// The keys do not make a key set.
    #[error("{path}: keys of {zone}: {source}", path = directory.display())]
    KeySet {
        /// The directory.
        directory: PathBuf,
        /// The zone.
        zone: Name,
        /// Why.
        source: KeySetError,
    },
}

/// What is wrong with a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There are two records, or none.
    #[error("not one DNSKEY record of this zone")]
    NotOneRecord,
    /// The record is not `name [TTL] [IN] DNSKEY flags 3 algorithm key`.
    #[error("not a DNSKEY record: name, TTL, IN, DNSKEY, flags, 3, algorithm and key in base64")]
    BadRecord,
    /// The flags are not those of a zone's key: 256, or 257 with SEP. Revoked keys (RFC 5011) are not used.
    #[error("flags {0}: only 256 and 257 are used")]
    Flags(u16),
    /// The algorithm is another.
    #[error("algorithm {0}: only 13 (ECDSAP256SHA256) and 15 (ED25519) are used")]
    Algorithm(u8),
    /// The private file says another algorithm than the public one.
    #[error("the algorithm is not that of the file .key")]
    OtherAlgorithm,
    /// The key is not of its length in base64.
    #[error("not a key of 32 octets in base64")]
    BadPrivate,
    /// The line `PrivateKey` is missing.
    #[error("there is no line PrivateKey")]
    NoPrivate,
    /// The format is another one.
    #[error("not Private-key-format v1.2 or v1.3")]
    Format,
    /// A time is none.
    #[error("not a time: YYYYMMDDHHMMSS in UTC")]
    Time,
    /// The keys of a file do not belong together.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The name of the file says another key.
    #[error("the key has the tag {0}, which the name of the file does not say")]
    OtherTag(u16),
    /// Others may read the private key.
    #[error(
        "others may read it or the group may write it (mode {0:o}): `chmod 600` it and think of a new key"
    )]
    TooOpen(u32),
    /// It is no regular file.
    #[error("not a regular file")]
    NotRegular,
    /// It is too long.
    #[error("longer than 64 KiB")]
    TooLong,
    /// It is not text.
    #[error("not UTF-8")]
    NotText,
    /// The zone's name cannot be part of a file's name.
    #[error("the zone's name has octets that cannot be part of a file name")]
    ZoneName,
}

/// Reads the keys of a zone in a directory, those with the lowest tags first.
///
/// # Errors
/// A file cannot be read or is wrong, or there is none.
pub fn read_all(directory: &Path, zone: &Name) -> Result<Vec<KeyFile>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: directory.to_owned(), source };
    let prefix = prefix(directory, zone)?;
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.to_ascii_lowercase().starts_with(&prefix) && name.ends_with(".key") {
            keys.push(KeyFile::read(path, zone)?);
        }
    }
    if keys.is_empty() {
        return Err(KeyFileError::NoKey { directory: directory.to_owned(), zone: zone.clone() });
    }
    keys.sort_by_key(|key| (key.key.tag(), key.key.algorithm()));
    Ok(keys)
}

/// True if a file may be that of a key.
pub fn is_key_file(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "key" || kind == "private")
}

/// Reads the keys of a zone in a directory and makes their timetable. The DNSKEY RRset has the lowest TTL
/// of the files `.key`, [`KeySet::DEFAULT_TTL`] where they say none.
///
/// # Errors
/// As [`read_all`], or the keys do not go together.
pub fn load(directory: &Path, zone: &Name) -> Result<KeySet, KeyFileError> {
    key_set(&read_all(directory, zone)?, directory, zone)
}

/// The timetable of keys that were read in a directory.
///
/// # Errors
/// They do not go together.
pub fn key_set(files: &[KeyFile], directory: &Path, zone: &Name) -> Result<KeySet, KeyFileError> {
    let keys: Vec<TimedKey> = files.iter().map(KeyFile::timed).collect();
    KeySet::new(zone, &keys, ttl(files)).map_err(|source| KeyFileError::KeySet {
        directory: directory.to_owned(),
        zone: zone.clone(),
        source,
    })
}

/// The TTL of the DNSKEY RRset that these files make.
pub fn ttl(files: &[KeyFile]) -> u32 {
    files.iter().filter_map(|file| file.ttl).min().unwrap_or(KeySet::DEFAULT_TTL)
}

/// What the names of all key files of a zone begin with, in lower case.
fn prefix(directory: &Path, zone: &Name) -> Result<String, KeyFileError> {
    let name = zone.to_string().to_ascii_lowercase();
    if zone.is_root() || name.contains(['/', '\\']) {
        return Err(KeyFileError::File { path: directory.to_owned(), fault: Fault::ZoneName });
    }
    Ok(format!("k{name}.+"))
}

impl KeyFile {
    /// A key that has no files yet; [`Self::write`] makes them.
    ///
    /// # Errors
    /// The zone's name cannot be part of a file name.
    pub fn new(
        directory: &Path,
        zone: &Name,
        key: Key,
        timing: Timing,
        ttl: Option<u32>,
    ) -> Result<Self, KeyFileError> {
        let prefix = prefix(directory, zone)?;
        let name = format!("K{}{:03}+{:05}.key", &prefix[1..], key.algorithm().number(), key.tag());
        Ok(Self {
            key: key.into(),
            timing,
            ttl,
            path: directory.join(name),
            others: Vec::new(),
            access: Access::NEW,
        })
    }

    /// The same, to be read by those who may read the key that it follows.
    pub fn following(self, other: &Self) -> Self {
        Self { access: other.access, ..self }
    }

    /// The path of the file `.key`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key and its times.
    pub fn timed(&self) -> TimedKey {
        TimedKey { key: self.key.clone(), timing: self.timing }
    }

    fn read(path: PathBuf, zone: &Name) -> Result<Self, KeyFileError> {
        let (_, text) = read(&path)?;
        let private_path = path.with_extension("private");
        let (metadata, private) = read(&private_path)?;
        let mode = metadata.mode() & 0o777;
        if mode & TOO_OPEN != 0 {
            return Err(KeyFileError::File { path: private_path, fault: Fault::TooOpen(mode) });
        }
        let access = Access { mode, owner: Some((metadata.uid(), metadata.gid())) };
        Ok(Self { access, ..Self::parse(path, zone, &text, &private)? })
    }

    /// Reads the texts of both files; `path` is that of the file `.key`.
    ///
    /// # Errors
    /// One of them is wrong, or they do not belong together.
    pub fn parse(path: PathBuf, zone: &Name, text: &str, private: &str) -> Result<Self, KeyFileError> {
        let record = DnskeyRecord::read(&path, text, zone)?;
        let private_path = path.with_extension("private");
        let file_fault = |fault| KeyFileError::File { path: private_path.clone(), fault };
        let private = Private::read(&private_path, private, record.algorithm)?;
        let octets = private.octets.ok_or_else(|| file_fault(Fault::NoPrivate))?;
        let key = Key::new(record.algorithm, record.role, record.public, &octets)
            .map_err(|error| file_fault(error.into()))?;
        let says_tag = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !says_tag.ends_with(&format!("+{:03}+{:05}", key.algorithm().number(), key.tag())) {
            return Err(KeyFileError::File { path, fault: Fault::OtherTag(key.tag()) });
        }
        // Files without any time are older than the times: such keys do all.
        let timing =
            private.timing.unwrap_or(Timing { publish: Some(0), activate: Some(0), ..Timing::default() });
        Ok(Self {
            key: key.into(),
            timing,
            ttl: record.ttl,
            path,
            others: private.others,
            access: Access::NEW,
        })
    }

    /// Writes both files, in place of those there are. Who could read the private file can do so after it, as
    /// far as the system lets us; keys made by root belong to whom the directory does.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, zone: &Name) -> Result<(), KeyFileError> {
        let algorithm = self.key.algorithm();
        let mut private = format!(
            "Private-key-format: v1.3\nAlgorithm: {} ({})\nPrivateKey: {}\n",
            algorithm.number(),
            algorithm.name(),
            BASE64.encode(self.key.private()),
        );
        let kind = match self.key.role() {
            Role::SecureEntry => "key-signing",
            Role::Zone => "zone-signing",
        };
        let mut public = format!("; This is a {kind} key, keyid {}, for {zone}.\n", self.key.tag());
        for (name, time) in
            FIELDS.iter().filter_map(|(name, of)| Some((name, (*of(&mut self.timing.clone()))?)))
        {
            private.push_str(&format!("{name}: {}\n", time_text::write(time)));
            public.push_str(&format!("; {name}: {} ({})\n", time_text::write(time), time_text::show(time)));
        }
        for line in &self.others {
            private.push_str(&format!("{line}\n"));
        }
        let ttl = self.ttl.map(|ttl| format!("{ttl} ")).unwrap_or_default();
        public.push_str(&format!(
            "{zone}. {ttl}IN DNSKEY {} 3 {} {}\n",
            self.key.flags(),
            algorithm.number(),
            BASE64.encode(self.key.public())
        ));
        replace(&self.path.with_extension("private"), &private, self.access)?;
        replace(&self.path, &public, Access { mode: 0o644, ..self.access })
    }
}

/// Makes a directory for keys, if it is not there; others than its owner and group may not look into it.
///
/// # Errors
/// It cannot be made.
pub fn make_directory(path: &Path) -> Result<(), KeyFileError> {
    let made = DirBuilder::new().recursive(true).mode(0o750).create(path);
    made.map_err(|source| KeyFileError::Io { path: path.to_owned(), source })
}

/// Without the lines of the private file: one with a slip in it may be the key.
impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, timing, path, .. } = self;
        let mut shown = f.debug_struct("KeyFile");
        shown.field("path", path).field("key", key).field("timing", timing).finish_non_exhaustive()
    }
}

/// The names of the times in the private file, in BIND's order, and where each is kept.
type Field = (&'static str, fn(&mut Timing) -> &mut Option<u32>);
const FIELDS: [Field; 7] = [
    ("Created", |timing| &mut timing.created),
    ("Publish", |timing| &mut timing.publish),
    ("Activate", |timing| &mut timing.activate),
    ("Inactive", |timing| &mut timing.inactive),
    ("Delete", |timing| &mut timing.delete),
    ("SyncPublish", |timing| &mut timing.sync_publish),
    ("SyncDelete", |timing| &mut timing.sync_delete),
];

/// What the file `.key` says.
struct DnskeyRecord {
    ttl: Option<u32>,
    role: Role,
    algorithm: Algorithm,
    public: Vec<u8>,
}

impl DnskeyRecord {
    fn read(path: &Path, text: &str, zone: &Name) -> Result<Self, KeyFileError> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.split_once(';').map_or(line, |(record, _)| record).trim()));
        let mut records = lines.filter(|(_, record)| !record.is_empty());
        let (Some((line, record)), None) = (records.next(), records.next()) else {
            return Err(KeyFileError::File { path: path.to_owned(), fault: Fault::NotOneRecord });
        };
        let fault = |fault| KeyFileError::Line { path: path.to_owned(), line, column: 1, fault };
        let bad = || fault(Fault::BadRecord);
        let mut words = record.split_ascii_whitespace().peekable();
        let owner = words.next().and_then(|name| Name::from_text(name.as_bytes()).ok()).ok_or_else(bad)?;
        if owner != *zone {
            return Err(fault(Fault::NotOneRecord));
        }
        let ttl = words.next_if(|word| word.parse::<u32>().is_ok()).and_then(|word| word.parse().ok());
        words.next_if(|word| word.eq_ignore_ascii_case("IN"));
        if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("DNSKEY")) {
            return Err(bad());
        }
        let flags: u16 = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let role = match flags {
            256 => Role::Zone,
            257 => Role::SecureEntry,
            _ => return Err(fault(Fault::Flags(flags))),
        };
        if words.next() != Some("3") {
            return Err(bad());
        }
        let number: u8 = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let algorithm = Algorithm::from_number(number).ok_or_else(|| fault(Fault::Algorithm(number)))?;
        let base64: String = words.collect();
        let public = BASE64.decode(base64.as_bytes()).map_err(|_| bad())?;
        Ok(Self { ttl, role, algorithm, public })
    }
}

/// What the file `.private` says.
struct Private {
    octets: Option<[u8; PRIVATE_OCTETS]>,
    /// `None` where it says no time at all.
    timing: Option<Timing>,
    others: Vec<String>,
}

impl Private {
    fn read(path: &Path, text: &str, algorithm: Algorithm) -> Result<Self, KeyFileError> {
        let mut private = Self { octets: None, timing: None, others: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let Some((name, value)) = line.split_once(':') else {
                private.others.push(line.to_owned());
                continue;
            };
            let column = line.len() - value.trim_start().len() + 1;
            let (name, value) = (name.trim(), value.trim());
            let fault = |fault| KeyFileError::Line { path: path.to_owned(), line: index + 1, column, fault };
            match name {
                "Private-key-format" if ["v1.2", "v1.3"].contains(&value) => (),
                "Private-key-format" => return Err(fault(Fault::Format)),
                "Algorithm" => {
                    let number = value.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
                    if number != Some(algorithm.number()) {
                        return Err(fault(Fault::OtherAlgorithm));
                    }
                }
                "PrivateKey" => {
                    let octets = BASE64.decode(value.as_bytes()).ok();
                    let octets = octets.and_then(|octets| private_octets(&octets, algorithm));
                    private.octets = Some(octets.ok_or_else(|| fault(Fault::BadPrivate))?);
                }
                _ => match FIELDS.iter().find(|(field, _)| *field == name) {
                    Some((_, of)) => {
                        let time = time_text::read(value).ok_or_else(|| fault(Fault::Time))?;
                        *of(private.timing.get_or_insert_default()) = Some(time);
                    }
                    None => private.others.push(line.to_owned()),
                },
            }
        }
        Ok(private)
    }
}

/// The private key that a file has. That of ECDSA is a number, which BIND writes without its leading zeros: many of
/// them no key has that was made at random.
fn private_octets(octets: &[u8], algorithm: Algorithm) -> Option<[u8; PRIVATE_OCTETS]> {
    let most = if algorithm == Algorithm::EcdsaP256Sha256 { 8 } else { 0 };
    let zeros = PRIVATE_OCTETS.checked_sub(octets.len()).filter(|&zeros| zeros <= most)?;
    let mut private = [0; PRIVATE_OCTETS];
    private[zeros..].copy_from_slice(octets);
    Some(private)
}

/// What the system says of a file, and its text.
fn read(path: &Path) -> Result<(Metadata, String), KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let fault = |fault| KeyFileError::File { path: path.to_owned(), fault };
    // Without O_NONBLOCK a pipe would wait here for somebody to write to it.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(fault(Fault::NotRegular));
    }
    let mut octets = Vec::new();
    file.take(MOST_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > MOST_OCTETS {
        return Err(fault(Fault::TooLong));
    }
    let text = String::from_utf8(octets).map_err(|_| fault(Fault::NotText))?;
    Ok((metadata, text))
}

/// Writes a file beside its place, and moves it there when it is complete.
fn replace(path: &Path, text: &str, access: Access) -> Result<(), KeyFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unfinished = path.with_file_name(name);
    let write = || -> io::Result<()> {
        // What an earlier, interrupted run left behind may have another mode.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        let directory =
            fs::metadata(path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")))?;
        let mut mode = access.mode;
        if nix::unistd::geteuid().is_root() {
            let (user, group) = access.owner.unwrap_or((directory.uid(), directory.gid()));
            fchown(&file, Some(user), Some(group))?;
        } else if let Some((_, group)) = access.owner
            && fchown(&file, None, Some(group)).is_err()
        {
            // Another group must not read what was meant for that one.
            mode &= !0o070;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| {
        // It is of no use to anyone; if it cannot be removed, the error that counts is the first.
        let _ = fs::remove_file(&unfinished);
        KeyFileError::Io { path: path.to_owned(), source }
    })
}

#[cfg(test)]
#[path = "key_file_tests.rs"]
mod tests;
