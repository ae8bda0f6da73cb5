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
        self.push_with(diagnostic.severity, || diagnostic);
    }

    /// Adds a finding of a severity, which is only made if it is among those that are kept.
    pub fn push_with(&mut self, severity: Severity, diagnostic: impl FnOnce() -> Diagnostic) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= Self::KEPT as u64 {
            self.kept.push(diagnostic());
        }
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

    /// How many lines were skipped.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> u64 {
        self.warnings
    }
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
