//! Lines and words: octets of a data file in, trimmed lines with their numbers out.
//!
//! A file is read in blocks and never held whole: with twenty million lines the entries are what
//! needs the memory. Everything after this module works on slices of the line, so that a column is
//! the place of a slice in its line.

use std::borrow::Cow;
use std::io::{self, Read};

/// The longest line in octets; the rest of a longer one is dropped, as rbldnsd does.
pub(super) const LONGEST_LINE: usize = 32 * 1024;

/// How much is read at once.
const BLOCK: usize = 1 << 20;

/// The lines of a file.
pub(super) struct Lines<'r> {
    source: &'r mut dyn Read,
    buffer: Vec<u8>,
    /// The part of the buffer that is read but not yet given out.
    start: usize,
    end: usize,
    number: u32,
    at_end: bool,
}

/// One line, as it stands in the file but for its line end.
pub(super) struct RawLine<'b> {
    /// Its octets.
    pub text: &'b [u8],
    /// Its number, counted from 1.
    pub number: u32,
    /// True if it was longer than [`LONGEST_LINE`] and was cut.
    pub cut: bool,
}

impl<'r> Lines<'r> {
    pub(super) fn new(source: &'r mut dyn Read) -> Self {
        Self { source, buffer: vec![0; BLOCK], start: 0, end: 0, number: 0, at_end: false }
    }

    /// The next line; the last one needs no line end.
    pub(super) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        // How much of the pending octets is known to have no line end.
        let (mut searched, mut cut) = (0, false);
        let line = loop {
            if let Some(length) = memchr::memchr(b'\n', &self.buffer[self.start + searched..self.end]) {
                let line = self.start..self.start + searched + length;
                self.start = line.end + 1;
                break line;
            }
            searched = self.end - self.start;
            if self.at_end {
                if searched == 0 {
                    return Ok(None);
                }
                let line = self.start..self.end;
                self.start = self.end;
                break line;
            }
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, searched);
            }
            if self.end == self.buffer.len() {
                (self.end, searched, cut) = (LONGEST_LINE, LONGEST_LINE, true);
            }
            self.fill()?;
        };
        self.number = self.number.saturating_add(1);
        let text = &self.buffer[line];
        let kept = &text[..text.len().min(LONGEST_LINE)];
        Ok(Some(RawLine { text: kept, number: self.number, cut: cut || kept.len() < text.len() }))
    }

    fn fill(&mut self) -> io::Result<()> {
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
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
}

impl<'t> Fault<'t> {
    pub(super) fn new(at: &'t [u8], message: impl Into<Cow<'static, str>>) -> Self {
        Self { at, message: message.into(), fatal: false }
    }

    pub(super) fn fatal(at: &'t [u8], message: impl Into<Cow<'static, str>>) -> Self {
        Self { at, message: message.into(), fatal: true }
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

    fn lines_of(source: &mut dyn Read) -> Vec<(Vec<u8>, u32, bool)> {
        let mut lines = Lines::new(source);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.text.to_vec(), line.number, line.cut));
        }
        all
    }

    #[test]
    fn long_lines_are_cut_and_the_next_is_whole() {
        for length in [LONGEST_LINE, LONGEST_LINE + 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
            let text = [vec![b'x'; length], b"\nnext".to_vec()].concat();
            let lines = lines_of(&mut &text[..]);
            assert_eq!(lines.len(), 2, "{length}");
            assert_eq!(lines[0].0.len(), LONGEST_LINE);
            assert_eq!(lines[0].2, length > LONGEST_LINE);
            assert_eq!(lines[1], (b"next".to_vec(), 2, false));
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_between_line_ends(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            sizes in prop::collection::vec(1usize..9, 1..5),
        ) {
            let mut expected: Vec<&[u8]> = text.split(|&octet| octet == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let lines = lines_of(&mut Dribble(&text, sizes.into_iter().cycle()));
            prop_assert_eq!(lines.iter().map(|line| &line.0[..]).collect::<Vec<_>>(), expected);
        }
    }
}
