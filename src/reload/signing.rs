//! What a zone is signed by: its keys, read again when their files change, and the signatures made so
//! far, which outlive every reload.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::config::{SigningConfig, ZoneConfig};
use crate::data_file::Stamp;
use crate::dataset::{Dataset, GenericTable};
use crate::dnssec::cache::SignatureCache;
use crate::dnssec::key_file;
use crate::dnssec::signer::ZoneSigner;
use crate::name::Name;
use crate::virtual_zone::VirtualZone;
use crate::zone::{SignedBy, Signing, Status, Zone};
use crate::zone_file::diagnostic::{Diagnostics, Severity};

const NS: u16 = 2;

/// The signers of all signed zones.
pub struct Signers {
    cache: Arc<SignatureCache>,
    known: RefCell<HashMap<Name, Known>>,
    judged: RefCell<HashMap<Name, Judged>>,
}

/// What speaks against signing the data that a zone was offered last: to find that out takes a look at all
/// names.
struct Judged {
    datasets: Vec<Weak<Dataset>>,
    obstacles: Vec<String>,
}

/// The keys of a zone as they were read last.
struct Known {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// The last that could be read.
    signer: Option<Arc<ZoneSigner>>,
    /// Why it does not have the keys that the files hold.
    problem: Option<String>,
}

impl Signers {
    /// Signers that keep signatures in `octets` of memory.
    pub fn new(octets: usize) -> Self {
        Self {
            cache: Arc::new(SignatureCache::new(octets)),
            known: RefCell::default(),
            judged: RefCell::default(),
        }
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
        let obstacles = self.obstacles(zone);
        obstacles.iter().for_each(|obstacle| note(Severity::Error, &format!("cannot be signed: {obstacle}")));
        if zone.apex().name_servers().is_none() {
            note(
                Severity::Error,
                "no $NS, which a signed zone needs: resolvers learn its name servers from it",
            );
        }
        for cut in VirtualZone::cuts_in_data(zone) {
            let cut = cut.to_string();
            note(
                Severity::Warning,
                &format!("has data at or below its delegation `{cut}`, which is not served"),
            );
        }
        match self.signer(&config.name, signing, note).filter(|_| obstacles.is_empty()) {
            Some(signer) => {
                Signing::By(SignedBy { signer, empty_non_terminals: signing.empty_non_terminals })
            }
            None => Signing::Impossible,
        }
    }

    /// Why a zone cannot be signed, whatever its keys are; of the same data found out once.
    pub(super) fn obstacles(&self, zone: &Zone) -> Vec<String> {
        let mut judged = self.judged.borrow_mut();
        let datasets: Vec<_> = zone.datasets().iter().map(Arc::downgrade).collect();
        match judged.get(zone.name()).filter(|last| last.is_of(&datasets)) {
            Some(last) => last.obstacles.clone(),
            None => {
                let obstacles = obstacles(zone);
                judged.insert(zone.name().clone(), Judged { datasets, obstacles: obstacles.clone() });
                obstacles
            }
        }
    }

    /// True if the key files of a zone are not as they were when they were read.
    pub fn have_changed(&self, config: &ZoneConfig) -> bool {
        let Some(signing) = &config.signing else { return false };
        self.known.borrow().get(&config.name).is_some_and(|known| known.files != files(&signing.keys))
    }

    /// Why a zone is not signed with the keys that its files hold.
    pub fn problem(&self, zone: &Name) -> Option<String> {
        self.known.borrow().get(zone)?.problem.clone()
    }

    /// The signer of a zone, with new keys if their files have changed. Where these cannot be read, the
    /// keys before go on. What there is to say of the keys is said every time.
    fn signer(
        &self,
        name: &Name,
        signing: &SigningConfig,
        note: impl FnMut(Severity, &str),
    ) -> Option<Arc<ZoneSigner>> {
        // Stamped before they are read: what changes later is seen by the next look.
        let files = files(&signing.keys);
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.get(name).filter(|known| known.signer.is_some() && known.files == files) {
            known.say(note);
            return known.signer.clone();
        }
        let before = known.get(name).and_then(|known| known.signer.clone());
        let (signer, problem) = match key_file::load(&signing.keys, name) {
            Ok(keys) => {
                let keys = if signing.withdraw_ds { keys.withdrawn() } else { keys };
                let signer = ZoneSigner::new(name, keys, signing.validity, self.cache.clone());
                (Some(Arc::new(signer)), None)
            }
            Err(error) => {
                let keeps = if before.is_some() { "; the keys before go on" } else { "" };
                (before, Some(format!("{error}{keeps}")))
            }
        };
        let read = Known { files, signer: signer.clone(), problem };
        read.say(note);
        known.insert(name.clone(), read);
        signer
    }
}

impl Judged {
    fn is_of(&self, datasets: &[Weak<Dataset>]) -> bool {
        self.datasets.len() == datasets.len()
            && self.datasets.iter().zip(datasets).all(|(one, other)| one.ptr_eq(other))
    }
}

impl Known {
    fn say(&self, mut note: impl FnMut(Severity, &str)) {
        let warnings = self.signer.iter().flat_map(|signer| signer.keys().warnings());
        warnings.for_each(|warning| note(Severity::Warning, warning));
        self.problem.iter().for_each(|problem| note(Severity::Error, problem));
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
    if let Err(unwritable) = VirtualZone::check(zone) {
        obstacles.push(unwritable.to_string());
    }
    if zone.apex().soa().is_none() {
        obstacles.push("it has no SOA".into());
    }
    // Data files have NS at their `@` alone: in the zone itself that is the apex, in a sub-zone a delegation.
    let sub_zones = zone.combined().iter().flatten().filter(|(sub_zone, _)| !sub_zone.is_empty());
    for (sub_zone, list) in sub_zones {
        let mut sets = list.generic().flat_map(GenericTable::iter).flat_map(|(_, sets)| sets);
        if sets.any(|set| set.record_type == NS) {
            let name = String::from_utf8_lossy(&sub_zone.join(&b'.')).into_owned();
            obstacles.push(format!("its data has NS records at `{name}`, which would delegate that"));
        }
    }
    obstacles
}

/// The files of a directory that may be keys, and their states. None where it cannot be read.
fn files(directory: &Path) -> Vec<(PathBuf, Option<Stamp>)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| key_file::is_key_file(path))
        .map(|path| (path.clone(), Stamp::of(&path).ok()))
        .collect();
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    files
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::super::files::Files;
    use super::super::{Loader, Order, Problem};
    use super::*;
    use crate::config::{Config, spec};
    use crate::dnssec::key::{Algorithm, Key, Role};
    use crate::dnssec::key_file::KeyFile;
    use crate::dnssec::key_set::Timing;
    use crate::dnssec::validity::Validity;
    use crate::snapshot::{Settings, Snapshot};
    use crate::zone::tests::{dataset, zone};
    use crate::zone::{EmptyNonTerminals, ZoneOptions};
    use crate::zone_file::Kind;

    const APEX: &str = "$SOA 3600 ns.example. host.example. 1 3600 600 86400 300\n$NS 3600 ns.example.\n";

    fn config(keys: &Path) -> ZoneConfig {
        let signing = SigningConfig {
            keys: keys.to_owned(),
            validity: Validity::default(),
            empty_non_terminals: EmptyNonTerminals::Marker,
            withdraw_ds: false,
        };
        ZoneConfig { signing: Some(signing), ..ZoneConfig::new(Name::from_text(b"bl.example").unwrap()) }
    }

    fn new_key(directory: &Path, role: Role) -> KeyFile {
        let name = Name::from_text(b"bl.example").unwrap();
        let key = Key::generate(Algorithm::Ed25519, role).unwrap();
        let file = KeyFile::new(directory, &name, key, Timing::from(0, role), None).unwrap();
        file.write(&name).unwrap();
        file
    }

    /// How many DNSKEY records there are, if the zone can be signed, and what is said.
    fn look(signers: &Signers, config: &ZoneConfig, data: &[(Kind, &str)]) -> (Option<usize>, String) {
        let zone =
            zone(data.iter().map(|(kind, text)| dataset(*kind, text)).collect(), ZoneOptions::default());
        let mut diagnostics = Diagnostics::default();
        let signing = signers.signing(config, &zone, &mut diagnostics);
        let said = diagnostics.kept().iter().map(|finding| finding.to_string()).collect();
        let keys = match signing {
            Signing::By(by) => Some(by.signer.key_records(1)[0].rdata.len()),
            Signing::None | Signing::Impossible => None,
        };
        (keys, said)
    }

    #[test]
    fn keys_are_read_again_when_they_change_and_kept_when_they_are_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let (signers, config) = (Signers::new(1 << 20), config(directory.path()));
        let text = format!("{APEX}192.0.2.1\n");
        let data = [(Kind::Ip4trie, &*text)];
        let (none, said) = look(&signers, &config, &data);
        assert!(none.is_none() && said.contains("no key of bl.example"), "{said}");
        assert!(!signers.have_changed(&config));
        new_key(directory.path(), Role::SecureEntry);
        assert!(signers.have_changed(&config));
        assert_eq!(look(&signers, &config, &data), (Some(1), String::new()));
        assert!(!signers.have_changed(&config));
        let second = new_key(directory.path(), Role::Zone);
        assert!(signers.have_changed(&config));
        assert_eq!(look(&signers, &config, &data), (Some(2), String::new()));
        fs::write(second.path(), "nonsense\n").unwrap();
        assert!(signers.have_changed(&config));
        let (kept, said) = look(&signers, &config, &data);
        assert!(kept == Some(2) && said.contains("the keys before go on"), "{said}");
        assert!(!signers.have_changed(&config));
        assert_eq!(look(&signers, &config, &data), (Some(2), said.clone()), "said as long as it holds");
        let problem = signers.problem(&config.name).unwrap();
        assert!(said.contains(&problem), "{problem}");
        fs::remove_file(second.path()).unwrap();
        assert_eq!(look(&signers, &config, &data), (Some(1), String::new()));
        assert_eq!(signers.problem(&config.name), None);
    }

    #[test]
    fn data_that_cannot_be_signed_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        new_key(directory.path(), Role::SecureEntry);
        let [good, bad] = ["a.b\n", "a.b\na.*.b\n"].map(|names| format!("{APEX}{names}"));
        let list = directory.path().join("list");
        let mut config = Config::default();
        let spec = spec::zone_spec("bl.example:dnset:list").unwrap();
        config.add(spec, directory.path(), &|_| super::tests::config(directory.path())).unwrap();
        let published = RefCell::new(None);
        let files = Files::new(Settings::default(), |snapshot: Arc<Snapshot>| {
            published.replace(Some(snapshot));
        });
        let mut loader = Loader::new(files, &config);
        let mut look = |text: &str| {
            fs::write(&list, text).unwrap();
            let round = loader.look(&Order { force: true, ..Order::default() }, SystemTime::now());
            let snapshot = published.borrow().clone().unwrap();
            let is_signed = matches!(snapshot.zones()[0].signing(), Signing::By(_));
            let said: String = round.notices().map(|notice| notice.to_string()).collect();
            let report = loader.report().zones.remove(0);
            assert_eq!(report.status, if is_signed { Status::Serving } else { Status::Unsigned });
            (is_signed, report.problem, said)
        };
        // What never could be signed is not served, and says why.
        let (is_signed, problem, said) = look(&bad);
        assert!(!is_signed && problem.is_none() && said.contains("cannot be signed: a.*.b"), "{said}");
        assert!(look(&good).0);
        let (is_signed, problem, said) = look(&bad);
        assert!(is_signed && matches!(problem, Some(Problem::Unsignable { .. })), "{problem:?}");
        assert!(said.contains("keeps its old data: cannot be signed: "), "{said}");
        let (is_signed, problem, said) = look(&(good + "c.d\n"));
        assert!(is_signed && problem.is_none() && said.contains("entries, before"), "{said}");
    }

    /// What is wrong with a zone as a whole is in its report as long as it holds, and in the log once.
    #[test]
    fn findings_about_a_zone_stay_in_its_report() {
        let directory = tempfile::tempdir().unwrap();
        new_key(directory.path(), Role::SecureEntry);
        let list = directory.path().join("list");
        let mut config = Config::default();
        let spec = spec::zone_spec("bl.example:dnset:list").unwrap();
        config.add(spec, directory.path(), &|_| super::tests::config(directory.path())).unwrap();
        let mut loader = Loader::new(Files::new(Settings::default(), |_: Arc<Snapshot>| ()), &config);
        let (soa, name_server) = APEX.split_once('\n').unwrap();
        for (text, is_said, is_reported) in [
            (format!("{soa}\na.b\n"), true, true),
            (format!("{soa}\na.b\nc.d\n"), false, true),
            (format!("{soa}\n{name_server}a.b\n"), false, false),
            (format!("{soa}\na.b\n"), true, true),
        ] {
            fs::write(&list, &text).unwrap();
            let round = loader.look(&Order { force: true, ..Order::default() }, SystemTime::now());
            let [said, reported] = [
                round.complaints.iter().map(ToString::to_string).collect::<String>(),
                loader.report().zones.remove(0).findings.concat(),
            ];
            assert_eq!(
                [&said, &reported].map(|text| text.contains("no $NS")),
                [is_said, is_reported],
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_signed() {
        let directory = tempfile::tempdir().unwrap();
        new_key(directory.path(), Role::SecureEntry);
        let (signers, config) = (Signers::new(1 << 20), config(directory.path()));
        for (kind, text, obstacle) in [
            (Kind::Acl, "192.0.2.1 :empty\n", "its access list"),
            (Kind::Acl, "192.0.2.1 :refuse\n", ""),
            (Kind::Dnset, "a.*.b\n", "label `*`"),
            (Kind::Combined, "$DATASET generic sub\n@ NS ns.example.\n", "NS records at `sub`"),
            (Kind::Generic, "@ NS ns.example.\n", ""),
            (Kind::Generic, "x CNAME y.example.\n", ""),
            (Kind::Generic, "1.2.0.192 CNAME y.example.\n", "1.2.0.192: a CNAME and other records"),
        ] {
            let list = format!("{APEX}192.0.2.1\n");
            let (keys, said) = look(&signers, &config, &[(Kind::Ip4trie, &*list), (kind, text)]);
            assert_eq!(keys.is_none(), !obstacle.is_empty(), "{text}: {said}");
            assert!(said.contains(obstacle), "{said}");
        }
        let (keys, said) = look(&signers, &config, &[(Kind::Ip4trie, "192.0.2.1\n")]);
        assert!(keys.is_some() && said.contains("no $NS"), "{said}");
    }
}
