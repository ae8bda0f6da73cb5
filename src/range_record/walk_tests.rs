//! Walks over blocks of random lists, answered as a server would answer, and as a broken one.

use proptest::prelude::*;

use std::net::Ipv4Addr;

use super::content::Malformed;
use super::literal::ListEntry;
use super::measure::Summary;
use super::tests::{lists, runs};
use super::value::{Value, fill_in};
use super::walk::{Answer, Fallback, Listing, Question, Said, Step, Verdict, Walk, address_in_text};
use super::*;
use crate::address::MAPPED;
use crate::prefix_table::UNLISTED;

/// What goes wrong between server and client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// No answer comes.
    Dropped,
    /// The name is not there (any more).
    NoRecords,
    /// The rdata is other octets.
    Garbage,
    /// The rdata ends early.
    Cut,
}

struct Server {
    map: Runs,
    summary: Summary,
    limit: usize,
}

impl Server {
    fn new(listings: &[ListEntry], limit: usize) -> Self {
        let map = runs(listings);
        Self { summary: Summary::new(&map), map, limit }
    }

    fn address_of(key: Key) -> u128 {
        match key {
            Key::V4(address) => MAPPED | u128::from(address),
            Key::V6(address) => address,
        }
    }

    /// State 2 has a long text with the address in it, state 3 is left to canonical addresses.
    fn value(state: State) -> Value {
        let text = match state {
            1 => None,
            2 => Some([&b"$$2, see https://bl.example/$ "[..], &[b'.'; 250]].concat()),
            _ => Some(b"listed".to_vec()),
        };
        Value { addresses: vec![Ipv4Addr::new(127, 0, 0, state as u8)], text }
    }

    fn texts(state: State, key: Key) -> Vec<Vec<u8>> {
        let address = address_in_text(key);
        Self::value(state).text.iter().map(|text| fill_in(text, &address)).collect()
    }

    fn records(&self, question: Question) -> Vec<Box<[u8]>> {
        match question {
            Question::Items(prefix) => {
                let items = block::pack(&self.map, &self.summary, prefix, self.limit);
                items.map(|items| block::rdata(&items).into()).into_iter().collect()
            }
            Question::Values(prefix) => {
                let Some(items) = block::pack(&self.map, &self.summary, prefix, self.limit) else {
                    return vec![];
                };
                let told = |state| (state != 3).then(|| Self::value(state));
                value::write(&items, self.limit, told).into_iter().map(Into::into).collect()
            }
            Question::Addresses(key) => match state_at(&self.map, Self::address_of(key)) {
                UNLISTED => vec![],
                state => vec![[127, 0, 0, state as u8].into()],
            },
            Question::Texts(key) => {
                let state = state_at(&self.map, Self::address_of(key));
                let texts = if state == UNLISTED { vec![] } else { Self::texts(state, key) };
                let rdata = |text: &Vec<u8>| {
                    let strings = text.chunks(255).map(|chunk| [&[chunk.len() as u8], chunk].concat());
                    strings.collect::<Vec<_>>().concat().into()
                };
                texts.iter().map(rdata).collect()
            }
        }
    }

    fn answer(&self, question: Question, fault: Fault) -> Answer {
        let mut records = self.records(question);
        match fault {
            Fault::None => {}
            Fault::Dropped => return Answer::Failed,
            Fault::NoRecords => return Answer::NoRecords,
            Fault::Garbage => records.iter_mut().for_each(|rdata| rdata.reverse()),
            Fault::Cut => {
                records.iter_mut().for_each(|rdata| *rdata = rdata[..rdata.len().saturating_sub(1)].into())
            }
        }
        if records.is_empty() { Answer::NoRecords } else { Answer::Records(records) }
    }
}

/// Walks to the end; `fault` says what goes wrong with a question.
fn walked(server: &Server, key: Key, mut fault: impl FnMut(Question) -> Fault) -> (Verdict, Vec<Question>) {
    let mut walk = Walk::new(key, true);
    let mut asked = Vec::new();
    loop {
        match walk.step() {
            Step::Done(verdict) => return (verdict, asked),
            Step::Ask(question) => {
                walk.answer(&server.answer(question, fault(question)));
                asked.push(question);
            }
        }
        assert!(asked.len() <= 32 + 5, "{asked:?}");
    }
}

fn keys(server: &Server, random: &[u128]) -> Vec<Key> {
    let places = server.map.0.iter().flat_map(|run| [run.first, run.last]);
    places.chain(random.iter().copied()).map(key_of).collect()
}

fn said(verdict: &Verdict) -> Option<&Said> {
    match &verdict.listing {
        Listing::Listed(Some(said)) => Some(said),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_those_of_the_ordinary_query(
        listings in lists(80),
        random in proptest::collection::vec(any::<u128>(), 8),
        limit in block::MIN_LIMIT..1200,
    ) {
        let server = Server::new(&listings, limit);
        for key in keys(&server, &random) {
            let (verdict, asked) = walked(&server, key, |_| Fault::None);
            let address = Server::address_of(key);
            let state = state_at(&server.map, address);
            prop_assert_eq!(verdict.fallback, None);
            let (first, last) = verdict.covered.unwrap();
            prop_assert!(first <= address && address <= last);
            let run = server.map.range(address);
            prop_assert!(run.first <= first && last <= run.last);
            match said(&verdict) {
                None => prop_assert_eq!((&verdict.listing, state), (&Listing::NotListed, UNLISTED)),
                Some(said) => {
                    prop_assert_eq!(&said.addresses, &Server::value(state).addresses);
                    let texts = said.texts.as_ref().unwrap();
                    prop_assert_eq!(texts, &Server::texts(state, said.text_address));
                    // Only what no block can tell is asked elsewhere.
                    prop_assert!(said.text_address == key || asked.contains(&Question::Texts(said.text_address)));
                }
            }
        }
    }

    #[test]
    fn faults_cost_answers_and_never_truth(
        listings in lists(60),
        random in proptest::collection::vec(any::<u128>(), 8),
        fault in prop_oneof![
            Just(Fault::Dropped), Just(Fault::NoRecords), Just(Fault::Garbage), Just(Fault::Cut)
        ],
        which in 0..5u8,
    ) {
        let server = Server::new(&listings, block::MIN_LIMIT);
        for key in keys(&server, &random) {
            // What the address itself says is dropped at most: there is nothing to hold it against.
            let (verdict, _) = walked(&server, key, |question| match question {
                Question::Items(prefix) if which == prefix.length() / 4 % 5 => fault,
                Question::Values(_) if which > 1 => fault,
                Question::Addresses(asked) if asked == key && which == 4 => Fault::Dropped,
                Question::Texts(asked) if asked == key && which == 4 => Fault::Dropped,
                Question::Addresses(asked) | Question::Texts(asked) if asked != key && which > 2 => fault,
                _ => Fault::None,
            });
            let state = state_at(&server.map, Server::address_of(key));
            match &verdict.listing {
                Listing::NotListed => prop_assert_eq!(state, UNLISTED),
                Listing::Listed(_) => prop_assert_ne!(state, UNLISTED),
                Listing::Unknown => prop_assert!(which == 4),
            }
        }
    }
}

fn prefix(text: u128, length: u8) -> Prefix {
    Prefix::containing(text, length)
}

#[test]
fn one_listed_prefix_costs_two_names() {
    let documentation = 0x2001_0db8 << 96;
    let server = Server::new(&[ListEntry { prefix: prefix(documentation, 32), state: 2 }], 800);
    for inside in [0, 1, u128::from(u64::MAX), low(96)] {
        let key = Key::V6(documentation | inside);
        let (verdict, asked) = walked(&server, key, |_| Fault::None);
        assert_eq!(asked, [Question::Items(Prefix::ROOT), Question::Values(Prefix::ROOT)]);
        assert_eq!(verdict.covered, Some((documentation, documentation | low(96))));
        assert_eq!(said(&verdict).unwrap().text_address, key);
    }
    let (verdict, asked) = walked(&server, Key::V4(0x0a00_0001), |_| Fault::None);
    assert_eq!((verdict.listing, asked.len()), (Listing::NotListed, 1));
}

#[test]
fn canonical_addresses_are_shared() {
    // The lowest address of the listing is an exception.
    let documentation = 0x2001_0db8 << 96;
    let listings = [
        ListEntry { prefix: prefix(documentation, 32), state: 3 },
        ListEntry { prefix: prefix(documentation, 64), state: UNLISTED },
    ];
    let server = Server::new(&listings, 800);
    let canonical = Key::V6(documentation | 1 << 64);
    for address in [documentation | 5 << 70, documentation | 7 << 90] {
        let (verdict, asked) = walked(&server, Key::V6(address), |_| Fault::None);
        assert_eq!(asked[2..], [Question::Addresses(canonical), Question::Texts(canonical)]);
        assert_eq!(said(&verdict).unwrap().text_address, canonical);
    }
}

#[test]
fn mapped_addresses_and_plain_walks_ask_the_ordinary_query() {
    let server = Server::new(&[], 800);
    let key = Key::V6(MAPPED | 0x7f00_0002);
    let (verdict, asked) = walked(&server, key, |_| Fault::None);
    assert_eq!(asked, [Question::Addresses(key)]);
    assert_eq!((verdict.listing, verdict.fallback), (Listing::NotListed, Some(Fallback::Mapped)));
    assert_eq!(Walk::plain(Key::V4(1), false).step(), Step::Ask(Question::Addresses(Key::V4(1))));
}

#[test]
fn ranges_are_of_one_family() {
    let server = Server::new(&[], 800);
    let last_v4 = MAPPED | u128::from(u32::MAX);
    for (key, covered) in [
        (Key::V6(0), (0, MAPPED - 1)),
        (Key::V4(7), (MAPPED, last_v4)),
        (Key::V6(u128::MAX), (last_v4 + 1, u128::MAX)),
    ] {
        assert_eq!(walked(&server, key, |_| Fault::None).0.covered, Some(covered));
    }
}

#[test]
fn a_chain_of_blocks_ends() {
    // A server that always says "go on" one nibble deeper.
    let mut walk = Walk::new(Key::V6(0), false);
    let mut asked = 0;
    while let Step::Ask(Question::Items(block)) = walk.step() {
        let next = prefix(0, block.length() + 4);
        let items = [apl::AplItem::new(next, false), apl::AplItem::new(next, true)];
        walk.answer(&Answer::Records(vec![apl::write(&items).into()]));
        asked += 1;
    }
    assert_eq!((asked, walk.step()), (32, Step::Ask(Question::Addresses(Key::V6(0)))));
    walk.answer(&Answer::NoRecords);
    let Step::Done(verdict) = walk.step() else { panic!("no end") };
    assert_eq!((verdict.listing, verdict.fallback), (Listing::NotListed, Some(Fallback::TooManyBlocks)));
}

#[test]
fn more_than_one_record_is_malformed() {
    let mut walk = Walk::new(Key::V4(1), false);
    walk.answer(&Answer::Records(vec![[].into(), [].into()]));
    walk.answer(&Answer::Failed);
    let Step::Done(verdict) = walk.step() else { panic!("no end") };
    let malformed = Fallback::Malformed(Prefix::ROOT, Malformed::NotOneRecord(2));
    assert_eq!((verdict.listing, verdict.fallback), (Listing::Unknown, Some(malformed)));
}

#[test]
fn a_zone_that_contradicts_its_block_is_no_witness() {
    let documentation = 0x2001_0db8 << 96;
    let server = Server::new(&[ListEntry { prefix: prefix(documentation, 32), state: 3 }], 800);
    let key = Key::V6(documentation | 1);
    let ended = |at_canonical| {
        let (verdict, _) = walked(&server, key, |question| match question {
            Question::Addresses(asked) if asked == key => Fault::Dropped,
            Question::Addresses(_) => at_canonical,
            _ => Fault::None,
        });
        verdict.listing
    };
    assert_eq!(ended(Fault::NoRecords), Listing::Unknown);
    // Where nobody answers, the block has said that it is listed.
    assert_eq!(ended(Fault::Dropped), Listing::Listed(None));
}

fn low(bits: u32) -> u128 {
    (1 << bits) - 1
}
