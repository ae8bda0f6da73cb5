//! One stream of names out of many: what several standard zones under one apex say together.
//!
//! Each source by itself answers every name as RFC 4592 says. The union does so too if every name
//! that exists in any of them has, of each source, what that source says of the name; and its
//! wildcard has what each source says of names below it. So where a source does not know a name, the
//! wildcard that it has for it goes on: a stack of open names for each source is all the memory.

use std::collections::VecDeque;

use super::sources::Source;
use super::{ANY, ASTERISK, Node, VirtualName, common, fits, marker};
use crate::zone::{EmptyNonTerminals, Found, RecordSets, Zone};

/// The names of a virtual zone, in canonical order. See [`super::VirtualZone::names`].
pub struct Names<'z> {
    zone: &'z Zone,
    empty_non_terminals: EmptyNonTerminals,
    streams: Vec<Stream<'z>>,
    /// The name visited last.
    previous: Option<Vec<u8>>,
    /// Names to be given out before anything else is visited.
    ready: VecDeque<VirtualName<'z>>,
    /// Wildcards of the names above, whose turn is yet to come; each sorts before the one under it.
    wildcards: Vec<VirtualName<'z>>,
    too_long: u64,
}

/// A source and where it stands.
struct Stream<'z> {
    source: Source<'z>,
    nodes: Box<dyn Iterator<Item = Node<'z>> + 'z>,
    next: Option<Node<'z>>,
    /// The existing names of the source above the one visited: the length of each key, and what is
    /// said of the names below it.
    open: Vec<(usize, Found<'z>)>,
}

impl<'z> Names<'z> {
    pub(super) fn new(
        zone: &'z Zone,
        sources: Vec<Source<'z>>,
        empty_non_terminals: EmptyNonTerminals,
    ) -> Self {
        let streams = sources.into_iter().map(|source| Stream {
            nodes: Box::new(source.walk()),
            source,
            next: None,
            open: Vec::new(),
        });
        let mut names = Self {
            zone,
            empty_non_terminals,
            streams: streams.collect(),
            previous: None,
            ready: VecDeque::new(),
            wildcards: Vec::new(),
            too_long: 0,
        };
        for index in 0..names.streams.len() {
            names.advance(index);
        }
        names
    }

    /// How many names were left out so far because they have more than 255 octets under the zone's
    /// name: nobody can ask for them.
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Takes the next name of a source that can be asked for.
    fn advance(&mut self, index: usize) {
        loop {
            let stream = &mut self.streams[index];
            stream.next = stream.nodes.next();
            match &stream.next {
                Some(node) if !fits(self.zone, &node.key, 0) => self.too_long += 1,
                _ => return,
            }
        }
    }

    /// The next name that exists: that of a source, or one above it that has not been visited.
    fn next_key(&self) -> Option<Vec<u8>> {
        let next =
            self.streams.iter().filter_map(|stream| stream.next.as_ref()).map(|node| &node.key).min()?;
        let Some(previous) = &self.previous else { return Some(next[..0].into()) };
        // The label after the last that both have in common.
        let begin = common(next, previous);
        let end =
            next[begin..].iter().position(|&octet| octet == 0).map_or(next.len(), |end| begin + end + 1);
        Some(next[..end].into())
    }

    fn visit(&mut self, key: Vec<u8>) {
        while let Some(wildcard) = self.wildcards.pop_if(|wildcard| wildcard.key < key) {
            self.ready.push_back(wildcard);
        }
        let dropin = self.zone.options().dropin;
        let (mut own, mut below) = (Found::new(dropin), Found::new(dropin));
        for index in 0..self.streams.len() {
            let stream = &mut self.streams[index];
            let above = self.previous.as_deref().unwrap_or_default();
            while stream.open.pop_if(|(length, _)| !key.starts_with(&above[..*length])).is_some() {}
            match &stream.next {
                Some(node) if node.key == key => {
                    own.extend(node.own.clone());
                    below.extend(node.below.clone());
                    stream.open.push((key.len(), node.below.clone()));
                    self.advance(index);
                }
                _ => {
                    if let Some((_, inherited)) = stream.open.last() {
                        stream.source.inherit(&key, inherited, &mut own, &mut below);
                    }
                }
            }
        }
        let exists_below =
            |stream: &Stream<'_>| stream.next.as_ref().is_some_and(|node| node.key.starts_with(&key));
        let wildcard = match fits(self.zone, &key, ASTERISK.len()) {
            true => below.records(ANY),
            false => RecordSets::new(),
        };
        let mut records = own.records(ANY);
        let is_marked = || match self.empty_non_terminals {
            EmptyNonTerminals::Marker => true,
            EmptyNonTerminals::Plain => wildcard.is_empty() && !self.streams.iter().any(exists_below),
        };
        if records.is_empty() && is_marked() {
            records.push(marker(self.zone));
        }
        if !records.is_empty() {
            self.ready.push_back(VirtualName { key: key.clone(), records });
        }
        if !wildcard.is_empty() {
            self.wildcards.push(VirtualName { key: [&key[..], ASTERISK].concat(), records: wildcard });
        }
        self.previous = Some(key);
    }
}

impl<'z> Iterator for Names<'z> {
    type Item = VirtualName<'z>;

    fn next(&mut self) -> Option<VirtualName<'z>> {
        loop {
            if let Some(name) = self.ready.pop_front() {
                return Some(name);
            }
            match self.next_key() {
                Some(key) => self.visit(key),
                None => return self.wildcards.pop(),
            }
        }
    }
}
