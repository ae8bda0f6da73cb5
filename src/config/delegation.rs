//! `delegations` of a zone in `nibbl.toml`: where other zones begin inside a signed one.

use toml::Spanned;

use super::ZoneConfig;
use super::file::Misplaced;
use super::values::{Text, ZoneName};
use crate::name::Name;
use crate::range_record;
use crate::zone::Delegation;

/// One of `delegations`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DelegationTable {
    name: Spanned<ZoneName>,
    ns: Vec<Spanned<ZoneName>>,
    ds: Vec<Ds>,
}

impl DelegationTable {
    /// Where it is.
    pub(super) fn at(&self) -> usize {
        self.name.span().start
    }
}

/// The rdata of a DS record.
struct Ds(Box<[u8]>);

impl<'de> serde::Deserialize<'de> for Ds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let check = |text: &str| {
            ds(text).map(Self).ok_or("a DS record is a key tag, an algorithm, a digest type and a digest")
        };
        deserializer.deserialize_str(Text("a DS record", check))
    }
}

/// Reads `12345 13 2 ABCD…`, as `nibbl key ds` and others print it (RFC 4034, section 5.3).
fn ds(text: &str) -> Option<Box<[u8]>> {
    let mut words = text.split_ascii_whitespace();
    let tag: u16 = words.next()?.parse().ok()?;
    let algorithm: u8 = words.next()?.parse().ok()?;
    let digest_type: u8 = words.next()?.parse().ok()?;
    let digest = data_encoding::HEXUPPER_PERMISSIVE.decode(words.collect::<String>().as_bytes()).ok()?;
    let right_length = match digest_type {
        1 => digest.len() == 20,
        2 => digest.len() == 32,
        4 => digest.len() == 48,
        _ => !digest.is_empty(),
    };
    let [high, low] = tag.to_be_bytes();
    right_length.then(|| [&[high, low, algorithm, digest_type], &digest[..]].concat().into())
}

/// Checks the cuts of `zone`.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub(super) fn check(tables: Vec<DelegationTable>, zone: &Name) -> Result<Vec<Delegation>, Misplaced> {
    let mut delegations: Vec<Delegation> = Vec::new();
    for table in tables {
        let at = table.at();
        let name = table.name.into_inner().0;
        let refuse = |at: usize, message: String| Err((at, format!("delegation `{name}`: {message}")));
        let Ok(cut) = name.under(zone) else {
            return refuse(at, format!("`{zone}` is too long for it"));
        };
        if name.labels().any(|label| label == b"*" || label == range_record::name::LABEL.as_bytes()) {
            return refuse(at, "no zone can begin there".into());
        }
        let key = name.key();
        let other = delegations.iter().find(|other| {
            let other = other.name.key();
            other.starts_with(&key) || key.starts_with(&other)
        });
        if let Some(other) = other {
            return refuse(at, format!("it is at, above or below another, `{}`", other.name));
        }
        if table.ns.is_empty() {
            return refuse(at, "it needs a name server".into());
        }
        let mut name_servers = Vec::new();
        for host in table.ns {
            let (at, host) = (host.span().start, host.into_inner().0);
            if is_within(&host, &cut) {
                return refuse(at, format!("its name server `{host}` has its address in that zone itself"));
            }
            name_servers.push(host);
        }
        let signers = table.ds.into_iter().map(|ds| ds.0).collect();
        delegations.push(Delegation { name, name_servers, signers });
    }
    Ok(delegations)
}

/// A zone that begins inside a signed one, which says nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "zone `{nested}` begins inside the signed zone `{around}`, which has to say so: its `delegations` need \
     the name servers of `{nested}`, and its DS records or `ds = []`"
)]
pub struct Undelegated {
    /// The place of the zone inside, among all.
    pub index: usize,
    nested: Name,
    around: Name,
}

/// Looks for zones inside signed ones.
///
/// # Errors
/// The signed one has no delegation to it.
pub fn check_nested(zones: &[ZoneConfig]) -> Result<(), Undelegated> {
    for (index, ZoneConfig { name: nested, .. }) in zones.iter().enumerate() {
        let around = zones.iter().filter(|zone| zone.name != *nested && is_within(nested, &zone.name));
        let Some(around) = around.max_by_key(|zone| zone.name.wire().len()) else { continue };
        let is_cut = |cut: &Delegation| cut.name.under(&around.name).is_ok_and(|cut| cut == *nested);
        if around.signing.is_some() && !around.delegations.iter().any(is_cut) {
            return Err(Undelegated { index, nested: nested.clone(), around: around.name.clone() });
        }
    }
    Ok(())
}

/// True if a name is that of a zone, or below it.
fn is_within(name: &Name, zone: &Name) -> bool {
    name.key().starts_with(&zone.key())
}
