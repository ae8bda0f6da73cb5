//! A block as a client reads it: the items of an APL record, checked.
//!
//! The record comes from outside. What the format calls malformed is an error here, upon which a
//! client asks the ordinary query, so that a bad record costs time and never a wrong verdict.

use super::apl::{self, AplError};
use super::{Content, Item, Prefix};

/// A block, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    prefix: Prefix,
    /// Sorted; listed items are numbered in the order of the record.
    items: Vec<Item<u32>>,
}

/// Why the content of a block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The name has not one APL record.
    #[error("{0} APL records in place of one")]
    NotOneRecord(usize),
    /// The record is no APL record.
    #[error(transparent)]
    Apl(#[from] AplError),
    /// An item speaks of addresses outside the block.
    #[error("an item lies outside the block")]
    OutsideBlock(Prefix),
    /// A mixed item is not nibble-aligned, or not longer than the block's prefix.
    #[error("a mixed item names no block below this one")]
    BadMixedItem(Prefix),
    /// An item stands twice.
    #[error("an item stands twice")]
    Duplicate(Prefix),
}

/// What a block says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The item that decides: its place in [`Block::items`]. `None` where no item contains the
    /// address, which is then not listed.
    pub item: Option<usize>,
    /// The first address around it for which the same item decides all in between.
    pub first: u128,
    /// The last such address, inclusive.
    pub last: u128,
}

impl Block {
    /// Reads the rdata of the APL record of the block of `prefix`.
    pub fn read(prefix: Prefix, rdata: &[u8]) -> Result<Self, Malformed> {
        let mut signed: Vec<(Prefix, bool, usize)> = Vec::new();
        for (place, item) in apl::read(rdata)?.into_iter().enumerate() {
            if !prefix.covers(item.prefix) {
                return Err(Malformed::OutsideBlock(item.prefix));
            }
            signed.push((item.prefix, item.negated, place));
        }
        signed.sort_unstable();
        let mut items: Vec<(Item<u32>, usize)> = Vec::with_capacity(signed.len());
        for same in signed.chunk_by(|a, b| a.0 == b.0) {
            let (item, _, place) = same[0];
            let content = match same {
                [(_, false, _)] => Content::Listed(0),
                [(_, true, _)] => Content::NotListed,
                [(_, false, _), (_, true, _)]
                    if item.is_nibble_aligned() && item.length() > prefix.length() =>
                {
                    Content::Mixed
                }
                [(_, false, _), (_, true, _)] => return Err(Malformed::BadMixedItem(item)),
                _ => return Err(Malformed::Duplicate(item)),
            };
            items.push((Item { prefix: item, content }, place));
        }
        Ok(Self { prefix, items: numbered(items) })
    }

    /// The addresses that the block describes.
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// The items, sorted by address, then by length.
    pub fn items(&self) -> &[Item<u32>] {
        &self.items
    }

    /// What the block says of an address inside its prefix.
    pub fn decide(&self, address: u128) -> Decision {
        let after = self.items.partition_point(|item| item.prefix.first() <= address);
        // Of items that contain one address the longest sorts last.
        let item = self.items[..after].iter().rposition(|item| item.prefix.contains(address));
        let around = item.map_or(self.prefix, |index| self.items[index].prefix);
        // What is longer and contains the address is not there, so others end before it or begin
        // after it.
        let inner = |item: &&Item<u32>| around.covers(item.prefix) && item.prefix != around;
        let before = self.items[..after].iter().filter(inner).map(|item| item.prefix.last()).max();
        let behind = self.items[after..].iter().find(inner).map(|item| item.prefix.first());
        Decision {
            item,
            first: before.map_or(around.first(), |last| last + 1),
            last: behind.map_or(around.last(), |first| first - 1),
        }
    }
}

/// Numbers the listed items by their places in the record.
fn numbered(mut items: Vec<(Item<u32>, usize)>) -> Vec<Item<u32>> {
    items.sort_unstable_by_key(|&(_, place)| place);
    let mut number = 0;
    for (item, _) in &mut items {
        if let Content::Listed(own) = &mut item.content {
            *own = number;
            number += 1;
        }
    }
    let mut items: Vec<Item<u32>> = items.into_iter().map(|(item, _)| item).collect();
    items.sort_unstable_by_key(|item| item.prefix);
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range_record::apl::AplItem;

    const BLOCK: u128 = 0x2001_0db8 << 96;

    fn prefix(offset: u128, length: u8) -> Prefix {
        Prefix::containing(BLOCK | offset, length)
    }

    fn read(items: &[(Prefix, bool)]) -> Result<Block, Malformed> {
        let items: Vec<AplItem> =
            items.iter().map(|&(prefix, negated)| AplItem::new(prefix, negated)).collect();
        Block::read(prefix(0, 32), &apl::write(&items))
    }

    #[test]
    fn decisions() {
        // All of the block listed, then an exception, in it a listing, and a mixed item.
        let (whole, exception) = (prefix(0, 32), prefix(0x1 << 92, 36));
        let (listing, mixed) = (prefix(0x12 << 88, 40), prefix(0x8 << 92, 36));
        let block =
            read(&[(whole, false), (exception, true), (listing, false), (mixed, false), (mixed, true)])
                .unwrap();
        let decided = |offset| {
            let decision = block.decide(BLOCK | offset);
            let content = decision.item.map(|index| block.items()[index].content);
            (content, decision.first ^ BLOCK, decision.last ^ BLOCK)
        };
        let below = |bits: u128| (bits << 88) - 1;
        assert_eq!(decided(0), (Some(Content::Listed(0)), 0, below(0x10)));
        assert_eq!(decided(0x11 << 88), (Some(Content::NotListed), 0x10 << 88, below(0x12)));
        assert_eq!(decided(0x12 << 88), (Some(Content::Listed(1)), 0x12 << 88, below(0x13)));
        assert_eq!(decided(0x1f << 88), (Some(Content::NotListed), 0x13 << 88, below(0x20)));
        assert_eq!(decided(0x20 << 88), (Some(Content::Listed(0)), 0x20 << 88, below(0x80)));
        assert_eq!(decided(0x85 << 88), (Some(Content::Mixed), 0x80 << 88, below(0x90)));
        let empty = read(&[]).unwrap().decide(BLOCK);
        assert_eq!((empty.item, empty.first, empty.last), (None, BLOCK, prefix(0, 32).last()));
    }

    #[test]
    fn order_of_the_record_counts() {
        let block = read(&[(prefix(2 << 92, 36), false), (prefix(1 << 92, 36), false)]).unwrap();
        assert_eq!(
            block.decide(BLOCK | 2 << 92).item.map(|i| block.items()[i].content),
            Some(Content::Listed(0))
        );
        assert_eq!(
            block.decide(BLOCK | 1 << 92).item.map(|i| block.items()[i].content),
            Some(Content::Listed(1))
        );
    }

    #[test]
    fn malformed() {
        let (outside, wide) = (Prefix::containing(1 << 120, 36), Prefix::ROOT);
        let (odd, own) = (prefix(0, 37), prefix(0, 32));
        assert_eq!(read(&[(outside, false)]), Err(Malformed::OutsideBlock(outside)));
        assert_eq!(read(&[(wide, false)]), Err(Malformed::OutsideBlock(wide)));
        assert_eq!(read(&[(odd, false), (odd, true)]), Err(Malformed::BadMixedItem(odd)));
        assert_eq!(read(&[(own, false), (own, true)]), Err(Malformed::BadMixedItem(own)));
        assert_eq!(read(&[(odd, true), (odd, true)]), Err(Malformed::Duplicate(odd)));
        assert_eq!(read(&[(odd, false), (odd, true), (odd, false)]), Err(Malformed::Duplicate(odd)));
        assert_eq!(Block::read(own, b"\0"), Err(Malformed::Apl(AplError::Truncated)));
    }
}
