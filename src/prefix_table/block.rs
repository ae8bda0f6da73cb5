//! Two cache lines of items: where each begins, how far it reaches, and what is said there.
//!
//! Neighbours share their high bits, so a block stores differences to its lowest key, which the
//! directory above holds anyway, in as many bits as the largest of them takes; likewise ends and
//! states. All records of a block have one layout: a search is a few steps without a branch to
//! mispredict, and where keys take 32 bits one step, that compares all of them at once. Header, from
//! bit 0: records - 1 (7 bits), zero bits that all keys end with (7), width of a key (8), of an end (4),
//! of a state (6); then end and state of each record. The keys of all records end with the block.

use std::hint::select_unpredictable;

use super::State;
use super::simd::{self, Machine};
use super::word::{NARROW, Octets, Word, read_narrow, write_bits};

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
/// Lanes of a block.
const LANES: usize = (BITS / LANE) as usize;

/// The packed form. Its lowest key is kept elsewhere.
#[repr(align(128))]
#[derive(Clone, Debug)]
pub(super) struct Block(Octets);

/// One item: a key, the number of its end, its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<K> {
    pub(super) key: K,
    pub(super) end: u32,
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
        BITS - (self.records - place) * self.key
    }

    /// Where its end and state are.
    #[inline(always)]
    fn rest_position(self, place: u32) -> u32 {
        HEADER_BITS + place * self.rest()
    }

    /// True if keys take lanes: never all that there is of a key.
    #[inline(always)]
    fn has_lanes<K: Word>(self) -> bool {
        Block::may_have_lanes::<K>() && self.key == LANE
    }

    /// True if all has room.
    fn fits(self) -> bool {
        self.rest_position(self.records) + self.records * self.key <= BITS
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
    pub(super) fn search<K: Word>(&self, lowest: K, key: K, machine: Machine) -> u32 {
        let layout = self.layout();
        let wanted = (key - lowest) >> layout.shift;
        if layout.has_lanes::<K>() {
            layout.records - 1 - self.lanes_above(wanted, machine)
        } else {
            self.place_of(layout, wanted)
        }
    }

    /// The last record whose key is at most `key`, which is at least `lowest`: [`Self::search`] and
    /// [`Self::record`] in one, where keys take lanes.
    #[inline(always)]
    pub(super) fn find_in_lanes<K: Word>(&self, lowest: K, key: K, machine: Machine) -> Option<Record<K>> {
        let layout = self.layout();
        if !layout.has_lanes::<K>() {
            return None;
        }
        let above = self.lanes_above((key - lowest) >> layout.shift, machine);
        let difference = self.lane(LANES - 1 - above as usize);
        Some(self.record_of(layout, lowest, difference, layout.records - 1 - above))
    }

    /// The same where they do not.
    #[inline(always)]
    pub(super) fn find<K: Word>(&self, lowest: K, key: K) -> Record<K> {
        let layout = self.layout();
        let place = self.place_of(layout, (key - lowest) >> layout.shift);
        self.record_of(layout, lowest, self.packed(layout, place), place)
    }

    /// Whether keys of this kind take lanes in some blocks.
    #[inline(always)]
    pub(super) fn may_have_lanes<K: Word>() -> bool {
        K::WIDTH > LANE
    }

    /// The record at `place`.
    #[inline(always)]
    pub(super) fn record<K: Word>(&self, lowest: K, place: u32) -> Record<K> {
        let layout = self.layout();
        let difference = if layout.has_lanes::<K>() {
            self.lane(LANES - (layout.records - place) as usize)
        } else {
            self.packed(layout, place)
        };
        self.record_of(layout, lowest, difference, place)
    }

    /// How many keys in lanes are above the one wanted. They are the last of all; the first key is none of
    /// them, so that it does not matter what else than keys lies before it.
    #[inline(always)]
    fn lanes_above<K: Word>(&self, wanted: K, machine: Machine) -> u32 {
        let wanted = u32::try_from(wanted.saturating_u64()).unwrap_or(u32::MAX);
        machine.which_below(self.lanes(), wanted.mirrored()).leading_ones()
    }

    #[inline(always)]
    fn lanes(&self) -> &[[u8; LANE_OCTETS]; LANES] {
        const NONE: [[u8; LANE_OCTETS]; LANES] = [[0; LANE_OCTETS]; LANES];
        self.0.as_chunks().0.first_chunk().unwrap_or(&NONE)
    }

    /// The key in a lane, less the lowest.
    #[inline(always)]
    fn lane<K: Word>(&self, lane: usize) -> K {
        let mirrored = i32::from_le_bytes(self.lanes()[lane % LANES]);
        K::of_narrow(u32::of_mirrored(mirrored).into())
    }

    /// The place of the last record whose key, less the lowest, is at most the one wanted.
    #[inline(always)]
    fn place_of<K: Word>(&self, layout: Layout, wanted: K) -> u32 {
        if layout.key <= NARROW {
            let narrow = wanted.saturating_u64();
            last_place(layout, |position| read_narrow(&self.0, position, layout.key) <= narrow)
        } else {
            last_place(layout, |position| K::read(&self.0, position, layout.key) <= wanted)
        }
    }

    /// The key at a place, less the lowest, where there are no lanes.
    #[inline(always)]
    fn packed<K: Word>(&self, layout: Layout, place: u32) -> K {
        let position = layout.key_position(place);
        if layout.key <= NARROW {
            K::of_narrow(read_narrow(&self.0, position, layout.key))
        } else {
            K::read(&self.0, position, layout.key)
        }
    }

    #[inline(always)]
    fn record_of<K: Word>(&self, layout: Layout, lowest: K, difference: K, place: u32) -> Record<K> {
        let rest = self.rest(layout.rest_position(place), layout.rest());
        let end = rest & !(u64::MAX << layout.end);
        let state = rest >> layout.end;
        Record { key: lowest + (difference << layout.shift), end: end as u32, state: state as State }
    }

    /// Reads end and state. Behind them are at least eight octets: keys, unless there is only one record.
    #[inline(always)]
    fn rest(&self, position: u32, width: u32) -> u64 {
        let start = (position / 8) as usize;
        let octets = self.0.get(start..start + 8).and_then(|octets| octets.try_into().ok());
        octets.map_or(0, u64::from_le_bytes) >> (position % 8) & !(u64::MAX << width)
    }

    fn pack<K: Word>(records: &[Record<K>], layout: Layout) -> Self {
        let mut words = [0; 128];
        let Layout { shift, key, end, state, .. } = layout;
        let header = (layout.records - 1) | shift << 7 | key << 14 | end << 22 | state << 26;
        write_bits(&mut words, 0, HEADER_BITS, header.into());
        let lowest = records.first().map_or(K::ZERO, |first| first.key);
        for (record, place) in records.iter().zip(0..) {
            let difference = (record.key - lowest) >> shift;
            if layout.has_lanes::<K>() {
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
            end: self.layout.end.max(record.end.width()),
            state: self.layout.state.max(record.state.width()),
        };
        let fits = layout.fits();
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
