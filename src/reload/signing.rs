//! What a zone is signed by: its keys, read again when their files change, and the signatures made so
//! far, which outlive every reload.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hickory_proto::rr::RecordType;

use crate::config::{SigningConfig, ZoneConfig};
use crate::data_file::Stamp;
use crate::dataset::GenericTable;
use crate::dnssec::cache::SignatureCache;
use crate::dnssec::key_file;
use crate::dnssec::record_type::{CDNSKEY, CDS, DNSKEY, DS, NSEC, RRSIG};
use crate::dnssec::signer::ZoneSigner;
use crate::name::{Name, key_text};
use crate::virtual_zone::VirtualZone;
use crate::zone::{SignedBy, Signing, Status, Zone};
use crate::zone_file::diagnostic::{Diagnostics, Severity};

const NS: u16 = 2;
const DNAME: u16 = 39;

/// The signers of all signed zones.
pub struct Signers {
    cache: Arc<SignatureCache>,
    known: RefCell<HashMap<Name, Known>>,
}

/// The keys of a zone as they were read last.
struct Known {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// The last that could be read.
    signer: Option<Arc<ZoneSigner>>,
}

impl Signers {
    /// Signers that keep signatures in `octets` of memory.
    pub fn new(octets: usize) -> Self {
        Self { cache: Arc::new(SignatureCache::new(octets)), known: RefCell::default() }
    }

    /// How a zone is signed, if it is to be. What speaks against it goes to `diagnostics`.
    pub fn signing(&self, config: &ZoneConfig, zone: &Zone, diagnostics: &mut Diagnostics) -> Signing {
        let Some(signing) = &config.signing else { return Signing::None };
        if zone.status() != Status::Serving {
            return Signing::Impossible;
        }
        let mut note = |severity, message: &str| {
            diagnostics.push_plain(severity, format!("zone {}: {message}", config.name));
        };
        let obstacles = obstacles(zone);
        obstacles.iter().for_each(|obstacle| note(Severity::Error, &format!("cannot be signed: {obstacle}")));
        if zone.apex().name_servers().is_none() {
            note(
                Severity::Error,
                "no $NS, which a signed zone needs: resolvers learn its name servers from it",
            );
        }
        match self.signer(&config.name, signing, note).filter(|_| obstacles.is_empty()) {
            Some(signer) => {
                Signing::By(SignedBy { signer, empty_non_terminals: signing.empty_non_terminals })
            }
            None => Signing::Impossible,
        }
    }

    /// True if the key files of a zone are not as they were when they were read.
    pub fn have_changed(&self, config: &ZoneConfig) -> bool {
        let Some(signing) = &config.signing else { return false };
        self.known.borrow().get(&config.name).is_some_and(|known| known.files != files(&signing.keys))
    }

    /// The signer of a zone, with new keys if their files have changed. Where these cannot be read, the
    /// keys before go on.
    fn signer(
        &self,
        name: &Name,
        signing: &SigningConfig,
        mut note: impl FnMut(Severity, &str),
    ) -> Option<Arc<ZoneSigner>> {
        // Stamped before they are read: what changes later is seen by the next look.
        let files = files(&signing.keys);
        let mut known = self.known.borrow_mut();
        let before = known.get(name).and_then(|known| known.signer.clone());
        if before.is_some() && known.get(name).is_some_and(|known| known.files == files) {
            return before;
        }
        let signer = match key_file::load(&signing.keys, name) {
            Ok(keys) => {
                keys.warnings().iter().for_each(|warning| note(Severity::Warning, warning));
                let signer = ZoneSigner::new(name, keys, signing.validity, self.cache.clone());
                Some(Arc::new(signer))
            }
            Err(error) => {
                let keeps = if before.is_some() { "; the keys before go on" } else { "" };
                note(Severity::Error, &format!("{error}{keeps}"));
                before
            }
        };
        known.insert(name.clone(), Known { files, signer: signer.clone() });
        signer
    }
}

/// Why a zone cannot be signed, whatever its keys are.
fn obstacles(zone: &Zone) -> Vec<String> {
    let mut obstacles = Vec::new();
    if zone.answers_by_client() {
        obstacles.push(
            "its access list changes what clients are answered (other than by ignoring or refusing them)"
                .into(),
        );
    }
    if let Err(asterisk) = VirtualZone::check(zone) {
        obstacles.push(asterisk.to_string());
    }
    if zone.apex().soa().is_none() {
        obstacles.push("it has no SOA".into());
    }
    let lists = zone.combined().iter().flatten().map(|(sub_zone, list)| (sub_zone.is_empty(), list));
    for (at_apex, list) in lists.chain([(true, zone.list())]) {
        for (owner, sets) in list.generic().flat_map(GenericTable::iter) {
            let is_apex = at_apex && owner.is_empty();
            let foreign = sets.iter().find(|set| is_of_signing(set.record_type, is_apex));
            obstacles.extend(foreign.map(|set| {
                let kind = RecordType::from(set.record_type);
                format!("its data has a record of type {kind} at `{}`", key_text(owner))
            }));
        }
    }
    obstacles
}

/// True for types that the signer makes, and for those that end the zone, but for NS at the apex.
fn is_of_signing(record_type: u16, is_apex: bool) -> bool {
    const NSEC3: u16 = 50;
    const NSEC3PARAM: u16 = 51;
    !(is_apex && record_type == NS)
        && matches!(record_type, NS | DNAME | DS | RRSIG | NSEC | DNSKEY | NSEC3 | NSEC3PARAM | CDS | CDNSKEY)
}

/// The files of a directory that may be keys, and their states. None where it cannot be read.
fn files(directory: &Path) -> Vec<(PathBuf, Option<Stamp>)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "key" || kind == "private"))
        .map(|path| (path.clone(), Stamp::of(&path).ok()))
        .collect();
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    files
}
