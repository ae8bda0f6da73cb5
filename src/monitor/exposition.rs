//! What was counted, in Prometheus' text format.
//!
//! Written by hand: the workers' counters are our own, and the kept client libraries either write
//! OpenMetrics, which promtool does not check, or want each counter made anew as a value of theirs for
//! every scrape. The format is lines of text (docs/monitoring.md lists the metrics).

use std::fmt::{Display, Write};

use crate::access::Verdict;
use crate::cookie::Standing;
use crate::metrics::{Answer, Buckets, Dropped, Limited, Origin, OriginTotals, Totals, ZoneTotals};
use crate::query_log::QuerySink;
use crate::reload::CertificateReport;
use crate::status::usage::{AccessStatus, UsageReport};
use crate::status::{SigningStatus, Status, ZoneStatus, process};
use crate::zone;

/// Everything.
pub(super) fn render(status: &Status, totals: &Totals, query_log: Option<&QuerySink>) -> String {
    let mut text = Text::default();
    queries(&mut text, totals);
    origins(&mut text, totals);
    zones(&mut text, &status.zones);
    server(&mut text, status, query_log);
    of_process(&mut text, status);
    text.0
}

/// What accounts have asked, one series for each and what came of it.
pub(super) fn render_accounts(report: &UsageReport) -> String {
    const QUERIES: &str = "nibbl_account_queries_total";
    let mut text = Text::default();
    text.family(
        QUERIES,
        "counter",
        "Queries of a key or of the clients of a rule, within its plan or beyond.",
    );
    for account in &report.usage {
        for (result, count) in [("granted", account.total), ("denied", account.denied)] {
            let labels = [("account", &*account.account), ("plan", &account.plan), ("result", result)];
            text.sample(QUERIES, &labels, count);
        }
    }
    text.0
}

fn queries(text: &mut Text, totals: &Totals) {
    // What is in no zone has a label without content, which is as none.
    let named = || {
        let zones = totals.zones.iter().map(|(name, zone)| (name.to_string(), zone));
        zones.chain([(String::new(), &totals.elsewhere)])
    };
    text.family("nibbl_queries_total", "counter", "Answered queries.");
    for (name, zone) in named() {
        for (labels, count) in &zone.queries {
            let listed = labels.answer == Answer::Listed;
            let labels = [
                ("zone", &*name),
                ("transport", labels.origin.transport()),
                ("client", labels.origin.client()),
                ("family", labels.family()),
                ("type", labels.record_type()),
                ("rcode", labels.answer.rcode()),
                ("listed", if listed { "true" } else { "false" }),
            ];
            text.sample("nibbl_queries_total", &labels, count);
        }
    }
    let mut octets = |name: &str, help: &str, octets: fn(&ZoneTotals) -> u64| {
        text.family(name, "counter", help);
        named().for_each(|(zone, counted)| text.sample(name, &[("zone", &*zone)], octets(counted)));
    };
    octets("nibbl_query_bytes_total", "Octets of the queries that were answered.", |zone| zone.octets_in);
    octets("nibbl_response_bytes_total", "Octets of the answers.", |zone| zone.octets_out);
}

fn origins(text: &mut Text, totals: &Totals) {
    /// How queries come that a metric is about.
    type Transports = fn(&str) -> bool;
    const ALL: Transports = |_| true;
    const UDP: Transports = |transport| transport == "udp";
    const CONNECTED: Transports = |transport| transport != "udp";
    let over = |transports: Transports| {
        let origins = totals.origins.iter().map(|(origin, counted)| {
            ([("transport", origin.transport()), ("client", origin.client())], counted)
        });
        origins.filter(move |(labels, _)| transports(labels[0].1))
    };
    let mut histogram = |name: &str, transports, help: &str, buckets: fn(&OriginTotals) -> &Buckets| {
        text.family(name, "histogram", help);
        over(transports).for_each(|(labels, counted)| text.histogram(name, &labels, buckets(counted)));
    };
    histogram("nibbl_response_size_bytes", ALL, "Octets of an answer.", |counted| &counted.sizes);
    histogram(
        "nibbl_response_time_seconds",
        UDP,
        "Time from the arrival of a packet to the departure of its answer, of a sample of the packets.",
        |counted| &counted.times,
    );
    let mut figure = |name: &str, transports, help: &str, figure: fn(&OriginTotals) -> u64| {
        text.family(name, if name.ends_with("_total") { "counter" } else { "gauge" }, help);
        over(transports).for_each(|(labels, counted)| text.sample(name, &labels, figure(counted)));
    };
    figure("nibbl_truncated_total", UDP, "Answers that were cut (TC).", |counted| counted.truncated);
    figure(
        "nibbl_unanswered_total",
        ALL,
        "Messages that got no answer: no queries, or of clients that the access list ignores.",
        |counted| counted.unanswered,
    );
    figure("nibbl_unsent_total", ALL, "Answers that the system would not send.", |counted| counted.unsent);
    figure(
        "nibbl_receive_errors_total",
        ALL,
        "Errors of the system while receiving or accepting.",
        |counted| counted.receive_errors,
    );
    figure("nibbl_connections_total", CONNECTED, "Connections that were accepted.", |counted| {
        counted.connections
    });
    figure("nibbl_connections", CONNECTED, "Connections that are open.", |counted| counted.open_connections);
    figure(
        "nibbl_connections_refused_total",
        CONNECTED,
        "Connections that were closed at once since their client has too many, or over QUIC all.",
        |counted| counted.refused_connections,
    );
    by_name(
        text,
        totals,
        ("nibbl_rate_limited_total", "udp", "Answers over the rate limit, by what became of them."),
        ("action", Limited::ALL.map(Limited::name)),
        |counted| &counted.limited,
    );
    by_name(
        text,
        totals,
        ("nibbl_cookies_total", "", "Answered queries with cookies, by what these say of their client."),
        ("standing", Standing::TOLD.map(Standing::name)),
        |counted| &counted.cookies,
    );
    by_name(
        text,
        totals,
        ("nibbl_dropped_total", "", "Packets and connections that were dropped unread, by why."),
        ("reason", Dropped::ALL.map(Dropped::name)),
        |counted| &counted.dropped,
    );
}

/// A counter that has one more label, over one transport, or all where that is empty.
fn by_name<const N: usize>(
    text: &mut Text,
    totals: &Totals,
    (name, transport, help): (&str, &str, &str),
    (label, values): (&str, [&str; N]),
    figures: fn(&OriginTotals) -> &[u64; N],
) {
    text.family(name, "counter", help);
    let over = |origin: &Origin| transport.is_empty() || origin.transport() == transport;
    for (origin, counted) in totals.origins.iter().filter(|(origin, _)| over(origin)) {
        for (value, figure) in values.iter().zip(figures(counted)) {
            let labels = [("transport", origin.transport()), ("client", origin.client()), (label, value)];
            text.sample(name, &labels, figure);
        }
    }
}

fn zones(text: &mut Text, zones: &[ZoneStatus]) {
    let mut gauge = |name: &str, help: &str, figure: &dyn Fn(&ZoneStatus) -> Option<u64>| {
        text.family(name, "gauge", help);
        for zone in zones {
            if let Some(figure) = figure(zone) {
                text.sample(name, &[("zone", &zone.report.name)], figure);
            }
        }
    };
    gauge("nibbl_zone_serving", "1 if the zone is answered from its data, 0 if with SERVFAIL.", &|zone| {
        Some((zone.report.status == zone::Status::Serving).into())
    });
    gauge("nibbl_zone_entries", "Entries that are served, exceptions included.", &|zone| {
        Some(zone.report.entries)
    });
    gauge("nibbl_zone_skipped_lines", "Lines of the served data that are wrong.", &|zone| {
        Some(zone.report.errors)
    });
    gauge("nibbl_zone_warnings", "Warnings about the served data.", &|zone| Some(zone.report.warnings));
    gauge("nibbl_zone_findings", "Errors and warnings about the zone as a whole.", &|zone| {
        Some(zone.report.findings.len() as u64)
    });
    gauge(
        "nibbl_zone_memory_bytes",
        "Memory of the zone's data and range records; zones may share some.",
        &|zone| Some(zone.memory),
    );
    gauge("nibbl_zone_serial", "The serial of the zone's SOA.", &|zone| Some(zone.serial.into()));
    gauge("nibbl_zone_data_timestamp_seconds", "When the newest file of the zone was written.", &|zone| {
        (zone.report.loaded > 0).then_some(zone.report.modified)
    });
    gauge("nibbl_zone_loaded_timestamp_seconds", "When the served data was loaded.", &|zone| {
        (zone.report.loaded > 0).then_some(zone.report.loaded)
    });
    gauge("nibbl_zone_expires_timestamp_seconds", "When the data expires ($TIMESTAMP).", &|zone| {
        zone.report.expires
    });
    gauge("nibbl_zone_keys_change_timestamp_seconds", "When the keys of the zone change next.", &|zone| {
        zone.keys_change
    });
    gauge("nibbl_zone_max_age_seconds", "The age of the data from which the server is not ready.", &|zone| {
        zone.report.max_age
    });
    gauge("nibbl_zone_outdated", "1 if its files hold other data or keys than are served.", &|zone| {
        Some((zone.report.problem.is_some() || zone.report.keys_problem.is_some()).into())
    });
}

fn signatures(text: &mut Text, signing: &SigningStatus) {
    let mut single = |name, kind, help, figure| text.single(name, kind, help, figure);
    single("nibbl_signatures_made_total", "counter", "Signatures that were made.", signing.made);
    single(
        "nibbl_signatures_reused_total",
        "counter",
        "Signatures that answers took from those kept.",
        signing.reused,
    );
    single("nibbl_signatures", "gauge", "Signatures that are kept.", signing.kept);
    single("nibbl_signature_memory_bytes", "gauge", "Memory of the signatures.", signing.kept_octets);
    single(
        "nibbl_signed_reply_memory_bytes",
        "gauge",
        "Memory of the replies of signed zones that are given again.",
        signing.reply_octets,
    );
    single("nibbl_signing_waiting", "gauge", "UDP packets that wait for signatures.", signing.waiting);
    single(
        "nibbl_signing_put_off_total",
        "counter",
        "UDP packets that were sent to TCP, since too many were waiting for signatures.",
        signing.put_off,
    );
}

fn access(text: &mut Text, access: &AccessStatus) {
    const QUERIES: &str = "nibbl_access_queries_total";
    text.family(QUERIES, "counter", "Queries that access rules concern, by plan and what came of them.");
    for plan in &access.plans {
        for (verdict, count) in plan.verdicts() {
            text.sample(QUERIES, &[("plan", &plan.name), ("result", verdict.name())], count);
        }
    }
    let result = ("result", Verdict::UnknownKey.name());
    text.sample(QUERIES, &[("plan", ""), result], access.unknown_key);
    text.single("nibbl_access_keys", "gauge", "Access keys that are served.", access.keys);
}

fn server(text: &mut Text, status: &Status, query_log: Option<&QuerySink>) {
    text.single(
        "nibbl_ready",
        "gauge",
        "1 if the server is ready (as /readyz says it).",
        u64::from(status.not_ready.is_empty()),
    );
    text.single(
        "nibbl_shed_queries_total",
        "counter",
        "Packets that were lost since the buffer of their socket was full.",
        status.queries.shed,
    );
    text.single(
        "nibbl_reload_timestamp_seconds",
        "gauge",
        "When the files were looked at last.",
        status.looked,
    );
    text.single(
        "nibbl_reload_success",
        "gauge",
        "1 if all is served as the files hold it.",
        u64::from(status.is_clean()),
    );
    text.single(
        "nibbl_access_outdated",
        "gauge",
        "1 if the server's access list or its access keys are not those that the files hold.",
        u64::from(status.access_problem.is_some()),
    );
    text.single(
        "nibbl_cookie_secrets_outdated",
        "gauge",
        "1 if the file of cookies' secrets cannot be used, and they are those before.",
        u64::from(status.secrets_problem.is_some()),
    );
    if let Some(rules) = &status.access {
        access(text, rules);
    }
    if let Some(signing) = &status.signing {
        signatures(text, signing);
    }
    let mut of_certificates = |name: &str, help: &str, figure: fn(&CertificateReport) -> u64| {
        if !status.certificates.is_empty() {
            text.family(name, "gauge", help);
        }
        for certificate in &status.certificates {
            text.sample(name, &[("file", &certificate.file)], figure(certificate));
        }
    };
    of_certificates(
        "nibbl_certificate_expires_timestamp_seconds",
        "When the certificate that is served expires.",
        |certificate| certificate.expires,
    );
    of_certificates(
        "nibbl_certificate_outdated",
        "1 if the files hold something else than is served.",
        |certificate| certificate.problem.is_some().into(),
    );
    text.single("nibbl_snapshots_total", "counter", "Times that new data was published.", status.generation);
    if let Some(log) = query_log {
        const NAME: &str = "nibbl_query_log_records_total";
        text.family(NAME, "counter", "Records for the query log, by what became of them.");
        for (result, count) in
            [("queued", log.queued()), ("dropped", log.dropped()), ("failed", log.failed_writes())]
        {
            text.sample(NAME, &[("result", result)], count);
        }
    }
    text.family("nibbl_build_info", "gauge", "The program.");
    text.sample("nibbl_build_info", &[("version", &status.version)], 1);
}

fn of_process(text: &mut Text, status: &Status) {
    text.single("process_start_time_seconds", "gauge", "When the process started.", status.started);
    text.single("process_resident_memory_bytes", "gauge", "Memory that is not swapped out.", status.memory);
    if let Some(seconds) = process::processor_seconds() {
        text.single("process_cpu_seconds_total", "counter", "Processor time.", seconds);
    }
    if let Some((open, limit)) = process::open_files() {
        text.single("process_open_fds", "gauge", "Open files.", open);
        text.single("process_max_fds", "gauge", "How many files may be open.", limit);
    }
}

/// The text; writing to it cannot fail.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a metric.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A metric with one value.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, content)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if index == 0 { '{' } else { ',' });
            for character in content.chars() {
                match character {
                    '\\' | '"' => self.0.extend(['\\', character]),
                    '\n' => self.0.push_str("\\n"),
                    _ => self.0.push(character),
                }
            }
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], buckets: &Buckets) {
        let bucket = format!("{name}_bucket");
        let ends = buckets.at_most.iter().map(|(end, count)| (end.to_string(), count));
        for (end, count) in ends.chain([("+Inf".to_owned(), &buckets.count)]) {
            self.sample(&bucket, &[labels, &[("le", &end)]].concat(), count);
        }
        self.sample(&format!("{name}_sum"), labels, buckets.sum);
        self.sample(&format!("{name}_count"), labels, buckets.count);
    }
}
