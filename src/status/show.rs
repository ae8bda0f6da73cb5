//! Status and reports for a person: lines of text.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::usage::{PlanStatus, UsageReport};
use super::{SigningStatus, Status, ZoneStatus};
use crate::reload::{CertificateReport, Report, ZoneReport};
use crate::zone;

/// A report: a line a zone, and a line more for each problem.
pub fn report(report: &Report, now: SystemTime) -> String {
    let width = report.zones.iter().map(|zone| zone.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    report.zones.iter().for_each(|zone| push_zone(&mut text, zone, width, None, now));
    push_problem(&mut text, ACCESS, report.access_problem.as_deref());
    push_problem(&mut text, SECRETS, report.secrets_problem.as_deref());
    report.certificates.iter().for_each(|certificate| push_certificate(&mut text, certificate, now));
    text
}

/// A status: what holds for the server, then the zones. Queries are counted from the start, or
/// where there is an earlier status, from then on as a rate.
pub fn status(status: &Status, earlier: Option<(&Status, Duration)>, now: SystemTime) -> String {
    let scale = Scale(earlier);
    let width = status.zones.iter().map(|zone| zone.report.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    push_server(&mut text, status, &scale, now);
    for zone in &status.zones {
        let figures = zone_figures(zone, &scale, now);
        push_zone(&mut text, &zone.report, width, Some(&figures), now);
    }
    push_problem(&mut text, ACCESS, status.access_problem.as_deref());
    push_problem(&mut text, SECRETS, status.secrets_problem.as_deref());
    status.certificates.iter().for_each(|certificate| push_certificate(&mut text, certificate, now));
    text
}

/// What accounts have asked: a line each.
pub fn usage(report: &UsageReport) -> String {
    let width = report.usage.iter().map(|usage| usage.account.len()).max().unwrap_or(0).max("account".len());
    let mut text = format!(
        "{:width$}  {:12}  {:>12}  {:>12}  {:>14}  {:>12}\n",
        "account", "plan", "today", "this month", "ever", "denied"
    );
    for usage in &report.usage {
        let _ = writeln!(
            text,
            "{:width$}  {:12}  {:>12}  {:>12}  {:>14}  {:>12}",
            usage.account, usage.plan, usage.today, usage.month, usage.total, usage.denied
        );
    }
    let more = report.accounts.saturating_sub(report.usage.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "... {more} more");
    }
    text
}

// Writing to a String cannot fail.

fn push_server(text: &mut String, status: &Status, scale: &Scale<'_>, now: SystemTime) {
    let Status { version, pid, started, memory, not_ready, .. } = status;
    let ready = if not_ready.is_empty() { "ready" } else { "not ready" };
    let (up, memory) = (age(now, *started), octets(*memory));
    let _ = writeln!(text, "nibbl {version}, process {pid}, {ready}, up {up}, {memory} of memory");
    for reason in not_ready {
        let _ = writeln!(text, "! {reason}");
    }
    let queries = &status.queries;
    let figure = |now, then: fn(&Status) -> u64| scale.figure(now, then);
    let listed =
        scale.share(queries.listed, |s| s.queries.listed, queries.answered(), |s| s.queries.answered());
    let _ = writeln!(
        text,
        "queries: {} by UDP, {} by TCP, {} by TLS, {} by QUIC; {listed} listed; {} cut, {} unanswered, {} shed, {} over the rate; {} connections",
        figure(queries.udp, |s| s.queries.udp),
        figure(queries.tcp, |s| s.queries.tcp),
        figure(queries.tls, |s| s.queries.tls),
        figure(queries.quic, |s| s.queries.quic),
        figure(queries.truncated, |s| s.queries.truncated),
        figure(queries.unanswered, |s| s.queries.unanswered),
        figure(queries.shed, |s| s.queries.shed),
        figure(queries.limited, |s| s.queries.limited),
        queries.connections,
    );
    if let Some(access) = &status.access {
        let _ = writeln!(
            text,
            "access: {} keys, {} queries without one of them",
            access.keys, access.unknown_key
        );
        for plan in &access.plans {
            let then = |figure: fn(&PlanStatus) -> u64| {
                let plans = |status: &Status| status.access.as_ref().map(|access| access.plans.clone());
                move |status: &Status| {
                    let plan = plans(status).into_iter().flatten().find(|other| other.name == plan.name);
                    plan.as_ref().map_or(0, figure)
                }
            };
            let denied = |plan: &PlanStatus| plan.rate + plan.daily + plan.monthly + plan.not_in_plan;
            let granted = scale.figure(plan.granted, then(|plan| plan.granted));
            let denied = scale.figure(denied(plan), then(denied));
            let _ = writeln!(text, "  plan {}: {granted} granted, {denied} denied", plan.name);
        }
    }
    if let Some(signing) = &status.signing {
        let then = |figure: fn(&SigningStatus) -> u64| {
            move |status: &Status| status.signing.as_ref().map_or(0, figure)
        };
        let all: fn(&SigningStatus) -> u64 = |signing| signing.made + signing.reused;
        let reused = scale.share(signing.reused, then(|signing| signing.reused), all(signing), then(all));
        let _ = writeln!(
            text,
            "signatures: {} made, {reused} reused, {} kept ({}), {} waiting, {} put off",
            scale.figure(signing.made, then(|signing| signing.made)),
            signing.kept,
            octets(signing.kept_octets + signing.reply_octets),
            signing.waiting,
            scale.figure(signing.put_off, then(|signing| signing.put_off)),
        );
    }
}

fn zone_figures(zone: &ZoneStatus, scale: &Scale<'_>, now: SystemTime) -> String {
    let then = |figure: fn(&ZoneStatus) -> u64| {
        let name = &zone.report.name;
        move |status: &Status| status.zones.iter().find(|other| other.report.name == *name).map_or(0, figure)
    };
    let answered = scale.figure(zone.answered, then(|zone| zone.answered));
    let listed =
        scale.share(zone.listed, then(|zone| zone.listed), zone.answered, then(|zone| zone.answered));
    let mut text =
        format!("{answered} queries, {listed} listed, serial {}, {}", zone.serial, octets(zone.memory));
    if let Some(change) = zone.keys_change {
        let change = UNIX_EPOCH.checked_add(Duration::from_secs(change)).unwrap_or(now);
        let _ =
            write!(text, ", keys change in {}", in_two_units(change.duration_since(now).unwrap_or_default()));
    }
    text
}

fn push_zone(text: &mut String, zone: &ZoneReport, width: usize, figures: Option<&str>, now: SystemTime) {
    let _ = writeln!(text, "{:width$}  {}", zone.name, describe(zone, now));
    if let Some(figures) = figures {
        let _ = writeln!(text, "{:width$}  {figures}", "");
    }
    if let Some(problem) = &zone.problem {
        let _ = writeln!(text, "{:width$}  ! {problem}", "");
    }
    for finding in zone.findings.iter().take(FINDINGS) {
        let _ = writeln!(text, "{:width$}  ! {finding}", "");
    }
    if zone.findings.len() > FINDINGS {
        let _ = writeln!(text, "{:width$}  ! {} more, in the log", "", zone.findings.len() - FINDINGS);
    }
}

/// How many of a zone's findings are shown.
const FINDINGS: usize = 5;
/// Of what is no zone, and yet has a file.
const ACCESS: &str = "who may ask";
const SECRETS: &str = "the secrets of cookies stay";

fn push_problem(text: &mut String, of: &str, problem: Option<&str>) {
    if let Some(problem) = problem {
        let _ = writeln!(text, "! {of}: {problem}");
    }
}

fn push_certificate(text: &mut String, certificate: &CertificateReport, now: SystemTime) {
    let CertificateReport { file, expires, problem } = certificate;
    let expires_at = UNIX_EPOCH.checked_add(Duration::from_secs(*expires)).unwrap_or(now);
    let validity = match expires_at.duration_since(now) {
        Ok(left) => format!("expires in {}", in_two_units(left)),
        Err(_) => format!("expired {} ago", age(now, *expires)),
    };
    let _ = writeln!(text, "certificate {file}: {validity}");
    if let Some(problem) = problem {
        let _ = writeln!(text, "! the old one is kept: {problem}");
    }
}

fn describe(zone: &ZoneReport, now: SystemTime) -> String {
    let status = match zone.status {
        zone::Status::Serving => "serving",
        zone::Status::NeverLoaded => return "never loaded".to_owned(),
        zone::Status::Expired => "expired",
        zone::Status::Unsigned => "cannot be signed",
    };
    let ago = |time: u64| age(now, time);
    format!(
        "{status}  {} entries, {} errors, {} warnings, of {} ago, loaded {} ago",
        zone.entries,
        zone.errors,
        zone.warnings,
        ago(zone.modified),
        ago(zone.loaded),
    )
}

/// Counts since the start, or since an earlier status so long ago.
struct Scale<'s>(Option<(&'s Status, Duration)>);

impl Scale<'_> {
    /// A count, or a rate.
    fn figure(&self, now: u64, then: impl Fn(&Status) -> u64) -> String {
        match self.0 {
            None => now.to_string(),
            Some((earlier, time)) => {
                let rate = now.saturating_sub(then(earlier)) as f64 / time.as_secs_f64().max(1e-3);
                format!("{rate:.0}/s")
            }
        }
    }

    /// The share of `part` in `whole` in percent.
    fn share(
        &self,
        part: u64,
        part_then: impl Fn(&Status) -> u64,
        whole: u64,
        whole_then: impl Fn(&Status) -> u64,
    ) -> String {
        let then = |figure: &dyn Fn(&Status) -> u64| self.0.map_or(0, |(earlier, _)| figure(earlier));
        let part = part.saturating_sub(then(&part_then));
        match whole.saturating_sub(then(&whole_then)) {
            0 => "none".to_owned(),
            whole => format!("{:.1} %", 100.0 * part as f64 / whole as f64),
        }
    }
}

fn octets(octets: u64) -> String {
    match octets {
        0..1_000_000 => format!("{:.1} kB", octets as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", octets as f64 / 1e6),
        _ => format!("{:.2} GB", octets as f64 / 1e9),
    }
}

/// How long ago a time (in seconds since 1970) is, in its two largest units.
fn age(now: SystemTime, time: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(time)).unwrap_or(now);
    in_two_units(now.duration_since(time).unwrap_or_default())
}

/// The two largest units of a time.
fn in_two_units(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}
