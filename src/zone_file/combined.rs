//! `combined`: sections of other types, each for one or more sub-zones, under a line
//! `$DATASET type[:title] sub-zone …`.

use super::Kind;
use super::lexer::{Fault, is_end, word, words};
use crate::name::Name;

/// What a `$DATASET` line says.
#[derive(Debug)]
pub(super) struct Heading {
    pub kind: Kind,
    pub title: Option<String>,
    pub sub_zones: Vec<Name>,
}

/// Reads what follows the keyword of a `$DATASET` line. What is wrong with one fails the dataset: the
/// lines below would go to the wrong place. Without a sub-zone the section is read, but never asked.
pub(super) fn heading(text: &[u8]) -> Result<Heading, Fault<'_>> {
    let (type_and_title, sub_zones) = word(text);
    let mut parts = type_and_title.splitn(2, |&octet| octet == b':');
    let kind = parts.next().and_then(section_kind);
    let kind = kind.ok_or_else(|| Fault::fatal(type_and_title, "unknown type of a section"))?;
    let title = parts.next().filter(|title| !title.is_empty());
    let title = title.map(|title| String::from_utf8_lossy(title).into_owned());
    let sub_zones = words(sub_zones)
        .take_while(|name| !is_end(name))
        .map(|name| match name {
            b"@" => Ok(Name::root()),
            _ => Name::from_text(name).map_err(|error| Fault::fatal(name, error.to_string())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Heading { kind, title, sub_zones })
}

/// The types that a section can have: all but `combined` and `acl`.
fn section_kind(name: &[u8]) -> Option<Kind> {
    Some(match &name.to_ascii_lowercase()[..] {
        b"ip" => Kind::Ip,
        b"ip4set" => Kind::Ip4set,
        b"ip4tset" => Kind::Ip4tset,
        b"ip4trie" => Kind::Ip4trie,
        b"ip6tset" => Kind::Ip6tset,
        b"ip6trie" => Kind::Ip6trie,
        b"dnset" | b"dnhash" => Kind::Dnset,
        b"generic" => Kind::Generic,
        _ => return None,
    })
}
