//! `nibbl check`: loads everything once, prints each finding with its place, and a summary of each
//! dataset. What the server would do with the same files, without serving them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use crate::access::{Account, KeyTable};
use crate::config::plans::plans_without_effect;
use crate::config::{Config, DatasetConfig, EncryptedListener};
use crate::data_file::Stamp;
use crate::dataset::Summary;
use crate::privileges;
use crate::progress::Progress;
use crate::reload::cookies::CookieSecrets;
use crate::reload::files::Files;
use crate::reload::keys;
use crate::reload::{Certificates, Loaded, Round, Source};
use crate::server::Certificate;
use crate::snapshot::Snapshot;
use crate::zone::Status;
use crate::zone_file::diagnostic::Diagnostics;

/// How many findings there are in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines that were skipped, and datasets that did not load.
    pub errors: u64,
    /// Warnings.
    pub warnings: u64,
}

impl Findings {
    /// The exit code: 2 on errors, 1 on warnings if they count, else 0.
    pub fn exit_code(self, strict: bool) -> u8 {
        match (self.errors, self.warnings) {
            (0, 0) => 0,
            (0, _) => u8::from(strict),
            _ => 2,
        }
    }
}

/// Loads all datasets of `config` as at `now` and writes what is to be said to `out`.
///
/// # Errors
/// When `out` takes no more.
pub fn check(config: &Config, now: SystemTime, out: &mut impl Write) -> io::Result<Findings> {
    let progress = Arc::new(Progress::new(octets(config)));
    let counting = progress.clone();
    let source = Files::new(config.settings.clone(), |_: Arc<Snapshot>| ());
    let source = source.with_progress(move |octets| counting.advance(octets));
    let mut findings = Findings::default();
    let mut loaded: HashMap<&DatasetConfig, Option<Arc<Loaded<_>>>> = HashMap::new();
    let mut summaries = Vec::new();
    for dataset in config.datasets() {
        if loaded.contains_key(dataset) {
            continue;
        }
        let mut diagnostics = Diagnostics::default();
        let result = source.load(dataset, now, &mut diagnostics);
        findings.print(&diagnostics, out)?;
        let result = match result {
            Ok(result) => {
                summaries.push((dataset, result.dataset.summary));
                Some(Arc::new(result))
            }
            Err(error) => {
                writeln!(out, "{error}")?;
                findings.errors += 1;
                None
            }
        };
        loaded.insert(dataset, result);
    }
    progress.finish();
    let mut keys = None;
    if let Some(path) = &config.plans.key_file {
        let mut diagnostics = Diagnostics::default();
        let policy = config.plans.policy(Account::unsaved);
        let read = keys::read(path, &policy, &mut diagnostics);
        findings.print(&diagnostics, out)?;
        match read {
            Ok((list, _)) => {
                keys = Some((path, KeyTable::new(&list, &KeyTable::default(), Account::unsaved)))
            }
            Err(error) => {
                writeln!(out, "{}: {error}", path.display())?;
                findings.errors += 1;
            }
        }
    }
    let mut zones = Vec::new();
    for zone in &config.zones {
        let datasets: Option<Vec<_>> =
            zone.all_datasets().map(|dataset| loaded.get(dataset).cloned().flatten()).collect();
        let Some(datasets) = datasets else {
            writeln!(out, "zone {}: not served, for a dataset does not load", zone.name)?;
            continue;
        };
        let mut diagnostics = Diagnostics::default();
        zones.push(source.zone(zone, &datasets, Status::Serving, &mut diagnostics));
        findings.print(&diagnostics, out)?;
        let errors: u64 = datasets.iter().map(|loaded| loaded.errors).sum();
        if zone.strict && errors > 0 {
            writeln!(out, "zone {}: not served, for it is strict and there are {errors} errors", zone.name)?;
        }
    }
    findings.add_process(config, out)?;
    findings.add_certificates(config, now, out)?;
    if let Err(error) = CookieSecrets::new(&config.cookies) {
        writeln!(out, "{error}")?;
        findings.errors += 1;
    }
    let access = config.access.as_ref().and_then(|access| loaded.get(access)?.clone());
    let snapshot = Snapshot::new(zones, config.settings.clone(), access.map(|loaded| loaded.dataset.clone()));
    for line in snapshot.withheld_ranges().chain(snapshot.withheld_signatures()) {
        writeln!(out, "error: {line}")?;
        findings.errors += 1;
    }
    for line in plans_without_effect(&config.plans, &config.zones) {
        writeln!(out, "note: {line}")?;
    }
    for (dataset, summary) in summaries {
        writeln!(out, "{dataset}: {}", describe(&summary))?;
    }
    if let Some((path, keys)) = keys {
        writeln!(out, "{}: {} access keys, {} bytes of memory", path.display(), keys.len(), keys.bytes())?;
    }
    Ok(findings)
}

/// The length of all files together, in octets; those that cannot be read count nothing.
pub fn octets(config: &Config) -> u64 {
    config.data_files().filter_map(|file| Stamp::of(file).ok()).map(|stamp| stamp.length).sum()
}

impl Findings {
    /// What the server would end over before it serves. What only this machine lacks is a warning: the
    /// configuration may be another's.
    fn add_process(&mut self, config: &Config, out: &mut impl Write) -> io::Result<()> {
        if config.zones.is_empty() {
            writeln!(out, "error: no zones are configured")?;
            self.errors += 1;
        }
        let user = config.process.user.as_ref();
        let unknown = user.and_then(|(user, group)| privileges::find(user, group.as_deref()).err());
        let query_log = config.query_log.as_ref().and_then(|target| target.file.as_deref()?.parent());
        let missing = query_log.filter(|directory| !directory.as_os_str().is_empty() && !directory.is_dir());
        let missing = missing.map(|directory| format!("query log: no directory {}", directory.display()));
        for warning in unknown.map(|error| error.to_string()).into_iter().chain(missing) {
            writeln!(out, "warning: {warning}")?;
            self.warnings += 1;
        }
        Ok(())
    }

    /// The certificates of encrypted listeners, as the server would take them.
    fn add_certificates(&mut self, config: &Config, now: SystemTime, out: &mut impl Write) -> io::Result<()> {
        let mut files: Vec<_> = config.encrypted_listeners().map(EncryptedListener::files).collect();
        files.sort();
        files.dedup();
        let mut certificates = Vec::new();
        for files in files {
            match Certificate::read(files) {
                Ok(certificate) => certificates.push(Arc::new(certificate)),
                Err(error) => {
                    writeln!(out, "error: {error}")?;
                    self.errors += 1;
                }
            }
        }
        let mut round = Round::default();
        Certificates::new(&certificates).look(now, &mut round);
        for complaint in round.complaints {
            writeln!(out, "warning: {complaint}")?;
            self.warnings += 1;
        }
        Ok(())
    }

    fn print(&mut self, diagnostics: &Diagnostics, out: &mut impl Write) -> io::Result<()> {
        for diagnostic in diagnostics.kept() {
            writeln!(out, "{diagnostic}")?;
        }
        let all = diagnostics.errors() + diagnostics.warnings();
        let kept = diagnostics.kept().len() as u64;
        if all > kept {
            let (errors, warnings) = (diagnostics.errors(), diagnostics.warnings());
            writeln!(out, "... {} more; in all {errors} errors and {warnings} warnings", all - kept)?;
        }
        self.errors += diagnostics.errors();
        self.warnings += diagnostics.warnings();
        Ok(())
    }
}

fn describe(summary: &Summary) -> String {
    let Summary { entries, exceptions, values, v4_lengths, v6_lengths, bytes } = summary;
    let mut text = format!("{entries} entries, {exceptions} exceptions, {values} distinct values");
    for (family, lengths) in [("IPv4", v4_lengths), ("IPv6", v6_lengths)] {
        if let Some((widest, narrowest)) = lengths {
            text += &format!(", {family} /{widest} to /{narrowest}");
        }
    }
    text + &format!(", {bytes} bytes of memory")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::{Process, ZoneConfig, file, spec};

    fn checked(list: &str, change: impl Fn(&mut ZoneConfig)) -> (Findings, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("list"), list).unwrap();
        let mut config = Config::default();
        for text in ["bl.example:ip6trie:list", "other.example:ip6trie:list"] {
            let spec = spec::zone_spec(text).unwrap();
            config.add(spec, Path::new(dir.path()), &ZoneConfig::new).unwrap();
        }
        config.zones.iter_mut().for_each(change);
        let mut out = Vec::new();
        let findings = check(&config, SystemTime::now(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap().replace(&format!("{}/", dir.path().display()), "");
        (findings, text)
    }

    const APEX: &str = "$SOA 3600 ns.example. host.example. 1 3600 600 86400 300\n$NS 3600 ns.example.\n";

    #[test]
    fn what_the_server_would_end_over_is_found() {
        let config = Config {
            process: Process { user: Some(("no-such-user".to_owned(), None)), ..Process::default() },
            ..Config::default()
        };
        let mut out = Vec::new();
        let findings = check(&config, SystemTime::now(), &mut out).unwrap();
        assert_eq!(findings, Findings { errors: 1, warnings: 1 });
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "error: no zones are configured\nwarning: unknown user `no-such-user`\n");
    }

    #[test]
    fn a_clean_dataset_is_summed_up_once() {
        let (findings, text) =
            checked(&format!("{APEX}2a01:1::/32\n!2a01:1:2::/48\n2a02::/40 :3:hello\n"), |_| ());
        assert_eq!(findings, Findings::default(), "{text}");
        let summary = "ip6trie:list: 3 entries, 1 exceptions, 2 distinct values, IPv6 /32 to /40, ";
        assert!(text.starts_with(summary) && text.ends_with(" bytes of memory\n"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn errors_have_their_place_and_text() {
        let (findings, text) =
            checked(&format!("{APEX}2a01:1::/32\nnonsense/x\n"), |zone| zone.strict = true);
        assert_eq!(findings.errors, 1, "{text}");
        assert!(text.starts_with("list:4:1: error: ") && text.contains("nonsense/x"), "{text}");
        assert!(text.contains("zone other.example: not served, for it is strict"), "{text}");
    }

    #[test]
    fn all_findings_are_counted() {
        let (findings, text) = checked(&"bad!\n".repeat(150), |_| ());
        assert_eq!(findings.errors, 150, "{text}");
        assert!(text.contains("... 50 more; in all 150 errors"), "{text}");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let mut config = Config::default();
        let spec = spec::zone_spec("bl:ip:/nonexistent/list").unwrap();
        config.add(spec, Path::new(""), &ZoneConfig::new).unwrap();
        let mut out = Vec::new();
        let findings = check(&config, SystemTime::now(), &mut out).unwrap();
        assert_eq!(findings.exit_code(false), 2);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("/nonexistent/list: No such file"), "{text}");
    }

    #[test]
    fn certificates_are_read_and_have_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["ns.example".to_owned()]).unwrap();
        let [certificate, key, other] =
            ["chain.pem", "key.pem", "other.pem"].map(|name| dir.path().join(name));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let listen = "127.0.0.1:853".parse().unwrap();
        let good = EncryptedListener { listen, certificate, key };
        let bad = EncryptedListener { key: other, ..good.clone() };
        let checked = |tls: &EncryptedListener, now| {
            let zones = vec![ZoneConfig::new(spec::zone_name("bl.example").unwrap())];
            let config =
                Config { tls: vec![tls.clone()], quic: vec![tls.clone()], zones, ..Config::default() };
            let mut out = Vec::new();
            (check(&config, now, &mut out).unwrap(), String::from_utf8(out).unwrap())
        };
        let (start, year_5000) =
            (SystemTime::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(95_600_000_000));
        assert_eq!(checked(&good, start), (Findings::default(), String::new()));
        let (findings, text) = checked(&good, year_5000);
        assert_eq!(findings, Findings { errors: 0, warnings: 1 });
        assert!(
            text.starts_with("warning: certificate ") && text.ends_with("chain.pem: it has expired\n"),
            "{text}"
        );
        let (findings, text) = checked(&bad, start);
        assert_eq!(findings, Findings { errors: 1, warnings: 0 });
        assert!(text.starts_with("error: ") && text.contains("other.pem: "), "{text}");
    }

    #[test]
    fn ranges_do_not_go_with_answers_that_depend_on_the_client() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("list"), format!("{APEX}2a01:1::/32\n")).unwrap();
        for (acl, errors) in [("192.0.2.0/24 :empty\n", 1), ("192.0.2.0/24 :refuse\n", 0)] {
            std::fs::write(dir.path().join("acl"), acl).unwrap();
            let mut config = Config::default();
            for text in ["bl.example:ip6trie:list", ":acl:acl"] {
                let ranges = |name| ZoneConfig { ranges: true, ..ZoneConfig::new(name) };
                config.add(spec::zone_spec(text).unwrap(), dir.path(), &ranges).unwrap();
            }
            let mut out = Vec::new();
            let findings = check(&config, SystemTime::now(), &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(findings.errors, errors, "{text}");
            assert_eq!(text.contains("error: zone bl.example: no range records"), errors > 0, "{text}");
        }
    }

    #[test]
    fn rules_for_clients_that_keys_stand_before_are_noted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("list"), format!("{APEX}2a01:1::/32\n")).unwrap();
        std::fs::write(dir.path().join("keys"), "").unwrap();
        let zone = |name: &str| format!("[[zone]]\nname = '{name}'\ndatasets = ['ip6trie:list']\n");
        for (zones, is_noted) in
            [("['dq.example']", true), ("['dq.example', 'bl.example']", false), ("[]", false)]
        {
            let text = format!(
                "{}{}[[plan]]\nname = 'gold'\nzones = {zones}\n[[plan]]\nname = 'keys'\nzones = ['dq.example']\n\
                 [[client]]\nprefixes = ['::/0']\nplan = 'gold'\n\
                 [access_keys]\nzones = ['dq.example']\nfile = 'keys'\n",
                zone("bl.example"),
                zone("dq.example"),
            );
            let config = file::parse(&text, &dir.path().join("nibbl.toml"), None).unwrap();
            let mut out = Vec::new();
            let findings = check(&config, SystemTime::now(), &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(findings, Findings::default(), "{text}");
            let notes: Vec<&str> = text.lines().filter(|line| line.starts_with("note: ")).collect();
            assert_eq!(notes.len(), usize::from(is_noted), "{text}");
            assert!(
                notes.iter().all(|note| note.starts_with("note: the plan `gold` of a [[client]]")),
                "{text}"
            );
        }
    }

    #[test]
    fn exit_codes() {
        for (errors, warnings, strict, code) in
            [(0, 0, true, 0), (0, 5, false, 0), (0, 5, true, 1), (1, 0, false, 2), (1, 5, true, 2)]
        {
            assert_eq!(Findings { errors, warnings }.exit_code(strict), code);
        }
    }
}
