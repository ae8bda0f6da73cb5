//! `nibbl access`: makes access keys, and takes them out of a file in favour of their digests.
//!
//! It works on text alone. What the keys have asked, the running server tells (`crate::control`).

use std::io::{self, BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Subcommand;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};

use crate::access::key_file::DIGEST_MARK;

/// What follows the help of `hash`.
pub const HASH_HELP: &str = "\
Comments and lines that hold a digest already stay as they are. The server knows a key by its digest either way.

Example:
  nibbl access hash keys > keys.hashed

Exit codes: 0 done, 1 not done, 2 wrong arguments.";

/// What follows the help of `new`.
pub const NEW_HELP: &str = "\
A key has 26 letters and digits (128 random bits). The line is one of a key file.

Example:
  nibbl access new gold >> keys

Exit codes: 0 done, 1 not done, 2 wrong arguments.";

/// What `nibbl access` does by itself.
#[derive(Subcommand, Clone, Debug)]
pub enum AccessCommand {
    /// Make new keys for a plan
    #[command(after_help = NEW_HELP)]
    New {
        /// The plan
        plan: String,
        /// So many
        #[arg(long, default_value = "1")]
        count: NonZeroU32,
    },
    /// Write a key file with digests in the place of the keys
    #[command(after_help = HASH_HELP)]
    Hash {
        /// The key file; standard input without it
        file: Option<PathBuf>,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The system has no random numbers.
    #[error("no random numbers")]
    Random,
    /// The key file.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard input or output.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Does it; what comes of it goes to `out`.
///
/// # Errors
/// See [`Failure`].
pub fn run(command: &AccessCommand, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        AccessCommand::New { plan, count } => {
            let random = SystemRandom::new();
            for _ in 0..count.get() {
                let mut bits = [0; 16];
                random.fill(&mut bits).map_err(|_| Failure::Random)?;
                writeln!(out, "{} {plan}", BASE32_NOPAD.encode(&bits).to_ascii_lowercase())?;
            }
            Ok(())
        }
        AccessCommand::Hash { file: None } => Ok(hash(io::stdin().lock(), out)?),
        AccessCommand::Hash { file: Some(path) } => {
            let failed = |source| Failure::File { path: path.clone(), source };
            hash(BufReader::new(std::fs::File::open(path).map_err(failed)?), out).map_err(failed)
        }
    }
}

fn hash(mut text: impl BufRead, out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    while text.read_until(b'\n', &mut line)? > 0 {
        let start = line.len() - line.trim_ascii_start().len();
        let octets = line[start..].iter().take_while(|octet| !octet.is_ascii_whitespace()).count();
        let key = &line[start..start + octets];
        if key.is_empty() || key.starts_with(b"#") || key.starts_with(DIGEST_MARK.as_bytes()) {
            out.write_all(&line)?;
        } else {
            let digest = ring::digest::digest(&ring::digest::SHA256, &key.to_ascii_lowercase());
            write!(out, "{DIGEST_MARK}{}", HEXLOWER.encode(digest.as_ref()))?;
            out.write_all(&line[start + octets..])?;
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::{Plan, key_file};
    use crate::zone_file::diagnostic::Diagnostics;

    #[test]
    fn new_keys_and_their_digests_are_the_same_to_the_server() {
        let mut keys = Vec::new();
        let count = NonZeroU32::new(3).unwrap();
        run(&AccessCommand::New { plan: "gold".into(), count }, &mut keys).unwrap();
        keys.splice(0..0, b"# ours\n\n".iter().copied());
        let (mut hashed, mut again) = (Vec::new(), Vec::new());
        hash(&keys[..], &mut hashed).unwrap();
        hash(&hashed[..], &mut again).unwrap();
        assert_eq!(hashed, again);
        let read = |text: &[u8]| {
            let mut diagnostics = Diagnostics::default();
            let list = key_file::read(text, &Arc::default(), &[Plan::new("gold")], &mut diagnostics).unwrap();
            assert_eq!(diagnostics.errors() + diagnostics.warnings(), 0);
            list
        };
        assert_eq!(read(&keys), read(&hashed));
        assert_eq!(read(&keys).keys.len(), 3);
        assert!(hashed.starts_with(b"# ours\n\nsha256:"));
    }
}
