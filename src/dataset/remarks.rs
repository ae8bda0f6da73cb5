//! What only compiling shows about entries, as diagnostics with the place of the entry.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use super::listing::{Listing, MOST_VALUES};
use crate::name::key_text;
use crate::name_table::{NameRemark, Redundant};
use crate::prefix_table::{Entry, Remark, UNLISTED};
use crate::zone_file::diagnostic::{Diagnostic, Diagnostics, Severity};

/// Turns remarks into warnings.
pub(super) struct Remarks<'a> {
    paths: &'a [Arc<PathBuf>],
    diagnostics: &'a mut Diagnostics,
}

/// An address of a table, as text.
pub(super) trait Text: Copy {
    fn text(self) -> impl Display;
}

impl Text for u32 {
    fn text(self) -> impl Display {
        Ipv4Addr::from(self)
    }
}

impl Text for u128 {
    fn text(self) -> impl Display {
        Ipv6Addr::from(self)
    }
}

impl<'a> Remarks<'a> {
    pub(super) fn new(paths: &'a [Arc<PathBuf>], diagnostics: &'a mut Diagnostics) -> Self {
        Self { paths, diagnostics }
    }

    pub(super) fn prefix<A: Text>(&mut self, remark: Remark<A>) {
        let paths = self.paths;
        match remark {
            Remark::Duplicate { kept, dropped } => self.warn(dropped.file, dropped.line, || {
                let path = paths.get(usize::from(kept.file)).map(|path| path.display().to_string());
                let verb = if kept.state == dropped.state { "repeats" } else { "contradicts" };
                let message = format!("{verb} {}:{}, which holds", path.unwrap_or_default(), kept.line);
                (message, entry_text(&dropped))
            }),
            Remark::Redundant(entry) => self.warn(entry.file, entry.line, || {
                let message = if entry.state == UNLISTED {
                    "the exception excepts nothing"
                } else {
                    "the entry says nothing that a wider one does not say"
                };
                (message.into(), entry_text(&entry))
            }),
        }
    }

    pub(super) fn name(&mut self, remark: NameRemark, key: &[u8], listing: &Listing) {
        let message = match remark.why {
            Redundant::Exception => "the exception excepts nothing",
            Redundant::Repeated => "repeats an earlier line",
            // `$` would be the name of the wildcard.
            Redundant::Covered(state) if listing.names_the_key(state) => return,
            Redundant::Covered(_) => "the entry says nothing that a wider one does not say",
        };
        self.warn(remark.file, remark.line, || (message.into(), key_text(key)));
    }

    /// Says how many values were left out where too many stand at one address or name.
    pub(super) fn left_out(&mut self, values: u64) {
        if values > 0 {
            let files: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
            let message = format!(
                "{}: {values} values were left out, for one address or name has at most {MOST_VALUES}",
                files.join(",")
            );
            self.diagnostics.push_plain(Severity::Warning, message);
        }
    }

    /// Adds a warning whose message and offending text are made only if it is kept.
    fn warn(&mut self, file: u16, line: u32, message_and_text: impl FnOnce() -> (String, String)) {
        let path = self.paths.get(usize::from(file)).cloned().unwrap_or_default();
        self.diagnostics.push_with(Severity::Warning, || {
            let (message, text) = message_and_text();
            Diagnostic { path, line, column: 1, severity: Severity::Warning, message, text }
        });
    }
}

fn entry_text<A: Text>(entry: &Entry<A>) -> String {
    let exception = if entry.state == UNLISTED { "!" } else { "" };
    format!("{exception}{}/{}", entry.first.text(), entry.length)
}
