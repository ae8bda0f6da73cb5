//! The range records of a list: which blocks there are, and their records, made when they are
//! asked for and kept in a bounded cache.
//!
//! Whether a name has a block is read off the tables and costs no more than an ordinary look-up.
//! Only APL, TXT and ANY need the block itself; the names that resolvers ask on the way to it with
//! other types (RFC 9156) need none.

use std::collections::HashMap;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::meaning::TooManyStates;
use super::range_map::RangeMap;
use super::{List, RangesOptions, ZoneOptions};
use crate::range_record::measure::Summary;
use crate::range_record::{Content, Prefix, block, value};

/// How many octets of blocks a list keeps beside its top levels.
const CACHE_OCTETS: u64 = 4 << 20;
/// How many blocks that is, by and large.
const CACHE_BLOCKS: usize = 2048;
/// What a cached block takes beside its octets, by and large.
const BLOCK_OCTETS: usize = 160;
/// How many blocks below the root stay for good at most.
const TOP_BLOCKS: usize = 64;

/// The range records of a list.
#[derive(Debug)]
pub struct Ranges {
    map: RangeMap,
    summary: Summary,
    options: RangesOptions,
    /// The root and the blocks that it names: every walk asks for them.
    top: HashMap<Prefix, Arc<Block>>,
    cache: Cache<Prefix, Arc<Block>, ByOctets>,
}

/// The records of a block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The rdata of the APL record.
    pub items: Box<[u8]>,
    /// The rdata of the TXT records.
    pub values: Box<[Box<[u8]>]>,
    /// The blocks that it names, in order.
    pub named: Box<[Prefix]>,
}

#[derive(Clone, Debug)]
struct ByOctets;

impl Weighter<Prefix, Arc<Block>> for ByOctets {
    fn weight(&self, _: &Prefix, block: &Arc<Block>) -> u64 {
        (block.octets() + BLOCK_OCTETS) as u64
    }
}

impl Block {
    fn octets(&self) -> usize {
        self.items.len()
            + size_of_val(&*self.named)
            + self.values.iter().map(|rdata| rdata.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }
}

impl Ranges {
    /// The range records of lists that are asked together; `None` where none is about addresses.
    ///
    /// # Errors
    /// The datasets have more states than there are numbers.
    pub(super) fn new(
        lists: &[&List],
        zone: &ZoneOptions,
        options: &RangesOptions,
    ) -> Result<Option<Self>, TooManyStates> {
        let Some(map) = RangeMap::new(lists, zone.six_to_four, zone.dropin)? else { return Ok(None) };
        let mut ranges = Self {
            summary: Summary::new(&map),
            map,
            options: options.clone(),
            top: HashMap::new(),
            cache: Cache::with_weighter(CACHE_BLOCKS, CACHE_OCTETS, ByOctets),
        };
        ranges.top = ranges.make_top();
        Ok(Some(ranges))
    }

    /// True if the range records of `lists` would be the same.
    pub(super) fn are_of(&self, lists: &[&List]) -> bool {
        let datasets = || lists.iter().flat_map(|list| list.address_datasets());
        self.map.datasets().len() == datasets().count()
            && self.map.datasets().iter().zip(datasets()).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// The TTL of all records, in seconds.
    pub fn ttl(&self) -> u32 {
        self.options.ttl
    }

    /// The greatest size of a block, in octets.
    pub fn block_bytes(&self) -> usize {
        self.options.block_bytes
    }

    /// The map that they describe.
    pub fn map(&self) -> &RangeMap {
        &self.map
    }

    /// The memory that packing needs beside the tables, in octets; the cache not counted.
    pub fn bytes(&self) -> usize {
        self.map.bytes() + self.summary.bytes()
    }

    /// The memory of everything that is kept beside the tables, about, in octets.
    pub(super) fn memory(&self) -> usize {
        let top = self.top.values().map(|block| block.octets() + BLOCK_OCTETS).sum::<usize>();
        self.bytes() + top + self.cache.weight() as usize
    }

    /// True if a nibble-aligned prefix has a block.
    pub fn has_block(&self, prefix: Prefix) -> bool {
        block::exists(&self.map, prefix)
    }

    /// The block of a nibble-aligned prefix if it is made already.
    pub(super) fn made(&self, prefix: Prefix) -> Option<Arc<Block>> {
        self.top.get(&prefix).cloned().or_else(|| self.cache.get(&prefix))
    }

    /// The block of a nibble-aligned prefix, if it has one.
    pub fn block(&self, prefix: Prefix) -> Option<Arc<Block>> {
        self.block_if(prefix, |_| true)
    }

    /// As [`Self::block`]. If it is not in memory, `may` is asked whether there is time to make one of that
    /// many octets at most; if not, the result is `None`.
    pub(crate) fn block_if(&self, prefix: Prefix, may: impl FnOnce(usize) -> bool) -> Option<Arc<Block>> {
        self.made(prefix).or_else(|| {
            let block = may(self.block_bytes()).then(|| self.make(prefix)).flatten().map(Arc::new)?;
            self.cache.insert(prefix, block.clone());
            Some(block)
        })
    }

    /// Makes a block.
    pub fn make(&self, prefix: Prefix) -> Option<Block> {
        let limit = self.options.block_bytes;
        let items = block::pack(&self.map, &self.summary, prefix, limit)?;
        let values = value::write(&items, limit, |state| self.map.value(state));
        let mixed = items.iter().filter(|item| item.content == Content::Mixed);
        let named = mixed.map(|item| item.prefix).collect();
        let values = values.into_iter().map(Box::from).collect();
        Some(Block { items: block::rdata(&items).into(), values, named })
    }

    fn make_top(&self) -> HashMap<Prefix, Arc<Block>> {
        let mut top = HashMap::new();
        let Some(root) = self.make(Prefix::ROOT) else { return top };
        for &prefix in root.named.iter().take(TOP_BLOCKS) {
            if let Some(block) = self.make(prefix) {
                top.insert(prefix, Arc::new(block));
            }
        }
        top.insert(Prefix::ROOT, Arc::new(root));
        top
    }
}
