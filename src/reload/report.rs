//! How the zones are: what `nibbl status` shows and `nibbl reload` replies.

use std::fmt;

use super::CertificateReport;
use crate::name::Name;
use crate::zone::Status;

/// All zones at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// How many snapshots were published so far.
    pub generation: u64,
    /// When the files were looked at last, in seconds since 1970; 0 if they never were.
    pub looked: u64,
    /// The zones, in the order of the configuration.
    pub zones: Vec<ZoneReport>,
    /// Why the server's access list or its access keys are not those that the files hold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access_problem: Option<String>,
    /// Why the secrets of cookies are not those that their file holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secrets_problem: Option<String>,
    /// The certificates of encrypted listeners.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub certificates: Vec<CertificateReport>,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ZoneReport {
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub status: Status,
    /// Entries that are served, exceptions included.
    pub entries: u64,
    /// Lines of the served data that were skipped.
    pub errors: u64,
    /// Warnings about the served data.
    pub warnings: u64,
    /// The newest modification time of the files that are served, in seconds since 1970.
    pub modified: u64,
    /// When the served data was loaded, in seconds since 1970; 0 if it never was.
    pub loaded: u64,
    /// When the data expires (`$TIMESTAMP`), in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<u64>,
    /// The age of its files in seconds from which the server is not ready (`max_age`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_age: Option<u64>,
    /// Why the served data is not what the files hold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<Problem>,
    /// Why the zone is not signed with the keys that its files hold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keys_problem: Option<String>,
    /// Errors and warnings about the zone as a whole, which no line of its files has: what speaks against
    /// signing it, say.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<String>,
}

/// Why a zone keeps the data that it has (or has none).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Problem {
    /// A dataset was not loaded.
    #[error("{message}")]
    Unloaded {
        /// Why, with the place.
        message: String,
    },
    /// The zone is strict, and lines were skipped.
    #[error("{errors} errors, and the zone is strict")]
    Strict {
        /// How many lines.
        errors: u64,
    },
    /// Too much changed at once; `nibbl reload --force` takes it.
    #[error(
        "{entries} entries in place of {served} are too many changes; `nibbl reload --force {zone}` takes them"
    )]
    Guarded {
        /// The zone.
        zone: String,
        /// Entries that the files hold.
        entries: u64,
        /// Entries that are served.
        served: u64,
    },
    /// The zone is signed, and with this data it could not be.
    #[error("cannot be signed: {message}")]
    Unsignable {
        /// Why.
        message: String,
    },
}

impl Report {
    /// True when every zone is served, and all is as the files hold it.
    pub fn is_clean(&self) -> bool {
        self.access_problem.is_none()
            && self.secrets_problem.is_none()
            && self.zones.iter().all(ZoneReport::is_clean)
            && self.certificates.iter().all(|certificate| certificate.problem.is_none())
    }
}

impl ZoneReport {
    /// True when the zone is served and holds, and is signed with, what its files hold.
    pub fn is_clean(&self) -> bool {
        self.status == Status::Serving && self.problem.is_none() && self.keys_problem.is_none()
    }
}

/// Something to say about a look at the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The zone that it concerns, if it is one.
    pub zone: Option<String>,
    text: String,
}

impl Notice {
    /// Says something of a zone.
    pub fn of_zone(zone: &Name, text: String) -> Self {
        Self { zone: Some(zone.to_string()), text }
    }
}

/// Says something that concerns no single zone.
impl From<String> for Notice {
    fn from(text: String) -> Self {
        Self { zone: None, text }
    }
}

/// The whole sentence.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "zone {zone}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
