//! What a source is: names that exist, each with what is said of it and of the names below it.
//!
//! A source is read in two ways. [`Nodes::walk`] is for whoever writes the whole zone down. The other
//! operations look at one name and its neighbours, in a time that does not depend on how many names there
//! are. Keys are canonical and left of where the source is mounted.

use smallvec::SmallVec;

use super::Node;
use crate::zone::Found;

/// Names in canonical order: a standard zone by itself.
pub(super) trait Nodes<'z> {
    /// All of them.
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z>;

    /// What there is at a key.
    fn at(&self, key: &[u8]) -> At<'z>;

    /// The last name before `bound`, which need not be a whole key. If it is before `than` it may be left
    /// out.
    fn last_before(&self, bound: &[u8], than: &[u8]) -> Option<Vec<u8>>;

    /// The first name at or after `bound`, which need not be a whole key.
    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>>;

    /// How much of a key is at or above a name; `None` where that is not known without a look at the
    /// neighbours.
    fn encloser(&self, _key: &[u8]) -> Option<usize> {
        None
    }
}

/// What a source has at a key.
pub(super) struct At<'z> {
    /// What it says of the name, if that exists.
    pub(super) own: Option<Found<'z>>,
    /// What it says of the names below, or what the nearest existing name above says of the names below that.
    pub(super) below: Found<'z>,
}

/// A source whose names form a tree that is looked at from the root.
pub(super) trait Tree<'z> {
    /// A name that exists.
    type Place;

    /// The name of which the key is empty.
    fn root(&self) -> Self::Place;

    /// The places from [`Self::root`] down to the deepest one of which `bound` is the name or below it, each with
    /// the length of its key.
    fn path(&self, bound: &[u8]) -> Vec<(usize, Self::Place)>;

    /// The last place directly below, with what its key has more than this one's; if there is a bound, the
    /// last of which that is less.
    fn last_child(&self, place: &Self::Place, bound: Option<&[u8]>) -> Option<(Labels, Self::Place)>;

    /// The first place directly below of which that is at least `bound`.
    fn first_child(&self, place: &Self::Place, bound: &[u8]) -> Option<(Labels, Self::Place)>;

    /// The name of a place.
    fn node(&self, key: &[u8], place: &Self::Place) -> Node<'z>;
}

/// One or a few labels of a key.
pub(super) type Labels = SmallVec<[u8; 8]>;

/// [`Nodes::at`] of a tree.
pub(super) fn at<'z, T: Tree<'z>>(tree: &T, key: &[u8]) -> At<'z> {
    let (length, place) = tree.path(key).pop().unwrap_or_else(|| (0, tree.root()));
    let node = tree.node(&key[..length], &place);
    At { own: (length == key.len()).then_some(node.own), below: node.below }
}

/// [`Nodes::last_before`] of a tree.
pub(super) fn last_before<'z, T: Tree<'z>>(tree: &T, bound: &[u8], than: &[u8]) -> Option<Vec<u8>> {
    let mut path = tree.path(bound);
    path.pop_if(|(length, _)| *length == bound.len());
    let (length, place) = path.pop()?;
    let mut key = bound[..length].to_vec();
    let mut child = tree.last_child(&place, Some(&bound[length..]));
    while let Some((labels, place)) = child {
        key.extend_from_slice(&labels);
        if *key < *than && !than.starts_with(&key) {
            // So are all names below.
            return None;
        }
        child = tree.last_child(&place, None);
    }
    Some(key)
}

/// [`Nodes::first_from`] of a tree.
pub(super) fn first_from<'z, T: Tree<'z>>(tree: &T, bound: &[u8]) -> Option<Vec<u8>> {
    let path = tree.path(bound);
    if path.last().is_some_and(|(length, _)| *length == bound.len()) {
        return Some(bound.to_vec());
    }
    path.iter().rev().find_map(|(length, place)| {
        let (above, rest) = bound.split_at(*length);
        tree.first_child(place, rest).map(|(labels, _)| [above, &labels].concat())
    })
}
