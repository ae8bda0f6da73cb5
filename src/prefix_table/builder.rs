//! Sorted entries into disjoint runs: one sweep with a stack of the prefixes that are open.
//!
//! In the order (first address, length) every prefix comes after all that contain it, so the sweep
//! needs no memory but its stack, at most one prefix of each length.

use super::{Address, Entry, Range, Remark, State, UNLISTED};

/// Gives `emit` the maximal runs of addresses of one state, from `A::MIN` to `A::MAX` without a
/// gap, and `remark` what is odd. `entries` are sorted by [`super::sort`].
pub(super) fn flatten<A: Address>(
    entries: &[Entry<A>],
    remark: &mut dyn FnMut(Remark<A>),
    mut emit: impl FnMut(Range<A>),
) {
    let mut runs = Runs { run: (A::MIN, UNLISTED), change: (A::MIN, UNLISTED), emit: &mut emit };
    let mut open: Vec<(A, State)> = Vec::new(); // last address and state, shorter prefixes first
    let mut kept: Option<&Entry<A>> = None;
    for entry in entries {
        let Entry { first, length, state, .. } = *entry;
        if let Some(kept) = kept
            && (kept.first, kept.length) == (first, length)
        {
            remark(Remark::Duplicate { kept: *kept, dropped: *entry });
            continue;
        }
        kept = Some(entry);
        close(&mut open, &mut runs, |last| last < first);
        if state_of(&open) == state {
            remark(Remark::Redundant(*entry));
            continue;
        }
        runs.change(first, state);
        open.push((first.last_of(length), state));
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
