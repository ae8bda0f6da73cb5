//! What the datasets of a list say of an address together, as numbers: equal meanings have equal
//! numbers, however their entries were written, so that range records see a map of states.
//!
//! Most addresses are listed by one dataset, and then the number is that dataset's own state behind
//! an offset: nothing is stored for it. Likewise where one state meets many of a dataset, as that of
//! a listed 2002::/16 meets those of all IPv4 listings. Stored are only states that mean what an
//! earlier one means, and other combinations that do occur.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::Ipv4Addr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::dataset::{AddressList, Data, Dataset, Saying};
use crate::prefix_table::{State, UNLISTED};
use crate::range_record::value::Value;
use crate::value::Template;

/// The states of the datasets that list an address.
pub(super) type States = SmallVec<[State; 4]>;

/// All that addresses mean.
#[derive(Debug)]
pub(super) struct Meanings {
    datasets: Vec<Arc<Dataset>>,
    /// The states that stand for one state of one dataset, in rising order of `before`.
    spans: Vec<Span>,
    /// The test entry of RFC 5782 and its TTL.
    test: Option<(Saying, u32)>,
    /// The state of the test entry.
    test_state: State,
    /// Above it the pairs of one state with many, in order.
    products: Vec<Product>,
    /// States that mean the same as a lower one.
    same: HashMap<State, State>,
    /// Of each other combination the states that it is made of, in rising order. They are numbered
    /// from the highest number downwards.
    combinations: Vec<States>,
    /// The state of each combination.
    combined: HashMap<States, State>,
    /// Texts that are long are cut, as rbldnsd does.
    cuts_texts: bool,
}

/// The states from `before + 1` on stand for those of one dataset.
#[derive(Clone, Copy, Debug)]
struct Span {
    before: State,
    dataset: usize,
    view: Viewed,
}

/// The states from `before + 1` on stand for one state together with each of a span.
#[derive(Clone, Copy, Debug)]
struct Product {
    with: State,
    /// The place of the span.
    span: usize,
    before: State,
}

/// So many pairs that have one state in common, and at least one in [`SPARSE`] of a span's states,
/// are numbered as a [`Product`].
const MANY_PAIRS: usize = 64;
const SPARSE: usize = 64;

/// How an address is looked up in a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Viewed {
    /// As itself.
    Plain,
    /// As the IPv4 address inside a 6to4 one: `$` is that address, not the one asked.
    Embedded,
}

/// The datasets have more states than there are numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooManyStates;

/// What an ordinary query would be answered.
#[derive(PartialEq, Eq, Hash)]
struct Meaning<'m> {
    addresses: SmallVec<[[u8; 4]; 2]>,
    texts: SmallVec<[(&'m Template, bool); 1]>,
    ttl: u32,
    text_ttl: u32,
}

/// Finds the states that mean the same while [`Meanings`] are made.
pub(super) struct Interner {
    meanings: Meanings,
    by_hash: HashMap<u64, SmallVec<[State; 1]>>,
    hasher: RandomState,
}

impl Meanings {
    /// The datasets about addresses, in their order.
    pub(super) fn datasets(&self) -> &[Arc<Dataset>] {
        &self.datasets
    }

    /// What these datasets hold.
    pub(super) fn lists(&self) -> impl Iterator<Item = &AddressList> {
        self.datasets.iter().filter_map(|dataset| match &dataset.data {
            Data::Addresses(list) => Some(list),
            _ => None,
        })
    }

    /// The state that stands for one state of the dataset at place `dataset` of [`Self::lists`].
    pub(super) fn of(&self, dataset: usize, state: State, view: Viewed) -> State {
        if state == UNLISTED {
            return UNLISTED;
        }
        let plain = self.spans[2 * dataset].before + state;
        let state = match view {
            Viewed::Embedded if self.names_an_address(plain) => self.spans[2 * dataset + 1].before + state,
            _ => plain,
        };
        self.first_same(state)
    }

    /// The state of the test entry.
    pub(super) fn test(&self) -> State {
        self.first_same(self.test_state)
    }

    /// The state of an address that has `states`, of one dataset each.
    pub(super) fn together(&self, mut states: States) -> State {
        settle(&mut states);
        match states[..] {
            [] => UNLISTED,
            [state] => state,
            [first, second] if let Some(state) = self.product(first, second) => self.first_same(state),
            // All combinations that occur were met when the map was made.
            [first, ..] => self.combined.get(&states).copied().unwrap_or(first),
        }
    }

    /// The state of a pair, if it belongs to a product.
    fn product(&self, first: State, second: State) -> Option<State> {
        let find = |with: State, state: State| {
            let span = self.span_of(state)?;
            let place = self.products.binary_search_by_key(&(with, span), |p| (p.with, p.span)).ok()?;
            Some(self.products[place].before + (state - self.spans[span].before))
        };
        if self.products.is_empty() { None } else { find(first, second).or_else(|| find(second, first)) }
    }

    /// The place of the span that a state belongs to.
    fn span_of(&self, state: State) -> Option<usize> {
        let place = self.spans.partition_point(|span| span.before < state);
        if state < self.test_state { place.checked_sub(1) } else { None }
    }

    /// How many states a span has.
    fn states(&self, span: usize) -> State {
        let end = self.spans.get(span + 1).map_or(self.test_state - 1, |next| next.before);
        end - self.spans[span].before
    }

    /// The highest state that stands for no combination of [`Self::combinations`].
    fn last_numbered(&self) -> State {
        self.products.last().map_or(self.test_state, |product| product.before + self.states(product.span))
    }

    fn first_same(&self, state: State) -> State {
        if self.same.is_empty() { state } else { self.same.get(&state).copied().unwrap_or(state) }
    }

    /// What a state says, if one record can tell it: one text at most, in which `$` is the address
    /// that is asked.
    pub(super) fn value(&self, state: State) -> Option<Value> {
        let Meaning { addresses, texts, .. } = self.meaning(state);
        let text = match texts[..] {
            [] => None,
            [(_, true)] => return None,
            [(template, false)] => {
                if self.cuts_texts && is_cut(template) {
                    return None;
                }
                Some(template.source()?)
            }
            _ => return None,
        };
        Some(Value { addresses: addresses.into_iter().map(Ipv4Addr::from).collect(), text })
    }

    /// The memory that is held beside the datasets, in octets, by and large.
    pub(super) fn bytes(&self) -> usize {
        let state = size_of::<State>();
        let combinations: usize = self.combinations.iter().map(|states| states.len() * state + 64).sum();
        4 * state * self.same.len() + 2 * combinations + size_of_val(&*self.products)
    }

    fn names_an_address(&self, state: State) -> bool {
        let mut names = false;
        self.for_each_saying(state, &mut |saying, _, _| {
            names |= saying.text.as_ref().is_some_and(|text| !text.is_literal());
        });
        names
    }

    fn meaning(&self, state: State) -> Meaning<'_> {
        let mut meaning =
            Meaning { addresses: SmallVec::new(), texts: SmallVec::new(), ttl: u32::MAX, text_ttl: u32::MAX };
        self.for_each_saying(state, &mut |saying, ttl, view| {
            meaning.addresses.push(saying.address);
            meaning.ttl = meaning.ttl.min(ttl);
            if let Some(text) = &saying.text {
                meaning.texts.push((text, view == Viewed::Embedded && !text.is_literal()));
                meaning.text_ttl = meaning.text_ttl.min(ttl);
            }
        });
        settle(&mut meaning.addresses);
        settle(&mut meaning.texts);
        meaning
    }

    fn for_each_saying<'m>(&'m self, state: State, visit: &mut dyn FnMut(&'m Saying, u32, Viewed)) {
        if state == UNLISTED {
            return;
        }
        if let Some(parts) = self.combinations.get((State::MAX - state) as usize) {
            return parts.iter().for_each(|&part| self.for_each_saying(part, visit));
        }
        if state == self.test_state {
            return self.test.iter().for_each(|(saying, ttl)| visit(saying, *ttl, Viewed::Plain));
        }
        if state > self.test_state {
            let place = self.products.partition_point(|product| product.before < state);
            let Some(product) = place.checked_sub(1).map(|place| self.products[place]) else { return };
            self.for_each_saying(product.with, visit);
            let of_span = self.spans[product.span].before + (state - product.before);
            return self.for_each_saying(of_span, visit);
        }
        let span = self.spans[self.spans.partition_point(|span| span.before < state) - 1];
        if let Some(list) = self.lists().nth(span.dataset) {
            for saying in list.listing.sayings(state - span.before) {
                visit(saying, list.listing.ttl, span.view);
            }
        }
    }
}

impl Interner {
    /// Meets all states of the datasets about addresses, and the test entry.
    ///
    /// # Errors
    /// More states than there are numbers.
    pub(super) fn new(
        datasets: Vec<Arc<Dataset>>,
        test: Option<(Saying, u32)>,
        dropin: bool,
    ) -> Result<Self, TooManyStates> {
        let mut meanings = Meanings {
            datasets,
            spans: Vec::new(),
            test,
            test_state: 0,
            products: Vec::new(),
            same: HashMap::new(),
            combinations: Vec::new(),
            combined: HashMap::new(),
            cuts_texts: dropin,
        };
        let mut before: State = 0;
        let mut spans = Vec::new();
        for (dataset, list) in meanings.lists().enumerate() {
            for view in [Viewed::Plain, Viewed::Embedded] {
                spans.push(Span { before, dataset, view });
                before = before.checked_add(list.listing.states()).ok_or(TooManyStates)?;
            }
        }
        meanings.spans = spans;
        meanings.test_state = before.checked_add(1).ok_or(TooManyStates)?;
        let mut interner = Self { meanings, by_hash: HashMap::new(), hasher: RandomState::new() };
        for span in interner.meanings.spans.clone() {
            let states = interner.meanings.lists().nth(span.dataset).map_or(0, |list| list.listing.states());
            for state in span.before + 1..=span.before + states {
                if span.view == Viewed::Plain || interner.meanings.names_an_address(state) {
                    interner.meet(state);
                }
            }
        }
        if interner.meanings.test.is_some() {
            interner.meet(interner.meanings.test_state);
        }
        Ok(interner)
    }

    /// The states as they stand.
    pub(super) fn meanings(&self) -> &Meanings {
        &self.meanings
    }

    /// Finds the pairs among all combinations that occur that are to be numbered as products.
    pub(super) fn find_products(&mut self, combinations: &HashSet<States>) {
        let meanings = &mut self.meanings;
        let mut counts: HashMap<(State, usize), usize> = HashMap::new();
        for states in combinations {
            if let [first, second] = states[..] {
                for (with, state) in [(first, second), (second, first)] {
                    if let Some(span) = meanings.span_of(state) {
                        *counts.entry((with, span)).or_default() += 1;
                    }
                }
            }
        }
        let many = |span: usize, count: usize| {
            count >= MANY_PAIRS && count * SPARSE >= meanings.states(span) as usize
        };
        let mut found: Vec<_> =
            counts.into_iter().filter(|&((_, span), count)| many(span, count)).map(|(key, _)| key).collect();
        found.sort_unstable();
        for (with, span) in found {
            let before = meanings.last_numbered();
            // Numbers enough stay for single combinations, or some are not products.
            let last = before.checked_add(meanings.states(span));
            if last.is_some_and(|last| ((State::MAX - last) as usize) > 2 * combinations.len()) {
                meanings.products.push(Product { with, span, before });
            }
        }
    }

    /// As [`Meanings::together`], and meets combinations that are new.
    ///
    /// # Errors
    /// More states than there are numbers.
    pub(super) fn together(&mut self, mut states: States) -> Result<State, TooManyStates> {
        settle(&mut states);
        if states.len() < 2 {
            return Ok(states.first().copied().unwrap_or(UNLISTED));
        }
        if let Some(&state) = self.meanings.combined.get(&states) {
            return Ok(state);
        }
        if let [first, second] = states[..]
            && let Some(state) = self.meanings.product(first, second)
        {
            return Ok(self.meet(state));
        }
        let before = u32::try_from(self.meanings.combinations.len()).map_err(|_| TooManyStates)?;
        let new = State::MAX - before;
        if new <= self.meanings.last_numbered() {
            return Err(TooManyStates);
        }
        self.meanings.combinations.push(states.clone());
        let state = self.meet(new);
        if state != new {
            self.meanings.combinations.pop();
        }
        self.meanings.combined.insert(states, state);
        Ok(state)
    }

    /// The meanings, complete.
    pub(super) fn finish(mut self) -> Meanings {
        self.meanings.same.shrink_to_fit();
        self.meanings.combined.shrink_to_fit();
        self.meanings
    }

    /// The first state with the meaning of `state`.
    fn meet(&mut self, state: State) -> State {
        let Self { meanings, by_hash, hasher } = self;
        let meaning = meanings.meaning(state);
        let same_hash = by_hash.entry(hasher.hash_one(&meaning)).or_default();
        let known = same_hash.iter().copied().find(|&known| meanings.meaning(known) == meaning);
        drop(meaning);
        match known {
            Some(known) => {
                if known != state && state <= meanings.last_numbered() {
                    meanings.same.insert(state, known);
                }
                known
            }
            None => {
                same_hash.push(state);
                state
            }
        }
    }
}

/// True if a text may have more octets than a reply in drop-in mode has room for.
fn is_cut(template: &Template) -> bool {
    const LONGEST_ADDRESS: usize = 39;
    let mut text = Vec::new();
    template.expand(&[b'x'; LONGEST_ADDRESS], &mut text);
    text.len() > super::found::LONGEST_DROPIN_TEXT
}

/// The same states, each once, in rising order.
pub(super) fn settled(mut states: States) -> States {
    settle(&mut states);
    states
}

/// Each once, in rising order.
fn settle<A: smallvec::Array<Item: Ord>>(values: &mut SmallVec<A>) {
    values.sort_unstable();
    values.dedup();
}
