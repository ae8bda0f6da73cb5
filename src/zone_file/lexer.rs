//! Lines and words: octets of a data file in, blocks of whole lines and trimmed words out.
//!
//! A file is read in blocks and never held whole: with twenty million lines the entries are what
//! needs the memory. Everything after this module works on slices of the line, so that a column is
//! the place of a slice in its line.

use std::borrow::Cow;
use std::io::{self, Read};

/// The longest line in octets; the rest of a longer one is dropped, as rbldnsd does.
pub(super) const LONGEST_LINE: usize = 32 * 1024;

/// A file, a block at a time.
pub(super) struct Blocks<'r> {
    source: &'r mut dyn Read,
    /// How much is read at once.
    size: usize,
    /// The beginning of a line whose end is yet to be read.
    begun: Vec<u8>,
    at_end: bool,
}

/// Some whole lines; the last of a file needs no line end.
#[derive(Debug, Default)]
pub(super) struct Block {
    text: Vec<u8>,
    /// The number of the first line, counted from 1.
    pub first: u32,
    /// Some line may have a NUL octet.
    nul: bool,
}

/// One line, as it stands in the file but for its line end.
pub(super) struct RawLine<'b> {
    /// Its octets.
    pub text: &'b [u8],
    /// Its number, counted from 1.
    pub number: u32,
    /// True if it was longer than [`LONGEST_LINE`] and was cut.
    pub cut: bool,
    /// False if it has no NUL octet.
    pub nul: bool,
}

impl<'r> Blocks<'r> {
    pub(super) fn new(source: &'r mut dyn Read, size: usize) -> Self {
        Self { source, size, begun: Vec::new(), at_end: false }
    }

    /// The next lines, of which the first has this number, in the memory of a block that has been read.
    pub(super) fn next(&mut self, first: u32, spare: Block) -> io::Result<Option<Block>> {
        let mut text = spare.text;
        text.clear();
        text.append(&mut self.begun);
        while !self.at_end {
            self.fill(&mut text)?;
            if self.at_end {
                break;
            }
            if let Some(end) = memchr::memrchr(b'\n', &text) {
                self.begun.extend_from_slice(&text[end + 1..]);
                text.truncate(end + 1);
                break;
            }
            // Enough to show that the line is too long.
            text.truncate(LONGEST_LINE + 1);
        }
        let nul = memchr::memchr(0, &text).is_some();
        Ok(Some(Block { text, first, nul }).filter(|block| !block.text.is_empty()))
    }

    fn fill(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let mut end = text.len();
        text.resize(end + self.size, 0);
        while end < text.len() && !self.at_end {
            match self.source.read(&mut text[end..]) {
                Ok(0) => self.at_end = true,
                Ok(count) => end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        text.truncate(end);
        Ok(())
    }
}

impl Block {
    /// How long it is.
    pub(super) fn octets(&self) -> usize {
        self.text.len()
    }

    /// The lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = RawLine<'_>> {
        let mut rest = &self.text[..];
        let mut number = self.first;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let text = &rest[..end.min(LONGEST_LINE)];
            let line = RawLine { text, number, cut: end > LONGEST_LINE, nul: self.nul };
            rest = rest.get(end + 1..).unwrap_or_default();
            number = number.saturating_add(1);
            Some(line)
        })
    }

    /// What each line begins with: the text from there to the end of the block.
    pub(super) fn beginnings(&self) -> impl Iterator<Item = &[u8]> {
        let behind = memchr::memchr_iter(b'\n', &self.text).map(|end| &self.text[end + 1..]);
        std::iter::once(&self.text[..]).chain(behind).filter(|text| !text.is_empty())
    }
}

/// What is wrong with a line, and where: the line is skipped.
#[derive(Debug)]
pub(super) struct Fault<'t> {
    /// The offending part of the line.
    pub at: &'t [u8],
    /// What is wrong with it.
    pub message: Cow<'static, str>,
    /// True if the dataset fails with it.
    pub fatal: bool,
    /// True if it may be none at another time.
    pub early: bool,
}

impl<'t> Fault<'t> {
    pub(super) fn new(at: &'t [u8], message: impl Into<Cow<'static, str>>) -> Self {
        Self { at, message: message.into(), fatal: false, early: false }
    }

    pub(super) fn fatal(at: &'t [u8], message: impl Into<Cow<'static, str>>) -> Self {
        Self { at, message: message.into(), fatal: true, early: false }
    }

    pub(super) fn early(at: &'t [u8], message: impl Into<Cow<'static, str>>) -> Self {
        Self { early: true, ..Self::fatal(at, message) }
    }
}

/// True for the octets that part words.
pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// True if nothing follows, or only a comment.
pub(super) fn is_end(text: &[u8]) -> bool {
    matches!(text.first(), None | Some(b'#' | b';'))
}

/// A line without the blanks round it, and without the CR of a CR LF line end.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t' | b'\r'] = text {
        text = rest;
    }
    trim_start(text)
}

/// Text without the blanks before it.
pub(super) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The octets before the first that `ends` a token, and the rest without the blanks before it.
pub(super) fn token(text: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let length = text.iter().position(|&octet| ends(octet)).unwrap_or(text.len());
    let (token, rest) = text.split_at(length);
    (token, trim_start(rest))
}

/// The first word, and the rest without the blanks before it.
pub(super) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    token(text, is_blank)
}

/// The words of a text.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&octet| is_blank(octet)).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives its octets in pieces of the given sizes, over and over.
    struct Dribble<'t>(&'t [u8], std::iter::Cycle<std::vec::IntoIter<usize>>);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.next().unwrap_or(1).min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn lines_of(source: &mut dyn Read, size: usize) -> Vec<(Vec<u8>, u32, bool)> {
        let mut blocks = Blocks::new(source, size);
        let mut all = Vec::new();
        while let Some(block) = blocks.next(1 + all.len() as u32, Block::default()).unwrap() {
            let count = all.len();
            all.extend(block.lines().map(|line| (line.text.to_vec(), line.number, line.cut)));
            assert_eq!(block.beginnings().count(), all.len() - count);
            for ((text, ..), beginning) in all[count..].iter().zip(block.beginnings()) {
                assert!(beginning.starts_with(text));
            }
        }
        all
    }

    #[test]
    fn long_lines_are_cut_and_the_next_is_whole() {
        const BLOCK: usize = 1 << 18;
        for length in [LONGEST_LINE, LONGEST_LINE + 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
            let text = [vec![b'x'; length], b"\nnext".to_vec()].concat();
            for size in [1000, LONGEST_LINE, BLOCK] {
                let lines = lines_of(&mut &text[..], size);
                assert_eq!(lines.len(), 2, "{length}");
                assert_eq!(lines[0].0.len(), LONGEST_LINE);
                assert_eq!(lines[0].2, length > LONGEST_LINE);
                assert_eq!(lines[1], (b"next".to_vec(), 2, false));
            }
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_between_line_ends(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            sizes in prop::collection::vec(1usize..9, 1..5),
            size in 1usize..50,
        ) {
            let mut expected: Vec<&[u8]> = text.split(|&octet| octet == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let lines = lines_of(&mut Dribble(&text, sizes.into_iter().cycle()), size);
            prop_assert_eq!(lines.iter().map(|line| &line.0[..]).collect::<Vec<_>>(), expected);
            prop_assert!(lines.iter().map(|line| line.1).eq(1..=lines.len() as u32));
        }
    }
}
