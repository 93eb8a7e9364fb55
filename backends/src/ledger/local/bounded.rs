//! A map that holds so much and no more: what was put or used longest ago goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A map whose values together weigh at most `weight_max`.
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys by the time of their last use, in steps of `clock`.
    by_use: BTreeMap<u64, K>,
    clock: u64,
    weight: usize,
    weight_max: usize,
}

struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    pub(super) fn new(weight_max: usize) -> Self {
        Self { entries: HashMap::new(), by_use: BTreeMap::new(), clock: 0, weight: 0, weight_max }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The same, and counts as a use.
    pub(super) fn use_of(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        self.clock += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.clock, key);
        }
        entry.used = self.clock;
        Some(&entry.value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Puts a value in the place of what was there; others go if there is no room. What is heavier than the whole map
    /// is not put.
    pub(super) fn put(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.weight_max {
            return;
        }
        self.clock += 1;
        self.weight += weight;
        self.by_use.insert(self.clock, key.clone());
        self.entries.insert(key, Entry { value, weight, used: self.clock });
        while self.weight > self.weight_max {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.by_use.remove(&entry.used);
        self.weight -= entry.weight;
        Some(entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn what_was_used_longest_ago_goes_first_and_the_heavy_never_comes_in() {
        let mut map = Bounded::new(10);
        for key in ["a", "b", "c"] {
            map.put(key, key.len(), 3);
        }
        map.use_of(&"a");
        map.put("d", 1, 4);
        assert_eq!(["a", "b", "c", "d"].map(|key| map.get(&key).is_some()), [true, false, true, true]);
        map.put("c", 2, 11);
        assert!(map.get(&"c").is_none(), "what it was is no longer true");
        map.put("e", 1, 3);
        assert_eq!(["a", "d", "e"].map(|key| map.get(&key).is_some()), [true, true, true], "room was given back");
        assert_eq!((map.entries.len(), map.by_use.len(), map.weight), (3, 3, 10));
    }
}
