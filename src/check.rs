//! `nibbl check`: loads everything once, prints each finding with its place, and a summary of each
//! dataset. What the server would do with the same files, without serving them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use crate::access::{Account, KeyTable};
use crate::config::{Config, DatasetConfig};
use crate::data_file::Stamp;
use crate::dataset::Summary;
use crate::progress::Progress;
use crate::reload::files::Files;
use crate::reload::keys;
use crate::reload::{Loaded, Source};
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
    let access = config.access.as_ref().and_then(|access| loaded.get(access)?.clone());
    let snapshot = Snapshot::new(zones, config.settings.clone(), access.map(|loaded| loaded.dataset.clone()));
    for line in snapshot.withheld_ranges().chain(snapshot.withheld_signatures()) {
        writeln!(out, "error: {line}")?;
        findings.errors += 1;
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

    use super::*;
    use crate::config::{ZoneConfig, spec};

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
    fn exit_codes() {
        for (errors, warnings, strict, code) in
            [(0, 0, true, 0), (0, 5, false, 0), (0, 5, true, 1), (1, 0, false, 2), (1, 5, true, 2)]
        {
            assert_eq!(Findings { errors, warnings }.exit_code(strict), code);
        }
    }
}
