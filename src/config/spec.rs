//! rbldnsd's zone specifications: `ZONE:TYPE:FILE[,FILE…]`, and the same without the zone.
//!
//! Both `,` and `:` separate files. `:acl:FILE` is an access list for all zones.

use std::path::{Path, PathBuf};

use super::{DatasetConfig, ReadConfig};
use crate::name::{Name, NameError};
use crate::zone_file::Kind;

/// A zone specification, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneSpec {
    /// The text that it was read from.
    pub argument: String,
    /// The zone; `None` for the access list of all zones.
    pub zone: Option<Name>,
    /// What is added to the zone.
    pub dataset: DatasetSpec,
}

/// A dataset whose files are not yet looked for anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSpec {
    /// The type.
    pub kind: Kind,
    /// The files as they are written; at least one.
    pub files: Vec<PathBuf>,
}

/// What is wrong with a zone specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zone specification `{argument}`: {fault}")]
pub struct SpecError {
    /// The specification.
    pub argument: String,
    /// What is wrong with it.
    pub fault: SpecFault,
}

/// See [`SpecError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    /// There is no colon at all.
    #[error("should be ZONE:TYPE:FILE[,FILE…]")]
    NoType,
    /// The zone is the root.
    #[error("the zone's name is missing")]
    NoZone,
    /// The zone's name cannot be a name.
    #[error("the zone's name: {0}")]
    Name(#[from] NameError),
    /// There is no such dataset type.
    #[error("unknown dataset type `{0}` (known are {KINDS})", KINDS = kind_names())]
    UnknownType(String),
    /// No file is named, or one of them has no name.
    #[error("a file name is missing")]
    NoFile,
    /// There may be one access list for a zone, and one for the server.
    #[error("a second access list")]
    SecondAccessList,
}

const KINDS: [(&str, Kind); 11] = [
    ("ip", Kind::Ip),
    ("ip4set", Kind::Ip4set),
    ("ip4tset", Kind::Ip4tset),
    ("ip4trie", Kind::Ip4trie),
    ("ip6tset", Kind::Ip6tset),
    ("ip6trie", Kind::Ip6trie),
    ("dnset", Kind::Dnset),
    ("dnhash", Kind::Dnset),
    ("generic", Kind::Generic),
    ("combined", Kind::Combined),
    ("acl", Kind::Acl),
];

/// The name of a dataset type.
pub fn kind_name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name)
}

fn kind_names() -> String {
    KINDS.map(|(name, _)| name).join(", ")
}

/// Reads `ZONE:TYPE:FILE[,FILE…]`.
///
/// # Errors
/// See [`SpecFault`].
pub fn zone_spec(argument: &str) -> Result<ZoneSpec, SpecError> {
    let parse = || {
        let (zone, dataset) = argument.split_once(':').ok_or(SpecFault::NoType)?;
        let dataset = dataset_spec(dataset)?;
        let zone = match zone {
            "" if dataset.kind == Kind::Acl => None,
            zone => Some(zone_name(zone)?),
        };
        Ok(ZoneSpec { argument: argument.to_owned(), zone, dataset })
    };
    parse().map_err(|fault| SpecError { argument: argument.to_owned(), fault })
}

/// Reads the name of a zone: any name but the root.
///
/// # Errors
/// [`SpecFault::NoZone`] and [`SpecFault::Name`].
pub fn zone_name(text: &str) -> Result<Name, SpecFault> {
    let name = Name::from_text(text.as_bytes())?;
    if name.is_root() { Err(SpecFault::NoZone) } else { Ok(name) }
}

/// Reads `TYPE:FILE[,FILE…]`.
///
/// # Errors
/// [`SpecFault::NoType`], [`SpecFault::UnknownType`] and [`SpecFault::NoFile`].
pub fn dataset_spec(text: &str) -> Result<DatasetSpec, SpecFault> {
    let (kind, files) = text.split_once(':').ok_or(SpecFault::NoType)?;
    DatasetSpec::new(kind, files.split([',', ':']).map(PathBuf::from).collect())
}

impl DatasetSpec {
    /// A dataset of the type with this name.
    ///
    /// # Errors
    /// [`SpecFault::UnknownType`] and [`SpecFault::NoFile`].
    pub fn new(kind: &str, files: Vec<PathBuf>) -> Result<Self, SpecFault> {
        let known = KINDS.iter().find(|(name, _)| *name == kind);
        let &(_, kind) = known.ok_or_else(|| SpecFault::UnknownType(kind.to_owned()))?;
        if files.is_empty() || files.iter().any(|file| file.as_os_str().is_empty()) {
            return Err(SpecFault::NoFile);
        }
        Ok(Self { kind, files })
    }

    /// The dataset with its relative files in `dir`.
    pub fn with(self, dir: &Path, read: ReadConfig) -> DatasetConfig {
        let files = self.files.into_iter().map(|file| dir.join(file)).collect();
        DatasetConfig { kind: self.kind, files, read }
    }
}
