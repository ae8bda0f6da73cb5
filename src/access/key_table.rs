//! The keys that customers put into names, and their accounts: a hash table of digests.
//!
//! A key is known by the SHA-256 digest of its lower case (names have no letter case), in the table,
//! in files if the operator wants it so, and wherever an operator sees it: no key is kept in memory.
//!
//! A digest takes longer than all the rest of an answer. So once a key was found by it, it is found by a
//! fast hash from then on, whose seed nobody else knows: a question costs that hash, one cache line of
//! the table and one of the account.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use ring::digest;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::account::{Account, AccountId, Usage};
use super::plan::PlanId;
use crate::name::Name;
use crate::prefix_table::prefetch;

/// The shortest key, in octets: longer than any label of an address.
pub const SHORTEST_KEY: usize = 8;

/// What a key file says, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyList {
    /// Keys and their plans; each key once.
    pub keys: Vec<(AccountId, PlanId)>,
}

/// All keys, by their digests. Made once and never changed.
#[derive(Debug, Default)]
pub struct KeyTable {
    /// Half as many places again as keys, and no more: to find a page takes longer than to pass over a few
    /// places. A key is at the first free place from where its digest points.
    slots: Box<[Slot]>,
    len: usize,
    /// Those that were asked for: as many places, by the fast hash.
    met: Box<[OnceLock<Met>]>,
    /// Of the fast hash.
    seed: u64,
}

/// What is known of an account before it is looked at.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// Bits of the digest that the place does not tell.
    tag: u32,
    plan: PlanId,
    account: Option<Arc<Account>>,
}

/// A key that was asked for.
#[derive(Clone, Debug)]
struct Met {
    /// Half of its fast hash; the other tells the place.
    tag: u64,
    account: Arc<Account>,
    plan: PlanId,
}

/// A label that may be a key, in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    octets: [u8; Self::ROOM],
    len: u8,
}

/// A key or a rule that was found.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'t> {
    /// What it has asked.
    pub account: &'t Arc<Account>,
    /// What it may ask.
    pub plan: PlanId,
}

impl Label {
    /// More octets than a label has (RFC 1035, section 2.3.4).
    pub const ROOM: usize = 64;

    /// The label of `len` octets at the beginning of some: of a known number, which is quicker.
    #[inline(always)]
    pub fn new(octets: &[u8; Self::ROOM], len: usize) -> Self {
        Self { octets: octets.map(|octet| octet.to_ascii_lowercase()), len: len.min(Self::ROOM) as u8 }
    }

    #[inline(always)]
    fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len).min(Self::ROOM)]
    }
}

impl AccountId {
    /// Of a key, in any letter case.
    pub fn of_key(key: &[u8]) -> Self {
        let mut lowercase = [0; Name::MAX_OCTETS];
        let lowercase = &mut lowercase[..key.len().min(Name::MAX_OCTETS)];
        lowercase.copy_from_slice(&key[..lowercase.len()]);
        lowercase.make_ascii_lowercase();
        Self::of(lowercase)
    }

    /// Of the whole digest of a key.
    pub fn of_digest(digest: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|place| digest[place]))
    }

    /// Of any text.
    pub(super) fn of(text: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, text);
        Self(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }

    fn hash(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl KeyTable {
    /// The table of a list. Accounts of keys that were in the table `before` are kept; `open` makes
    /// the others.
    pub fn new(list: &KeyList, before: &Self, mut open: impl FnMut(AccountId) -> Account) -> Self {
        let places = list.keys.len() + list.keys.len() / 2 + 1;
        let mut table = Self {
            slots: vec![Slot::default(); places].into(),
            len: 0,
            met: (0..places).map(|_| OnceLock::new()).collect(),
            seed: RandomState::new().hash_one(places),
        };
        for &(id, plan) in &list.keys {
            let account = before.find(id).map(|entry| entry.account.clone());
            table.insert(plan, account.unwrap_or_else(|| Arc::new(open(id))));
        }
        table
    }

    fn insert(&mut self, plan: PlanId, account: Arc<Account>) {
        let hash = account.id.hash();
        let free = self.places(hash).find(|&place| self.slots[place].account.is_none());
        // There are more places than keys.
        let Some(place) = free else { return };
        self.slots[place] = Slot { tag: hash as u32, plan, account: Some(account) };
        self.len += 1;
    }

    /// The fast hash of a label. Has what it leads to fetched into the cache.
    #[inline(always)]
    pub fn hash(&self, label: &Label) -> u128 {
        let hash = xxh3_128_with_seed(label.octets(), self.seed);
        let place = self.places(hash as u64).next();
        if let Some(met) = place.and_then(|place| self.met.get(place)) {
            prefetch(met);
        }
        hash
    }

    /// The account of a label with this hash, where it is a key.
    #[inline(always)]
    pub fn find_label(&self, hash: u128, label: impl FnOnce() -> Label) -> Option<Entry<'_>> {
        for place in self.places(hash as u64) {
            match self.met.get(place)?.get() {
                Some(met) if met.tag == (hash >> 64) as u64 => {
                    return Some(Entry { account: &met.account, plan: met.plan });
                }
                Some(_) => {}
                None => return self.meet(hash, &label()),
            }
        }
        None
    }

    /// As [`Self::find_label`] where it was not asked for before: by its digest.
    #[cold]
    #[inline(never)]
    fn meet(&self, hash: u128, label: &Label) -> Option<Entry<'_>> {
        let entry = self.find(AccountId::of(label.octets()))?;
        let tag = (hash >> 64) as u64;
        let met = || Met { tag, account: entry.account.clone(), plan: entry.plan };
        // Another worker may be as far: it takes the same place, or one before.
        let is_there = |place: usize| self.met[place].get_or_init(met).tag == tag;
        self.places(hash as u64).find(|&place| is_there(place));
        Some(entry)
    }

    /// The account of a key by its digest.
    pub fn find(&self, id: AccountId) -> Option<Entry<'_>> {
        let hash = id.hash();
        for place in self.places(hash) {
            let slot = self.slots.get(place)?;
            let account = slot.account.as_ref()?;
            if slot.tag == hash as u32 && account.id == id {
                return Some(Entry { account, plan: slot.plan });
            }
        }
        None
    }

    /// All places, from where the high bits of a hash point.
    #[inline(always)]
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let places = self.slots.len();
        let first = ((u128::from(hash) * places as u128) >> u64::BITS) as usize;
        (first..places).chain(0..first)
    }

    /// All accounts and their plans.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slots.iter().filter_map(|slot| Some(Entry { account: slot.account.as_ref()?, plan: slot.plan }))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory of the table and its accounts, in octets.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
            + size_of_val(&*self.met)
            + self.len * (size_of::<Account>() + 2 * size_of::<usize>())
    }
}

impl Account {
    /// An account that nobody puts down.
    pub fn unsaved(id: AccountId) -> Self {
        Self::new(id, Usage::default(), false)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn list(keys: &[(u16, PlanId)]) -> KeyList {
        let mut seen = HashMap::new();
        for &(key, plan) in keys {
            seen.entry(key).or_insert(plan);
        }
        KeyList { keys: seen.into_iter().map(|(key, plan)| (id(key), plan)).collect() }
    }

    fn label(key: &[u8]) -> Label {
        // What is behind the label must not count.
        let octets = std::array::from_fn(|place| key.get(place).copied().unwrap_or(key[0]));
        Label::new(&octets, key.len())
    }

    #[test]
    fn workers_meet_a_key_together() {
        let keys: Vec<_> = (0..300).map(|key| (key, 0)).collect();
        let table = KeyTable::new(&list(&keys), &KeyTable::default(), Account::unsaved);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..600u16 {
                        let label = label(format!("customer-{key}").as_bytes());
                        let met = table.find_label(table.hash(&label), || label);
                        assert_eq!(met.map(|entry| entry.account.id), (key < 300).then(|| id(key)));
                    }
                });
            }
        });
        assert_eq!(table.met.iter().filter(|met| met.get().is_some()).count(), 300, "each once");
    }

    fn id(key: u16) -> AccountId {
        AccountId::of_key(format!("customer-{key}").as_bytes())
    }

    #[test]
    fn digests_are_those_of_other_tools() {
        // printf %s abcdefgh | sha256sum
        let expected = "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab";
        let digest: [u8; 32] =
            data_encoding::HEXLOWER.decode(expected.as_bytes()).unwrap().try_into().unwrap();
        assert_eq!(AccountId::of_key(b"ABCDefgh"), AccountId::of_digest(&digest));
        assert_eq!(AccountId::of_digest(&digest).to_string(), expected[..12]);
    }

    proptest! {
        #[test]
        fn as_a_map(one in vec((0u16..300, any::<u8>()), 0..300), other in vec((0u16..300, any::<u8>()), 0..300)) {
            let (one, other) = (list(&one), list(&other));
            let first = KeyTable::new(&one, &KeyTable::default(), Account::unsaved);
            let second = KeyTable::new(&other, &first, Account::unsaved);
            prop_assert_eq!(second.len(), other.keys.len());
            prop_assert_eq!(second.entries().count(), other.keys.len());
            let plans: HashMap<_, _> = other.keys.iter().copied().collect();
            for key in 0..310 {
                let found = second.find(id(key));
                prop_assert_eq!(found.map(|entry| entry.plan), plans.get(&id(key)).copied());
                for _ in 0..2 {
                    let label = label(format!("Customer-{key}").as_bytes());
                    let met = second.find_label(second.hash(&label), || label);
                    prop_assert_eq!(met.map(|entry| entry.account.id), found.map(|entry| entry.account.id));
                    prop_assert_eq!(met.map(|entry| entry.plan), found.map(|entry| entry.plan));
                }
                if let (Some(before), Some(found)) = (first.find(id(key)), found) {
                    prop_assert!(Arc::ptr_eq(before.account, found.account), "counters outlive a reload");
                }
            }
        }
    }
}
