//! What a signed zone answers (RFC 4035, section 3.1): the names of its virtual zone as RFC 4592 says,
//! with signatures, and where something does not exist the NSEC records that prove it.
//!
//! A denial shows two gaps at most: the one that the name itself falls into (or the NSEC record of the
//! name, if it exists), and the one round the wildcard under its closest encloser. The gaps are the true
//! ones, so a resolver can answer all names in them from its cache (RFC 8198).
//!
//! Without DO the same is answered, less all that. What an unsigned zone says of its names is `super`'s.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::response::{Owned, OwnerName, Response};
use super::{Effort, Lacking, Signing, Transport, busy, refused};
use crate::dnssec::nsec;
use crate::dnssec::record_type::{DS, NSEC, RRSIG};
use crate::dnssec::signer::{Unsigned, ZoneSigner};
use crate::name::{key_wire, push_key_label};
use crate::range_record;
use crate::snapshot::Snapshot;
use crate::virtual_zone::{Gap, Match, VirtualZone};
use crate::wire::{Question, extended_error, rcode, record_type};
use crate::zone::{Lookup, RecordSet, RecordSets, SignedBy, View, Zone};

#[cfg(test)]
mod tests;

/// A wildcard label as it stands in a key.
const ASTERISK: &[u8] = b"*\0";

/// A question to a signed zone.
pub(super) struct Asked<'s, 'q> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) zone: &'s Zone,
    pub(super) by: &'s SignedBy,
    pub(super) question: &'q Question<'q>,
    /// The labels left of the apex.
    pub(super) labels: &'q [&'q [u8]],
    pub(super) dnssec_ok: bool,
    pub(super) transport: Transport,
    pub(super) signing: Signing,
}

impl<'s> Asked<'s, '_> {
    /// Whether there is time to make a block of range records of so many octets.
    fn may_make(&self) -> impl Fn(usize) -> bool + use<'s> {
        let (allowance, connected) = (&self.snapshot.allowance, self.transport != Transport::Udp);
        move |octets| allowance.take(octets, connected)
    }
}

/// What is answered to a client that sees so much.
pub(super) fn answer<'s>(asked: &Asked<'s, '_>, view: &View<'s>) -> Response<'s> {
    // An answer of the access list would be one without signatures.
    if matches!(view, View::Empty | View::Always(_)) {
        return refused(extended_error::PROHIBITED);
    }
    // The tables of the unsigned zone say quickly what to expect, though not of every name all that
    // the virtual zone says.
    let mut listed = false;
    let mut has_records = false;
    if let Lookup::Found(mut data) = asked.zone.lookup(asked.labels, &View::Data) {
        if !data.prepare(record_type::ANY, asked.may_make()) {
            return busy(asked.transport);
        }
        listed = data.is_listed();
        has_records = asked.labels.is_empty() || !data.records(asked.question.record_type).is_empty();
    }
    // Among range records a denial may show a block that nobody asked for, and that is yet to be made.
    let is_range = |label: &&[u8]| *label == range_record::name::LABEL.as_bytes();
    let takes_long = asked.signing.effort == Effort::Least
        || asked.signing.effort == Effort::Take
            && asked.zone.has_ranges()
            && asked.labels.iter().any(is_range);
    if asked.dnssec_ok && !has_records && takes_long {
        return lacking(Lacking::Negative);
    }
    Response { listed, ..Answer::new(asked).make() }
}

/// An answer in the making.
struct Answer<'a, 's, 'q> {
    asked: &'a Asked<'s, 'q>,
    names: VirtualZone<'s>,
    signer: &'s ZoneSigner,
    /// The canonical key of the name.
    key: Vec<u8>,
    /// Who owns what is answered, as it is signed: the name, or the wildcard that stands for it.
    owner: Vec<u8>,
    authoritative: bool,
    answers: RecordSets<'s>,
    authority: SmallVec<[Owned<'s>; 1]>,
    /// When the first of its signatures should be made again.
    renew: u32,
}

/// Why an answer is not finished.
enum Unfinished {
    /// A signature is not there, and was not to be made.
    Lacks,
    /// The system makes none, or there is no time to make the blocks of range records round the name.
    Failed,
}

impl<'a, 's, 'q> Answer<'a, 's, 'q> {
    fn new(asked: &'a Asked<'s, 'q>) -> Self {
        let mut key = Vec::with_capacity(asked.question.name().len());
        asked.labels.iter().rev().for_each(|label| push_key_label(&mut key, label));
        Self {
            asked,
            names: VirtualZone::with_limit(asked.zone, asked.by.empty_non_terminals, asked.may_make()),
            signer: &asked.by.signer,
            key,
            owner: asked.question.lowercase_name().to_vec(),
            authoritative: true,
            answers: RecordSets::new(),
            authority: SmallVec::new(),
            renew: u32::MAX,
        }
    }

    fn make(mut self) -> Response<'s> {
        let mut made = self.of_match();
        if self.names.lacks_blocks() {
            made = Err(Unfinished::Failed);
        }
        let Asked { dnssec_ok, signing, transport, .. } = *self.asked;
        match made {
            Ok(rcode) => Response {
                rcode,
                authoritative: self.authoritative,
                whole: dnssec_ok,
                holds_until: (self.renew < u32::MAX).then_some(self.renew),
                renew: self.renew <= signing.now,
                answers: self.answers,
                authority: self.authority,
                ..Response::default()
            },
            Err(Unfinished::Lacks) if self.answers.is_empty() => lacking(Lacking::Negative),
            Err(Unfinished::Lacks) => lacking(Lacking::Positive),
            Err(Unfinished::Failed) => busy(transport),
        }
    }

    /// Makes the sections; the result is the response code.
    fn of_match(&mut self) -> Result<u16, Unfinished> {
        match self.names.find(&self.key) {
            Match::Delegated { cut, records } => self.referral(&cut, records).map(|()| rcode::NOERROR),
            Match::Name { records } if self.is_cut(&records) => {
                let cut = self.key.clone();
                self.referral(&cut, records).map(|()| rcode::NOERROR)
            }
            Match::Name { mut records } => {
                if self.key.is_empty() {
                    records.extend(self.key_records());
                }
                self.of_records(records, None).map(|()| rcode::NOERROR)
            }
            Match::Wildcard { encloser, records } => {
                self.owner = self.wire(&[&encloser[..], ASTERISK].concat());
                self.of_records(records, Some(&encloser)).map(|()| rcode::NOERROR)
            }
            Match::Nothing { encloser } => self.denial(Some(&encloser)).map(|()| rcode::NXDOMAIN),
        }
    }

    /// The answer of a name that owns records, or of the wildcard under `encloser`.
    fn of_records(&mut self, records: RecordSets<'s>, encloser: Option<&[u8]>) -> Result<(), Unfinished> {
        let wanted = self.asked.question.record_type;
        let chosen = match wanted {
            record_type::ANY | RRSIG => self.any(records, encloser),
            NSEC if !records.is_empty() => smallvec![self.own_nsec(&records, encloser)],
            _ => of_type(records, wanted),
        };
        if chosen.is_empty() {
            return self.denial(encloser);
        }
        for set in chosen {
            let signatures = match self.asked.dnssec_ok || wanted == RRSIG {
                true => Some(self.signatures(&self.owner.clone(), &set, set.ttl)),
                false => None,
            };
            if wanted != RRSIG {
                self.answers.push(set);
            }
            self.answers.extend(signatures.transpose()?);
        }
        let Some(encloser) = encloser.filter(|_| self.asked.dnssec_ok) else { return Ok(()) };
        let gap = self.names.gap(&self.key);
        self.push_nsec(&gap)?;
        // More than is needed: PowerDNS Recursor makes up an answer from a wildcard only if it knows the
        // NSEC record of the wildcard itself, and no question for an address may ever bring it that.
        let wildcard = [encloser, ASTERISK].concat();
        if gap.owner == wildcard { Ok(()) } else { self.push_nsec(&self.names.gap(&wildcard)) }
    }

    /// True if the name is one where another zone begins, and the question is for that zone: only DS is
    /// not (RFC 4035, section 3.1.4.1).
    fn is_cut(&self, records: &RecordSets<'_>) -> bool {
        !self.key.is_empty()
            && self.asked.question.record_type != DS
            && records.iter().any(|set| set.record_type == record_type::NS)
    }

    /// Sends the client to another zone, and says whether that is signed (RFC 4035, section 3.1.4).
    fn referral(&mut self, cut: &[u8], records: RecordSets<'s>) -> Result<(), Unfinished> {
        self.authoritative = false;
        let owner = self.wire(cut);
        let mut ds = None;
        for set in records {
            match set.record_type {
                record_type::NS => {
                    self.authority.push(Owned { owner: OwnerName::Name(Cow::Owned(owner.clone())), set });
                }
                DS => ds = Some(set),
                _ => {}
            }
        }
        if !self.asked.dnssec_ok {
            return Ok(());
        }
        match ds {
            Some(set) => self.push_signed(&owner, set),
            None => self.push_nsec(&self.names.gap(cut)),
        }
    }

    /// All records of a name, or over UDP one set of them (RFC 8482, sections 4.1 and 7).
    fn any(&self, records: RecordSets<'s>, encloser: Option<&[u8]>) -> RecordSets<'s> {
        if self.asked.transport == Transport::Udp {
            return records.into_iter().min_by_key(|set| set.record_type).into_iter().collect();
        }
        let mut all = records;
        if !all.is_empty() && (self.asked.dnssec_ok || self.asked.question.record_type == RRSIG) {
            let nsec = self.own_nsec(&all, encloser);
            all.push(nsec);
        }
        all
    }

    /// The NSEC record of a name that owns `records`, or of the wildcard under `encloser`.
    fn own_nsec(&self, records: &RecordSets<'s>, encloser: Option<&[u8]>) -> RecordSet<'s> {
        let gap = match encloser {
            Some(encloser) => self.names.gap(&[encloser, ASTERISK].concat()),
            None => self.names.gap(&self.key),
        };
        self.nsec(&gap.next, records.iter().map(|set| set.record_type))
    }

    /// Says that the name has no record of the type, or does not exist: the wildcard under `encloser`, its
    /// closest encloser, says the same, or is not there.
    fn denial(&mut self, encloser: Option<&[u8]>) -> Result<(), Unfinished> {
        let apex = self.asked.zone.apex();
        let (Some(soa), Some(negative)) = (apex.soa(), apex.negative_soa()) else { return Ok(()) };
        let ttl = negative.ttl.min(soa.ttl);
        let signatures = match self.asked.dnssec_ok {
            true => Some(self.signatures(self.signer.apex(), &soa, ttl)?),
            false => None,
        };
        self.authority.push(Owned::by_apex(RecordSet { ttl, ..soa }));
        let Some(signatures) = signatures else { return Ok(()) };
        self.authority.push(Owned::by_apex(signatures));
        let gap = self.names.gap(&self.key);
        self.push_nsec(&gap)?;
        let Some(encloser) = encloser else { return Ok(()) };
        let wildcard = [encloser, ASTERISK].concat();
        // Often both are in one gap.
        let covered = gap.owner[..] <= wildcard[..] && (wildcard < gap.next || gap.next.is_empty());
        if covered { Ok(()) } else { self.push_nsec(&self.names.gap(&wildcard)) }
    }

    /// Adds the NSEC record of a gap, and its signatures.
    fn push_nsec(&mut self, gap: &Gap<'s>) -> Result<(), Unfinished> {
        let owner = self.wire(&gap.owner);
        let types = gap.records.iter().map(|set| set.record_type);
        let set = match gap.owner.is_empty() {
            true => self.nsec(&gap.next, types.chain(self.key_records().map(|set| set.record_type))),
            false => self.nsec(&gap.next, types),
        };
        self.push_signed(&owner, set)
    }

    /// Adds a set to the authority section, and its signatures.
    fn push_signed(&mut self, owner: &[u8], set: RecordSet<'s>) -> Result<(), Unfinished> {
        let signatures = self.signatures(owner, &set, set.ttl)?;
        let name = || OwnerName::Name(Cow::Owned(owner.to_vec()));
        self.authority.push(Owned { owner: name(), set });
        self.authority.push(Owned { owner: name(), set: signatures });
        Ok(())
    }

    fn nsec(&self, next: &[u8], types: impl Iterator<Item = u16>) -> RecordSet<'s> {
        let rdata = nsec::rdata(&self.wire(next), types);
        let ttl = self.asked.zone.apex().nsec_ttl();
        RecordSet { record_type: NSEC, ttl, rdata: smallvec![Cow::Owned(rdata)] }
    }

    /// The RRSIG records of a set with a TTL, which is that of the set as it is answered.
    fn signatures(
        &mut self,
        owner: &[u8],
        set: &RecordSet<'_>,
        ttl: u32,
    ) -> Result<RecordSet<'s>, Unfinished> {
        if self.names.lacks_blocks() {
            return Err(Unfinished::Failed);
        }
        let unsigned = Unsigned { owner, record_type: set.record_type, ttl: set.ttl, rdata: &set.rdata };
        let Signing { now, effort } = self.asked.signing;
        let made = match effort {
            Effort::Make => self.signer.sign(&unsigned, now).map_err(|_| Unfinished::Failed)?,
            Effort::Take | Effort::Least => self.signer.cached(&unsigned, now).ok_or(Unfinished::Lacks)?,
        };
        self.renew = self.renew.min(made.renew);
        let rdata = made.records.into_iter().map(|rrsig| Cow::Owned(rrsig.into_vec())).collect();
        Ok(RecordSet { record_type: RRSIG, ttl, rdata })
    }

    /// DNSKEY, CDS and CDNSKEY, which the keys bring to the apex.
    fn key_records(&self) -> impl Iterator<Item = RecordSet<'s>> + use<'s> {
        self.signer.key_records(self.asked.signing.now).iter().map(|set| RecordSet {
            record_type: set.record_type,
            ttl: set.ttl,
            rdata: set.rdata.iter().map(|rdata| Cow::Borrowed(&**rdata)).collect(),
        })
    }

    /// The name of a key in wire form.
    fn wire(&self, key: &[u8]) -> Vec<u8> {
        key_wire(key, self.signer.apex())
    }
}

/// The set of a type, or an alias (RFC 1034, section 4.3.2, step 3a).
fn of_type(records: RecordSets<'_>, wanted: u16) -> RecordSets<'_> {
    let is_alias = |set: &RecordSet<'_>| set.record_type == record_type::CNAME;
    let has = records.iter().any(|set| set.record_type == wanted);
    records.into_iter().filter(|set| set.record_type == wanted || !has && is_alias(set)).collect()
}

fn lacking<'s>(lacking: Lacking) -> Response<'s> {
    Response { lacks: Some(lacking), ..Response::default() }
}
