//! Sub-zones: the parts of a zone's names that the sections of a combined dataset answer for. Of one dataset
//! the longest sub-zone that a name ends with is asked, and no other, as in rbldnsd.

use std::collections::BTreeMap;

use super::List;
use crate::name::{Name, labels};

/// The labels of a sub-zone, left to right and in lower case; none for the zone itself.
pub(crate) type SubZone = Vec<Box<[u8]>>;

/// The lists of a combined dataset.
pub(crate) type SubZones = BTreeMap<SubZone, List>;

/// The longest sub-zone that is a suffix of `labels`, with its number of labels; and whether any
/// sub-zone lies below `labels`.
pub(super) fn longest_suffix<'z>(
    sub_zones: &'z SubZones,
    labels: &[&[u8]],
) -> (Option<(usize, &'z List)>, bool) {
    let ends_with = |long: &[&[u8]], short: &[Box<[u8]>]| {
        long.len() >= short.len() && same_labels(&long[long.len() - short.len()..], short)
    };
    let mut longest = None;
    let mut below = false;
    for (sub_zone, list) in sub_zones {
        let longer = longest.is_none_or(|(length, _)| length < sub_zone.len());
        if longer && ends_with(labels, sub_zone) {
            longest = Some((sub_zone.len(), list));
        }
        below |=
            sub_zone.len() > labels.len() && same_labels(labels, &sub_zone[sub_zone.len() - labels.len()..]);
    }
    (longest, below)
}

/// The labels of a sub-zone as its key.
pub(super) fn key(sub_zone: &Name) -> SubZone {
    labels(&sub_zone.lowercase_wire()).map(Box::from).collect()
}

/// True if two names of equally many labels are the same.
pub(super) fn same_labels(one: &[&[u8]], other: &[Box<[u8]>]) -> bool {
    one.iter().zip(other).all(|(a, b)| a.eq_ignore_ascii_case(b))
}
