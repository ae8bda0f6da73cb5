//! Pages of Markdown: their blocks of code and the anchors of their headings.

use std::fmt;
use std::path::{Path, PathBuf};

/// A block of code.
#[derive(Debug)]
pub(super) struct Block {
    page: PathBuf,
    /// Of the fence, counted from 1.
    line: usize,
    /// The fence's first word; empty if there is none, as with an indented block.
    pub(super) language: String,
    /// Its other words.
    words: Vec<String>,
    /// `file=NAME`.
    pub(super) file: Option<String>,
    /// What follows `no-run`.
    pub(super) no_run: Option<String>,
    /// What is in it.
    pub(super) text: String,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.page.display(), self.line)
    }
}

impl Block {
    fn new(page: &Path, line: usize, fence: &str) -> Self {
        let (before, no_run) = match fence.split_once("no-run") {
            Some((before, reason)) => (before, Some(reason.trim().to_owned())),
            None => (fence, None),
        };
        let mut words = before.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned);
        let language = words.next().unwrap_or_default();
        let words: Vec<_> = words.collect();
        let file = words.iter().find_map(|word| word.strip_prefix("file=")).map(str::to_owned);
        Self { page: page.to_owned(), line, language, words, file, no_run, text: String::new() }
    }

    /// Whether the fence has a word behind the language.
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|other| other == word)
    }
}

/// The blocks of a page, fenced or indented.
///
/// # Panics
/// When a block is not run, and it is not said why.
pub(super) fn blocks(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).expect("a page");
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    let mut last = "";
    for (index, line) in text.lines().enumerate() {
        let fence = line.strip_prefix("```");
        match &mut open {
            Some(block) if block.language.is_empty() && !line.is_empty() && !line.starts_with("    ") => {
                blocks.extend(open.take());
            }
            Some(_) if fence.is_some() => blocks.extend(open.take()),
            Some(block) => block.text.extend([line, "\n"]),
            None if fence.is_some() => open = fence.map(|fence| Block::new(page, index + 1, fence)),
            None if line.starts_with("    ") && last.is_empty() => {
                open = Some(Block::new(page, index + 1, ""));
            }
            None => {}
        }
        last = line;
    }
    blocks.extend(open);
    for block in &blocks {
        assert!(block.no_run.as_deref() != Some(""), "{block}: why is it not run?");
    }
    blocks
}

/// The anchors that a page's headings have.
pub(super) fn anchors(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).expect("a page");
    let headings = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    headings
        .map(|heading| {
            let kept = heading.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
        })
        .collect()
}
