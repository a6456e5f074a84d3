//! How many are inside at once: in all, and of one key.
//!
//! Invariant: whoever got a [`Place`] is counted until it is dropped, and memory is held for those inside only.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Lets in at most `most`, and at most `most_of_one` of each key.
pub struct Crowd<K> {
    most: usize,
    most_of_one: usize,
    inside: Mutex<Inside<K>>,
}

struct Inside<K> {
    all: usize,
    of: HashMap<K, usize>,
}

/// A place inside, free again when dropped.
pub struct Place<K: Hash + Eq> {
    crowd: Arc<Crowd<K>>,
    key: K,
}

impl<K: Hash + Eq + Copy> Crowd<K> {
    pub fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, inside: Mutex::new(Inside { all: 0, of: HashMap::new() }) })
    }

    /// A place, if there is one for `key`.
    pub fn enter(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut inside = self.lock();
        let count = inside.of.get(&key).copied().unwrap_or(0);
        if inside.all >= self.most || count >= self.most_of_one {
            return None;
        }
        inside.all += 1;
        inside.of.insert(key, count + 1);
        Some(Place { crowd: self.clone(), key })
    }
}

impl<K> Crowd<K> {
    fn lock(&self) -> MutexGuard<'_, Inside<K>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut inside = self.crowd.lock();
        inside.all -= 1;
        if let Some(count) = inside.of.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                inside.of.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let crowd = Crowd::new(3, 2);
        let first = crowd.enter("a");
        let _second = crowd.enter("a").expect("a place");
        assert!(first.is_some() && crowd.enter("a").is_none());
        let _third = crowd.enter("b").expect("a place");
        assert!(crowd.enter("c").is_none());
        drop(first);
        assert!(crowd.enter("c").is_some());
        assert_eq!(crowd.lock().of.len(), 2);
    }
}
