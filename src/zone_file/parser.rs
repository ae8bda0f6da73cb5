//! The reader of a dataset: file by file and line by line, special lines to what they set, all
//! others to the dataset or the section that they belong to. Blocks of a large file are read side by
//! side (`parts`).

use std::io::Read;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::combined::{self, Heading};
use super::diagnostic::Diagnostics;
use super::lexer::{Block, Blocks, Fault, RawLine};
use super::list::{LineState, List};
use super::parts::{Crew, Division, Part};
use super::report::{Report, Source};
use super::special::{self, Special};
use super::{Content, Failure, Kind, Parsed, ReadOptions, Section};

/// Reads the files of one dataset, one after the other.
#[derive(Debug)]
pub struct Parser {
    options: ReadOptions,
    division: Division,
    diagnostics: Diagnostics,
    /// The dataset; of a combined one what its sections have in common.
    list: List,
    /// The finished sections of a combined dataset, and the one that is being read.
    sections: Vec<Section>,
    section: Option<(Heading, List)>,
    modified: u64,
    files: usize,
    /// Octets of text that are expected, and that came.
    expected: u64,
    read: u64,
}

/// Memory that serves the next block.
#[derive(Default)]
struct Spare {
    block: Block,
    list: Option<List>,
}

impl Parser {
    /// A parser for a dataset of `kind`.
    pub fn new(kind: Kind, options: &ReadOptions) -> Self {
        Self {
            list: List::new(kind, LineState::new(options)),
            options: options.clone(),
            division: Division::default(),
            diagnostics: Diagnostics::default(),
            sections: Vec::new(),
            section: None,
            modified: 0,
            files: 0,
            expected: 0,
            read: 0,
        }
    }

    /// The parser, expecting so many octets of text in all files together: room is made once for the entries
    /// of a large file, where a vector that doubles leaves holes of its former sizes.
    pub fn expecting(self, octets: u64) -> Self {
        Self { expected: octets, ..self }
    }

    /// The parser, dividing files in this way.
    #[cfg(test)]
    pub(super) fn divided(self, division: Division) -> Self {
        Self { division, ..self }
    }

    /// Reads the next file. Bad lines become diagnostics.
    ///
    /// # Errors
    /// A read error, or a line that makes the whole dataset fail.
    pub fn file(&mut self, path: &Path, modified: SystemTime, text: &mut dyn Read) -> Result<(), Failure> {
        let path = Arc::new(path.to_path_buf());
        let failed = |source| Failure::Io { path: path.to_path_buf(), source };
        let file = u16::try_from(self.files)
            .map_err(|_| failed(std::io::Error::other("more than 65536 files in one dataset")))?;
        self.files += 1;
        let seconds = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.modified = self.modified.max(seconds);
        self.end_section();
        self.list.state.next_file(&self.options);

        let source = Source { path: path.clone(), file };
        let options = self.options.clone();
        let mut blocks = Blocks::new(text, self.division.block);
        thread::scope(|scope| {
            let mut crew = Crew::default();
            let (mut blocks_read, mut first, mut spare) = (0, 1u32, Spare::default());
            loop {
                if blocks_read == self.division.head && self.list.has_parts() {
                    self.list.make_room(self.expected as f64 / self.read as f64);
                    crew = Crew::start(scope, self.division, &source, &options);
                }
                let block = match blocks.next(first, mem::take(&mut spare.block)) {
                    Ok(Some(block)) => block,
                    end => {
                        self.take_parts(&mut crew, 0, &source)?;
                        return end.map(|_| ()).map_err(failed);
                    }
                };
                blocks_read += 1;
                self.read += block.octets() as u64;
                let part = (!crew.is_empty()).then(|| self.list.part(&block, spare.list.take())).flatten();
                if let Some((part, lines)) = part {
                    let room = crew.room();
                    crew.give(block, part);
                    first = first.saturating_add(lines as u32);
                    spare = self.take_parts(&mut crew, room - 1, &source)?;
                } else {
                    self.take_parts(&mut crew, 0, &source)?;
                    first = first.saturating_add(self.block(&block, &source)?);
                    spare.block = block;
                }
            }
        })
    }

    /// Adds parts to the list until only so many are out; gives back what the last of them leaves.
    fn take_parts(&mut self, crew: &mut Crew, leave: usize, source: &Source) -> Result<Spare, Failure> {
        let mut last = Spare::default();
        while crew.waiting() > leave
            && let Some(Part { block, read }) = crew.take()
        {
            let appended = read.and_then(|(mut part, findings)| {
                self.list.append(&mut part).then(|| {
                    self.diagnostics.append(findings);
                    part
                })
            });
            if appended.is_none() {
                self.block(&block, source)?;
            }
            last = Spare { block, list: appended };
        }
        Ok(last)
    }

    /// Reads the lines of a block, and says how many they are.
    fn block(&mut self, block: &Block, source: &Source) -> Result<u32, Failure> {
        // The parser's diagnostics are lent to the lines, and come back before any return.
        let mut diagnostics = mem::take(&mut self.diagnostics);
        let (mut lines, mut result) = (0, Ok(()));
        for line in block.lines() {
            lines += 1;
            let (number, text) = (line.number, line.text);
            let mut report = Report { source, line: number, text, diagnostics: &mut diagnostics };
            match self.line(line, &mut report) {
                Ok(()) => {}
                Err(fault) if fault.fatal => {
                    let failure = if fault.early { Failure::Early } else { Failure::Line };
                    result = Err(failure(report.failure(fault)));
                    break;
                }
                Err(fault) => report.error(fault.at, fault.message),
            }
        }
        self.diagnostics = diagnostics;
        result.map(|()| lines)
    }

    /// The dataset and the findings, after the last file.
    pub fn finish(mut self) -> (Parsed, Diagnostics) {
        self.end_section();
        let mut parsed = self.list.finish(self.modified);
        if let Content::Combined(sections) = &mut parsed.content {
            for section in &mut self.sections {
                section.parsed.modified = self.modified;
                parsed.entries += section.parsed.entries;
                parsed.exceptions += section.parsed.exceptions;
            }
            *sections = self.sections;
        }
        (parsed, self.diagnostics)
    }

    fn line<'t>(&mut self, line: RawLine<'t>, report: &mut Report<'_>) -> Result<(), Fault<'t>> {
        let list = self.section.as_mut().map_or(&mut self.list, |(_, list)| list);
        match list.line(line, &self.options, report)? {
            Some(special) => self.special(special, report),
            None => Ok(()),
        }
    }

    /// Puts what a special line says where it belongs: SOA, NS and the expiry to the zone, all else
    /// to the section that is being read.
    fn special<'t>(&mut self, text: &'t [u8], report: &mut Report<'_>) -> Result<(), Fault<'t>> {
        const NOT_FIRST: &str = "there is one already, which stays";
        let zone = &mut self.list;
        let kind = zone.kind;
        let ttl = self.section.as_ref().map_or(zone.state.ttl, |(_, list)| list.state.ttl);
        let special = special::read(text, ttl, &self.options, report)?;
        if let Special::Dataset(rest) = special {
            return self.begin_section(text, rest, report);
        }
        let here = self.section.as_mut().map(|(_, list)| list);
        match special {
            Special::Soa(_) | Special::NameServers(_) if kind == Kind::Acl => {
                return Err(Fault::new(text, "an acl has no SOA and no NS"));
            }
            Special::Soa(_) if zone.specials.soa.is_some() => report.warn(text, NOT_FIRST),
            Special::Soa(soa) => zone.specials.soa = Some(soa),
            Special::NameServers(_) if zone.specials.name_servers.is_some() => report.warn(text, NOT_FIRST),
            Special::NameServers(servers) => zone.specials.name_servers = Some(servers),
            Special::Timestamp(expires) => {
                let known = zone.specials.expires;
                zone.specials.expires = known.into_iter().chain(expires).min();
            }
            local => set_local(here.unwrap_or(zone), local, text, report)?,
        }
        Ok(())
    }

    fn begin_section<'t>(
        &mut self,
        text: &'t [u8],
        rest: &'t [u8],
        report: &mut Report<'_>,
    ) -> Result<(), Fault<'t>> {
        if self.list.kind != Kind::Combined {
            return Err(Fault::new(text, "$DATASET belongs in a combined dataset"));
        }
        let heading = combined::heading(rest)?;
        if heading.sub_zones.is_empty() {
            report.warn(text, "the section names no sub-zone: nothing asks for its entries");
        }
        self.end_section();
        // What is in force for all sections is where this one begins.
        let mut list = List::new(heading.kind, self.list.state.clone());
        list.specials.ttl = self.list.specials.ttl;
        list.specials.variables = self.list.specials.variables.clone();
        self.section = Some((heading, list));
        Ok(())
    }

    fn end_section(&mut self) {
        if let Some((Heading { sub_zones, title, .. }, list)) = self.section.take() {
            self.sections.push(Section { sub_zones, title, parsed: list.finish(self.modified) });
        }
    }
}

/// What a special line sets for the dataset or section that it stands in.
fn set_local<'t>(
    list: &mut List,
    special: Special<'t>,
    text: &'t [u8],
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let state = &mut list.state;
    let variables = &mut list.specials.variables;
    match special {
        Special::Ttl(ttl) => (state.ttl, list.specials.ttl) = (ttl, Some(ttl)),
        Special::MaxRange4(limit) => state.max_range_v4 = state.max_range_v4.min(limit),
        Special::MaxRange6(limit) => state.max_range_v6 = state.max_range_v6.min(limit),
        Special::Granularity(_) if !matches!(list.kind, Kind::Ip | Kind::Combined) => {
            return Err(Fault::new(text, "$GRANULARITY belongs in a dataset of type ip"));
        }
        Special::Granularity(length) => state.granularity = length,
        Special::Variable(index, variable) => match &mut variables.numbered[index] {
            Some(_) => report.warn(text, "the first definition of a variable stays"),
            none => *none = Some(variable.into()),
        },
        Special::Base(_) if variables.base.is_some() => {
            report.warn(text, "the first definition of a variable stays");
        }
        Special::Base(template) => variables.base = Some(template.into()),
        // The others concern the zone.
        Special::Soa(_) | Special::NameServers(_) | Special::Timestamp(_) | Special::Dataset(_) => {}
    }
    Ok(())
}
