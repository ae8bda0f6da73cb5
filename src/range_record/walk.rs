//! The client's lookup through range records: a machine that says what to ask next, takes the
//! answer, and ends in a verdict. It knows no socket, clock or cache; whoever drives it may answer
//! from memory.
//!
//! ```text
//! APL of ::/0 ─▶ APL of the blocks below ─▶ TXT of the last block ─▶ A, TXT at the canonical address
//!      └──────────────┴── no block, malformed, no answer ──┴─────────▶ A, TXT at the address itself
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use super::content::{Block, Malformed};
use super::value::{self, ValueRecord, fill_in};
use super::{Content, Prefix, apl, canonical_address, key_of, name};
use crate::address::{Key, MAPPED, mapped};

/// How many blocks a walk reads at most: one for each nibble.
const MAX_BLOCKS: u8 = 32;

/// The type codes of the ordinary query.
const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;

/// What is to be asked: a name and a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// The items of a block.
    Items(Prefix),
    /// The values beside a block.
    Values(Prefix),
    /// The A records at an address.
    Addresses(Key),
    /// The TXT records at an address.
    Texts(Key),
}

impl Question {
    /// The name, without the apex.
    pub fn name(&self) -> String {
        match *self {
            Self::Items(prefix) | Self::Values(prefix) => name::block_text(prefix),
            Self::Addresses(key) | Self::Texts(key) => name::address_text(key),
        }
    }

    /// The type code.
    pub fn record_type(&self) -> u16 {
        match self {
            Self::Items(_) => apl::TYPE,
            Self::Addresses(_) => TYPE_A,
            Self::Values(_) | Self::Texts(_) => TYPE_TXT,
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The rdata of all records of the name and type; at least one.
    Records(Vec<Box<[u8]>>),
    /// NXDOMAIN or NODATA.
    NoRecords,
    /// Nothing could be learnt: no reply, a failure, a reply that cannot be read.
    Failed,
}

/// What a lookup found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Listed or not.
    pub listing: Listing,
    /// The addresses around the one asked, first and last, that the range records decide by the
    /// same item; `None` where they did not decide.
    pub covered: Option<(u128, u128)>,
    /// Why the ordinary query was asked, if it was.
    pub fallback: Option<Fallback>,
}

/// Listed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Listed. What it says is `None` where it could not be found out.
    Listed(Option<Said>),
    /// Not listed.
    NotListed,
    /// It could not be found out.
    Unknown,
}

/// What a listing says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The A records.
    pub addresses: Vec<Ipv4Addr>,
    /// The texts, the strings of each record joined; `None` where they were not asked for, or could
    /// not be found out.
    pub texts: Option<Vec<Vec<u8>>>,
    /// The address that stands in the texts where their template has one: the item's canonical
    /// address where that was asked, else the address looked up.
    pub text_address: Key,
}

/// Why a walk ended in the ordinary query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// An IPv6 address inside `::ffff:0:0/96`.
    Mapped,
    /// The block that the walk came to is not there.
    NoBlock(Prefix),
    /// The block was asked for and no answer came.
    NoAnswer(Prefix),
    /// The block is malformed.
    Malformed(Prefix, Malformed),
    /// More blocks than there are nibbles.
    TooManyBlocks,
    /// The canonical address of the item that decides is not listed, or gave no answer.
    NoValue(u128),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this and give the answer to [`Walk::answer`].
    Ask(Question),
    /// The walk has ended.
    Done(Verdict),
}

/// One lookup on its way.
#[derive(Clone, Debug)]
pub struct Walk {
    key: Key,
    /// The address in the map behind the blocks.
    address: u128,
    texts: bool,
    blocks: u8,
    fallback: Option<Fallback>,
    /// The item that lists the address, once the walk has come to it.
    item: Option<ListedItem>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
struct ListedItem {
    number: u32,
    canonical: u128,
    covered: (u128, u128),
}

#[derive(Clone, Debug)]
enum Phase {
    Items(Prefix),
    Values(Prefix, ListedItem),
    /// The A records at an address: the canonical one, or the one looked up.
    Addresses(Key),
    /// Then the TXT records there.
    Texts(Key, Vec<Ipv4Addr>),
    Done(Verdict),
}

impl Walk {
    /// Begins the lookup of an address; `texts` says whether its TXT records matter.
    pub fn new(key: Key, texts: bool) -> Self {
        let address = match key {
            Key::V4(address) => MAPPED | u128::from(address),
            Key::V6(address) => address,
        };
        let phase = Phase::Items(Prefix::ROOT);
        let mut walk = Self { key, address, texts, blocks: 0, fallback: None, item: None, phase };
        if matches!(key, Key::V6(address) if mapped(address).is_some()) {
            walk.ask_ordinary(Fallback::Mapped);
        }
        walk
    }

    /// Begins an ordinary query, without range records.
    pub fn plain(key: Key, texts: bool) -> Self {
        Self { phase: Phase::Addresses(key), ..Self::new(key, texts) }
    }

    /// What to do next.
    pub fn step(&self) -> Step {
        Step::Ask(match &self.phase {
            Phase::Items(prefix) => Question::Items(*prefix),
            Phase::Values(prefix, _) => Question::Values(*prefix),
            Phase::Addresses(key) => Question::Addresses(*key),
            Phase::Texts(key, _) => Question::Texts(*key),
            Phase::Done(verdict) => return Step::Done(verdict.clone()),
        })
    }

    /// Takes the answer to the question of the last step.
    pub fn answer(&mut self, answer: &Answer) {
        match self.phase.clone() {
            Phase::Items(prefix) => self.take_items(prefix, answer),
            Phase::Values(_, item) => self.take_values(item, answer),
            Phase::Addresses(key) => self.take_addresses(key, answer),
            Phase::Texts(key, addresses) => self.take_texts(key, addresses, answer),
            Phase::Done(_) => {}
        }
    }

    fn take_items(&mut self, prefix: Prefix, answer: &Answer) {
        let block = match answer {
            Answer::Records(records) => match &records[..] {
                [rdata] => Block::read(prefix, rdata),
                _ => Err(Malformed::NotOneRecord(records.len())),
            },
            Answer::NoRecords => return self.ask_ordinary(Fallback::NoBlock(prefix)),
            Answer::Failed => return self.ask_ordinary(Fallback::NoAnswer(prefix)),
        };
        let block = match block {
            Ok(block) => block,
            Err(malformed) => return self.ask_ordinary(Fallback::Malformed(prefix, malformed)),
        };
        self.blocks += 1;
        let decision = block.decide(self.address);
        let covered = self.within_family(decision.first, decision.last);
        let Some(index) = decision.item else { return self.end(Listing::NotListed, Some(covered)) };
        let item = block.items()[index];
        match item.content {
            Content::NotListed => self.end(Listing::NotListed, Some(covered)),
            Content::Mixed if self.blocks == MAX_BLOCKS => self.ask_ordinary(Fallback::TooManyBlocks),
            Content::Mixed => self.phase = Phase::Items(item.prefix),
            Content::Listed(number) => {
                // The item decides for this address, so longer ones leave something of it.
                let canonical = canonical_address(block.items(), index).unwrap_or(self.address);
                let item = ListedItem { number, canonical, covered };
                self.item = Some(item);
                self.phase = Phase::Values(prefix, item);
            }
        }
    }

    fn take_values(&mut self, item: ListedItem, answer: &Answer) {
        let named = match answer {
            Answer::Records(records) => records
                .iter()
                .filter_map(|rdata| ValueRecord::read(rdata))
                .find(|record| record.names(item.number)),
            Answer::NoRecords | Answer::Failed => None,
        };
        let Some(record) = named else {
            self.phase = Phase::Addresses(key_of(item.canonical));
            return;
        };
        let text = record.value.text.map(|text| fill_in(&text, &address_in_text(self.key)));
        let said = Said {
            addresses: record.value.addresses,
            texts: Some(text.into_iter().collect()),
            text_address: self.key,
        };
        self.end(Listing::Listed(Some(said)), Some(item.covered));
    }

    fn take_addresses(&mut self, key: Key, answer: &Answer) {
        let addresses: Vec<Ipv4Addr> = match answer {
            Answer::Records(records) => records
                .iter()
                .filter_map(|rdata| <[u8; 4]>::try_from(&**rdata).ok())
                .map(Ipv4Addr::from)
                .collect(),
            Answer::NoRecords | Answer::Failed => Vec::new(),
        };
        match (answer, self.item) {
            _ if !addresses.is_empty() && self.texts => self.phase = Phase::Texts(key, addresses),
            _ if !addresses.is_empty() => self.end_listed(key, addresses, None),
            // Gone since the block was made, or not to be had there: the address itself tells.
            (_, Some(item)) if key != self.key => {
                if *answer == Answer::NoRecords {
                    // The zone contradicts the block, which is then no witness where nothing else is.
                    self.item = None;
                }
                self.ask_ordinary(Fallback::NoValue(item.canonical));
            }
            (Answer::NoRecords, _) => self.end(Listing::NotListed, None),
            // The blocks said that it is listed, if not what it says.
            (_, Some(item)) => self.end(Listing::Listed(None), Some(item.covered)),
            (_, None) => self.end(Listing::Unknown, None),
        }
    }

    fn take_texts(&mut self, key: Key, addresses: Vec<Ipv4Addr>, answer: &Answer) {
        let texts = match answer {
            Answer::Records(records) => {
                let texts = records.iter().filter_map(|rdata| value::strings(rdata));
                Some(texts.map(|strings| strings.concat()).collect())
            }
            Answer::NoRecords => Some(Vec::new()),
            Answer::Failed => None,
        };
        self.end_listed(key, addresses, texts);
    }

    /// A range around the address, cut to the addresses of its family: IPv4 lies in the middle of the map.
    fn within_family(&self, first: u128, last: u128) -> (u128, u128) {
        let last_v4 = MAPPED | u128::from(u32::MAX);
        match self.key {
            Key::V4(_) => (first.max(MAPPED), last.min(last_v4)),
            Key::V6(address) if address < MAPPED => (first, last.min(MAPPED - 1)),
            Key::V6(_) => (first.max(last_v4 + 1), last),
        }
    }

    fn ask_ordinary(&mut self, why: Fallback) {
        self.fallback = Some(why);
        self.phase = Phase::Addresses(self.key);
    }

    fn end_listed(&mut self, key: Key, addresses: Vec<Ipv4Addr>, texts: Option<Vec<Vec<u8>>>) {
        // After a fallback the answer is the address's own, and says nothing of others.
        let covered = self.item.map(|item| item.covered).filter(|_| self.fallback.is_none());
        self.end(Listing::Listed(Some(Said { addresses, texts, text_address: key })), covered);
    }

    fn end(&mut self, listing: Listing, covered: Option<(u128, u128)>) {
        self.phase = Phase::Done(Verdict { listing, covered, fallback: self.fallback });
    }
}

/// An address as texts show it.
pub(super) fn address_in_text(key: Key) -> String {
    match key {
        Key::V4(address) => Ipv4Addr::from_bits(address).to_string(),
        Key::V6(address) => Ipv6Addr::from_bits(address).to_string(),
    }
}
