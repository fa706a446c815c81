//! Sorts for places where code counts more than time. Those of std are compiled anew for every type and comparison, at
//! 3 kB of machine code each: fifty of them were a twentieth of the browser's module. Here one of them sorts numbers,
//! and what is compiled for each type only carries the items to their places. Slower, by a call for each
//! comparison and a second pass: not for the sorts of queries, loads and merges.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Sorts stably.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    if items.len() > 1 {
        let order = order_of(items.len(), &mut |one, other| compare(&items[one], &items[other]));
        arrange(items, order);
    }
}

/// Sorts stably by what `key` makes of an item.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Sorts stably.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Collects pairs into a map by inserting them; of equal keys the last stays. (`collect` sorts them first.)
pub fn map_of<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}

/// For each place the number of the item that belongs there.
fn order_of(len: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&one, &other| compare(one, other));
    order
}

/// Brings every item to its place, along the cycles of the permutation.
fn arrange<T>(items: &mut [T], mut order: Vec<usize>) {
    for first in 0..order.len() {
        let mut place = first;
        while order[place] != first {
            let from = std::mem::replace(&mut order[place], place);
            items.swap(place, from);
            place = from;
        }
        order[place] = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn agrees_with_std() {
        let mut rng = Rng::new(7);
        for len in [0, 1, 2, 3, 10, 21, 100, 1000] {
            for spread in [1, 3, 1000] {
                let items: Vec<(u64, usize)> = (0..len).map(|place| (rng.below(spread), place)).collect();
                let (mut ours, mut theirs) = (items.clone(), items);
                sort_by_key(&mut ours, |item| item.0);
                theirs.sort_by_key(|item| item.0);
                assert_eq!(ours, theirs);
                sort_by(&mut ours, |one, other| other.cmp(one));
                theirs.sort_by(|one, other| other.cmp(one));
                assert_eq!(ours, theirs);
                sort(&mut ours);
                assert!(ours.is_sorted());
            }
        }
    }
}
