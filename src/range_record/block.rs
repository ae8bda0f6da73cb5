//! The contents of blocks: which items describe a prefix within a limit of octets.
//!
//! The rules (docs/range-records.md, "Packing") look at nothing but the map inside the prefix and
//! the limit, so servers with the same data publish the same blocks, and a change leaves all blocks
//! as they were in whose prefix no address changed.
//!
//! A block costs some lookups for each of its mixed items and nothing for what lies below them:
//! what the rules ask of a prefix with many listings is read off the [`Summary`], and one with few
//! is folded on the spot.

use super::apl::{self, AplItem};
use super::measure::{self, Measure, Size, Summary, content_of, for_each_joined, last_child_within};
use super::{Content, Item, Prefix, Runs, StateMap, is_uniform};
use crate::prefix_table::{Range, State, UNLISTED};

/// `block_bytes` where nothing is configured: 64 items of 11 octets. A signed reply then fits 1232
/// octets for zone names up to 162 octets.
pub const DEFAULT_LIMIT: usize = 704;
/// The least `block_bytes`: 16 mixed children at /124 need 657 octets.
pub const MIN_LIMIT: usize = 672;
/// The greatest `block_bytes`.
pub const MAX_LIMIT: usize = 16_000;
/// As many items an APL record has at most, a mixed item counted twice: NSD 4.6 loads no zone with
/// more. 16 mixed children need 33.
pub const MAX_ITEMS: u32 = 64;

/// How large a block may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The greatest size of [`rdata`] in octets.
    pub octets: usize,
    /// The greatest number of items, a mixed item counted twice.
    pub items: u32,
}

/// The limits where `block_bytes` is so many octets.
impl From<usize> for Limits {
    fn from(octets: usize) -> Self {
        Self { octets, items: MAX_ITEMS }
    }
}

impl Limits {
    fn allow(self, size: Size) -> bool {
        size.octets as usize <= self.octets && size.items <= self.items
    }

    /// True if rule 4 may split a prefix whose full form has so many items, upon which the block has
    /// size `after`. The children of a prefix with few items would mostly be blocks of a few items
    /// each, so it is left whole where the block is half full.
    fn allow_split(self, items: u32, after: Size) -> bool {
        self.allow(after) && (items > self.items * 3 / 2 || after.items <= self.items / 2)
    }
}

/// True if the nibble-aligned `prefix` has a block: it is mixed, or the root.
pub fn exists(map: &impl StateMap, prefix: Prefix) -> bool {
    prefix == Prefix::ROOT || !is_uniform(map, prefix)
}

/// The items of the block of a nibble-aligned prefix, sorted; `None` if it has no block.
///
/// `limits` are `block_bytes`, [`MIN_LIMIT`] at least; `summary` was made of `map`.
pub fn pack(
    map: &impl StateMap,
    summary: &Summary,
    prefix: Prefix,
    limits: impl Into<Limits>,
) -> Option<Vec<Item<State>>> {
    debug_assert!(prefix.is_nibble_aligned());
    let limits = limits.into();
    let run = map.range(prefix.first());
    if run.last >= prefix.last() {
        let listed = (run.state != UNLISTED).then(|| Item { prefix, content: content_of(run.state) });
        return (prefix == Prefix::ROOT).then(|| listed.into_iter().collect());
    }
    let mut items = Vec::new();
    let large = summary.get(prefix);
    let measure = large.unwrap_or_else(|| measure::measure(map, prefix, &mut items));
    if limits.allow(measure.full_form(prefix, UNLISTED)) {
        if large.is_some() {
            measure::measure(map, prefix, &mut items);
        }
        if measure.state != UNLISTED {
            items.push(Item { prefix, content: content_of(measure.state) });
        }
    } else {
        items = Packing::start(map, summary, prefix, measure.state).fill(limits);
    }
    items.sort_unstable();
    Some(items)
}

/// The rdata of the APL record of a block.
pub fn rdata(items: &[Item<State>]) -> Vec<u8> {
    let apl_items: Vec<AplItem> = items
        .iter()
        .flat_map(|item| {
            let (listed, negated) = match item.content {
                Content::Listed(_) => (true, false),
                Content::NotListed => (false, true),
                Content::Mixed => (true, true),
            };
            let plain = listed.then(|| AplItem::new(item.prefix, false));
            plain.into_iter().chain(negated.then(|| AplItem::new(item.prefix, true)))
        })
        .collect();
    apl::write(&apl_items)
}

/// A block that cannot hold all items of its prefix, while it is packed.
struct Packing<'m, M> {
    map: &'m M,
    summary: &'m Summary,
    /// The state of the block's prefix.
    state: State,
    /// Items that stay.
    items: Vec<Item<State>>,
    /// Mixed items that another form may replace.
    mixed: Vec<MixedItem>,
    /// The size of all of them.
    size: Size,
    /// The items of the full forms of mixed items, as far as they were met in measuring.
    met: Vec<Item<State>>,
}

/// A mixed item, and what its other forms cost.
struct MixedItem {
    prefix: Prefix,
    measure: Measure,
    /// The size of the mixed item itself.
    size: Size,
    /// The size of its full form.
    full: Size,
    /// The places of the items of that in [`Packing::met`]; none where they were not met.
    met: std::ops::Range<usize>,
}

impl<'m, M: StateMap> Packing<'m, M> {
    /// Rule 2: an item for the prefix if it is listed, and its children.
    fn start(map: &'m M, summary: &'m Summary, prefix: Prefix, state: State) -> Self {
        let mut packing =
            Self { map, summary, state, items: vec![], mixed: vec![], size: Size::default(), met: vec![] };
        if state != UNLISTED {
            packing.push_item(prefix, state);
        }
        packing.push_children(prefix);
        packing
    }

    /// Rules 3 and 4, until neither applies.
    fn fill(mut self, limits: Limits) -> Vec<Item<State>> {
        while let Some((index, form)) = self.next_replacement(limits) {
            let mixed = self.mixed.swap_remove(index);
            self.size = self.size - mixed.size;
            match form {
                Form::Full => self.push_full_form(mixed),
                Form::Children => self.push_children(mixed.prefix),
            }
        }
        self.items
            .extend(self.mixed.iter().map(|mixed| Item { prefix: mixed.prefix, content: Content::Mixed }));
        self.items
    }

    fn next_replacement(&self, limits: Limits) -> Option<(usize, Form)> {
        let mixed = || self.mixed.iter().enumerate();
        let with = |mixed: &MixedItem, form: Size| self.size - mixed.size + form;
        // Rule 3: the smallest that fits.
        let full = mixed()
            .filter(|(_, mixed)| limits.allow(with(mixed, mixed.full)))
            .min_by_key(|(_, mixed)| (mixed.full.octets, mixed.prefix));
        if let Some((index, _)) = full {
            return Some((index, Form::Full));
        }
        // Rule 4: the one with the most items.
        mixed()
            .filter(|(_, mixed)| mixed.measure.state == self.state)
            .filter(|(_, mixed)| {
                limits.allow_split(mixed.measure.full.items, with(mixed, mixed.measure.split))
            })
            .min_by_key(|(_, mixed)| (std::cmp::Reverse(mixed.measure.full.items), mixed.prefix))
            .map(|(index, _)| (index, Form::Children))
    }

    /// Adds the children of a prefix: the uniform ones of another state than the block's, joined,
    /// and a mixed item for each mixed one.
    fn push_children(&mut self, prefix: Prefix) {
        if self.summary.get(prefix).is_some() {
            self.push_children_of(self.map, self.summary, prefix);
        } else {
            // Few runs: better read once, one after the other, than searched for each child.
            self.push_children_of(&Runs::inside(self.map, prefix), &Summary::default(), prefix);
        }
    }

    fn push_children_of(&mut self, map: &impl StateMap, summary: &Summary, prefix: Prefix) {
        let mut last_run = None;
        let mut index = 0;
        while index < 16 {
            let child = prefix.child(index);
            let large = summary.get(child);
            if let Some(measure) = large.filter(|large| large.spread || large.state != self.state) {
                // All there is to know, without a look at the map.
                self.push_mixed(child, measure, 0);
                index += 1;
                continue;
            }
            let run = last_run
                .filter(|run: &Range<u128>| run.last >= child.first())
                .unwrap_or_else(|| map.range(child.first()));
            last_run = Some(run);
            if run.last < child.last() {
                let end = map.range(child.last());
                let first = if run.state == self.state { run.last + 1 } else { child.first() };
                let last = if end.state == self.state { end.first - 1 } else { child.last() };
                let narrowest = narrowest_mixed(map, first, last);
                // What lies in a prefix with few runs has few itself.
                match large.and_then(|_| summary.get(narrowest)) {
                    Some(measure) => self.push_mixed(narrowest, measure, 0),
                    None => {
                        let before = self.met.len();
                        let measure = measure::measure(map, narrowest, &mut self.met);
                        self.push_mixed(narrowest, measure, self.met.len() - before);
                    }
                }
                last_run = Some(end);
                index += 1;
            } else {
                let to = last_child_within(prefix, run.last);
                if run.state != self.state {
                    for_each_joined(prefix, index, to, |joined| self.push_item(joined, run.state));
                }
                index = to + 1;
            }
        }
    }

    fn push_item(&mut self, prefix: Prefix, state: State) {
        self.size += Size::item(prefix);
        self.items.push(Item { prefix, content: content_of(state) });
    }

    /// Adds a mixed item, of whose full form the last `met` items of [`Self::met`] were met.
    fn push_mixed(&mut self, prefix: Prefix, measure: Measure, met: usize) {
        let size = Size::mixed_item(prefix);
        self.size += size;
        let full = measure.full_form(prefix, self.state);
        let met = self.met.len() - met..self.met.len();
        self.mixed.push(MixedItem { prefix, measure, size, full, met });
    }

    fn push_full_form(&mut self, mixed: MixedItem) {
        let MixedItem { prefix, measure, full, met, .. } = mixed;
        self.size += full;
        if measure.state != self.state {
            self.items.push(Item { prefix, content: content_of(measure.state) });
        }
        if met.is_empty() {
            measure::measure(self.map, prefix, &mut self.items);
        } else {
            self.items.extend_from_slice(&self.met[met]);
        }
    }
}

/// The longest mixed prefix that contains all from `first` to `last`, the addresses of a mixed child
/// that have another state than the block's.
fn narrowest_mixed(map: &impl StateMap, first: u128, last: u128) -> Prefix {
    let prefix = Prefix::common(first, last);
    let exact = (prefix.first(), prefix.last()) == (first, last);
    if exact && is_uniform(map, prefix) { prefix.parent() } else { prefix }
}

/// What replaces a mixed item.
enum Form {
    /// Its full form (rule 3).
    Full,
    /// Its 16 children (rule 4).
    Children,
}
