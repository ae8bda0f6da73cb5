//! Range records as names: the blocks that a walk from the root meets, and no others.
//!
//! A block comes before those that it names, and these are disjoint and in order: which is canonical
//! order.

use super::Node;
use crate::name::{Name, NameError};
use crate::range_record::{Prefix, name};
use crate::zone::{Found, Ranges};

/// The blocks of a list under `mount`. They are made one after the other, and not kept here.
pub(super) fn nodes<'z>(
    ranges: &'z Ranges,
    mount: Vec<u8>,
    dropin: bool,
) -> impl Iterator<Item = Node<'z>> + 'z {
    // Blocks that were named and not visited, the next one on top: at most those of one path.
    let mut named = vec![Prefix::ROOT];
    std::iter::from_fn(move || {
        let prefix = named.pop()?;
        let (_, mut below) = ranges.make(prefix)?;
        below.reverse();
        named.append(&mut below);
        let mut own = Found::new(dropin);
        own.push_block(ranges, prefix);
        let key = key(prefix).ok()?;
        Some(Node { key: [&mount[..], &key].concat(), own, below: Found::new(dropin) })
    })
}

/// The key of a block's name.
pub(super) fn key(prefix: Prefix) -> Result<Vec<u8>, NameError> {
    Name::from_text(name::block_text(prefix).as_bytes()).map(|name| name.key())
}
