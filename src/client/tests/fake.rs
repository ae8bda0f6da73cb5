//! A server of range records in memory: packets in, packets out, with faults as wanted.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{NULL, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::address::{Key, MAPPED, ReversedName};
use crate::client::message::{self, Received};
use crate::client::{Failure, Question, Reply, Upstream};
use crate::prefix_table::{State, UNLISTED};
use crate::range_record::literal::ListEntry;
use crate::range_record::measure::Summary;
use crate::range_record::name::{self, RangesName};
use crate::range_record::tests::runs;
use crate::range_record::value::{self, Value, fill_in};
use crate::range_record::{Prefix, Runs, StateMap, apl, block, state_at};
use crate::value::character_strings;

pub(crate) const APEX: &str = "bl.example.";
pub(crate) const TTL: u32 = 300;
pub(crate) const NEGATIVE_TTL: u32 = 100;

/// What goes wrong with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// No answer comes.
    Drop,
    /// The name is not there (any more).
    Vanish,
    /// The rdata is other octets.
    Garbage,
    /// The rdata ends early.
    Cut,
    /// The packet ends early.
    CutPacket,
    Refuse,
    /// Nobody listens there.
    Closed,
    /// A referral to other servers.
    Refer,
}

/// A zone with range records of a list.
pub(crate) struct Zone {
    pub(crate) map: Runs,
    summary: Summary,
    limit: usize,
    /// Without, it has no `_ranges`.
    pub(crate) ranges: bool,
    /// Names with an A record that blocks know nothing of, without the apex.
    pub(crate) hosts: Vec<&'static str>,
}

impl Zone {
    pub(crate) fn new(listings: &[ListEntry], limit: usize) -> Self {
        let map = runs(listings);
        Self { summary: Summary::new(&map), map, limit, ranges: true, hosts: Vec::new() }
    }

    pub(crate) fn state(&self, key: Key) -> State {
        state_at(&self.map, map_address(key))
    }

    /// State 2 has a long text with the address in it, state 3 is left to canonical addresses.
    pub(crate) fn value(state: State) -> Value {
        let text = match state {
            1 => None,
            2 => Some([&b"$$2, see https://bl.example/$ "[..], &[b'.'; 250]].concat()),
            _ => Some(b"listed".to_vec()),
        };
        Value { addresses: vec![Ipv4Addr::new(127, 0, 0, state as u8)], text }
    }

    pub(crate) fn texts(state: State, address: &str) -> Vec<Vec<u8>> {
        Self::value(state).text.iter().map(|text| fill_in(text, address)).collect()
    }

    /// The records of a name below the apex, all types; `None` if there is no such name.
    fn records(&self, labels: &[&[u8]]) -> Option<Vec<(u16, Vec<u8>)>> {
        let name: Vec<_> = labels.iter().map(|label| String::from_utf8_lossy(label)).collect();
        let name = name.join(".");
        if self.hosts.contains(&&*name) {
            return Some(vec![(1, vec![192, 0, 2, 53])]);
        }
        if self.hosts.iter().any(|host| host.ends_with(&format!(".{name}"))) {
            return Some(Vec::new());
        }
        match name::parse(labels) {
            Some(RangesName::Block(prefix)) if self.ranges => self.block(prefix),
            Some(_) => None,
            None => self.ordinary(ReversedName::read(labels)),
        }
    }

    fn block(&self, prefix: Prefix) -> Option<Vec<(u16, Vec<u8>)>> {
        let items = block::pack(&self.map, &self.summary, prefix, self.limit)?;
        let told = |state| (state != 3).then(|| Self::value(state));
        let values = value::write(&items, self.limit, told).into_iter().map(|rdata| (16, rdata));
        Some([(apl::TYPE, block::rdata(&items))].into_iter().chain(values).collect())
    }

    fn ordinary(&self, name: ReversedName) -> Option<Vec<(u16, Vec<u8>)>> {
        let Some(key) = name.key() else {
            let listed = |prefix: Prefix| {
                state_at(&self.map, prefix.first()) != UNLISTED
                    || self.map.range(prefix.first()).last < prefix.last()
            };
            let v4 = name
                .v4
                .map(|(address, length)| Prefix::containing(MAPPED | u128::from(address), 96 + length));
            let v6 = name.v6.map(|(address, length)| Prefix::containing(address, length));
            return v4.into_iter().chain(v6).any(listed).then(Vec::new);
        };
        let state = self.state(key);
        let texts = Self::texts(state, &text_of(key));
        let texts = texts.iter().map(|text| (16, character_strings(text)));
        (state != UNLISTED).then(|| [(1, vec![127, 0, 0, state as u8])].into_iter().chain(texts).collect())
    }

    /// The whole reply to a packet.
    pub(crate) fn reply(&self, packet: &[u8], fault: Fault) -> Option<Vec<u8>> {
        let mut message = Message::from_vec(packet).unwrap();
        let apex = Name::from_str(APEX).unwrap();
        let query = message.queries[0].clone();
        let labels: Vec<&[u8]> = query.name.iter().collect();
        let labels = &labels[..labels.len() - apex.iter().count()];
        let wanted = u16::from(query.query_type);
        let soa = SOA::new(apex.clone(), apex.clone(), 1, 2, 3, 4, NEGATIVE_TTL);
        message.metadata.message_type = MessageType::Response;
        message.metadata.authoritative = true;
        if labels.is_empty() {
            if query.query_type == RecordType::SOA {
                message.add_answer(Record::from_rdata(apex, TTL, RData::SOA(soa)));
            }
            return Some(message.to_vec().unwrap());
        }
        let mut records = self.records(labels).filter(|_| fault != Fault::Vanish);
        message.metadata.response_code =
            if records.is_some() { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let records = records.get_or_insert_default();
        records.retain(|(code, _)| *code == wanted);
        for (_, rdata) in records.iter_mut() {
            match fault {
                Fault::Garbage => rdata.reverse(),
                Fault::Cut => rdata.truncate(rdata.len().saturating_sub(1)),
                _ => {}
            }
        }
        let fits_type = |rdata: &[u8]| wanted != 1 || rdata.len() == 4;
        for (code, rdata) in records.iter().filter(|(_, rdata)| fits_type(rdata)) {
            let code = RecordType::from(*code);
            let data = match rdata.is_empty() {
                true => RData::Update0(code),
                false => RData::Unknown { code, rdata: NULL::with(rdata.clone()) },
            };
            message.add_answer(Record::from_rdata(query.name.clone(), TTL, data));
        }
        if message.answers.is_empty() {
            message.add_authority(Record::from_rdata(apex.clone(), TTL, RData::SOA(soa)));
        }
        match fault {
            Fault::Drop => return None,
            Fault::Refuse => {
                message.metadata.response_code = ResponseCode::Refused;
                message.take_all_sections().for_each(drop);
            }
            Fault::Refer => {
                message.take_all_sections().for_each(drop);
                message.metadata.authoritative = false;
                message.metadata.response_code = ResponseCode::NoError;
                let data = RData::NS(hickory_proto::rr::rdata::NS(apex.clone()));
                message.add_authority(Record::from_rdata(apex, TTL, data));
            }
            _ => {}
        }
        let mut packet = message.to_vec().unwrap();
        if fault == Fault::CutPacket {
            packet.pop();
        }
        Some(packet)
    }
}

pub(crate) fn map_address(key: Key) -> u128 {
    match key {
        Key::V4(address) => MAPPED | u128::from(address),
        Key::V6(address) => address,
    }
}

pub(crate) fn text_of(key: Key) -> String {
    match key {
        Key::V4(address) => Ipv4Addr::from_bits(address).to_string(),
        Key::V6(address) => std::net::Ipv6Addr::from_bits(address).to_string(),
    }
}

/// What a question meets.
type Faults = Box<dyn FnMut(&Question) -> Fault + Send>;

/// A zone as an upstream: its packets pass through the codec of the client, and no socket.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<Shared>>);

pub(crate) struct Shared {
    pub(crate) zone: Zone,
    pub(crate) faults: Faults,
    /// The questions that came, in their order.
    pub(crate) asked: Vec<Question>,
}

impl Fake {
    pub(crate) fn new(zone: Zone) -> Self {
        Self(Arc::new(Mutex::new(Shared { zone, faults: Box::new(|_| Fault::None), asked: Vec::new() })))
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(crate) fn asked(&self) -> usize {
        self.with(|shared| shared.asked.len())
    }
}

#[async_trait]
impl Upstream for Fake {
    async fn ask(&self, question: &Question) -> Result<Reply, Failure> {
        // Others come meanwhile.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let packet = message::query(question).map_err(|_| Failure::NameTooLong)?;
        let reply = self.with(|shared| {
            shared.asked.push(question.clone());
            match (shared.faults)(question) {
                Fault::Closed => Err(Failure::Unreachable(std::io::ErrorKind::ConnectionRefused)),
                fault => Ok(shared.zone.reply(&packet.octets, fault)),
            }
        });
        let Some(reply) = reply? else {
            tokio::time::sleep(Duration::from_secs(3)).await;
            return Err(Failure::NoReply);
        };
        match message::read(&reply, packet.id, question) {
            Received::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }
}
