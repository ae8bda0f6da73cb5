//! `nibbl key`: makes the keys of signed zones, shows them, and replaces them.
//!
//! It works on a directory of key files (`dnssec::key_file`), not on the server: whoever runs several servers makes a
//! key once and copies the files. The server takes the files up when it is told to look at its files.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::duration;
use crate::config::spec::{self, SpecFault};
use crate::dnssec::key::{Algorithm, Key, KeyError, Role};
use crate::dnssec::key_file::{self, KeyFile, KeyFileError};
use crate::dnssec::key_set::{TimedKey, Timing};
use crate::dnssec::rollover::{self, RolloverError, Step, Waits};
use crate::dnssec::time_text;
use crate::name::Name;

/// What follows the help of the options.
pub const HELP: &str = "\
The files are BIND's (Kbl.example.+013+12345.key and .private): its tools work on them, too.

Example:
  nibbl key generate bl.example --keys /etc/nibbl/keys

Exit codes: 0 done, 1 not done, 2 wrong arguments.";

const ROLLOVER_HELP: &str = "\
A zone-signing key is replaced by one command; times do the rest. A combined or key-signing key takes two: the
first makes the new key, whose DS record is then to be added in the zone above (CDS and CDNSKEY records ask for it);
the second, with --ds-seen, is due when all servers of the zone above have it.

Example:
  nibbl key rollover bl.example --keys /etc/nibbl/keys
  nibbl key rollover bl.example --keys /etc/nibbl/keys --ds-seen --ds-ttl 1d

Exit codes: 0 done, 1 not done, 2 wrong arguments.";

/// The arguments of `nibbl key`.
#[derive(Args, Clone, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum KeyCommand {
    /// Make the first keys of a zone
    #[command(after_help = HELP)]
    Generate {
        #[command(flatten)]
        place: Place,
        /// The algorithm; all resolvers know the first
        #[arg(long, value_enum, default_value = "ecdsa-p256")]
        algorithm: AlgorithmName,
        /// Make a key-signing and a zone-signing key, in place of one that does both
        #[arg(long)]
        split: bool,
        /// The TTL of the DNSKEY records
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::seconds)]
        ttl: u32,
    },
    /// Show the keys of a zone, what they do now, and what is to come
    #[command(after_help = HELP)]
    List(Place),
    /// Print the DS records that the zone above is to have
    #[command(after_help = HELP)]
    Ds(Place),
    /// Replace a key by a new one
    #[command(after_help = ROLLOVER_HELP)]
    Rollover {
        #[command(flatten)]
        place: Place,
        /// The key-signing key, of a zone that has a zone-signing key as well
        #[arg(long)]
        key_signing: bool,
        /// All servers of the zone above have the new DS record: go on
        #[arg(long)]
        ds_seen: bool,
        /// The TTL of the DS records in the zone above
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::seconds)]
        ds_ttl: u32,
        /// The greatest TTL of any record in the zone
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::seconds)]
        greatest_ttl: u32,
        /// How long a change of the key files takes to reach all servers
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::seconds)]
        propagation: u32,
    },
}

/// Whose keys, and where they are.
#[derive(Args, Clone, Debug)]
struct Place {
    /// The zone
    #[arg(value_name = "ZONE", value_parser = zone_name)]
    zone: Name,
    /// The directory of the keys
    #[arg(long = "keys", value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AlgorithmName {
    EcdsaP256,
    Ed25519,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The key files.
    #[error(transparent)]
    Files(#[from] KeyFileError),
    /// There are keys already.
    #[error("{path}: {zone} has keys already: `nibbl key rollover` replaces one", path = directory.display())]
    HasKeys {
        /// The zone.
        zone: Name,
        /// The directory.
        directory: PathBuf,
    },
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The rollover cannot go on.
    #[error("{0}: {1} (`nibbl key list` shows the keys)")]
    Rollover(Name, RolloverError),
    /// The output could not be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Does what the arguments say; `now` is in seconds since 1970.
///
/// # Errors
/// See [`Failure`].
pub fn run(arguments: &KeyArgs, now: u32, out: &mut impl Write) -> Result<(), Failure> {
    match &arguments.command {
        KeyCommand::Generate { place, algorithm, split, ttl } => {
            let algorithm = match algorithm {
                AlgorithmName::EcdsaP256 => Algorithm::EcdsaP256Sha256,
                AlgorithmName::Ed25519 => Algorithm::Ed25519,
            };
            place.generate(algorithm, *split, *ttl, now, out)
        }
        KeyCommand::List(place) => place.list(now, out),
        KeyCommand::Ds(place) => place.ds(now, out),
        KeyCommand::Rollover { place, key_signing, ds_seen, ds_ttl, greatest_ttl, propagation } => {
            let files = key_file::read_all(&place.directory, &place.zone)?;
            let waits = Waits {
                dnskey_ttl: key_file::ttl(&files),
                greatest_ttl: *greatest_ttl,
                ds_ttl: *ds_ttl,
                propagation: *propagation,
            };
            let keys = timed(&files);
            let split = keys.iter().any(|key| key.key.role() == Role::Zone && key.timing.is_active(now));
            let role = if split && !key_signing { Role::Zone } else { Role::SecureEntry };
            let step = match ds_seen {
                true => rollover::ds_seen(&keys, now, &waits),
                false => rollover::begin(&keys, role, now, &waits),
            };
            let step = step.map_err(|error| Failure::Rollover(place.zone.clone(), error))?;
            place.take(files, step)?;
            place.list(now, out)
        }
    }
}

impl Place {
    fn generate(
        &self,
        algorithm: Algorithm,
        split: bool,
        ttl: u32,
        now: u32,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        key_file::make_directory(&self.directory)?;
        match key_file::read_all(&self.directory, &self.zone) {
            Err(KeyFileError::NoKey { .. }) => (),
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let (zone, directory) = (self.zone.clone(), self.directory.clone());
                return Err(Failure::HasKeys { zone, directory });
            }
        }
        let roles = [Role::SecureEntry, Role::Zone];
        let mut files = Vec::new();
        for role in roles.into_iter().take(1 + usize::from(split)) {
            let file = self.make(algorithm, role, Timing::from(now, role), ttl, &files)?;
            files.push(file);
        }
        for file in &files {
            file.write(&self.zone)?;
        }
        self.list(now, out)
    }

    /// A new key whose tag no other has.
    fn make(
        &self,
        algorithm: Algorithm,
        role: Role,
        timing: Timing,
        ttl: u32,
        others: &[KeyFile],
    ) -> Result<KeyFile, Failure> {
        loop {
            let key = Key::generate(algorithm, role)?;
            if others.iter().all(|other| other.key.tag() != key.tag()) {
                return Ok(KeyFile::new(&self.directory, &self.zone, key, timing, Some(ttl))?);
            }
        }
    }

    /// Writes what a step of a rollover changes: what begins before what ends, so that whoever reads the files
    /// meanwhile has a key too many and not one too few.
    fn take(&self, mut files: Vec<KeyFile>, step: Step) -> Result<(), Failure> {
        if let Some((follows, timing)) = step.successor {
            let before = &files[follows];
            let (algorithm, role) = (before.key.algorithm(), before.key.role());
            let file = self.make(algorithm, role, timing, key_file::ttl(&files), &files)?;
            file.following(before).write(&self.zone)?;
        }
        for (index, timing) in step.changes {
            files[index].timing = timing;
            files[index].write(&self.zone)?;
        }
        Ok(())
    }

    fn list(&self, now: u32, out: &mut impl Write) -> Result<(), Failure> {
        let files = key_file::read_all(&self.directory, &self.zone)?;
        let keys = timed(&files);
        for file in &files {
            let name = rollover::role_name(&file.key, &keys);
            writeln!(out, "{} {}: {name}", file.key.tag(), file.key.algorithm().name())?;
            writeln!(out, "  now: {}", doings(&file.timing, now))?;
            let mut times: Vec<u32> = file.timing.times().filter(|time| *time > now).collect();
            times.sort_unstable();
            times.dedup();
            for time in times {
                writeln!(out, "  from {}: {}", time_text::show(time), doings(&file.timing, time))?;
            }
            if waits_for_ds(file, now) {
                writeln!(out, "  waits for its DS record: `nibbl key ds` prints it, --ds-seen goes on")?;
            }
        }
        let keys = key_file::key_set(&files, &self.directory, &self.zone)?;
        for warning in keys.warnings() {
            writeln!(out, "warning: {warning}")?;
        }
        Ok(())
    }

    fn ds(&self, now: u32, out: &mut impl Write) -> Result<(), Failure> {
        for KeyFile { key, timing, .. } in key_file::read_all(&self.directory, &self.zone)? {
            let wanted = timing.is_synced(now) || timing.sync_publish.is_none() && timing.is_active(now);
            if key.role() != Role::SecureEntry || !wanted {
                continue;
            }
            let [high, low, algorithm, digest_type, digest @ ..] = &key.ds(&self.zone)[..] else { continue };
            let tag = u16::from_be_bytes([*high, *low]);
            let digest = data_encoding::HEXUPPER.encode(digest);
            writeln!(out, "{}. IN DS {tag} {algorithm} {digest_type} {digest}", self.zone)?;
        }
        Ok(())
    }
}

fn timed(files: &[KeyFile]) -> Vec<TimedKey> {
    files.iter().map(KeyFile::timed).collect()
}

fn waits_for_ds(file: &KeyFile, now: u32) -> bool {
    file.key.role() == Role::SecureEntry && file.timing.is_published(now) && file.timing.activate.is_none()
}

/// What a key does at a moment, in words.
fn doings(timing: &Timing, now: u32) -> String {
    let doings = [
        (timing.is_published(now), "published"),
        (timing.is_active(now), "signs"),
        (timing.is_synced(now), "in CDS"),
    ];
    let doings: Vec<&str> = doings.into_iter().filter_map(|(does, what)| does.then_some(what)).collect();
    match (doings.is_empty(), timing.delete.is_some_and(|delete| delete <= now)) {
        (false, _) => doings.join(", "),
        (true, true) => "gone; its files may be removed".into(),
        (true, false) => "nothing".into(),
    }
}

fn zone_name(text: &str) -> Result<Name, SpecFault> {
    spec::zone_name(text)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    use clap::Parser;

    use super::*;

    const NOW: u32 = 1_800_000_000;

    #[derive(Parser)]
    struct Raw {
        #[command(flatten)]
        arguments: KeyArgs,
    }

    fn key(words: &str, directory: &tempfile::TempDir, now: u32) -> Result<String, Failure> {
        let directory = directory.path().to_str().unwrap();
        let words = ["key"].into_iter().chain(words.split(' ')).chain(["BL.example", "--keys", directory]);
        let mut out = Vec::new();
        run(&Raw::try_parse_from(words).unwrap().arguments, now, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_combined_key_and_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(key("list", &directory, NOW), Err(Failure::Files(KeyFileError::NoKey { .. }))));
        let text = key("generate --ttl 2h", &directory, NOW).unwrap();
        assert!(text.contains("ECDSAP256SHA256: combined key\n  now: published, signs, in CDS\n"), "{text}");
        assert!(matches!(key("generate", &directory, NOW), Err(Failure::HasKeys { .. })));
        assert!(matches!(key("rollover --ds-seen", &directory, NOW), Err(Failure::Rollover(..))));
        let text = key("rollover", &directory, NOW).unwrap();
        assert!(text.contains("  now: published, in CDS\n  waits for its DS record"), "{text}");
        let ds = key("ds", &directory, NOW).unwrap();
        assert_eq!(ds.matches("BL.example. IN DS ").count(), 2, "{ds}");
        assert!(key("rollover", &directory, NOW + 1).unwrap_err().to_string().contains("under way"));
        let later = NOW + 90_000;
        let text = key("rollover --ds-seen --ds-ttl 1h", &directory, later).unwrap();
        // From the DS TTL and the propagation on.
        let changed = time_text::show(later + 7200);
        assert!(text.contains(&format!("from {changed}: published, signs, in CDS")), "{text}");
        assert!(text.contains(&format!("from {changed}: published, in CDS")), "{text}");
        let text = key("list", &directory, later + 1_000_000).unwrap();
        assert!(text.contains("now: gone") && text.contains("now: published, signs, in CDS"), "{text}");
        assert_eq!(key("ds", &directory, later + 1_000_000).unwrap().lines().count(), 1);
    }

    #[test]
    fn who_may_read_a_key_may_read_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        key("generate --split", &directory, NOW).unwrap();
        let private = || {
            let paths = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
            paths.filter(|path| path.extension().is_some_and(|kind| kind == "private")).collect::<Vec<_>>()
        };
        // Another group than that of the directory, where the system lets us.
        let group = if nix::unistd::geteuid().is_root() { 1 } else { nix::unistd::getegid().as_raw() };
        for path in private() {
            std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            chown(path, None, Some(group)).unwrap();
        }
        key("rollover", &directory, NOW).unwrap();
        assert_eq!(private().len(), 3);
        for path in private() {
            let metadata = std::fs::metadata(path).unwrap();
            assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o640, group));
        }
    }

    #[test]
    fn two_kinds_of_keys() {
        let directory = tempfile::tempdir().unwrap();
        // It is made with the keys.
        std::fs::remove_dir(directory.path()).unwrap();
        let text = key("generate --split --algorithm ed25519", &directory, NOW).unwrap();
        assert!(text.contains("ED25519: key-signing key") && text.contains("ED25519: zone-signing key"));
        assert_eq!(key("ds", &directory, NOW).unwrap().lines().count(), 1);
        let text = key("rollover", &directory, NOW).unwrap();
        assert_eq!(text.matches("zone-signing key").count(), 2, "{text}");
        assert!(text.contains(&format!("from {}: published\n", time_text::show(NOW + 7200))), "{text}");
        assert!(text.contains(&format!("from {}: gone", time_text::show(NOW + 97_200))), "{text}");
        let text = key("rollover --key-signing", &directory, NOW).unwrap();
        assert_eq!(text.matches("key-signing key").count(), 2, "{text}");
    }
}
