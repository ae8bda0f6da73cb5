//! Entries into disjoint runs: a sort, then one sweep with a stack of the prefixes that are open.
//!
//! In the order (first address, length) every prefix comes after all that contain it, so the sweep
//! needs no memory but its stack, at most one prefix of each length.

use super::{Address, Entry, Range, Remark, State, UNLISTED};

/// Sorts entries by prefix, the entries of one prefix by origin and then by place.
///
/// In place wherever the order of origins is a complete one, as in the entries of files read from
/// top to bottom, where one line names disjoint prefixes in ascending order. Else the sort has to
/// be stable, which takes half the memory of the entries once more.
pub(super) fn sort<A: Address>(entries: &mut [Entry<A>]) {
    let written_in_order = entries.is_sorted_by(|a, b| (a.origin(), a.first) < (b.origin(), b.first));
    let key = |entry: &Entry<A>| (entry.first, entry.length, entry.origin());
    if written_in_order {
        entries.sort_unstable_by_key(key);
    } else {
        entries.sort_by_key(key);
    }
}

/// Gives `emit` the maximal runs of addresses of one state, from `A::MIN` to `A::MAX` without a
/// gap, and `remark` what is odd. `entries` are sorted by [`sort`].
pub(super) fn flatten<A: Address>(
    entries: &[Entry<A>],
    remark: &mut dyn FnMut(Remark<A>),
    mut emit: impl FnMut(Range<A>),
) {
    let mut runs = Runs { run: (A::MIN, UNLISTED), change: (A::MIN, UNLISTED), emit: &mut emit };
    let mut open: Vec<(A, State)> = Vec::new(); // last address and state, shorter prefixes first
    let mut kept: Option<Entry<A>> = None;
    for entry in entries {
        if let Some(kept) = kept
            && (kept.first, kept.length) == (entry.first, entry.length)
        {
            remark(Remark::Duplicate { kept, dropped: *entry });
            continue;
        }
        kept = Some(*entry);
        close(&mut open, &mut runs, |last| last < entry.first);
        if state_of(&open) == entry.state {
            remark(Remark::Redundant(*entry));
            continue;
        }
        runs.change(entry.first, entry.state);
        open.push((entry.first.last_of(entry.length), entry.state));
    }
    close(&mut open, &mut runs, |_| true);
    runs.finish();
}

/// Closes the innermost open prefixes for as long as their last address is `past`.
fn close<A: Address>(
    open: &mut Vec<(A, State)>,
    runs: &mut Runs<A, impl FnMut(Range<A>)>,
    past: impl Fn(A) -> bool,
) {
    while let Some((last, _)) = open.pop_if(|(last, _)| past(*last)) {
        if let Some(next) = last.successor() {
            runs.change(next, state_of(open));
        }
    }
}

fn state_of<A>(open: &[(A, State)]) -> State {
    open.last().map_or(UNLISTED, |&(_, state)| state)
}

/// Makes maximal runs of changes of state. Several changes at one address count as the last of them.
struct Runs<'e, A, F> {
    /// Where the present run begins, and its state.
    run: (A, State),
    /// The last change, which may yet be replaced.
    change: (A, State),
    emit: &'e mut F,
}

impl<A: Address, F: FnMut(Range<A>)> Runs<'_, A, F> {
    fn change(&mut self, first: A, state: State) {
        if first > self.change.0 {
            self.settle();
        }
        self.change = (first, state);
    }

    fn settle(&mut self) {
        let (first, state) = self.run;
        if self.change.1 == state {
            return;
        }
        if let Some(last) = self.change.0.predecessor() {
            (self.emit)(Range { first, last, state });
        }
        self.run = self.change;
    }

    fn finish(mut self) {
        self.settle();
        let (first, state) = self.run;
        (self.emit)(Range { first, last: A::MAX, state });
    }
}
