//! The zone that every server serves, and the questions that they are asked.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::net::Ipv6Addr;
use std::path::Path;

use nibbl::prefix_table::{Address, Entry, PrefixTable, UNLISTED};

use crate::generated::{List, v6_entries, v6_miss};

/// The zone's name in wire form, and as text.
const APEX: &[u8] = b"\x02bl\x07example\0";
pub(crate) const ZONE: &str = "bl.example";
/// Where the digit of the serial is in the ip6trie file.
pub(crate) const SERIAL_AT: u64 = "$SOA 300 ns.bl.example hostmaster.bl.example ".len() as u64;

/// Octets of an access key.
const KEY_OCTETS: usize = 26;
/// The longest question here: header, 32 nibbles, key, apex, type and class, OPT.
const QUESTION_OCTETS: usize = 12 + 64 + 1 + KEY_OCTETS + APEX.len() + 4 + 11;

/// A list, and questions of which half are listed, half have EDNS.
pub(crate) struct Zone {
    entries: Vec<Entry<u128>>,
    questions: Vec<Question>,
    next: usize,
}

/// A query for A, and whether its address is listed.
pub(crate) struct Question {
    octets: [u8; QUESTION_OCTETS],
    length: u8,
    pub(crate) listed: bool,
}

impl Question {
    pub(crate) fn set_id(&mut self, id: u16) {
        self.octets[..2].copy_from_slice(&id.to_be_bytes());
    }

    pub(crate) fn packet(&self) -> &[u8] {
        &self.octets[..self.length.into()]
    }

    fn new(address: u128, key: Option<&str>, edns: bool, listed: bool) -> Self {
        let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns.into()];
        for place in 0..32 {
            packet.extend([1, b"0123456789abcdef"[(address >> (4 * place) & 0xf) as usize]]);
        }
        if let Some(key) = key {
            packet.push(key.len() as u8);
            packet.extend(key.as_bytes());
        }
        packet.extend(APEX);
        packet.extend([0, 1, 0, 1]);
        if edns {
            packet.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
        }
        let mut octets = [0; QUESTION_OCTETS];
        octets[..packet.len()].copy_from_slice(&packet);
        Self { octets, length: packet.len() as u8, listed }
    }
}

/// An access key by its number.
pub(crate) fn key(number: usize) -> String {
    format!("key{number:0width$}", width = KEY_OCTETS - 3)
}

impl Zone {
    /// `prefixes` prefixes and `questions` questions from a seed, with any of so many keys in their names,
    /// if there are any.
    pub(crate) fn new(prefixes: usize, questions: usize, keys: usize, seed: u64) -> Self {
        let mut list = List::new(seed, 100);
        let entries = v6_entries(&mut list, prefixes);
        let table = PrefixTable::build(entries.clone(), &mut |_| ()).expect("fits");
        let questions = (0..questions).map(|place| {
            let address = loop {
                let inside = v6_miss(&mut list);
                let entry = entries[list.below(prefixes)];
                if place % 2 == 0 {
                    break inside;
                } else if entry.state != UNLISTED {
                    break entry.first ^ inside ^ inside.masked(entry.length);
                }
            };
            let key = (keys > 0).then(|| key(list.below(keys)));
            Question::new(address, key.as_deref(), list.below(2) == 1, table.lookup(address) != UNLISTED)
        });
        Self { questions: questions.collect(), entries, next: 0 }
    }

    /// The next few questions, at most `count`.
    pub(crate) fn take(&mut self, count: usize) -> &mut [Question] {
        if self.next == self.questions.len() {
            self.next = 0;
        }
        let start = self.next;
        self.next = (start + count).min(self.questions.len());
        &mut self.questions[start..self.next]
    }

    /// Writes the list as an ip6trie file.
    pub(crate) fn write_ip6trie(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        writeln!(file, "$SOA 300 ns.{ZONE} hostmaster.{ZONE} 1 3600 600 604800 300\n$NS 3600 ns.{ZONE}")?;
        for entry in &self.entries {
            let address = Ipv6Addr::from(entry.first);
            match entry.state {
                UNLISTED => writeln!(file, "!{address}/{}", entry.length)?,
                state => writeln!(file, "{address}/{} :127.0.0.{}:$ is listed", entry.length, 1 + state)?,
            }
        }
        file.flush()
    }

    /// Writes the first `most` listings as wildcards of a zone file. Exceptions have no such form, so
    /// some answers differ.
    pub(crate) fn write_master_file(&self, path: &Path, most: usize) -> io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        writeln!(
            file,
            "$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1"
        )?;
        let listings = self.entries.iter().filter(|entry| entry.state != UNLISTED);
        for entry in listings.take(most) {
            let mut name = String::new();
            for place in (0..u32::from(entry.length) / 4).rev() {
                write!(name, ".{:x}", entry.first >> (124 - 4 * place) & 0xf).expect("memory");
            }
            let wildcard = if entry.length < 128 { "*" } else { "" };
            let name = format!("{wildcard}{name}");
            writeln!(file, "{} A 127.0.0.{}", name.trim_start_matches('.'), 1 + entry.state)?;
        }
        file.flush()
    }
}
