//! The file of secrets that servers share: lines of 32 hexadecimal digits. The first makes cookies; those
//! made with any of the others are good, too. `#` begins a comment.
//!
//! To replace a secret: the new one is put behind the old one on all servers, then before it, and an hour later
//! the old one is taken out (RFC 9018, section 5).

use std::path::{Path, PathBuf};
use std::{fs, io};

use data_encoding::HEXLOWER_PERMISSIVE;

use super::Secret;

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is no secret.
    #[error("{path}:{line}:1: a secret is 32 hexadecimal digits", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// There is none in the file.
    #[error("{path}:1:1: no secret", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The system has no random octets.
    #[error("no random octets: {0}")]
    Random(io::Error),
}

/// Reads the secrets of a file: the one that cookies are made with, and the others.
///
/// # Errors
/// See [`SecretsError`].
pub fn read(path: &Path) -> Result<(Secret, Vec<Secret>), SecretsError> {
    let text = fs::read(path).map_err(|source| SecretsError::File { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// Reads the text of a file.
///
/// # Errors
/// See [`SecretsError`].
pub fn parse(text: &[u8], path: &Path) -> Result<(Secret, Vec<Secret>), SecretsError> {
    let mut secrets = Vec::new();
    for (index, line) in text.split(|&octet| octet == b'\n').enumerate() {
        let line = line.split(|&octet| octet == b'#').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
            continue;
        }
        let octets = HEXLOWER_PERMISSIVE.decode(line).ok().and_then(|octets| octets.try_into().ok());
        let octets = octets.ok_or_else(|| SecretsError::Line { path: path.to_owned(), line: index + 1 })?;
        secrets.push(Secret::new(octets));
    }
    let mut secrets = secrets.into_iter();
    let current = secrets.next().ok_or_else(|| SecretsError::Empty { path: path.to_owned() })?;
    Ok((current, secrets.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let path = Path::new("secrets");
        let text = b"# two\n\n 000102030405060708090a0b0c0d0e0F # old\r\nE5E973E5A6B2A43F48E7DC849E37BFCF\n";
        let octets = std::array::from_fn(|place| place as u8);
        let (current, others) = parse(text, path).unwrap();
        assert!(current == Secret::new(octets) && others.len() == 1);
        for (text, error) in [
            (&b""[..], "secrets:1:1: no secret"),
            (b"# none\n", "secrets:1:1: no secret"),
            (b"\n0102\n", "secrets:2:1: a secret is 32 hexadecimal digits"),
            (b"xx0102030405060708090a0b0c0d0e0f", "secrets:1:1: a secret is 32 hexadecimal digits"),
        ] {
            assert_eq!(parse(text, path).unwrap_err().to_string(), error);
        }
        let error = read(Path::new("/nonexistent/secrets")).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/secrets: "), "{error}");
        assert_ne!(Secret::random().unwrap(), Secret::random().unwrap());
    }
}
