//! Man pages and shell completions, made by the program itself and therefore always its own.
//!
//! The pages of the sub-commands come from clap's description of the command line, what `--help` says below
//! the options included; nibbl.toml(5) is the book's chapter on the configuration, which has to keep to
//! headings, paragraphs and code for that.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// What nibbl.toml(5) says.
const CONFIGURATION: &str = include_str!("../docs/configuration.md");

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SOURCE: &str = "nibbl";
const MANUAL: &str = "DNS servers";

/// Why a man page is not written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub struct Unwritten {
    /// The page.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes nibbl(1), nibbl.toml(5) and a page for each sub-command into `directory`.
///
/// # Errors
/// The first page that cannot be written.
pub fn write_pages(described: Command, directory: &Path) -> Result<(), Unwritten> {
    let mut described = described.disable_help_subcommand(true);
    described.build();
    write_command_pages(&described, directory)?;
    write_page(directory.join("nibbl.toml.5"), |out| configuration_page().to_writer(out))
}

/// Prints the completions of `shell`.
///
/// # Errors
/// Those of `out`.
pub fn print_completions(mut described: Command, shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // The generators take no error for an answer: they write into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut described, "nibbl", &mut script);
    out.write_all(&script)
}

fn write_command_pages(described: &Command, directory: &Path) -> Result<(), Unwritten> {
    for below in described.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_command_pages(below, directory)?;
    }
    let man = Man::new(described.clone()).date(VERSION).source(SOURCE).manual(MANUAL);
    write_page(directory.join(man.get_filename()), |out| {
        man.render_title(out)?;
        man.render_name_section(out)?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        let told = AfterHelp::new(described);
        told.description.to_writer(out)?;
        if described.get_arguments().any(|argument| !argument.is_hide_set()) {
            man.render_options_section(out)?;
        }
        if described.has_subcommands() {
            man.render_subcommands_section(out)?;
        }
        told.sections.to_writer(out)
    })
}

fn write_page(path: PathBuf, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Unwritten> {
    let written = File::create(&path).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    });
    written.map_err(|source| Unwritten { path, source })
}

/// What `--help` says below the options.
struct AfterHelp {
    /// Paragraphs that belong to the description.
    description: Roff,
    /// Those with a heading.
    sections: Roff,
}

impl AfterHelp {
    fn new(described: &Command) -> Self {
        let (mut description, mut sections) = (Roff::new(), Roff::new());
        let text = described.get_after_help().map(ToString::to_string).unwrap_or_default();
        for paragraph in text.split("\n\n") {
            let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
            if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
                sections.control("SH", ["EXIT STATUS"]);
                sections.text([roman(codes)]);
            } else if let Some(heading) = first.strip_suffix(':').filter(|_| rest.starts_with("  ")) {
                sections.control("SH", [heading.to_uppercase().as_str()]);
                verbatim(&mut sections, rest);
            } else if !paragraph.is_empty() {
                description.control("PP", []);
                description.text([roman(paragraph)]);
            }
        }
        Self { description, sections }
    }
}

fn verbatim(page: &mut Roff, text: &str) {
    page.control("EX", []);
    for line in text.lines() {
        page.text([roman(line)]);
    }
    page.control("EE", []);
}

/// The chapter's Markdown as a man page.
fn configuration_page() -> Roff {
    let mut page = Roff::new();
    page.control("TH", ["nibbl.toml", "5", VERSION, SOURCE, MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman("nibbl.toml - configuration of nibbl")]);
    page.control("SH", ["DESCRIPTION"]);
    let mut code: Option<String> = None;
    let mut gap = false;
    for line in CONFIGURATION.lines().skip_while(|line| line.starts_with("# ") || line.is_empty()) {
        match (&mut code, line) {
            (Some(lines), line) if line.starts_with("```") => {
                verbatim(&mut page, lines);
                code = None;
            }
            (Some(lines), line) => {
                lines.push_str(line);
                lines.push('\n');
            }
            (None, line) if line.starts_with("```") => code = Some(String::new()),
            (None, "") => {
                gap = true;
                continue;
            }
            (None, line) => match line.strip_prefix("## ") {
                Some(heading) => {
                    page.control("SH", [heading.to_uppercase().as_str()]);
                }
                None => {
                    if gap {
                        page.control("PP", []);
                    }
                    page.text(inlines(line));
                }
            },
        }
        gap = false;
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("nibbl"), roman("(1), "), bold("nibbl-check"), roman("(1)")]);
    page
}

/// Code in bold, links without their targets.
fn inlines(line: &str) -> Vec<Inline> {
    let pieces = line.split('`').enumerate();
    pieces.map(|(index, piece)| if index % 2 == 1 { bold(piece) } else { roman(unlinked(piece)) }).collect()
}

/// `[text](target)` becomes `text`.
fn unlinked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((label, target)) = link.split_once("](") else { break };
        let Some((_, after)) = target.split_once(')') else { break };
        out.extend([before, label]);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lose_their_targets() {
        assert_eq!(unlinked("see [keys](dnssec-keys.md) and [1, 2]"), "see keys and [1, 2]");
    }

    #[test]
    fn the_chapter_has_only_what_the_page_can_show() {
        let mut code = false;
        for (index, line) in CONFIGURATION.lines().enumerate() {
            code ^= line.starts_with("```");
            let foreign = ["|", "- ", "* ", "### ", "    ", "!["].iter().any(|mark| line.starts_with(mark));
            assert!(code || !foreign, "docs/configuration.md:{}: {line}", index + 1);
        }
        let page = configuration_page().to_roff();
        assert!(page.contains("signature_cache") && !page.contains("```"), "{page}");
    }

    #[test]
    fn what_help_says_below_the_options_has_sections() {
        let described = Command::new("x").after_help("Words.\n\nExample:\n  x y\n\nExit codes: 0 done.");
        let told = AfterHelp::new(&described);
        assert!(told.description.to_roff().contains("Words."));
        let sections = told.sections.to_roff();
        assert!(
            sections.contains(".SH EXAMPLE\n.EX\n  x y\n.EE\n.SH \"EXIT STATUS\"\n0 done."),
            "{sections}"
        );
    }
}
