//! `nibbl export`: loads one zone as the server would, and writes it for other software.
//!
//! What is written goes to standard output, or to a file that appears under its name only when it is
//! complete. Data files of rbldnsd may be several: they go to a directory, and standard output gets the
//! specifications to serve them with.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

use crate::check;
use crate::config::{Config, SigningConfig, ZoneConfig};
use crate::dnssec::validity::Validity;
use crate::export::rbldnsd::DataFile;
use crate::export::signed::Signing;
use crate::export::{ExportError, nft, postfix_cidr, rbldnsd, rpz, zone_file};
use crate::name::Name;
use crate::progress::Progress;
use crate::reload::files::Files;
use crate::reload::{LoadError, Source};
use crate::snapshot::Snapshot;
use crate::zone::{self, EmptyNonTerminals, Status, Zone};
use crate::zone_file::diagnostic::Diagnostics;

/// What a zone is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A standard zone file for NSD, Knot DNS or BIND
    Zone,
    /// The range records alone, as a standard zone file
    Ranges,
    /// Canonical data files for rbldnsd or nibbl
    Rbldnsd,
    /// Two nftables sets of intervals
    Nft,
    /// A Postfix cidr: table
    PostfixCidr,
    /// A response policy zone with client-IP triggers
    Rpz,
}

/// What is to be written, and where.
#[derive(Clone, Debug)]
pub struct Order {
    /// The zone; the only one of the configuration where none is named.
    pub zone: Option<Name>,
    /// The format.
    pub format: Format,
    /// What empty non-terminals of a standard zone have; in a signed one what the configuration says by default.
    /// What is not signed gains nothing by markers.
    pub empty_non_terminals: Option<EmptyNonTerminals>,
    /// Sign the zone (the first format only).
    pub signing: Option<SigningOrder>,
    /// A file, or the directory of data files; standard output where none is named.
    pub output: Option<PathBuf>,
}

/// How a zone is to be signed: as the configuration says, but for what is said here.
#[derive(Clone, Debug)]
pub struct SigningOrder {
    /// The directory of the keys.
    pub keys: Option<PathBuf>,
    /// How long the signatures are valid.
    pub validity: Option<Validity>,
}

/// Why nothing (or nothing complete) was written.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration has several zones, or not the one that is asked for.
    #[error("--zone must name one of the zones: {0}")]
    WhichZone(String),
    /// A dataset does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The zone is strict, and lines were skipped.
    #[error("zone {0} is strict, and {1} of its lines are wrong")]
    Strict(Name, u64),
    /// The zone has several data files and only one place to go to.
    #[error("zone {0} makes {1} data files: --output must name a directory")]
    NeedsDirectory(Name, usize),
    /// Signatures are for standard zones.
    #[error("--signed goes with --format zone")]
    SignedFormat,
    /// Neither the order nor the configuration says where the keys are.
    #[error("zone {0}: --keys must name the directory of its keys")]
    NoKeys(Name),
    /// The zone or its keys cannot be used: findings say why.
    #[error("zone {0} cannot be signed")]
    Unsignable(Name),
    /// The export itself.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The output could not be made.
    #[error("{path}: {source}", path = path.display())]
    Output {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Loads and writes; findings go to `say`. True if all lines of the data were taken.
///
/// # Errors
/// See [`Failure`].
pub fn export(
    config: &Config,
    order: &Order,
    now: SystemTime,
    out: &mut impl Write,
    say: impl Fn(&str),
) -> Result<bool, Failure> {
    if order.signing.is_some() && order.format != Format::Zone {
        return Err(Failure::SignedFormat);
    }
    let mut diagnostics = Diagnostics::default();
    let result = load(config, order, now, &mut diagnostics)
        .and_then(|zone| write(&zone, order, now, out, &mut diagnostics));
    diagnostics.lines().for_each(|line| say(&line));
    result.map(|()| diagnostics.errors() == 0)
}

/// The zone that is to be written.
fn load(
    config: &Config,
    order: &Order,
    now: SystemTime,
    diagnostics: &mut Diagnostics,
) -> Result<Arc<Zone>, Failure> {
    let mut zone = which(config, order.zone.as_ref())?.clone();
    zone.signing = order.signing.as_ref().map(|signing| signing_config(&zone, signing, order)).transpose()?;
    let progress = Arc::new(Progress::new(check::octets(config)));
    let counting = progress.clone();
    let source = Files::new(config.settings.clone(), |_: Arc<Snapshot>| ())
        .with_progress(move |octets| counting.advance(octets));
    let mut datasets = Vec::new();
    for dataset in zone.all_datasets() {
        datasets.push(Arc::new(source.load(dataset, now, diagnostics)?));
    }
    progress.finish();
    if zone.strict && diagnostics.errors() > 0 {
        return Err(Failure::Strict(zone.name.clone(), diagnostics.errors()));
    }
    Ok(source.zone(&zone, &datasets, Status::Serving, diagnostics))
}

fn signing_config(
    zone: &ZoneConfig,
    signing: &SigningOrder,
    order: &Order,
) -> Result<SigningConfig, Failure> {
    let configured = zone.signing.as_ref();
    let keys = signing.keys.clone().or_else(|| configured.map(|signing| signing.keys.clone()));
    Ok(SigningConfig {
        keys: keys.ok_or_else(|| Failure::NoKeys(zone.name.clone()))?,
        validity: signing.validity.or(configured.map(|signing| signing.validity)).unwrap_or_default(),
        empty_non_terminals: order
            .empty_non_terminals
            .or(configured.map(|signing| signing.empty_non_terminals))
            .unwrap_or_default(),
        withdraw_ds: configured.is_some_and(|signing| signing.withdraw_ds),
    })
}

fn which<'c>(config: &'c Config, name: Option<&Name>) -> Result<&'c ZoneConfig, Failure> {
    let found = match (name, &config.zones[..]) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), zones) => zones.iter().find(|zone| zone.name == *name),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = config.zones.iter().map(|zone| zone.name.to_string()).collect();
        Failure::WhichZone(names.join(", "))
    })
}

fn write(
    zone: &Zone,
    order: &Order,
    now: SystemTime,
    out: &mut impl Write,
    diagnostics: &mut Diagnostics,
) -> Result<(), Failure> {
    let signing = match zone.signing() {
        zone::Signing::None => None,
        zone::Signing::Impossible => return Err(Failure::Unsignable(zone.name().clone())),
        zone::Signing::By(signed) => Some(Signing {
            signer: &signed.signer,
            empty_non_terminals: signed.empty_non_terminals,
            now: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32,
            nsec_ttl: zone.apex().nsec_ttl(),
        }),
    };
    match (order.format, &order.output) {
        (Format::Rbldnsd, Some(directory)) => write_data_files(zone, directory, out, diagnostics),
        (Format::Rbldnsd, None) => match &rbldnsd::data_files(zone, diagnostics)[..] {
            [only] => Ok(only.write(out)?),
            files => Err(Failure::NeedsDirectory(zone.name().clone(), files.len())),
        },
        (_, Some(path)) => complete(path, |out| write_text(zone, order, signing, out, diagnostics)),
        (_, None) => Ok(write_text(zone, order, signing, out, diagnostics)?),
    }
}

fn write_text(
    zone: &Zone,
    order: &Order,
    signing: Option<Signing<'_>>,
    out: &mut impl Write,
    diagnostics: &mut Diagnostics,
) -> Result<(), ExportError> {
    match order.format {
        Format::Zone => {
            let plain = order.empty_non_terminals.unwrap_or(EmptyNonTerminals::Plain);
            let form = signing.map_or(zone_file::Form::Plain(plain), zone_file::Form::Signed);
            zone_file::write(zone, form, out, diagnostics)
        }
        Format::Ranges => zone_file::write_ranges(zone, out, diagnostics),
        Format::Nft => Ok(nft::write(zone, out, diagnostics)?),
        Format::PostfixCidr => Ok(postfix_cidr::write(zone, out, diagnostics)?),
        Format::Rpz => rpz::write(zone, out, diagnostics),
        Format::Rbldnsd => rbldnsd::data_files(zone, diagnostics).iter().try_for_each(|file| file.write(out)),
    }
}

/// Writes the data files of a zone, and to `out` the specification of each.
fn write_data_files(
    zone: &Zone,
    directory: &Path,
    out: &mut impl Write,
    diagnostics: &mut Diagnostics,
) -> Result<(), Failure> {
    let failed = |source| Failure::Output { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    for (index, file) in rbldnsd::data_files(zone, diagnostics).iter().enumerate() {
        let path = directory.join(rbldnsd::file_name(zone.name(), index, file.kind));
        complete(&path, |out| DataFile::write(file, out))?;
        let kind = rbldnsd::type_name(file.kind);
        writeln!(out, "{}:{kind}:{}", zone.name(), path.display()).map_err(ExportError::from)?;
    }
    Ok(())
}

/// Writes a file beside its place, and moves it there when it is complete.
fn complete(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), ExportError>,
) -> Result<(), Failure> {
    let failed = |source| Failure::Output { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unfinished = path.with_file_name(name);
    let mut out = BufWriter::new(File::create(&unfinished).map_err(failed)?);
    let written = write(&mut out).map_err(Failure::from);
    let written = written.and_then(|()| out.flush().map_err(failed));
    let placed = written.and_then(|()| fs::rename(&unfinished, path).map_err(failed));
    if placed.is_err() {
        // It is of no use to anyone; if it cannot be removed, the error that counts is the first.
        let _ = fs::remove_file(&unfinished);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec;
    use crate::dnssec::key::{Algorithm, Key, Role};
    use crate::dnssec::key_file::KeyFile;
    use crate::dnssec::key_set::Timing;

    fn exported(files: &[(&str, &str)], specs: &[&str], order: &Order) -> Result<(bool, String), Failure> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut config = Config::default();
        for text in specs {
            config.add(spec::zone_spec(text).unwrap(), dir.path(), &ZoneConfig::new).unwrap();
        }
        let mut out = Vec::new();
        let clean = export(&config, order, SystemTime::now(), &mut out, |_| ())?;
        Ok((clean, String::from_utf8(out).unwrap()))
    }

    fn order(format: Format) -> Order {
        Order { zone: None, format, empty_non_terminals: None, signing: None, output: None }
    }

    #[test]
    fn every_format_to_standard_output() {
        for (format, expected) in [
            (Format::Zone, "*.8.b.d.0.1.0.0.2 2100 IN A 127.0.0.2\n"),
            (Format::Rbldnsd, "2001:db8::/32 :127.0.0.2:\n"),
            (Format::Nft, "{ 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            (Format::PostfixCidr, "2001:db8::/32 REJECT\n"),
            (Format::Rpz, "32.zz.db8.2001.rpz-client-ip CNAME rpz-drop.\n"),
        ] {
            let (clean, text) =
                exported(&[("list", "2001:db8::/32\n")], &["bl.example:ip6trie:list"], &order(format))
                    .unwrap();
            assert!(clean && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn range_records_alone() {
        let refused =
            exported(&[("list", "2001:db8::/32\n")], &["bl.example:ip:list"], &order(Format::Ranges));
        assert!(matches!(refused, Err(Failure::Export(ExportError::NoRanges(_)))));
    }

    #[test]
    fn data_files_go_to_a_directory() {
        let files = [("list", "2001:db8::/32\n192.0.2.1\n")];
        let specs = ["bl.example:ip:list"];
        let refused = exported(&files, &specs, &order(Format::Rbldnsd));
        assert!(matches!(refused, Err(Failure::NeedsDirectory(_, 2))));
        let dir = tempfile::tempdir().unwrap();
        let to_dir = Order { output: Some(dir.path().join("new")), ..order(Format::Rbldnsd) };
        let (_, specs) = exported(&files, &specs, &to_dir).unwrap();
        let path = dir.path().join("new/bl.example.1.ip6trie");
        assert!(specs.contains(&format!("bl.example:ip6trie:{}\n", path.display())), "{specs}");
        assert!(fs::read_to_string(path).unwrap().ends_with("2001:db8::/32 :127.0.0.2:\n"));
    }

    #[test]
    fn signed_with_the_keys_of_a_directory() {
        let keys = tempfile::tempdir().unwrap();
        let name = Name::from_text(b"bl.example").unwrap();
        let role = Role::SecureEntry;
        let key = Key::generate(Algorithm::Ed25519, role).unwrap();
        let tag = key.tag();
        KeyFile::new(keys.path(), &name, key, Timing::from(0, role), None).unwrap().write(&name).unwrap();
        let files =
            [("list", "$NS 1d ns.example\n$SOA 1h ns.example h.example 1 1 1 1 300\n2001:db8::/32\n")];
        let signing = SigningOrder { keys: Some(keys.path().to_owned()), validity: None };
        let signed = Order { signing: Some(signing), ..order(Format::Zone) };
        let (clean, text) = exported(&files, &["bl.example:ip6trie:list"], &signed).unwrap();
        assert!(clean && text.contains(&format!(" {tag} bl.example. ")), "{text}");
        for line in [
            "@ 300 IN NSEC 0.bl.example. NS SOA RRSIG NSEC DNSKEY CDS CDNSKEY\n",
            "*.8.b.d.0.1.0.0.2 300 IN NSEC bl.example. A RRSIG NSEC\n",
            "2 2100 IN RP . .\n2 2100 IN RRSIG RP 15 3 2100 ",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        let plain = Order { empty_non_terminals: Some(EmptyNonTerminals::Plain), ..signed.clone() };
        assert!(!exported(&files, &["bl.example:ip6trie:list"], &plain).unwrap().1.contains(" IN RP "));
        let refused = |order: &Order| exported(&files, &["bl.example:ip6trie:list"], order).unwrap_err();
        assert!(matches!(refused(&Order { format: Format::Nft, ..signed.clone() }), Failure::SignedFormat));
        let nowhere = Some(SigningOrder { keys: None, validity: None });
        assert!(matches!(refused(&Order { signing: nowhere, ..signed.clone() }), Failure::NoKeys(_)));
        fs::remove_file(fs::read_dir(keys.path()).unwrap().next().unwrap().unwrap().path()).unwrap();
        assert!(matches!(refused(&signed), Failure::Unsignable(_)));
    }

    #[test]
    fn what_is_not_complete_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zone");
        let to_file = Order { output: Some(path.clone()), ..order(Format::Zone) };
        let refused = exported(&[("list", "*.*.x\n")], &["bl.example:dnset:list"], &to_file);
        assert!(matches!(refused, Err(Failure::Export(ExportError::Unwritable(_)))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let (clean, _) = exported(&[("list", "x\n\\256\n")], &["bl.example:dnset:list"], &to_file).unwrap();
        assert!(!clean, "a line was skipped");
        assert!(path.exists());
    }

    #[test]
    fn one_zone_is_chosen() {
        let files = [("list", "192.0.2.1\n")];
        let specs = ["a.example:ip:list", "b.example:ip:list"];
        let Err(refused) = exported(&files, &specs, &order(Format::Nft)) else { panic!("two zones") };
        assert!(refused.to_string().contains("a.example, b.example"));
        let b = Order { zone: Some(Name::from_text(b"b.example").unwrap()), ..order(Format::Nft) };
        assert!(exported(&files, &specs, &b).unwrap().1.contains("nibbl_b_example"));
    }
}
