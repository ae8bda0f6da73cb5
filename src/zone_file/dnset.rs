//! Domain lists: `dnset`, and `dnhash`, which is the same here.

use super::lexer::{Fault, token, trim_start};
use super::list::{List, exception};
use super::report::Report;
use super::{Content, ReadOptions};
use crate::name::Name;
use crate::name_table::Scope;
use crate::prefix_table::UNLISTED;

/// A `dnset` line: `name` is only the name, `*.name` only the names below it, `.name` both.
pub(super) fn name<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (text, excluded) = exception(text);
    let (written, value) = token(text, super::lexer::is_blank);
    let (bare, exact, below) = match written {
        [b'.', bare @ ..] => (bare, true, true),
        [b'*', b'.', bare @ ..] => (bare, false, true),
        _ => (written, true, false),
    };
    let name = Name::from_text(bare).map_err(|error| Fault::new(written, error.to_string()))?;
    if name.is_root() {
        return Err(Fault::new(if written.is_empty() { text } else { written }, "a name is missing"));
    }
    let state = if excluded { UNLISTED } else { list.listing(trim_start(value), options, report)? };
    list.count(state);
    let key = name.key();
    if let Content::Names(names) = &mut list.content {
        for (applies, scope) in [(exact, Scope::Exact), (below, Scope::Below)] {
            if applies {
                names.push(&key, scope, state, report.source.file, report.line);
            }
        }
    }
    Ok(())
}
