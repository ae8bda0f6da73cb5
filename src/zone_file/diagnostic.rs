//! What is wrong, or strange, in a data file: `path:line:column: message`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The line was taken as it stands, but it is probably not what its author wants.
    Warning,
    /// The line was skipped.
    Error,
}

/// One finding, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The data file.
    pub path: Arc<PathBuf>,
    /// Line, counted from 1; 0 where the finding concerns the whole file.
    pub line: u32,
    /// Column in octets, counted from 1; 0 where the finding concerns the whole line.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The offending text, at most 80 octets of it, made printable.
    pub text: String,
}

/// The findings of one load: all are counted, the first [`Diagnostics::KEPT`] are kept.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: u64,
    warnings: u64,
}

impl Diagnostics {
    /// How many findings of each severity are kept (and printed); the rest is only counted.
    pub const KEPT: usize = 100;

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.count(diagnostic.severity) {
            self.kept.push(diagnostic);
        }
    }

    /// Adds a finding that is only made if it is kept: a file of nothing but bad lines should not
    /// cost a message for each of them.
    pub fn push_with(&mut self, severity: Severity, make: impl FnOnce() -> Diagnostic) {
        if self.count(severity) {
            self.kept.push(make());
        }
    }

    /// Counts a finding, and says whether it is to be kept.
    fn count(&mut self, severity: Severity) -> bool {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        *count <= Self::KEPT as u64
    }

    /// Adds a finding that concerns no line of a file.
    pub fn push_plain(&mut self, severity: Severity, message: String) {
        self.push_with(severity, || Diagnostic {
            path: Arc::default(),
            line: 0,
            column: 0,
            severity,
            message,
            text: String::new(),
        });
    }

    /// Adds all findings of another load behind these.
    pub fn append(&mut self, other: Diagnostics) {
        let (errors, warnings) = (self.errors + other.errors, self.warnings + other.warnings);
        for diagnostic in other.kept {
            self.push(diagnostic);
        }
        (self.errors, self.warnings) = (errors, warnings);
    }

    /// The findings that were kept, in the order in which they were made.
    pub fn kept(&self) -> &[Diagnostic] {
        &self.kept
    }

    /// What is to be printed: the findings that were kept, and how many there are in all if that are more.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let (errors, warnings) = (self.errors, self.warnings);
        let more = errors + warnings - self.kept.len() as u64;
        let more =
            (more > 0).then(|| format!("... {more} more; in all {errors} errors and {warnings} warnings"));
        self.kept.iter().map(ToString::to_string).chain(more)
    }

    /// How many lines were skipped.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> u64 {
        self.warnings
    }
}

impl Diagnostic {
    /// The longest offending text that is kept, in octets of the source.
    const LONGEST_TEXT: usize = 80;

    /// Makes octets of a data file printable: ASCII as it is, anything else escaped, and no more
    /// than 80 octets of it.
    pub fn printable(text: &[u8]) -> String {
        let kept = &text[..text.len().min(Self::LONGEST_TEXT)];
        let mut shown = match std::str::from_utf8(kept) {
            Ok(text) => text.chars().flat_map(escape_control).collect(),
            Err(_) => kept.escape_ascii().to_string(),
        };
        if kept.len() < text.len() {
            shown.push('…');
        }
        shown
    }
}

fn escape_control(letter: char) -> impl Iterator<Item = char> {
    let (plain, escaped) =
        if letter.is_control() { (None, Some(letter.escape_default())) } else { (Some(letter), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if self.line > 0 {
            write!(f, "{}:{}:{}: ", self.path.display(), self.line, self.column)?;
        }
        write!(f, "{kind}: {}", self.message)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}
