//! What is wrong with the line that is being read, with its place: faults to diagnostics.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::lexer::Fault;

/// The file that is being read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub path: Arc<PathBuf>,
    /// Its place among the files of the dataset.
    pub file: u16,
}

/// Where the present line stands, and who hears what is wrong with it.
pub(super) struct Report<'r> {
    pub source: &'r Source,
    pub line: u32,
    /// The whole line: the columns of its parts are counted from its beginning.
    pub text: &'r [u8],
    pub diagnostics: &'r mut Diagnostics,
}

impl Report<'_> {
    pub(super) fn warn(&mut self, at: &[u8], message: impl Into<Cow<'static, str>>) {
        self.push(Severity::Warning, at, message.into());
    }

    pub(super) fn error(&mut self, at: &[u8], message: impl Into<Cow<'static, str>>) {
        self.push(Severity::Error, at, message.into());
    }

    fn push(&mut self, severity: Severity, at: &[u8], message: Cow<'static, str>) {
        let (path, line, text) = (&self.source.path, self.line, self.text);
        self.diagnostics.push_with(severity, || diagnostic(path, line, text, severity, at, message));
    }

    /// A finding that is not added to the others, but fails the dataset.
    pub(super) fn failure(&self, fault: Fault<'_>) -> Diagnostic {
        diagnostic(&self.source.path, self.line, self.text, Severity::Error, fault.at, fault.message)
    }
}

fn diagnostic(
    path: &Arc<PathBuf>,
    line: u32,
    text: &[u8],
    severity: Severity,
    at: &[u8],
    message: Cow<'static, str>,
) -> Diagnostic {
    // `at` is a part of the line; the distance of the two is its column.
    let offset = (at.as_ptr() as usize).checked_sub(text.as_ptr() as usize).filter(|&n| n <= text.len());
    Diagnostic {
        path: Arc::clone(path),
        line,
        column: offset.map_or(0, |offset| offset as u32 + 1),
        severity,
        message: message.into_owned(),
        text: Diagnostic::printable(at),
    }
}
