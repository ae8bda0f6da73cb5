//! The command line, word by word.

use super::*;

fn command(words: &str) -> Result<Command, CliError> {
    let words = std::iter::once("nibbl").chain(words.split_whitespace());
    Command::from_arguments(words.map(OsString::from), Path::new("/run/nibbl.sock"))
}

fn error(words: &str) -> String {
    command(words).unwrap_err().to_string()
}

#[test]
fn clap_agrees_with_itself() {
    Raw::command().debug_assert();
}

#[test]
fn zones_without_a_configuration_file() {
    let Command::Serve(config) =
        command("serve --dir /d --listen [::1]:53 --control c bl.example:ip4set:a bl.example:ip6trie:b")
            .unwrap()
    else {
        panic!("not serve")
    };
    assert_eq!(config.listen[0].to_string(), "[::1]:53");
    assert_eq!(config.control, Control::Path("c".into()));
    assert_eq!(config.zones.len(), 1);
    assert_eq!(config.zones[0].datasets[1].to_string(), "ip6trie:/d/b");
    assert!(!config.zones[0].ranges);
    let Command::Serve(config) = command("serve --ranges a:ip:a b:ip:b").unwrap() else {
        panic!("not serve")
    };
    assert!(config.zones.iter().all(|zone| zone.ranges));
}

#[test]
fn a_configuration_file_and_zones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nibbl.toml");
    std::fs::write(&path, "[[zone]]\nname='bl'\nstrict=true\ndatasets=['ip:a']\n").unwrap();
    let words = format!("check --strict --config {} bl:ip4set:b other:ip:c", path.display());
    let Command::Check { config, strict: true } = command(&words).unwrap() else { panic!("not check") };
    assert_eq!(config.zones.len(), 2);
    assert!(config.zones[0].strict);
    assert_eq!(config.zones[0].datasets[1].to_string(), "ip4set:b");
    std::fs::write(&path, "[server]\nlisen = []\n").unwrap();
    assert!(error(&words).starts_with(&format!("{}:2:1: unknown field `lisen`", path.display())));
    std::fs::write(&path, [0xff]).unwrap();
    assert!(error(&words).contains("UTF-8"));
    assert!(error("serve --config /nonexistent").starts_with("/nonexistent: "));
}

#[test]
fn clients_of_the_control_socket() {
    let Command::Reload { control, zones, force: true } = command("reload --force bl.example").unwrap()
    else {
        panic!("not reload")
    };
    assert_eq!((control, zones.len()), (PathBuf::from("/run/nibbl.sock"), 1));
    let Command::Status { control, json: true, watch: None } = command("status --json --control /x").unwrap()
    else {
        panic!("not status")
    };
    assert_eq!(control, PathBuf::from("/x"));
    let Command::Usage { control, limit: 3, json: false } = command("access usage --limit 3").unwrap() else {
        panic!("not usage")
    };
    assert_eq!(control, PathBuf::from("/run/nibbl.sock"));
}

#[test]
fn help_states_exit_codes_and_an_example() {
    for words in [
        "serve --help",
        "check --help",
        "export --help",
        "reload --help",
        "status --help",
        "lookup --help",
        "key --help",
        "key generate --help",
        "key rollover --help",
        "access new --help",
        "access hash --help",
        "access usage --help",
        "relay --help",
        "man --help",
        "completions --help",
        "rbldnsd --help",
        "rbldnsd -nh",
    ] {
        let help = error(words);
        assert!(help.contains("Exit codes:") && help.contains("Example:"), "{words}: {help}");
        assert!(!help.contains("error:"), "{words}: {help}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    for (words, message) in [
        ("serve bl.example:ip4set", "'bl.example:ip4set'"),
        ("serve --listen localhost", "'localhost'"),
        ("serve --port 53", "'--port'"),
        ("export bl.example:ip4set:a --format text", "zone, ranges, rbldnsd, nft, postfix-cidr, rpz"),
        ("export bl.example:ip4set:a --format zone --keys d", "--signed"),
        ("export a:ip:a --format zone --signed --keys d --signature-validity 1h", "between 1d and 366d"),
        ("key generate bl.example", "--keys <DIR>"),
        ("key ds . --keys d", "name is missing"),
        ("reload .", "name is missing"),
        ("rbldnsd -b 127.0.0.1 bl.example:bloom:a", "`bl.example:bloom:a`: unknown dataset type `bloom`"),
        ("", "Usage: nibbl <COMMAND>"),
    ] {
        assert!(error(words).contains(message), "{words}: {}", error(words));
    }
}
