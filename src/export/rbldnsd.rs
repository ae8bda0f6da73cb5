//! rbldnsd: canonical data files, one or two for each dataset.
//!
//! What many lines, variables and defaults said is said in one form: an IPv4 list becomes `ip4trie` (or
//! `ip4set`, where an address has several values), an IPv6 list `ip6trie`, a domain list `dnset`; lines are
//! sorted, every line has its value and its text, and entries that say nothing new are gone. Read again, the
//! files give the same answers. rbldnsd itself takes them too, but for generic records other than A, MX and
//! TXT; access lists are left out, with a warning.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::ExportError;
use super::prefixes::{Order, Prefixes};
use crate::dataset::{AddressList, Data, Dataset, GenericTable, Listing, NameList, Saying, TEST_V4, TEST_V6};
use crate::name::{Name, write_label};
use crate::name_table::NameStates;
use crate::prefix_table::{Address, PrefixTable, State, UNLISTED};
use crate::value::Template;
use crate::virtual_zone::labels_of;
use crate::zone::{Family, Prefix, Zone};
use crate::zone_file::Kind;
use crate::zone_file::diagnostic::{Diagnostics, Severity};

/// A data file to be written.
#[derive(Clone, Copy, Debug)]
pub struct DataFile<'z> {
    /// The type that it is to be read as.
    pub kind: Kind,
    dataset: &'z Dataset,
    /// It has the special lines of the dataset.
    specials: bool,
}

/// The files of a zone, in the order in which a zone's specification names them.
pub fn data_files<'z>(zone: &'z Zone, diagnostics: &mut Diagnostics) -> Vec<DataFile<'z>> {
    let mut files = Vec::new();
    for dataset in zone.datasets() {
        if let Data::Access(_) = dataset.data {
            let message = format!("zone {}: its access list left out", zone.name());
            diagnostics.push_plain(Severity::Warning, message);
        }
        let kinds = kinds(dataset).into_iter().enumerate();
        files.extend(kinds.map(|(index, kind)| DataFile { kind, dataset, specials: index == 0 }));
    }
    files
}

/// The types that a dataset is written as.
fn kinds(dataset: &Dataset) -> Vec<Kind> {
    match &dataset.data {
        Data::Addresses(list) => {
            let v4 = list.v4.as_ref().map(|table| kind_v4(table, &list.listing));
            v4.into_iter().chain(list.v6.as_ref().map(|_| Kind::Ip6trie)).collect()
        }
        Data::Names(_) => vec![Kind::Dnset],
        Data::Generic(_) => vec![Kind::Generic],
        Data::Combined(_) => vec![Kind::Combined],
        Data::Access(_) => Vec::new(),
    }
}

fn kind_v4(table: &PrefixTable<u32>, listing: &Listing) -> Kind {
    let several = table.ranges_from(0).any(|range| listing.sayings(range.state).nth(1).is_some());
    if several { Kind::Ip4set } else { Kind::Ip4trie }
}

impl DataFile<'_> {
    /// Writes the file.
    ///
    /// # Errors
    /// The output could not be written, or a text has no place in a line.
    pub fn write(&self, out: &mut impl Write) -> Result<(), ExportError> {
        if self.specials {
            write_specials(self.dataset, out)?;
        }
        write_entries(self.dataset, self.kind, out)
    }
}

fn write_specials(dataset: &Dataset, out: &mut impl Write) -> io::Result<()> {
    if let Some(soa) = &dataset.soa {
        write!(out, "$SOA {} {} {} {}", soa.ttl, soa.primary, soa.mailbox, soa.serial)?;
        writeln!(out, " {} {} {} {}", soa.refresh, soa.retry, soa.expire, soa.minimum)?;
    }
    if let Some(servers) = &dataset.name_servers {
        write!(out, "$NS {}", servers.ttl)?;
        servers.hosts.iter().try_for_each(|host| write!(out, " {host}"))?;
        writeln!(out)?;
    }
    if let Some(expires) = dataset.expires {
        writeln!(out, "$TIMESTAMP 1970-01-01 +{expires}")?;
    }
    Ok(())
}

fn write_entries(dataset: &Dataset, kind: Kind, out: &mut impl Write) -> Result<(), ExportError> {
    match &dataset.data {
        Data::Addresses(list) => {
            writeln!(out, "$TTL {}", list.listing.ttl)?;
            match (kind, &list.v4, &list.v6) {
                (Kind::Ip4set, Some(table), _) => write_ranges(table, &list.listing, out)?,
                (Kind::Ip4trie, Some(table), _) => {
                    write_prefixes(Family::V4, table, u128::from, |address| address as u32, list, out)?;
                }
                (Kind::Ip6trie, _, Some(table)) => {
                    write_prefixes(Family::V6, table, |address| address, |address| address, list, out)?;
                }
                _ => {}
            }
            write_test_exception(list, kind, out)?;
        }
        Data::Names(list) => write_names(list, out)?,
        Data::Generic(table) => write_generic(table, out)?,
        Data::Combined(sections) => {
            for section in sections {
                for kind in kinds(&section.dataset) {
                    write!(out, "$DATASET {}", type_name(kind))?;
                    for sub_zone in &section.sub_zones {
                        match sub_zone.is_root() {
                            true => write!(out, " @")?,
                            false => write!(out, " {sub_zone}")?,
                        }
                    }
                    writeln!(out)?;
                    write_entries(&section.dataset, kind, out)?;
                }
            }
        }
        Data::Access(_) => {}
    }
    Ok(())
}

/// A table as prefixes of which the longest decides.
fn write_prefixes<A: Address>(
    family: Family,
    table: &PrefixTable<A>,
    wide: impl Fn(A) -> u128,
    narrow: impl Fn(u128) -> A,
    list: &AddressList,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    let run = |address| {
        let range = table.range(narrow(address));
        (wide(range.first), wide(range.last), range.state)
    };
    let mut emit = |prefix: Prefix, &state: &State| {
        let exception = if state == UNLISTED { "!" } else { "" };
        let key = format!("{exception}{}/{}", address(family, prefix.first), prefix.length);
        write_lines(key.as_bytes(), &list.listing, state, out)
    };
    Prefixes { family, order: Order::OuterFirst, run: &run, emit: &mut emit }.cover(&UNLISTED)
}

/// An IPv6 address in groups only: rbldnsd knows no dotted tail.
fn address(family: Family, address: u128) -> String {
    match family {
        Family::V4 => Ipv4Addr::from(address as u32).to_string(),
        Family::V6 => {
            let address = Ipv6Addr::from(address);
            match address.to_ipv4_mapped() {
                Some(_) => address.segments().map(|group| format!("{group:x}")).join(":"),
                None => address.to_string(),
            }
        }
    }
}

/// A table as disjoint ranges, a line for each value of each.
fn write_ranges(
    table: &PrefixTable<u32>,
    listing: &Listing,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    for range in table.ranges_from(0).filter(|range| range.state != UNLISTED) {
        let key = format!("{}-{}", Ipv4Addr::from(range.first), Ipv4Addr::from(range.last));
        write_lines(key.as_bytes(), listing, range.state, out)?;
    }
    Ok(())
}

/// An exception where nothing is listed says only one thing: that there is no test entry.
fn write_test_exception(list: &AddressList, kind: Kind, out: &mut impl Write) -> io::Result<()> {
    let state_v4 = list.v4.as_ref().map_or(UNLISTED, |table| table.lookup(TEST_V4));
    let state_v6 = list.v6.as_ref().map_or(UNLISTED, |table| table.lookup(TEST_V6));
    match (list.test_excluded, kind) {
        (true, Kind::Ip4trie | Kind::Ip4set) if state_v4 == UNLISTED => {
            writeln!(out, "!{}", Ipv4Addr::from(TEST_V4))
        }
        (true, Kind::Ip6trie) if state_v6 == UNLISTED => {
            writeln!(out, "!{}/128", address(Family::V6, TEST_V6))
        }
        _ => Ok(()),
    }
}

fn write_names(list: &NameList, out: &mut impl Write) -> Result<(), ExportError> {
    writeln!(out, "$TTL {}", list.listing.ttl)?;
    for (key, NameStates { exact, below }) in list.table.entries_from(&[]) {
        let name = text_of(&labels_of(&key));
        let forms: &[(&str, Option<State>)] =
            if exact == below { &[(".", exact)] } else { &[("", exact), ("*.", below)] };
        for &(form, state) in forms {
            let Some(state) = state else { continue };
            let exception = if state == UNLISTED { "!" } else { "" };
            // A first octet that has a meaning of its own at the beginning of a line.
            let begin = if form.is_empty() && !name[0].is_ascii_alphanumeric() && name[0] != b'\\' {
                "\\"
            } else {
                ""
            };
            let key = [exception.as_bytes(), form.as_bytes(), begin.as_bytes(), &name].concat();
            write_lines(&key, &list.listing, state, out)?;
        }
    }
    if list.test_excluded && list.table.lookup(&[b"test"]).state == UNLISTED {
        writeln!(out, "!test")?;
    }
    Ok(())
}

fn text_of(labels: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        write_label(label, &mut |octet| text.push(octet));
    }
    text
}

/// Generic records: A, MX and TXT as rbldnsd reads them, any other as RFC 3597 says.
fn write_generic(table: &GenericTable, out: &mut impl Write) -> Result<(), ExportError> {
    for (key, sets) in table.iter() {
        let owner = if key.is_empty() { b"@".to_vec() } else { text_of(&labels_of(key)) };
        let begins = |special: &[u8]| special.contains(&owner[0]) && !key.is_empty();
        let begin: &[u8] = if begins(b"#:") { b"\\" } else { b"" };
        for set in sets {
            for rdata in &set.rdata {
                out.write_all(&[begin, &owner].concat())?;
                write!(out, " {} ", set.ttl)?;
                match readable(set.record_type, rdata) {
                    Some(text) => out.write_all(&text)?,
                    None => {
                        write!(out, "TYPE{} \\# {} ", set.record_type, rdata.len())?;
                        rdata.iter().try_for_each(|octet| write!(out, "{octet:02x}"))?;
                    }
                }
                writeln!(out)?;
            }
        }
    }
    Ok(())
}

/// A type that rbldnsd knows, with its data.
fn readable(record_type: u16, rdata: &[u8]) -> Option<Vec<u8>> {
    match (record_type, rdata) {
        (1, &[a, b, c, d]) => Some(format!("A {a}.{b}.{c}.{d}").into()),
        (15, [high, low, host @ ..]) => {
            let labels: Vec<Vec<u8>> = crate::name::labels(host).map(<[u8]>::to_vec).collect();
            let preference = u16::from_be_bytes([*high, *low]);
            (!labels.is_empty()).then(|| [format!("MX {preference} ").as_bytes(), &text_of(&labels)].concat())
        }
        (16, [length, text @ ..]) if usize::from(*length) == text.len() && !text.contains(&0) => {
            Some([b"TXT \"", text, b"\""].concat())
        }
        _ => None,
    }
}

/// A line for each value of a state; one without a value for an exception.
fn write_lines(key: &[u8], listing: &Listing, state: State, out: &mut impl Write) -> Result<(), ExportError> {
    if state == UNLISTED {
        out.write_all(key)?;
        writeln!(out)?;
    }
    for Saying { address: [a, b, c, d], text } in listing.sayings(state) {
        out.write_all(key)?;
        write!(out, " :{a}.{b}.{c}.{d}:")?;
        if let Some(template) = text {
            out.write_all(&source(template)?)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The text of an entry that gives this template, where there are no variables.
fn source(template: &Template) -> Result<Vec<u8>, ExportError> {
    // No text of a data file has an octet 0, so it marks the places of the address.
    let mut text = Vec::new();
    template.expand(&[0], &mut text);
    let refused = || ExportError::Text(String::from_utf8_lossy(&text).replace('\0', "$"));
    // Blanks at the ends would be lost, but for those behind the `=` that lets any text follow.
    if text.last().is_none_or(|last| b" \t\r".contains(last)) || text.len() > Template::LONGEST / 2 {
        return Err(refused());
    }
    let mut source = Vec::with_capacity(text.len() + 2);
    if b"= \t\r".contains(&text[0]) {
        source.push(b'=');
    }
    for (index, &octet) in text.iter().enumerate() {
        match octet {
            0 if text.get(index + 1).is_some_and(|next| b"\0$=0123456789".contains(next)) => {
                return Err(refused());
            }
            0 => source.push(b'$'),
            b'$' => source.extend_from_slice(b"$$"),
            _ => source.push(octet),
        }
    }
    Ok(source)
}

/// A name for one of the files of a zone.
pub fn file_name(zone: &Name, index: usize, kind: Kind) -> String {
    format!("{zone}.{index}.{}", type_name(kind))
}

/// A type as a zone's specification names it.
pub fn type_name(kind: Kind) -> String {
    format!("{kind:?}").to_ascii_lowercase()
}
