//! A memory by key that forgets: what nobody has used for a while, and the longest unused when it is full. Every map that the
//! process keeps is one, so that none grows with what is gone. No I/O.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Values by key. A clone of the value is handed out, so large ones are behind an `Arc`.
pub struct Memory<V> {
    entries: Mutex<Entries<V>>,
    most: u64,
    unused: Duration,
    weigh: fn(&V) -> u64,
}

struct Entries<V> {
    map: HashMap<String, Entry<V>>,
    weight: u64,
}

struct Entry<V> {
    value: V,
    weight: u64,
    used: Instant,
}

impl<V: Clone> Memory<V> {
    /// Keeps so many values, each until it was not used for so long.
    pub fn new(most: u64, unused: Duration) -> Self {
        Self::weighing(most, unused, |_| 1)
    }

    /// The same by the weight of the values: they have no more than `most` of it together.
    pub fn weighing(most: u64, unused: Duration, weigh: fn(&V) -> u64) -> Self {
        Self { entries: Mutex::new(Entries { map: HashMap::new(), weight: 0 }), most, unused, weigh }
    }

    fn lock(&self) -> MutexGuard<'_, Entries<V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &str) -> Option<V> {
        self.lock().get(key, self.unused)
    }

    /// What is known, or is so from now on.
    pub fn get_or(&self, key: &str, new: impl FnOnce() -> V) -> V {
        self.change(key, |known| known.unwrap_or_else(new))
    }

    pub fn set(&self, key: &str, value: V) {
        self.change(key, |_| value);
    }

    /// Makes a new value of what is known, and hands it out. Of two that do so at once, one comes after the other.
    pub fn change(&self, key: &str, change: impl FnOnce(Option<V>) -> V) -> V {
        let mut entries = self.lock();
        let value = change(entries.get(key, self.unused));
        let weight = (self.weigh)(&value);
        entries.remove(key);
        if weight <= self.most {
            entries.make_room(self.most.saturating_sub(weight), self.unused);
            entries.weight += weight;
            entries.map.insert(key.to_owned(), Entry { value: value.clone(), weight, used: Instant::now() });
        }
        value
    }

    pub fn forget(&self, key: &str) {
        self.lock().remove(key);
    }
}

impl<V: Clone> Entries<V> {
    fn get(&mut self, key: &str, unused: Duration) -> Option<V> {
        let entry = self.map.get_mut(key)?;
        if entry.used.elapsed() > unused {
            self.remove(key);
            return None;
        }
        entry.used = Instant::now();
        Some(entry.value.clone())
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.map.remove(key) {
            self.weight -= entry.weight;
        }
    }

    /// Sees to it that what is there weighs no more than `most`. Where something has to go, some more goes with it, so that a
    /// full memory is not looked through each time.
    fn make_room(&mut self, most: u64, unused: Duration) {
        if self.weight <= most {
            return;
        }
        let mut by_use: Vec<(Instant, String)> = self.map.iter().map(|(key, e)| (e.used, key.clone())).collect();
        by_use.sort_unstable();
        let target = most - most / 8;
        for (used, key) in by_use {
            if self.weight <= target && used.elapsed() <= unused {
                break;
            }
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_longest_unused_goes_when_it_is_full() {
        let memory = Memory::new(10, HOUR);
        for key in 0..1000 {
            memory.set(&key.to_string(), key);
            memory.get("0");
            assert!(memory.lock().map.len() <= 10);
        }
        assert_eq!((memory.get("0"), memory.get("999"), memory.get("500")), (Some(0), Some(999), None));
    }

    #[test]
    fn large_values_have_no_more_room_than_small_ones() {
        let memory = Memory::weighing(100, HOUR, |value: &u64| *value);
        for (key, weight) in ["a", "b", "c", "d"].into_iter().zip([40, 40, 40, 4]) {
            memory.set(key, weight);
            assert!(memory.lock().weight <= 100);
        }
        assert_eq!((memory.get("a"), memory.get("c"), memory.get("d")), (None, Some(40), Some(4)));
        memory.set("giant", 1000);
        assert_eq!((memory.get("giant"), memory.get("d")), (None, Some(4)), "it would push out all others");
        memory.set("d", 50);
        memory.forget("d");
        memory.forget("c");
        assert_eq!(memory.lock().weight, 0);
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let memory = Memory::new(10, Duration::from_millis(20));
        memory.set("a", 1);
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!((memory.get("a"), memory.lock().map.len()), (None, 0));
    }

    #[test]
    fn a_value_is_made_of_the_one_before() {
        let memory = Memory::new(10, HOUR);
        let count = |known: Option<u32>| known.unwrap_or(0) + 1;
        assert_eq!((memory.change("a", count), memory.change("a", count), memory.get_or("a", || 7)), (1, 2, 2));
        memory.forget("a");
        assert_eq!(memory.get_or("a", || 7), 7);
    }
}
