//! rbldnsd's statistics file (`-s`).

use std::fmt::Write;
use std::iter::Sum;

use super::{Answer, Totals, ZoneTotals};

/// Renders rbldnsd's statistics file (`-s`), one line per interval:
/// `EPOCH zone:total:ok:nxdomain:in:out … *:total:ok:nxdomain:in:out`.
#[derive(Debug, Default)]
pub struct StatisticsFile {
    /// What was counted up to the last line; only kept where lines are differences (`-s +file`).
    earlier: Option<Vec<Sums>>,
}

impl StatisticsFile {
    /// Lines of counts since the start, or (`differences`) since the line before.
    pub fn new(differences: bool) -> Self {
        Self { earlier: differences.then(Vec::new) }
    }

    /// The line, with its LF, for `totals` at `epoch` (seconds since 1970).
    pub fn line(&mut self, epoch: u64, totals: &Totals) -> String {
        let all: Sums = totals.all().map(Sums::from).sum();
        // The sum over all comes first in `earlier`: zones are only ever added, at the end.
        let now: Vec<Sums> =
            [all].into_iter().chain(totals.zones.iter().map(|(_, zone)| zone.into())).collect();
        let none = Vec::new();
        let earlier = self.earlier.as_ref().unwrap_or(&none);
        let since = |index: usize| now[index].since(earlier.get(index).copied().unwrap_or_default());
        let mut line = epoch.to_string();
        for (index, (name, _)) in totals.zones.iter().enumerate() {
            push(&mut line, &name.to_string(), since(index + 1));
        }
        push(&mut line, "*", since(0));
        line.push('\n');
        if self.earlier.is_some() {
            self.earlier = Some(now);
        }
        line
    }
}

/// What rbldnsd counts.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    total: u64,
    ok: u64,
    nxdomain: u64,
    octets_in: u64,
    octets_out: u64,
}

impl From<&ZoneTotals> for Sums {
    fn from(zone: &ZoneTotals) -> Self {
        let of = |answers: &[Answer]| zone.count(|labels| answers.contains(&labels.answer));
        Self {
            total: zone.count(|_| true),
            ok: of(&[Answer::Listed, Answer::NoError]),
            nxdomain: of(&[Answer::NxDomain]),
            octets_in: zone.octets_in,
            octets_out: zone.octets_out,
        }
    }
}

impl Sums {
    fn since(self, earlier: Self) -> Self {
        self.with(earlier, |now, earlier| now - earlier)
    }

    fn with(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            total: combine(self.total, other.total),
            ok: combine(self.ok, other.ok),
            nxdomain: combine(self.nxdomain, other.nxdomain),
            octets_in: combine(self.octets_in, other.octets_in),
            octets_out: combine(self.octets_out, other.octets_out),
        }
    }
}

impl Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        sums.fold(Self::default(), |sum, next| sum.with(next, |a, b| a + b))
    }
}

fn push(line: &mut String, name: &str, Sums { total, ok, nxdomain, octets_in, octets_out }: Sums) {
    // Writing to a String cannot fail.
    let _ = write!(line, " {name}:{total}:{ok}:{nxdomain}:{octets_in}:{octets_out}");
}
