//! `nibbl relay` in front of nibbl, and the programs that ask it: resolvers that send it the zone, and
//! mail software that rejects what is listed. The configurations are the recipes of docs/relay.md.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::client::ask;
use crate::harness::dns::{Query, reversed};
use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::server::{Server, free_port, listening, nibbl, peer};

const ZONE: &str = "bl.example";
const LISTED: [&str; 4] = ["2001:db8::1", "2001:db8:7:8::9", "192.0.2.1", "2001:db8:ffff:1::5"];
const UNLISTED: [&str; 4] = ["2001:db9::1", "2001:db8:ffff::1", "198.51.100.1", "2a00:1450::5"];

const PATIENCE: Duration = Duration::from_secs(20);

/// nibbl with the zone and its range records.
pub(crate) fn server(directory: &Directory) -> Server {
    directory.write(
        "v4",
        "$SOA 1h ns1.example.net hostmaster.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n\
         :127.0.0.2:$ is listed, see https://bl.example/$\n192.0.2.0/24\n",
    );
    directory.write(
        "v6",
        ":127.0.0.2:$ is listed, see https://bl.example/$\n2001:db8::/32\n!2001:db8:ffff::/48\n\
         2001:db8:ffff:1::/64\n",
    );
    let config = directory.write(
        "nibbl.toml",
        format!("[[zone]]\nname = '{ZONE}'\ndatasets = ['ip4trie:v4', 'ip6trie:v6']\nranges = true\n"),
    );
    Server::serve(["--config".into(), config])
}

/// A relay that asks `upstream`.
fn relay(listen: &str, upstream: SocketAddr, options: &[&str]) -> (Process, SocketAddr) {
    let mut command = nibbl();
    command.args(["relay", "--listen", listen, "--zone", &format!("{ZONE}={upstream}")]).args(options);
    let mut process = Process::start(command);
    let address = listening(&mut process);
    (process, address)
}

/// What a server says of all addresses, over A and TXT.
fn check(server: SocketAddr) {
    for address in LISTED {
        let name = reversed(address.parse().expect("an address"), ZONE);
        let reply = ask(server, &Query::new(&name, "A"));
        assert_eq!(reply.rdata("A"), ["127.0.0.2"], "{address}: {reply:?}");
        assert!(reply.answer[0].ttl <= 60, "{reply:?}");
        let reply = ask(server, &Query::new(&name, "TXT"));
        assert_eq!(
            reply.rdata("TXT"),
            [format!("\"{address} is listed, see https://bl.example/{address}\"")]
        );
    }
    for address in UNLISTED {
        let name = reversed(address.parse().expect("an address"), ZONE);
        let reply = ask(server, &Query::new(&name, "A"));
        assert_eq!((reply.rcode.as_str(), reply.answer.len()), ("NXDOMAIN", 0), "{address}: {reply:?}");
    }
}

#[test]
fn the_relay_says_what_the_server_says() {
    let data = Directory::new();
    let server = server(&data);
    let (process, address) = relay("127.0.0.1:0", server.udp, &["--stale", "1h"]);
    check(address);
    // What was asked is known while the server is away.
    server.stop();
    check(address);
    let (status, _) = process.stop();
    assert!(status.success(), "{status}");
}

/// Checks the zone through a resolver that asks the relay.
fn behind(program: &str, start: fn(&Path, &Directory, SocketAddr, SocketAddr) -> Process) {
    let Some(program) = peer(program) else { return };
    let data = Directory::new();
    let server = server(&data);
    let (relay, relay_address) = relay("127.0.0.1:0", server.udp, &[]);
    let (directory, address) = (Directory::new(), free_port());
    let process = start(&program, &directory, relay_address, address);
    check(address);
    process.stop();
    relay.stop();
    server.stop();
}

#[test]
fn behind_unbound() {
    behind("unbound", |program, directory, relay, address| {
        let configuration = format!(
            "server:\n directory: \"{}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n \
             do-daemonize: no\n interface: 127.0.0.1\n port: {}\n do-ip6: no\n module-config: \"iterator\"\n \
             do-not-query-localhost: no\nstub-zone:\n name: {ZONE}\n stub-addr: 127.0.0.1@{}\n \
             stub-no-cache: yes\nremote-control:\n control-enable: no\n",
            directory.path().display(),
            address.port(),
            relay.port(),
        );
        let path = directory.write("unbound.conf", configuration);
        let mut command = Command::new(program);
        command.args(["-d", "-c"]).arg(path);
        let mut process = Process::start(command);
        process.wait_for_text("start of service");
        process
    });
}

#[test]
fn behind_bind() {
    behind("named", |program, directory, relay, address| {
        let configuration = format!(
            "options {{ directory \"{}\"; pid-file none; session-keyfile none; \
             listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes; allow-query {{ any; }}; \
             dnssec-validation no; empty-zones-enable no; notify no; }};\ncontrols {{ }};\n\
             zone \"{ZONE}\" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {}; }}; }};\n",
            directory.path().display(),
            address.port(),
            relay.port(),
        );
        let path = directory.write("named.conf", configuration);
        let mut command = Command::new(program);
        command.args(["-g", "-4", "-n", "1", "-c"]).arg(path);
        let mut process = Process::start(command);
        process.wait_for(|line| line.ends_with(" running").then_some(()));
        process
    });
}

#[test]
fn behind_dnsmasq() {
    behind("dnsmasq", |program, directory, relay, address| {
        let configuration = format!(
            "no-resolv\nno-hosts\nbind-interfaces\nlisten-address=127.0.0.1\nport={}\npid-file=\n\
             server=/{ZONE}/127.0.0.1#{}\n",
            address.port(),
            relay.port(),
        );
        let path = directory.write("dnsmasq.conf", configuration);
        let mut command = Command::new(program);
        command.args(["--keep-in-foreground", "--log-facility=-", "--user=root"]);
        command.arg(format!("--conf-file={}", path.display()));
        let mut process = Process::start(command);
        process.wait_for_text("started");
        process
    });
}

/// The real Postfix, in a root of its own whose resolver is the relay. Clients come by XCLIENT.
#[test]
fn postfix_rejects_what_is_listed() {
    let Some(program) = peer("postfix") else { return };
    // Postfix drops its privileges, so it must have some; the resolver's port is always 53.
    if !nix::unistd::geteuid().is_root() {
        let required = std::env::var_os("NIBBL_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "Postfix needs root, and NIBBL_REQUIRE_PEERS=1");
        return println!("SKIPPED (Postfix needs root)");
    }
    let data = Directory::new();
    let server = server(&data);
    let (relay, relay_address) = relay("127.53.0.7:53", server.udp, &[]);
    let (directory, address) = (Directory::new(), free_port());
    let at = |name: &str| directory.path().join(name);
    for name in ["conf", "queue", "queue/etc", "data"] {
        std::fs::create_dir(at(name)).expect("a directory");
    }
    let owner = nix::unistd::User::from_name("postfix").expect("users").expect("the user postfix");
    nix::unistd::chown(&at("data"), Some(owner.uid), None).expect("chown");
    directory
        .write("queue/etc/resolv.conf", format!("nameserver {}\nnameserver 127.0.0.1\n", relay_address.ip()));
    directory.write(
        "conf/main.cf",
        format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\nmail_owner = postfix\n\
             setgid_group = postdrop\nmaillog_file = /dev/stdout\nmyhostname = mail.example.test\n\
             mydestination = example.test\nlocal_recipient_maps =\nalias_maps =\nalias_database =\n\
             mynetworks = 127.0.0.1/32\ninet_interfaces = 127.0.0.1\nsmtpd_peername_lookup = no\n\
             smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_client_restrictions = reject_rbl_client \
             {ZONE}=127.0.0.[2..11]\n",
            at("queue").display(),
            at("data").display(),
        ),
    );
    directory.write(
        "conf/master.cf",
        format!(
            "{address} inet n - y - - smtpd\npostlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\n\
             rewrite unix - - n - - trivial-rewrite\ncleanup unix n - n - 0 cleanup\n"
        ),
    );
    let mut command = Command::new(&program);
    command.arg("-c").arg(at("conf")).arg("start-fg");
    let mut process = Process::start(command);
    let postfix = Postfix { program, configuration: at("conf") };
    process.wait_for_text("daemon started");
    for client in LISTED {
        let reply = recipient(address, client);
        let text = format!("{client} is listed, see https://bl.example/{client}");
        assert!(reply.starts_with("554 5.7.1") && reply.ends_with(&text), "{client}: {reply}");
    }
    for client in UNLISTED {
        let reply = recipient(address, client);
        assert!(reply.starts_with("250 "), "{client}: {reply}");
    }
    drop(postfix);
    process.stop();
    relay.stop();
    server.stop();
}

/// Stops Postfix, whose master outlives the script that started it.
pub(crate) struct Postfix {
    pub(crate) program: PathBuf,
    pub(crate) configuration: PathBuf,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // What is not there any more need not be stopped.
        let _ = Command::new(&self.program).arg("-c").arg(&self.configuration).arg("stop").output();
    }
}

/// What an SMTP server says to a recipient when a client with this address comes.
pub(crate) fn recipient(server: SocketAddr, client: &str) -> String {
    let stream = TcpStream::connect(server).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    let mut reader = BufReader::new(stream.try_clone().expect("clone"));
    let mut say = |line: &str| {
        (&stream).write_all(line.as_bytes()).expect("send");
        loop {
            let mut reply = String::new();
            reader.read_line(&mut reply).expect("a reply");
            if reply.as_bytes().get(3) != Some(&b'-') {
                return reply.trim_end().to_string();
            }
        }
    };
    let family = if client.contains(':') { "IPV6:" } else { "" };
    say("");
    say("EHLO client.example.org\r\n");
    let reply = say(&format!("XCLIENT ADDR={family}{client}\r\n"));
    assert!(reply.starts_with("220 "), "{reply}");
    say("EHLO client.example.org\r\n");
    say("MAIL FROM:<sender@example.org>\r\n");
    say("RCPT TO:<recipient@example.test>\r\n")
}

/// The real rspamd, whose resolver is the relay.
#[test]
fn rspamd_rejects_what_is_listed() {
    let Some(program) = peer("rspamd") else { return };
    let data = Directory::new();
    let server = server(&data);
    let (relay, relay_address) = relay("127.0.0.1:0", server.udp, &[]);
    let (directory, address) = (Directory::new(), free_port());
    // It may drop its privileges.
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("permissions");
    let path = directory.path().display();
    let configuration = directory.write(
        "rspamd.conf",
        format!(
            "options {{ dns {{ nameserver = [\"{relay_address}:1\"]; }} pidfile = \"{path}/pid\"; \
             filters = \"\"; local_addrs = []; hyperscan_cache_dir = \"{path}\"; tempdir = \"{path}\"; }}\n\
             logging {{ type = \"console\"; level = \"info\"; }}\n\
             lua = \"/usr/share/rspamd/rules/rspamd.lua\";\n\
             modules {{ path = \"/usr/share/rspamd/plugins/rbl.lua\"; }}\n\
             worker \"normal\" {{ bind_socket = \"{address}\"; count = 1; }}\n\
             metric \"default\" {{ actions {{ reject = 15; }} symbol \"NIBBL\" {{ weight = 20; }} }}\n\
             rbl {{ rbls {{ nibbl {{ rbl = \"{ZONE}\"; checks = [\"from\"]; ipv4 = true; ipv6 = true; \
             returncodes {{ NIBBL = \"127.0.0.2\"; }} }} }} }}\n"
        ),
    );
    let mut command = Command::new(program);
    command.args(["-f", "-i", "-c"]).arg(configuration);
    let mut process = Process::start(command);
    process.wait_for_text("starting normal process");
    for (clients, expected) in [(LISTED, true), (UNLISTED, false)] {
        for client in clients {
            let reply = judged(address, client.parse().expect("an address"));
            assert_eq!(reply.contains("\"NIBBL\""), expected, "{client}: {reply}");
            assert_eq!(reply.contains("\"action\":\"reject\""), expected, "{client}: {reply}");
        }
    }
    process.stop();
    relay.stop();
    server.stop();
}

/// What rspamd says of a message from this client.
pub(crate) fn judged(rspamd: SocketAddr, client: IpAddr) -> String {
    let mut stream = TcpStream::connect(rspamd).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    let message = "From: sender@example.org\r\nSubject: test\r\n\r\ntext\r\n";
    let request = format!(
        "POST /checkv2 HTTP/1.0\r\nIP: {client}\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    );
    stream.write_all(request.as_bytes()).expect("send");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}
