//! Two cache lines of items: where each begins, how far it reaches, and what is said there.
//!
//! Neighbours share their high bits, so a block stores differences to its lowest key, which the
//! directory above holds anyway, in as many bits as the largest of them takes; likewise ends and
//! states. All records of a block have one width: a search is a few steps without a branch to
//! mispredict. Header, from bit 0: records - 1 (7 bits), zero bits that all keys end with (7), width
//! of a key (8), of an end (4), of a state (6); then the records, each key, end, state.

use std::hint::select_unpredictable;

use super::word::{NARROW, Octets, Word, read_bits, read_narrow, write_bits};
use super::{State, simd};

const BITS: u32 = 64 * 16;
const HEADER_BITS: u32 = 32;
/// So many fit at most: to tell more keys apart takes 8 bits each, and these do not.
const MAX_RECORDS: usize = 128;
const _: () = assert!(HEADER_BITS + (MAX_RECORDS as u32 + 1) * 8 > BITS);

/// The packed form. Its lowest key is kept elsewhere.
#[repr(align(128))]
#[derive(Clone, Debug)]
pub(super) struct Block(Octets);

/// One item: a key, the number of its end, its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<K> {
    pub(super) key: K,
    pub(super) end: u8,
    pub(super) state: State,
}

/// The layout of one block: how many records, and the widths of their parts in bits.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    records: u32,
    shift: u32,
    key: u32,
    end: u32,
    state: u32,
}

impl Layout {
    #[inline(always)]
    fn record(self) -> u32 {
        self.key + self.end + self.state
    }

    #[inline(always)]
    fn position(self, place: u32) -> u32 {
        HEADER_BITS + place * self.record()
    }
}

impl Block {
    #[inline(always)]
    fn layout(&self) -> Layout {
        let header = self.0.first_chunk().map_or(0, |header| u32::from_le_bytes(*header));
        Layout {
            records: (header & 127) + 1,
            shift: header >> 7 & 127,
            key: header >> 14 & 255,
            end: header >> 22 & 15,
            state: header >> 26,
        }
    }

    /// How many records of at most this width in bits every full block holds.
    pub(super) fn records(width: u32) -> usize {
        MAX_RECORDS.min(((BITS - HEADER_BITS) / width) as usize)
    }

    /// Asks for both cache lines.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        simd::prefetch(&self.0[0]);
        simd::prefetch(&self.0[64]);
    }

    /// How many records there are: at least one.
    pub(super) fn len(&self) -> u32 {
        self.layout().records
    }

    /// The place of the last record whose key is at most `key`, which is at least `lowest`.
    #[inline(always)]
    pub(super) fn search<K: Word>(&self, lowest: K, key: K) -> u32 {
        let layout = self.layout();
        let wanted = (key - lowest) >> layout.shift;
        let (mut place, mut rest) = (0, layout.records);
        while rest > 1 {
            let half = rest / 2;
            let middle = K::read(&self.0, layout.position(place + half), layout.key);
            place += select_unpredictable(middle <= wanted, half, 0);
            rest -= half;
        }
        place
    }

    /// The last record whose key is at most `key`, which is at least `lowest`: [`Self::search`] and
    /// [`Self::record`] in one.
    #[inline(always)]
    pub(super) fn find<K: Word>(&self, lowest: K, key: K) -> Record<K> {
        let layout = self.layout();
        let record = layout.record();
        if record > NARROW {
            return self.record(lowest, self.search(lowest, key));
        }
        let wanted = ((key - lowest) >> layout.shift).saturating_u64();
        let read = |position| read_narrow(&self.0, position, layout.key);
        // The first step leaves a power of two.
        let mut stride = record << layout.records.ilog2();
        let end = layout.position(layout.records);
        let mut position = select_unpredictable(read(end - stride) <= wanted, end - stride, HEADER_BITS);
        while stride > record {
            stride /= 2;
            let middle = position + stride;
            position = select_unpredictable(read(middle) <= wanted, middle, position);
        }
        let bits = read_narrow(&self.0, position, record);
        let low = |bits: u64, width: u32| bits & ((1 << width) - 1);
        let rest = bits >> layout.key;
        Record {
            key: lowest + (K::of_narrow(low(bits, layout.key)) << layout.shift),
            end: low(rest, layout.end) as u8,
            state: (rest >> layout.end) as State,
        }
    }

    /// The record at `place`.
    #[inline(always)]
    pub(super) fn record<K: Word>(&self, lowest: K, place: u32) -> Record<K> {
        let layout = self.layout();
        let position = layout.position(place);
        let key = K::read(&self.0, position, layout.key) << layout.shift;
        let rest = read_bits(&self.0, position + layout.key, layout.end + layout.state);
        let end = (rest & u64::ones(layout.end)) as u8;
        Record { key: lowest + key, end, state: (rest >> layout.end) as State }
    }

    fn pack<K: Word>(records: &[Record<K>], layout: Layout) -> Self {
        let mut words = [0; 128];
        let Layout { shift, key, end, state, .. } = layout;
        let header = (layout.records - 1) | shift << 7 | key << 14 | end << 22 | state << 26;
        write_bits(&mut words, 0, HEADER_BITS, header.into());
        let lowest = records.first().map_or(K::ZERO, |first| first.key);
        for (record, place) in records.iter().zip(0..) {
            let position = layout.position(place);
            ((record.key - lowest) >> shift).write(&mut words, position, key);
            write_bits(&mut words, position + key, end, record.end.into());
            write_bits(&mut words, position + key + end, state, record.state.into());
        }
        Self(words)
    }
}

/// Fills blocks one after the other with as many records as they hold.
#[derive(Debug)]
pub(super) struct Packer<K> {
    records: Vec<Record<K>>,
    layout: Layout,
    /// All differences of keys, or-ed.
    differences: K,
}

impl<K: Word> Packer<K> {
    pub(super) fn new() -> Self {
        let records = Vec::with_capacity(MAX_RECORDS);
        Self { records, layout: Layout::default(), differences: K::ZERO }
    }

    /// Adds a record with a higher key than all before; where the block cannot take it, `full` gets
    /// the block and the record begins the next.
    pub(super) fn push(&mut self, record: Record<K>, full: impl FnOnce(&Self)) {
        if !self.add(record) {
            full(self);
            self.records.clear();
            (self.layout, self.differences) = (Layout::default(), K::ZERO);
            self.add(record);
        }
    }

    fn add(&mut self, record: Record<K>) -> bool {
        let lowest = self.records.first().map_or(record.key, |first| first.key);
        let difference = record.key - lowest;
        let differences = self.differences | difference;
        let shift = if differences == K::ZERO { 0 } else { differences.trailing_zeros() };
        let layout = Layout {
            records: self.layout.records + 1,
            shift,
            key: (difference >> shift).width(),
            end: self.layout.end.max(u32::from(record.end).width()),
            state: self.layout.state.max(record.state.width()),
        };
        let fits = layout.position(layout.records) <= BITS;
        if fits {
            (self.layout, self.differences) = (layout, differences);
            self.records.push(record);
        }
        fits
    }

    /// The lowest key of the block being filled.
    pub(super) fn lowest_key(&self) -> K {
        self.records.first().map_or(K::ZERO, |first| first.key)
    }

    /// The block being filled.
    pub(super) fn block(&self) -> Block {
        Block::pack(&self.records, self.layout)
    }
}
