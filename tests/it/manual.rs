//! Man pages and completions: one page a sub-command, without warnings of those who read them.

use std::process::Command;

use crate::harness::files::Directory;
use crate::harness::server::{nibbl, peer};

#[test]
fn every_sub_command_has_a_page_that_man_can_show() {
    let directory = Directory::new();
    let output = nibbl().arg("man").arg(directory.path()).output().expect("nibbl");
    assert!(output.status.success(), "{output:?}");
    let help = nibbl().arg("--help").output().expect("nibbl");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    for command in commands.filter(|&command| command != "help") {
        let page = directory.path().join(format!("nibbl-{command}.1"));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        assert!(
            text.contains(".SH \"EXIT STATUS\"") || text.contains(".SH SUBCOMMANDS"),
            "{command}: {text}"
        );
    }
    let Some(man) = peer("man") else { return };
    for page in directory.path().read_dir().expect("pages").map(|entry| entry.expect("an entry").path()) {
        let mut man = Command::new(&man);
        man.args(["--warnings", "--encoding=UTF-8", "--local-file"]).arg(&page).env("MANWIDTH", "80");
        let output = man.output().expect("man");
        let shown = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
        assert!(shown.contains("NAME") && shown.contains("nibbl"), "{}: {shown}", page.display());
    }
}

#[test]
fn a_page_that_cannot_be_written() {
    let directory = Directory::new();
    let output = nibbl().arg("man").arg(directory.path().join("none")).output().expect("nibbl");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none/nibbl-"), "{output:?}");
}

#[test]
fn completions_are_scripts_that_know_the_sub_commands() {
    let directory = Directory::new();
    for (shell, check) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let output = nibbl().args(["completions", shell]).output().expect("nibbl");
        assert!(output.status.success(), "{shell}: {output:?}");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(script.contains("rbldnsd") && script.contains("rollover"), "{shell}: {script}");
        let file = directory.write(shell, script);
        // bash is everywhere; the others are asked where they are.
        if Command::new(check).arg("-c").arg(":").output().is_err() {
            println!("SKIPPED ({check} is not installed)");
            continue;
        }
        let output = Command::new(check).arg("-n").arg(file).output().expect("start");
        assert!(output.status.success(), "{shell}: {output:?}");
    }
}
