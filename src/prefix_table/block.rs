//! Two cache lines of items: where each begins, how far it reaches, and what is said there.
//!
//! Neighbours share their high bits, so a block stores differences to its lowest key, which the
//! directory above holds anyway, in as many bits as the largest of them takes; likewise ends and
//! states. All records of a block have one layout: a search is a few steps without a branch to
//! mispredict, and where keys take 32 bits one step, that compares all of them at once. Header, from
//! bit 0: records - 1 (7 bits), zero bits that all keys end with (7), width of a key (8), of an end (4),
//! of a state (6); then the keys of all records, then end and state of each.

use std::hint::select_unpredictable;

use super::word::{NARROW, Octets, Word, read_narrow, write_bits};
use super::{State, simd};

const BITS: u32 = 64 * 16;
const HEADER_BITS: u32 = 32;
/// So many fit at most: to tell more keys apart takes 8 bits each, and these do not.
const MAX_RECORDS: usize = 128;
const _: () = assert!(HEADER_BITS + (MAX_RECORDS as u32 + 1) * 8 > BITS);

/// The width of keys that are compared all at once, for which they are kept mirrored.
const LANE: u32 = 32;
/// Keys of so many bits take a whole lane: that costs a quarter of the room at most.
const LEAST_IN_LANE: u32 = 24;
const LANE_OCTETS: usize = (LANE / 8) as usize;
/// Lanes of a block. The first holds the header.
const LANES: usize = (BITS / LANE) as usize;
const _: () = assert!(HEADER_BITS == LANE);

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
    /// Bits of end and state.
    #[inline(always)]
    fn rest(self) -> u32 {
        self.end + self.state
    }

    /// Where the key of the record at a place is.
    #[inline(always)]
    fn key_position(self, place: u32) -> u32 {
        HEADER_BITS + place * self.key
    }

    /// Where its end and state are.
    #[inline(always)]
    fn rest_position(self, place: u32) -> u32 {
        self.key_position(self.records) + place * self.rest()
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
        self.place_of(self.layout(), lowest, key)
    }

    /// The last record whose key is at most `key`, which is at least `lowest`: [`Self::search`] and
    /// [`Self::record`] in one.
    #[inline(always)]
    pub(super) fn find<K: Word>(&self, lowest: K, key: K) -> Record<K> {
        let layout = self.layout();
        self.record_at(layout, lowest, self.place_of(layout, lowest, key))
    }

    /// The record at `place`.
    #[inline(always)]
    pub(super) fn record<K: Word>(&self, lowest: K, place: u32) -> Record<K> {
        self.record_at(self.layout(), lowest, place)
    }

    #[inline(always)]
    fn place_of<K: Word>(&self, layout: Layout, lowest: K, key: K) -> u32 {
        let wanted = (key - lowest) >> layout.shift;
        let narrow = wanted.saturating_u64();
        if layout.key == LANE {
            self.last_lane(layout.records, u32::try_from(narrow).unwrap_or(u32::MAX))
        } else if layout.key <= NARROW {
            let is_before = |position| read_narrow(&self.0, position, layout.key) <= narrow;
            last_place(layout, is_before)
        } else {
            last_place(layout, |position| K::read(&self.0, position, layout.key) <= wanted)
        }
    }

    /// The place of the last of so many keys in lanes that is at most the one wanted. The first is.
    #[inline(always)]
    fn last_lane(&self, records: u32, wanted: u32) -> u32 {
        let wanted = wanted.mirrored();
        let mut above = 0;
        for (place, lane) in self.lanes().iter().enumerate() {
            // As signed numbers, like the lanes. The lane of the header comes behind all keys.
            let place = ((place + LANES - 1) % LANES) as i32;
            above += u32::from((place < records as i32) & (i32::from_le_bytes(*lane) < wanted));
        }
        records - 1 - above
    }

    #[inline(always)]
    fn lanes(&self) -> &[[u8; LANE_OCTETS]] {
        self.0.as_chunks().0
    }

    #[inline(always)]
    fn record_at<K: Word>(&self, layout: Layout, lowest: K, place: u32) -> Record<K> {
        let position = layout.key_position(place);
        let difference = match layout.key {
            LANE => {
                let lane = self.lanes().get(place as usize + 1).map_or(0, |lane| i32::from_le_bytes(*lane));
                K::of_narrow(u32::of_mirrored(lane).into())
            }
            ..=NARROW => K::of_narrow(read_narrow(&self.0, position, layout.key)),
            _ => K::read(&self.0, position, layout.key),
        };
        let rest = read_narrow(&self.0, layout.rest_position(place), layout.rest());
        let end = (rest & ((1 << layout.end) - 1)) as u8;
        Record { key: lowest + (difference << layout.shift), end, state: (rest >> layout.end) as State }
    }

    fn pack<K: Word>(records: &[Record<K>], layout: Layout) -> Self {
        let mut words = [0; 128];
        let Layout { shift, key, end, state, .. } = layout;
        let header = (layout.records - 1) | shift << 7 | key << 14 | end << 22 | state << 26;
        write_bits(&mut words, 0, HEADER_BITS, header.into());
        let lowest = records.first().map_or(K::ZERO, |first| first.key);
        for (record, place) in records.iter().zip(0..) {
            let difference = (record.key - lowest) >> shift;
            if key == LANE {
                let lane = (difference.saturating_u64() as u32).mirrored() as u32;
                lane.write(&mut words, layout.key_position(place), key);
            } else {
                difference.write(&mut words, layout.key_position(place), key);
            }
            let position = layout.rest_position(place);
            write_bits(&mut words, position, end, record.end.into());
            write_bits(&mut words, position + end, state, record.state.into());
        }
        Self(words)
    }
}

/// The place of the last record whose key is at most the one wanted; `is_before` tells that of the key at a
/// position. It is true for the first.
#[inline(always)]
fn last_place(layout: Layout, is_before: impl Fn(u32) -> bool) -> u32 {
    let (mut place, mut rest) = (0, layout.records);
    while rest > 1 {
        let half = rest / 2;
        place += select_unpredictable(is_before(layout.key_position(place + half)), half, 0);
        rest -= half;
    }
    place
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
            key: match (difference >> shift).width() {
                LEAST_IN_LANE..=LANE if K::WIDTH > LANE => LANE,
                width => width,
            },
            end: self.layout.end.max(u32::from(record.end).width()),
            state: self.layout.state.max(record.state.width()),
        };
        let fits = layout.rest_position(layout.records) <= BITS;
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
