//! Mail software that asks nibbl through unbound, with a blocklist and an allowlist, as
//! docs/mail-software.md configures it: Postfix (smtpd and postscreen) and rspamd.
//! `tests/exim-spamassassin.py` has Exim and SpamAssassin.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::server::{Server, free_port, peer};
use crate::relay::{Postfix, judged, recipient};
use crate::resolvers::unbound;

/// Clients, and whether their mail is refused.
const CLIENTS: [(&str, bool, &str); 10] = [
    ("2001:db8::1", true, "listed"),
    ("2001:db8:ffff:1::5", true, "listed within an exception"),
    ("2001:db8:ffff::1", false, "excepted"),
    ("2001:db9::1", false, "unlisted"),
    ("2001:db8:a::25", false, "allowlisted and listed"),
    ("2a00:1450::5", false, "unlisted"),
    ("192.0.2.1", true, "listed"),
    ("192.0.2.77", false, "excepted"),
    ("198.51.100.1", false, "unlisted"),
    ("192.0.2.99", false, "allowlisted and listed"),
];

const PATIENCE: Duration = Duration::from_secs(60);

/// nibbl with both lists.
fn lists(directory: &Directory) -> Server {
    let head = "$SOA 1h ns1.example.net hostmaster.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";
    let listed = ":127.0.0.2:$ is listed, see https://bl.example/$\n192.0.2.0/24\n!192.0.2.77\n\
                  2001:db8::/32\n!2001:db8:ffff::/48\n2001:db8:ffff:1::/64\n";
    directory.write("bl", format!("{head}{listed}"));
    directory.write("wl", format!("{head}:127.0.2.3:\n192.0.2.99\n2001:db8:a::25/128\n"));
    let zones = ["bl.example:ip:bl", "wl.example:ip:wl"].map(std::ffi::OsStr::new);
    Server::serve(["--dir".as_ref(), directory.path().as_os_str()].into_iter().chain(zones))
}

/// Whether Postfix can run: it drops its privileges, so it must have some, and its resolver is on port 53.
fn may_be_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    let required = std::env::var_os("NIBBL_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(is_root || !required, "Postfix needs root, and NIBBL_REQUIRE_PEERS=1");
    if !is_root {
        println!("SKIPPED (Postfix needs root)");
    }
    is_root
}

#[test]
fn postfix_with_postscreen() {
    let (Some(postfix), Some(resolver)) = (peer("postfix"), peer("unbound")) else { return };
    if !may_be_root() {
        return;
    }
    let data = Directory::new();
    let server = lists(&data);
    let resolver_address: SocketAddr = "127.53.0.8:53".parse().expect("an address");
    let cache = Directory::new();
    let resolver = unbound(&resolver, cache.path(), server.udp, false, resolver_address);
    let (directory, smtpd, postscreen) = (Directory::new(), free_port(), free_port());
    let at = |name: &str| directory.path().join(name);
    for name in ["conf", "queue", "queue/etc", "data"] {
        std::fs::create_dir(at(name)).expect("a directory");
    }
    let owner = nix::unistd::User::from_name("postfix").expect("users").expect("the user postfix");
    nix::unistd::chown(&at("data"), Some(owner.uid), None).expect("chown");
    directory.write("queue/etc/resolv.conf", format!("nameserver {}\n", resolver_address.ip()));
    directory.write(
        "conf/main.cf",
        format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\nmail_owner = postfix\n\
             setgid_group = postdrop\nmaillog_file = /dev/stdout\nmyhostname = mail.example.test\n\
             mydestination = example.test\nlocal_recipient_maps =\nalias_maps =\nalias_database =\n\
             mynetworks = 127.0.0.1/32\ninet_interfaces = 127.0.0.1\nsmtpd_peername_lookup = no\n\
             smtpd_authorized_xclient_hosts = 127.0.0.1\n\
             smtpd_client_restrictions = permit_dnswl_client wl.example=127.0.[2..20].[1..3]\n \
             reject_rbl_client bl.example=127.0.0.[2..11]\n\
             postscreen_upstream_proxy_protocol = haproxy\npostscreen_greet_wait = 2s\n\
             postscreen_dnsbl_sites = bl.example=127.0.0.[2..11]*2 wl.example=127.0.[2..20].[1..3]*-2\n\
             postscreen_dnsbl_threshold = 2\npostscreen_dnsbl_action = enforce\n",
            at("queue").display(),
            at("data").display(),
        ),
    );
    directory.write(
        "conf/master.cf",
        format!(
            "{smtpd} inet n - y - - smtpd\n\
             {postscreen} inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n -o smtpd_client_restrictions=\n\
             dnsblog unix - - y - 0 dnsblog\ntlsproxy unix - - y - 0 tlsproxy\n\
             postlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\n\
             rewrite unix - - n - - trivial-rewrite\ncleanup unix n - n - 0 cleanup\n"
        ),
    );
    let mut command = Command::new(&postfix);
    command.arg("-c").arg(at("conf")).arg("start-fg");
    let mut process = Process::start(command);
    let postfix = Postfix { program: postfix, configuration: at("conf") };
    process.wait_for_text("daemon started");
    for (client, is_refused, why) in CLIENTS {
        let reply = recipient(smtpd, client);
        let refusal =
            format!("blocked using bl.example; {client} is listed, see https://bl.example/{client}");
        let as_expected = match is_refused {
            true => reply.starts_with("554 5.7.1") && reply.ends_with(&refusal),
            false => reply.starts_with("250 "),
        };
        assert!(as_expected, "smtpd, {client} ({why}): {reply}");
    }
    // All together, since postscreen has everybody wait.
    let sessions = CLIENTS.map(|(client, ..)| std::thread::spawn(move || through_proxy(postscreen, client)));
    for (session, (client, is_refused, why)) in sessions.into_iter().zip(CLIENTS) {
        let reply = session.join().expect("a reply");
        let refusal = format!("Service unavailable; client [{client}] blocked using bl.example");
        let as_expected = match is_refused {
            true => reply.starts_with("550 5.7.1") && reply.ends_with(&refusal),
            false => reply.starts_with("250 "),
        };
        assert!(as_expected, "postscreen, {client} ({why}): {reply}");
    }
    drop(postfix);
    process.stop();
    resolver.stop();
    server.stop();
}

/// What postscreen, or the smtpd behind it, says to a recipient when a proxy brings a client with this address.
fn through_proxy(server: SocketAddr, client: &str) -> String {
    let stream = TcpStream::connect(server).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    let mut reader = BufReader::new(stream.try_clone().expect("clone"));
    let mut say = |line: &str| {
        (&stream).write_all(line.as_bytes()).expect("send");
        loop {
            let mut reply = String::new();
            assert!(reader.read_line(&mut reply).expect("a reply") > 0, "closed after {line}");
            if reply.as_bytes().get(3) != Some(&b'-') {
                return reply.trim_end().to_string();
            }
        }
    };
    let (family, own) =
        if client.contains(':') { ("TCP6", "2001:db8:53::25") } else { ("TCP4", "192.0.2.53") };
    say(&format!("PROXY {family} {client} {own} 40000 25\r\n"));
    say("EHLO client.example.org\r\n");
    say("MAIL FROM:<sender@example.org>\r\n");
    say("RCPT TO:<recipient@example.test>\r\n")
}

#[test]
fn rspamd_weighs_both_lists() {
    let (Some(rspamd), Some(resolver)) = (peer("rspamd"), peer("unbound")) else { return };
    let data = Directory::new();
    let server = lists(&data);
    let (cache, resolver_address) = (Directory::new(), free_port());
    let resolver = unbound(&resolver, cache.path(), server.udp, false, resolver_address);
    let (directory, address) = (Directory::new(), free_port());
    // It may drop its privileges.
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("permissions");
    let path = directory.path().display();
    let (ip, port) = (resolver_address.ip(), resolver_address.port());
    let configuration = directory.write(
        "rspamd.conf",
        format!(
            "options {{ dns {{ nameserver = [\"{ip}:{port}:1\"]; }} pidfile = \"{path}/pid\"; \
             filters = \"\"; local_addrs = []; hyperscan_cache_dir = \"{path}\"; tempdir = \"{path}\"; }}\n\
             logging {{ type = \"console\"; level = \"info\"; }}\n\
             lua = \"/usr/share/rspamd/rules/rspamd.lua\";\n\
             modules {{ path = \"/usr/share/rspamd/plugins/rbl.lua\"; }}\n\
             worker \"normal\" {{ bind_socket = \"{address}\"; count = 1; }}\n\
             metric \"default\" {{ actions {{ reject = 15; }} symbol \"NIBBL\" {{ weight = 20; }} \
             symbol \"NIBBL_ALLOWED\" {{ weight = -20; }} }}\n\
             rbl {{ rbls {{ \
             nibbl {{ rbl = \"bl.example\"; checks = [\"from\"]; ipv4 = true; ipv6 = true; \
             returncodes {{ NIBBL = \"127.0.0.2\"; }} }} \
             nibbl_allowed {{ rbl = \"wl.example\"; checks = [\"from\"]; ipv4 = true; ipv6 = true; \
             returncodes {{ NIBBL_ALLOWED = \"127.0.2.3\"; }} }} }} }}\n"
        ),
    );
    let mut command = Command::new(rspamd);
    command.args(["-f", "-i", "-c"]).arg(configuration);
    let mut process = Process::start(command);
    process.wait_for_text("starting normal process");
    for (client, is_refused, why) in CLIENTS {
        let reply = judged(address, client.parse().expect("an address"));
        let has = |text: &str| reply.contains(text);
        assert_eq!(has("\"action\":\"reject\""), is_refused, "{client} ({why}): {reply}");
        assert_eq!(has("\"NIBBL\""), is_refused || why.contains("and listed"), "{client} ({why}): {reply}");
        assert_eq!(has("\"NIBBL_ALLOWED\""), why.contains("allowlisted"), "{client} ({why}): {reply}");
    }
    process.stop();
    resolver.stop();
    server.stop();
}
