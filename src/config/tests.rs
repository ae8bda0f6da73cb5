//! Configuration files: what is taken, and the place of what is not.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::name::Name;
use crate::rate_limit::{Mode, RateLimit};
use crate::zone::Delegation;
use crate::zone_file::Kind;

fn parse(text: &str) -> Result<Config, String> {
    file::parse(text, Path::new("/etc/nibbl/nibbl.toml"), None).map_err(|error| error.to_string())
}

#[test]
fn everything_said() {
    let config = parse(
        r#"
        dir = "lists"
        access = ["clients.acl"]
        [server]
        listen = ["192.0.2.1", "[2001:db8::1]:5353"]
        workers = 2
        pin = true
        receive_buffer = '256K'
        udp_size = 1400
        minimal = false
        version = false
        identity = "ns1"
        notify_from = ["192.0.2.0/24", "2001:db8::5"]
        refused_ports = [53, 11211]
        proxy_from = ["192.0.2.7"]
        control = "run/nibbl.sock"
        signature_cache = "1G"
        signing_workers = 3
        signing_rate = 500
        [tcp]
        connections = 10
        idle = "1m"
        [cookies]
        mode = "require"
        secrets = "cookies"
        [rate_limit]
        mode = "on"
        per_second = 5
        all_per_second = 1000
        window = "15s"
        slip = 0
        ipv4_prefix = 32
        ipv6_prefix = 64
        entries = 4096
        exempt = ["192.0.2.1"]
        [[tls]]
        listen = "192.0.2.1"
        certificate = "cert.pem"
        key = "/etc/ssl/key.pem"
        [[quic]]
        listen = "192.0.2.1"
        certificate = "cert.pem"
        key = "/etc/ssl/key.pem"
        [reload]
        notify = false
        poll = 0
        settle_ms = 50
        [log]
        format = "json"
        level = "warn"
        [query_log]
        file = "queries"
        format = "json"
        sample = 100
        [metrics]
        listen = "[::1]"
        [[zone]]
        name = "BL.example."
        datasets = ["ip6trie:a,b", { type = "dnhash", files = ["/data/with,comma"] }]
        access = ["zone.acl"]
        ttl = "1h"
        min_ttl = 60
        negative_ttl = 30
        strict = true
        test_entries = false
        test_value = "127.0.10.2"
        sixtofour = false
        max_change = 20
        max_age = "1d"
        ranges = true
        block_bytes = 1000
        ranges_ttl = "5m"
        ranges_clients = ["192.0.2.0/24", "2001:db8::1"]
        [[zone]]
        name = "signed.example"
        datasets = ["ip:a"]
        signed = true
        keys = "keys"
        signature_validity = "7d"
        empty_non_terminals = "plain"
        withdraw_ds = true
        delegations = [{ name = "sub", ns = ["ns.example."], ds = ["258 13 1 61616161616161616161 61616161616161616161"] }]
        [[zone]]
        name = "sub.signed.example"
        datasets = ["ip:a"]
        "#,
    )
    .unwrap();
    assert_eq!(config.signing, SigningLimits { cache: 512 << 20, workers: 3, rate: Some(500) });
    assert_eq!(config.settings.reply_cache, 512 << 20);
    let signing = SigningConfig {
        keys: "/etc/nibbl/keys".into(),
        validity: Validity::new(7 * 86_400).unwrap(),
        empty_non_terminals: EmptyNonTerminals::Plain,
        withdraw_ds: true,
    };
    assert_eq!(config.zones[1].signing, Some(signing));
    let delegation = Delegation {
        name: Name::from_text(b"sub").unwrap(),
        name_servers: vec![Name::from_text(b"ns.example").unwrap()],
        signers: vec![b"\x01\x02\x0d\x01aaaaaaaaaaaaaaaaaaaa"[..].into()],
    };
    assert_eq!(config.zones[1].delegations, [delegation]);
    assert_eq!(config.zones[0].signing, None);
    assert_eq!(
        config.listen,
        ["192.0.2.1:53", "[2001:db8::1]:5353"].map(|text| text.parse().unwrap()).to_vec()
    );
    assert_eq!((config.workers, config.pin, config.settings.udp_size), (2, true, 1400));
    assert_eq!(config.receive_buffer, 256 << 10);
    assert_eq!(config.settings.version, None);
    assert_eq!(config.settings.identity.as_deref(), Some("ns1"));
    assert_eq!(config.settings.notify_from[1].to_string(), "2001:db8::5/128");
    assert_eq!(config.control, Control::Path("/etc/nibbl/run/nibbl.sock".into()));
    assert_eq!((config.tcp.connections, config.tcp.idle.as_secs()), (10, 60));
    let rate_limit = RateLimit {
        mode: Mode::On,
        per_second: 5,
        all_per_second: Some(1000),
        window: Duration::from_secs(15),
        slip: 0,
        ipv4_prefix: 32,
        ipv6_prefix: 64,
        entries: 4096,
        exempt: vec!["192.0.2.1/32".parse().unwrap()],
    };
    assert_eq!(config.guard.rate_limit, rate_limit);
    assert_eq!(config.guard.refused_ports, [53, 11211]);
    assert_eq!(config.guard.proxies[0].to_string(), "192.0.2.7/32");
    let cookies = CookieConfig { mode: CookieMode::Require, secrets: Some("/etc/nibbl/cookies".into()) };
    assert_eq!(config.cookies, cookies);
    assert_eq!(config.tls[0].listen.port(), 853);
    assert_eq!(config.tls[0].certificate, Path::new("/etc/nibbl/cert.pem"));
    assert_eq!(config.quic, config.tls);
    assert_eq!((config.watch.poll, config.watch.settle.as_millis()), (None, 50));
    assert_eq!(config.access.unwrap().to_string(), "acl:/etc/nibbl/lists/clients.acl");
    assert_eq!(config.log, LogConfig { format: Format::Json, threshold: Threshold::Warn });
    let query_log = config.query_log.unwrap();
    assert_eq!((query_log.to_string().as_str(), query_log.sample.get()), ("/etc/nibbl/queries", 100));
    let zone = &config.zones[0];
    assert_eq!(zone.name.to_string(), "BL.example");
    assert_eq!(zone.datasets[0].to_string(), "ip6trie:/etc/nibbl/lists/a,/etc/nibbl/lists/b");
    assert_eq!(zone.datasets[1].files, [Path::new("/data/with,comma")]);
    assert_eq!(zone.datasets[1].kind, Kind::Dnset);
    assert_eq!(zone.datasets[1].read.ttl, TtlConfig { default: 3600, min: 60, max: 0 });
    assert_eq!(zone.access.as_ref().unwrap().kind, Kind::Acl);
    assert_eq!((zone.negative_ttl, zone.max_change), (Some(30), Some(20)));
    assert_eq!((zone.max_age, config.metrics), (Some(86_400), Some("[::1]:9153".parse().unwrap())));
    assert!(zone.strict && !zone.test_entries && !zone.sixtofour);
    assert_eq!(zone.test_value.to_string(), "127.0.10.2");
    assert_eq!((zone.ranges, zone.block_bytes, zone.ranges_ttl), (true, 1000, Some(300)));
    assert_eq!(zone.ranges_clients[1].to_string(), "2001:db8::1/128");
}

#[test]
fn nothing_said() {
    let config = parse("").unwrap();
    assert_eq!(config.listen, DEFAULT_LISTEN);
    assert_eq!(config.control, Control::Default);
    assert!(config.zones.is_empty());
    assert!(TtlConfig::default().is_consistent());
}

#[test]
fn directory_of_the_command_line_wins() {
    let text = "dir = 'x'\n[[zone]]\nname = 'bl'\ndatasets = ['ip:list']\n";
    let config = file::parse(text, Path::new("nibbl.toml"), Some(Path::new("/data"))).unwrap();
    assert_eq!(config.zones[0].datasets[0].files, [Path::new("/data/list")]);
    let config = file::parse(text, Path::new("nibbl.toml"), None).unwrap();
    assert_eq!(config.zones[0].datasets[0].files, [Path::new("x/list")]);
}

#[test]
fn errors_have_their_place() {
    for (text, place, message) in [
        ("nonsense = 1", "1:1", "unknown field `nonsense`"),
        ("[server]\n  worker = 1", "2:3", "unknown field `worker`"),
        ("[server]\nworkers = -1", "2:11", "invalid value"),
        ("[server]\nworkers = 'x'", "2:11", "invalid type"),
        ("[server]\nlisten = ['127.0.0.1', 'here']", "2:24", "not an address"),
        ("[server]\nudp_size = 100", "2:12", "512 to 4096"),
        ("[[zone]]\nname = 'b'\nblock_bytes = 100\ndatasets = ['ip:a']", "3:15", "672 to 16000"),
        ("[server]\nversion = true", "2:11", "or false"),
        ("[server]\nversion = ''", "2:11", "1 to 255"),
        ("[server]\nnotify_from = ['x/8']", "2:16", "not an address or prefix"),
        ("[server", "1:8", ""),
        ("[[plan]]\nname = 'a b'", "2:8", "is a word"),
        ("[[plan]]\nname = 'a'\n[[plan]]\nname = 'a'", "4:8", "a second plan `a`"),
        ("[[plan]]\nname = 'a'\nburst = 5", "2:8", "`burst` without `rate`"),
        ("[[plan]]\nname = 'a'\nrate = 0", "3:8", "1 to 1000000"),
        ("[[plan]]\nname = 'a'\ndaily = 0", "3:9", "nonzero"),
        ("[[plan]]\nname = 'a'\nzones = ['bl']", "3:10", "there is no zone `bl`"),
        ("[[plan]]\nname = 'a'\nbeyond = '192.0.2.1'", "3:10", "\"not-listed\" or an address in 127.0.0.0/8"),
        ("[[plan]]\nname = 'a'\ntext = ''", "3:8", "1 to 128 octets"),
        ("[[client]]\nprefixes = ['::1']\nplan = 'x'", "3:8", "there is no plan `x`"),
        ("[access_keys]\nzones = ['bl']\nfile = 'k'", "2:10", "there is no zone `bl`"),
        (
            "[access_keys]\nzones = ['bl']\nfile = 'k'\n[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nranges = true",
            "5:8",
            "has range records, and its names have access keys",
        ),
        (
            "[[plan]]\nname = 'a'\nrate = 1\nbeyond = 'not-listed'\n[[client]]\nprefixes = ['::1']\nplan = 'a'\n\
             [[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nsigned = true\nkeys = 'k'",
            "9:8",
            "is signed, and the plan `a` of some clients changes answers",
        ),
        ("[query_log]\nsample = 5", "1:1", "missing field `file`"),
        ("[query_log]\nfile = 'q'\nsample = 0", "3:10", "nonzero"),
        ("[log]\nformat = 'xml'", "2:10", "unknown variant `xml`, expected one of `auto`"),
        ("[[tls]]\nlisten = '::1'\nkey = 'k'", "1:1", "missing field `certificate`"),
        ("[[quic]]\nlisten = '::1'\ncertificate = 'c'", "1:1", "missing field `key`"),
        ("[tcp]\nconnections = 0", "2:15", "1 to 1000000"),
        ("[tcp]\nidle = '1 minute'", "2:8", "not a time"),
        ("[rate_limit]\nmode = 'maybe'", "2:8", "unknown variant `maybe`"),
        ("[rate_limit]\nwindow = 0", "2:10", "1s to 1h"),
        ("[rate_limit]\nipv6_prefix = 65", "2:15", "0 to 64 bits"),
        ("[rate_limit]\nentries = 10", "2:11", "1024 to"),
        ("[reload]\npoll = -5", "2:8", "not a time"),
        ("[[zone]]\nname = 'bl'", "2:8", "has no datasets"),
        ("[[zone]]\nname = '.'\ndatasets = ['ip:a']", "2:8", "name is missing"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['ip:a', 'ip:']", "3:21", "file name is missing"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['ip']", "3:13", "expected \"TYPE:FILE,FILE\""),
        ("[[zone]]\nname = 'bl'\ndatasets = ['bloom:a']", "3:13", "unknown dataset type `bloom`"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['acl:a']", "3:13", "use `access"),
        ("[[zone]]\nname = 'bl'\ndatasets = [{ type = 'ip', file = 'a' }]", "3:28", "unknown field `file`"),
        ("[[zone]]\nname = 'bl'\naccess = []\ndatasets = ['ip:a']", "3:10", "file name is missing"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nmin_ttl = '1d'", "2:8", "not between"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\ntest_value = 'x'", "4:14", "IPv4 address"),
        (
            "[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\n[[zone]]\nname = 'BL.'\ndatasets = ['ip:b']",
            "5:8",
            "a second zone",
        ),
        ("[[zone]]\nname = 'bl'\nname = 'bl'", "3:1", "duplicate key"),
        ("[server]\nsignature_cache = '64X'", "2:19", "octets, or text like"),
        ("[server]\nreceive_buffer = '2G'", "2:18", "4K to 512M"),
        ("[server]\nsigning_workers = 70000", "2:19", "invalid value"),
        ("[server]\nsigning_rate = 0", "2:16", "1 to 1000000"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nsigned = true", "4:10", "needs `keys"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nsignature_validity = '1h'", "4:22", "1d to 366d"),
        ("[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nempty_non_terminals = 'x'", "4:23", "unknown variant"),
        (
            "[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\ndelegations = [{ name = 'x', ns = ['ns'], ds = [] }]",
            "4:25",
            "only a signed zone",
        ),
        (
            "[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nsigned = true\nranges_clients = ['::1']",
            "4:10",
            "cannot have `ranges_clients`",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(&format!("/etc/nibbl/nibbl.toml:{place}: ")), "{text:?} gives {error}");
        assert!(error.contains(message), "{text:?} gives {error}");
    }
}

#[test]
fn zone_cuts() {
    let with = |delegations: &str, more: &str| {
        let zone = "[[zone]]\nname = 'bl'\ndatasets = ['ip:a']\nsigned = true\nkeys = 'k'\n";
        parse(&format!("{zone}delegations = [{delegations}]\n{more}"))
    };
    let sub = "{ name = 'sub', ns = ['ns'], ds = [] }";
    for (delegations, place, message) in [
        ("{ name = 'sub', ns = ['ns'] }", "6:16", "missing field `ds`"),
        ("{ name = 'sub', ns = [], ds = [] }", "6:25", "needs a name server"),
        ("{ name = '', ns = ['ns'], ds = [] }", "6:25", "name is missing"),
        ("{ name = '*.x', ns = ['ns'], ds = [] }", "6:25", "no zone can begin there"),
        ("{ name = '_ranges', ns = ['ns'], ds = [] }", "6:25", "no zone can begin there"),
        ("{ name = 'sub', ns = ['ns.SUB.bl'], ds = [] }", "6:38", "in that zone itself"),
        ("{ name = 'sub', ns = ['ns'], ds = ['1 13 2 00'] }", "6:51", "a DS record is"),
        (
            "{ name = 'sub', ns = ['ns'], ds = [] }, { name = 'x.sub', ns = ['ns'], ds = [] }",
            "6:65",
            "above or below another, `sub`",
        ),
    ] {
        let error = with(delegations, "").unwrap_err();
        assert!(
            error.starts_with(&format!("/etc/nibbl/nibbl.toml:{place}: ")),
            "{delegations} gives {error}"
        );
        assert!(error.contains(message), "{delegations} gives {error}");
    }
    let inside = "[[zone]]\nname = 'SUB.bl'\ndatasets = ['ip:a']\n";
    assert!(with(sub, inside).is_ok());
    let deeper = "[[zone]]\nname = 'a.sub.bl'\ndatasets = ['ip:a']\n";
    assert!(with(sub, &format!("{deeper}{inside}")).is_ok(), "which concerns only the zone between");
    for more in [&deeper.replace("a.sub", "a"), deeper] {
        let error = with(sub, more).unwrap_err();
        assert!(error.contains("nibbl.toml:8:8: ") && error.contains("its `delegations` need"), "{error}");
    }
}

#[test]
fn specifications() {
    let mut config = Config::default();
    let mut add = |text: &str| {
        let spec = spec::zone_spec(text).map_err(|error| error.to_string())?;
        config.add(spec, Path::new("/d"), &ZoneConfig::new).map_err(|error| error.to_string())
    };
    for text in [
        "bl.example:ip4set:a,b:c",
        "x.bl.example:dnhash:/n",
        "BL..example.:acl:acl",
        "bl.example:ip:d",
        ":acl:all",
    ] {
        assert_eq!(add(text), Ok(()), "{text}");
    }
    for (text, message) in [
        ("bl", "zone specification `bl`: should be ZONE:TYPE:FILE[,FILE…]"),
        ("bl:ip4set", "should be ZONE:TYPE:FILE"),
        ("bl:ip4set:", "a file name is missing"),
        ("bl:ip4set:a,,b", "a file name is missing"),
        ("bl:bar:a", "unknown dataset type `bar`"),
        (".:ip:a", "the zone's name is missing"),
        (":ip:a", "the zone's name is missing"),
        ("bl.example:acl:other", "a second access list"),
        (":acl:other", "a second access list"),
        ("a\\:ip:a", "bad escape"),
    ] {
        let error = add(text).unwrap_err();
        assert!(error.contains(message) && error.contains(text), "{text}: {error}");
    }
    let shown: Vec<String> = config.datasets().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["acl:/d/all", "ip4set:/d/a,/d/b,/d/c", "ip:/d/d", "acl:/d/acl", "dnset:/n"],
        "one zone for both spellings, the access list behind its datasets"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\]a-z\"'= \n{},:.0-9é-]{0,200}") {
        let _ = parse(&text);
        let _ = spec::zone_spec(&text);
    }

    #[test]
    fn a_broken_file_panics_nowhere(cut in 0usize..400, insert in "\\PC{0,3}") {
        let good = "dir='x'\n[server]\nlisten=['::1']\n[[zone]]\nname='bl'\ndatasets=['ip:a',{type='ip',files=['b']}]\nttl='1h'\n";
        let cut = cut.min(good.len());
        let _ = parse(&format!("{}{insert}{}", &good[..cut], &good[cut..]));
    }
}

/// The book's example is read, and leaves out no key.
#[test]
fn the_book_shows_all_keys() {
    let chapter = include_str!("../../docs/configuration.md");
    let (_, example) = chapter.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    parse(example).unwrap();
    for table in [
        "",
        "[server]",
        "[process]",
        "[tcp]",
        "[rate_limit]",
        "[cookies]",
        "[[tls]]",
        "[[quic]]",
        "[reload]",
        "[metrics]",
        "[log]",
        "[query_log]\nfile = 'q'",
        "[[plan]]\nname = 'a'",
        "[[client]]\nprefixes = []\nplan = 'a'",
        "[access_keys]\nzones = []\nfile = 'k'",
        "[usage]\ndirectory = 'u'",
        "[[zone]]",
    ] {
        let error = parse(&format!("{table}\nunheard_of = 1")).unwrap_err();
        let (_, known) = error.split_once("expected").unwrap();
        for key in known.split('`').skip(1).step_by(2) {
            assert!(example.contains(key), "{table} {key}");
        }
    }
}
