//! One dataset (or one section of a combined one) in the making: its entries, its values, and what
//! the lines above the present one have set.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::IpNet;

use super::lexer::{Block, Fault, RawLine, is_end, trim, trim_start};
use super::report::Report;
use super::{AccessAction, AddressEntries, Content, Kind, Parsed, ReadOptions, Specials, warnings};
use super::{acl, dnset, entry_value, generic, ip4, ip6, native, special};
use crate::name::Name;
use crate::name_table::NameEntries;
use crate::prefix_table::{Entry, State, UNLISTED};
use crate::value::{ValueId, ValueTable};
use entry_value::Written;

/// What the lines above say about the lines below. Small, so that parts of a file can be read apart
/// from the state at their beginning.
#[derive(Clone, Debug)]
pub(super) struct LineState {
    /// The A record of the default line.
    pub address: Ipv4Addr,
    /// The text of the default line.
    pub text: Option<Arc<[u8]>>,
    /// The id of these two, once an entry has used them.
    pub default_id: Option<ValueId>,
    /// What a client without a value of its own gets (acl).
    pub action: AccessAction,
    /// The TTL in force: `$TTL`, or the default.
    pub ttl: u32,
    /// The most addresses that an IPv4 entry may have.
    pub max_range_v4: u64,
    /// The most addresses that an IPv6 entry may have, less one: 2^128 is not a `u128`.
    pub max_range_v6: u128,
    /// The length of a bare IPv6 address (`ip`).
    pub granularity: u8,
}

impl LineState {
    pub(super) fn new(options: &ReadOptions) -> Self {
        Self {
            address: Ipv4Addr::new(127, 0, 0, 2),
            text: None,
            default_id: None,
            action: AccessAction::Ignore,
            ttl: options.default_ttl,
            max_range_v4: 1 << 32,
            max_range_v6: u128::MAX,
            granularity: native::DEFAULT_GRANULARITY,
        }
    }

    /// Defaults and granularity end with their file; `$TTL` and `$MAXRANGE` go on.
    pub(super) fn next_file(&mut self, options: &ReadOptions) {
        let first = Self::new(options);
        let (ttl, max_range_v4, max_range_v6) = (self.ttl, self.max_range_v4, self.max_range_v6);
        *self = Self { ttl, max_range_v4, max_range_v6, ..first };
    }
}

/// The entries so far.
#[derive(Debug)]
pub(super) struct List {
    pub kind: Kind,
    pub content: Content,
    pub values: ValueTable,
    pub specials: Specials,
    pub state: LineState,
    pub entries: u64,
    pub exceptions: u64,
    /// The clients that have a rule (acl).
    pub clients: HashSet<IpNet>,
    /// The names that have records (generic).
    pub owners: HashMap<Name, generic::Owned>,
    /// The one default of ip4tset and ip6tset: the first of the dataset.
    only_default: Option<(Ipv4Addr, Option<Arc<[u8]>>)>,
    /// How many entries were cut out of ranges.
    cut_entries: u64,
    /// This is a part of a list, read without what stands before it.
    apart: bool,
}

impl List {
    /// How many entries may be cut out of ranges before it matters how many lines there are; and
    /// after that, how many for each line on average. A range of ip4set makes up to 1,786 blocks
    /// (255 and 255 of each octet level but the last, which has 256): without a bound, a megabyte
    /// of such lines would need more than a gigabyte.
    const FREE_CUTS: u64 = 1 << 22;
    const CUTS_A_LINE: u64 = 256;
    /// How many entries may be cut out of the ranges of a part.
    const PART_CUTS: u64 = 1 << 18;

    pub(super) fn new(kind: Kind, state: LineState) -> Self {
        let content = match kind {
            Kind::Ip | Kind::Ip4set | Kind::Ip4tset | Kind::Ip4trie | Kind::Ip6tset | Kind::Ip6trie => {
                Content::Addresses(AddressEntries::default())
            }
            Kind::Dnset => Content::Names(NameEntries::default()),
            Kind::Generic => Content::Generic(Vec::new()),
            Kind::Combined => Content::Combined(Vec::new()),
            Kind::Acl => Content::Access(Vec::new()),
        };
        Self {
            kind,
            content,
            values: ValueTable::default(),
            specials: Specials::default(),
            state,
            entries: 0,
            exceptions: 0,
            clients: HashSet::new(),
            owners: HashMap::new(),
            only_default: None,
            cut_entries: 0,
            apart: false,
        }
    }

    /// Reads a line. A special line is only given back, without its `$`.
    pub(super) fn line<'t>(
        &mut self,
        line: RawLine<'t>,
        options: &ReadOptions,
        report: &mut Report<'_>,
    ) -> Result<Option<&'t [u8]>, Fault<'t>> {
        let mut text = line.text;
        if line.cut {
            report.warn(&text[text.len()..], "the line is longer than 32 KiB: the rest of it is dropped");
        }
        if line.number == 1 && text.starts_with(b"\xef\xbb\xbf") {
            // rbldnsd drops such a line, and drop-in answers have to be the same.
            if options.dropin {
                return Err(Fault::new(text, "a byte order mark makes rbldnsd drop this line"));
            }
            text = &text[3..];
        }
        if line.nul
            && let Some(end) = memchr::memchr(0, text)
        {
            report.warn(&text[end..], "a NUL octet ends the line: the rest of it is dropped");
            text = &text[..end];
        }
        let text = trim(text);
        if let Some(special) = special::find(text) {
            return Ok(Some(special));
        }
        if !matches!(text.first(), None | Some(b'#' | b';')) {
            self.entry(text, options, report)?;
        }
        Ok(None)
    }

    /// Reads a line that is no special line, no comment and not empty.
    fn entry<'t>(
        &mut self,
        text: &'t [u8],
        options: &ReadOptions,
        report: &mut Report<'_>,
    ) -> Result<(), Fault<'t>> {
        match self.kind {
            Kind::Generic => return generic::record(self, text, options, report),
            Kind::Acl => return acl::rule(self, text, options, report),
            Kind::Combined => return Err(Fault::fatal(text, "no $DATASET stands before this line")),
            _ => {}
        }
        if self.is_default_line(text) {
            return self.default_line(text, options, report);
        }
        match self.kind {
            Kind::Ip4set => ip4::set(self, text, options, report),
            Kind::Ip4tset => ip4::single(self, text, options, report),
            Kind::Ip4trie => ip4::trie(self, text, options, report),
            Kind::Ip6tset => ip6::network(self, text, options, report),
            Kind::Ip6trie => ip6::trie(self, text, options, report),
            Kind::Dnset => dnset::name(self, text, options, report),
            _ => native::entry(self, text, options, report),
        }
    }

    fn is_default_line(&self, text: &[u8]) -> bool {
        // `::` begins an address where IPv6 is at home.
        let v6 = matches!(self.kind, Kind::Ip | Kind::Ip6trie | Kind::Ip6tset) && text.starts_with(b"::");
        text.starts_with(b":") && !v6
    }

    /// True if the line that a text begins with changes how those below are read.
    fn is_state_line(&self, text: &[u8]) -> bool {
        let may_be = matches!(text.first(), Some(b':' | b'$' | b'#' | b';' | b' ' | b'\t'));
        let is = |text| special::find(text).is_some() || self.is_default_line(text);
        may_be && is(trim_start(text))
    }

    /// A line `:A:text`: the value of the entries that have none.
    pub(super) fn default_line<'t>(
        &mut self,
        text: &'t [u8],
        options: &ReadOptions,
        report: &mut Report<'_>,
    ) -> Result<(), Fault<'t>> {
        let Written { address: Some(address), text: own, .. } = entry_value::read(text)? else {
            return Err(Fault::new(text, "a default line needs an A record"));
        };
        let own = own.map(|own| Arc::from(entry_value::limited(own, options, report)));
        if matches!(self.kind, Kind::Ip4tset | Kind::Ip6tset) {
            if self.only_default.is_some() {
                report.warn(text, "only the first default line of such a dataset counts");
            } else {
                self.only_default = Some((address, own));
            }
            return Ok(());
        }
        (self.state.address, self.state.text, self.state.default_id) = (address, own, None);
        Ok(())
    }

    /// The state of a listing whose value is written as `value` (what follows its key).
    pub(super) fn listing<'t>(
        &mut self,
        value: &'t [u8],
        options: &ReadOptions,
        report: &mut Report<'_>,
    ) -> Result<State, Fault<'t>> {
        if is_end(value) {
            if let Some(id) = self.state.default_id {
                return Ok(1 + id);
            }
            let id = self.values.intern_parts(self.state.address, self.state.text.as_deref());
            self.state.default_id = id;
            return state_of(id, value);
        }
        let written = entry_value::read(value)?;
        let address = written.address.unwrap_or(self.state.address);
        let text = match written.text {
            Some(text) => Some(entry_value::limited(text, options, report)),
            None if written.keeps_default_text => self.state.text.as_deref(),
            None => None,
        };
        state_of(self.values.intern_parts(address, text), value)
    }

    /// The state of all listings of a dataset with one value: the value is interned at the end.
    pub(super) const ONLY_STATE: State = 1;

    /// Counts one entry.
    pub(super) fn count(&mut self, state: State) {
        self.entries += 1;
        self.exceptions += u64::from(state == UNLISTED);
    }

    /// Counts an entry that a range was cut into, or refuses to go on.
    pub(super) fn may_cut<'t>(&mut self, pieces: u64, at: &'t [u8]) -> Result<(), Fault<'t>> {
        if pieces > 1 {
            if self.apart && self.cut_entries + pieces > Self::PART_CUTS {
                return Err(Fault::fatal(at, "too many wide ranges in one part"));
            }
            if self.cut_entries + pieces > Self::FREE_CUTS + Self::CUTS_A_LINE * self.entries {
                return Err(Fault::new(at, "too many wide ranges in one dataset"));
            }
            self.cut_entries += pieces;
        }
        Ok(())
    }

    pub(super) fn push_v4(&mut self, first: u32, length: u8, state: State, report: &Report<'_>) {
        if let Content::Addresses(entries) = &mut self.content {
            entries.v4.push(Entry { first, state, line: report.line, file: report.source.file, length });
        }
    }

    pub(super) fn push_v6(&mut self, first: u128, length: u8, state: State, report: &Report<'_>) {
        if let Content::Addresses(entries) = &mut self.content {
            entries.v6.push(Entry { first, state, line: report.line, file: report.source.file, length });
        }
    }

    /// True if lines depend on no more of those before them than the state.
    pub(super) fn has_parts(&self) -> bool {
        !matches!(self.kind, Kind::Generic | Kind::Combined | Kind::Acl)
    }

    /// Makes room for so many times as many address entries, and an eighth more: what is not used is not touched.
    pub(super) fn make_room(&mut self, times: f64) {
        /// More than the allocator keeps when it is freed (mallopt(3), `M_MMAP_THRESHOLD`): the entries are
        /// gone when the table is put together.
        const LEAST_OCTETS: usize = 33 << 20;
        fn make_room<A: Copy>(entries: &mut Vec<Entry<A>>, times: f64) {
            let all = (entries.len() as f64 * times * 1.125) as usize;
            if !entries.is_empty() {
                let all = all.max(LEAST_OCTETS / size_of::<Entry<A>>());
                // Where the system has no such room, the vector grows as it can.
                let _ = entries.try_reserve_exact(all.saturating_sub(entries.len()));
            }
        }
        if let Content::Addresses(entries) = &mut self.content {
            make_room(&mut entries.v4, times);
            make_room(&mut entries.v6, times);
        }
    }

    /// An empty list for the lines of a block, to read them apart from those before it, and how many
    /// they are. `None` if one of them changes the state. `emptied` is a part that was appended, whose memory
    /// serves again.
    pub(super) fn part(&self, block: &Block, emptied: Option<Self>) -> Option<(Self, usize)> {
        let (mut lines, mut changes) = (0, false);
        for text in block.beginnings() {
            lines += 1;
            changes |= self.is_state_line(text);
        }
        if changes {
            return None;
        }
        let state = LineState { default_id: None, ..self.state.clone() };
        let mut part = match emptied {
            Some(part) if part.kind == self.kind => Self { state, ..part },
            _ => Self { apart: true, ..Self::new(self.kind, state) },
        };
        if let Content::Addresses(entries) = &mut part.content {
            match self.kind {
                Kind::Ip => {}
                Kind::Ip6trie | Kind::Ip6tset => entries.v6.reserve_exact(lines),
                _ => entries.v4.reserve_exact(lines),
            }
        }
        Some((part, lines))
    }

    /// Adds what was read apart, as if it had been read here, and leaves the part empty. False if it depends on
    /// what is here.
    pub(super) fn append(&mut self, part: &mut Self) -> bool {
        if self.cut_entries + part.cut_entries > Self::FREE_CUTS + Self::CUTS_A_LINE * self.entries {
            return false;
        }
        // States of the part become states of the whole. Those that no value stands for are the same.
        let mut states = vec![UNLISTED];
        for value in part.values.drain() {
            let Some(id) = self.values.intern(value) else { return false };
            states.push(1 + id);
        }
        let state = |state: State| states.get(state as usize).copied().unwrap_or(state);
        match (&mut self.content, &mut part.content) {
            (Content::Addresses(all), Content::Addresses(part)) => {
                all.v4.extend(part.v4.drain(..).map(|entry| Entry { state: state(entry.state), ..entry }));
                all.v6.extend(part.v6.drain(..).map(|entry| Entry { state: state(entry.state), ..entry }));
            }
            (Content::Names(all), Content::Names(part)) => all.append(mem::take(part), state),
            _ => return false,
        }
        self.entries += mem::take(&mut part.entries);
        self.exceptions += mem::take(&mut part.exceptions);
        self.cut_entries += mem::take(&mut part.cut_entries);
        true
    }

    /// Refuses an IPv4 range that `$MAXRANGE4` does not let through; a listing that looks like a
    /// mistake draws a warning.
    pub(super) fn judge_v4<'t>(
        &self,
        (first, last): (u32, u32),
        state: State,
        at: &'t [u8],
        options: &ReadOptions,
        report: &mut Report<'_>,
    ) -> Result<(), Fault<'t>> {
        if u64::from(last - first) >= self.state.max_range_v4 {
            return Err(Fault::new(at, "more addresses than $MAXRANGE4 lets through"));
        }
        if state != UNLISTED {
            warnings::listing_v4(first, last, at, options, report);
        }
        Ok(())
    }

    /// As [`Self::judge_v4`], for IPv6 and `$MAXRANGE6`.
    pub(super) fn judge_v6<'t>(
        &self,
        (first, last): (u128, u128),
        state: State,
        at: &'t [u8],
        options: &ReadOptions,
        report: &mut Report<'_>,
    ) -> Result<(), Fault<'t>> {
        if last - first > self.state.max_range_v6 {
            return Err(Fault::new(at, "more addresses than $MAXRANGE6 lets through"));
        }
        if state != UNLISTED {
            warnings::listing_v6(first, last, at, options, report);
        }
        Ok(())
    }

    /// The dataset, after its last line.
    pub(super) fn finish(mut self, modified: u64) -> Parsed {
        if matches!(self.kind, Kind::Ip4tset | Kind::Ip6tset) {
            let (address, text) = self.only_default.take().unwrap_or((Ipv4Addr::new(127, 0, 0, 2), None));
            // The first value of an empty table always has the id that `ONLY_STATE` stands for.
            let _ = self.values.intern_parts(address, text.as_deref());
        }
        let Self { kind, content, values, specials, entries, exceptions, .. } = self;
        Parsed { kind, content, values, specials, modified, entries, exceptions }
    }
}

fn state_of(id: Option<ValueId>, at: &[u8]) -> Result<State, Fault<'_>> {
    id.map(|id| 1 + id).ok_or_else(|| Fault::fatal(at, "too many distinct values"))
}

/// An entry without the `!` of an exception (and the blanks behind it), and whether it had one.
pub(super) fn exception(text: &[u8]) -> (&[u8], bool) {
    match text {
        [b'!', rest @ ..] => (super::lexer::trim_start(rest), true),
        _ => (text, false),
    }
}
