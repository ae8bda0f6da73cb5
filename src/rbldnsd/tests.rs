//! Command lines of Debian's default file, of rbldnsd(8), and of the letters one by one.

use proptest::prelude::*;

use super::*;

fn options(words: &str) -> Result<Box<Options>, String> {
    match parse(words.split_whitespace().map(OsString::from)) {
        Ok(Request::Run(options)) => Ok(options),
        Ok(Request::Help) => Err("help".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn config(words: &str) -> Config {
    let options = options(words).unwrap();
    let addresses = options.addresses().map_err(|(bind, error)| format!("{bind}: {error}")).unwrap();
    options.config(addresses).unwrap()
}

#[test]
fn debians_examples() {
    let options = options("-r/var/lib/rbldns/dsbl -b127.2 list.dsbl.org:ip4set:list").unwrap();
    assert_eq!(options.root.as_deref(), Some(Path::new("/var/lib/rbldns/dsbl")));
    assert_eq!(options.addresses().unwrap(), ["127.0.0.2:53".parse().unwrap()]);
    assert_eq!(options.notes().len(), 1, "stays in the foreground, and says so");

    let config = config(
        "-p /run/rbldnsd-local.pid -r/var/lib/rbldns/local -b 127.3 dialups.bl.example.com:ip4set:dialups \
         spews.bl.example.com:ip4set:spews bl.example.com:ip4set:dialups bl.example.com:ip4set:spews \
         bl.example.com:ip4set:inputs",
    );
    assert_eq!(config.listen, ["127.0.0.3:53".parse().unwrap()]);
    assert_eq!(config.zones.len(), 3);
    assert_eq!(config.zones[2].datasets.len(), 3);
    assert_eq!(config.zones[2].datasets[0], config.zones[0].datasets[0], "shared");
}

#[test]
fn every_letter() {
    let options = options(
        "-nqef4aC -vv -F local3 -u rbldns:dns -w/data -p /run/p -l+/log/q -s stats -t 100:50:200 -c 5m \
         -b ::1/5300 bl:ip6trie:a -- other:dnset:-odd",
    )
    .unwrap();
    assert!(options.foreground && options.quick_start && options.accept_host_bits && options.fork_on_reload);
    assert!(options.minimal && options.no_decompression);
    assert_eq!(options.family, Some(Family::V4));
    assert_eq!(options.hide_version, 2);
    assert_eq!(options.facility.as_deref(), Some("local3"));
    assert_eq!(options.user, Some(("rbldns".to_owned(), Some("dns".to_owned()))));
    assert_eq!(options.dir.as_deref(), Some(Path::new("/data")));
    assert_eq!(options.pid_file.as_deref(), Some(Path::new("/run/p")));
    assert_eq!(options.query_log, Some(Sink { path: "/log/q".into(), plus: true }));
    assert_eq!(options.statistics, Some(Sink { path: "stats".into(), plus: false }));
    assert_eq!(options.ttl, TtlConfig { default: 100, min: 50, max: 200 });
    assert_eq!(options.check_interval, Some(300));
    assert_eq!(options.zones.len(), 2);
    assert_eq!(options.notes().len(), 2);
    let (bind, _) = options.addresses().unwrap_err();
    assert_eq!(bind.to_string(), "::1/5300", "-4 leaves no address");
}

#[test]
fn the_letter_of_rbldnsd() {
    let config =
        config("-n -q -c 0 -b 127.0.0.1/5353 -b [::1]:5353 -b localhost/domain -A bl:ip4set:a :acl:b");
    assert_eq!(config.listen[..2], ["127.0.0.1:5353", "[::1]:5353"].map(|text| text.parse().unwrap()));
    assert!(config.listen[2..].iter().all(|address| address.ip().is_loopback() && address.port() == 53));
    assert_eq!(config.control, Control::Off);
    assert_eq!((config.watch.poll, config.watch.notify), (None, false));
    assert!(config.settings.dropin && !config.settings.minimal);
    let zone = &config.zones[0];
    assert!(zone.dropin && !zone.test_entries && zone.max_change.is_none());
    assert!(zone.datasets[0].read.dropin);
    assert_eq!(zone.datasets[0].files, [Path::new("a")]);
    assert!(config.access.unwrap().read.dropin);
}

#[test]
fn versions() {
    for (option, version) in [
        ("-n", Some(concat!("nibbl ", env!("CARGO_PKG_VERSION")))),
        ("-v", Some("nibbl")),
        ("-vv", None),
        ("-v -v", None),
    ] {
        assert_eq!(config(&format!("{option} -b ::1 bl:ip:a")).settings.version.as_deref(), version);
    }
}

#[test]
fn wrong_command_lines() {
    for (words, message) in [
        ("", "no zones to serve specified"),
        ("bl:ip4set:a", "no address to listen on"),
        ("-Z", "invalid option -- 'Z'"),
        ("-nZ", "invalid option -- 'Z'"),
        ("--foo", "invalid option -- '-'"),
        ("-b", "option requires an argument -- 'b'"),
        ("-nb", "option requires an argument -- 'b'"),
        ("-b /53 bl:ip4set:a", "invalid value of -b `/53`"),
        ("-t 0 bl:ip4set:a", "invalid value of -t `0`"),
        ("-t 10:20 bl:ip4set:a", "invalid value of -t `10:20`"),
        ("-t 10:5:2", "invalid value of -t"),
        ("-t 1:2:3:4", "more than three fields"),
        ("-c x", "invalid value of -c `x`: not a time"),
        ("-u root", "nibbl does not run as root"),
        ("-u 0:5", "nibbl does not run as root"),
        ("-x ext.so", "-x: nibbl takes no extensions"),
        ("-d", "-d: nibbl cannot dump"),
        ("-b ::1 foo", "zone specification `foo`"),
        ("-b ::1 .:ip4set:a", "the zone's name is missing"),
        ("-h", "help"),
        ("-nqh", "help"),
        ("--help", "help"),
    ] {
        let error = options(words).unwrap_err();
        assert!(error.contains(message), "{words}: {error}");
    }
}

#[test]
fn ttls() {
    for (text, expected) in
        [("30", (30, 0, 0)), ("::2m", (120, 0, 120)), (":1h", (3600, 3600, 0)), ("1h::2h", (3600, 0, 7200))]
    {
        let (default, min, max) = expected;
        assert_eq!(ttl(text), Ok(TtlConfig { default, min, max }), "{text}");
    }
}

#[test]
fn hosts_and_services() {
    for (host, address) in [
        ("127.2", Some("127.0.0.2")),
        ("127.0.2", Some("127.0.0.2")),
        ("10.258", Some("10.0.1.2")),
        ("1.2.3.4", Some("1.2.3.4")),
        ("1.2.3.256", None),
        ("256.1", None),
        ("a.b", None),
        ("127", None),
        ("1.", None),
    ] {
        assert_eq!(abbreviated(host).map(|address| address.to_string()).as_deref(), address, "{host}");
    }
    let services = "# comment\ndomain 5/tcp\nmdns 5353/udp multicast # alias\n";
    for (name, port) in
        [("domain", Some(53)), ("mdns", Some(5353)), ("multicast", Some(5353)), ("alias", None)]
    {
        assert_eq!(find_service(services, name), port, "{name}");
    }
    let all = config("-b */5353 bl:ip:a").listen;
    assert_eq!(all, ["0.0.0.0:5353", "[::]:5353"].map(|text| text.parse().unwrap()).to_vec());
    assert_eq!(config("-6 -b */5353 bl:ip:a").listen.len(), 1);
    for words in ["-b 127.0.0.1/65536 bl:ip:a", "-b 127.0.0.1/nosuchservice bl:ip:a"] {
        assert!(options(words).unwrap().addresses().is_err(), "{words}");
    }
}

proptest! {
    #[test]
    fn no_command_line_panics(words in proptest::collection::vec("[-a-zA-Z0-9:,./+*\\[\\]é]{0,8}", 0..8)) {
        let _ = parse(words.into_iter().map(OsString::from));
    }

    #[test]
    fn grouped_and_apart_are_the_same(letters in proptest::collection::vec(prop_oneof!["n", "q", "e", "a", "A", "C", "v", "f", "4", "6"], 1..8)) {
        let grouped = format!("-{} -b::1 bl:ip:a", letters.concat());
        let apart = format!("bl:ip:a -b ::1 -{}", letters.join(" -"));
        prop_assert_eq!(format!("{:?}", options(&grouped)), format!("{:?}", options(&apart)));
    }
}
