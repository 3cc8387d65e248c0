//! A vector with free slots: each value has a small index, which is used again after the value was removed.

/// Values by number. It releases memory after the last value, so values that live long should have low numbers.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    /// Free numbers. Some may be in use again, or beyond the end.
    free: Vec<u32>,
    live: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), live: 0 }
    }
}

const LIVES: &str = "a number is only used while its value exists";

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.live += 1;
        while let Some(index) = self.free.pop() {
            if let Some(hole @ None) = self.entries.get_mut(index as usize) {
                *hole = Some(value);
                return index;
            }
        }
        // Grown by an eighth, not doubled: there are hundreds of thousands of values.
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 8 + 4);
        }
        self.entries.push(Some(value));
        u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 things are kept")
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        let value = self.entries[index as usize].take().expect(LIVES);
        self.live -= 1;
        while let Some(None) = self.entries.last() {
            self.entries.pop();
        }
        if self.entries.len() == self.live {
            self.free = Vec::new();
        } else if (index as usize) < self.entries.len() {
            self.free.push(index);
        }
        if self.entries.capacity() > 2 * self.entries.len() {
            self.shrink();
        }
        value
    }

    /// Releases the memory after the last value.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.free.retain(|&hole| (hole as usize) < self.entries.len());
        self.free.shrink_to_fit();
    }

    pub(crate) fn get(&self, index: u32) -> &T {
        self.entries[index as usize].as_ref().expect(LIVES)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        self.entries[index as usize].as_mut().expect(LIVES)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_unique_while_it_is_in_use_and_memory_follows_the_content() {
        let mut slab = Slab::default();
        let mut held = std::collections::BTreeMap::new();
        let mut state = 1u32;
        for round in 0..20_000u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Grows for a while, then shrinks for a while.
            let grows = (round / 2000).is_multiple_of(2);
            if (state >> 16).is_multiple_of(4) || (grows && (state >> 16) % 4 < 3) {
                let index = slab.insert(round);
                assert!(held.insert(index, round).is_none(), "{index} is held already");
            } else if let Some(&index) =
                held.range(state % 1000..).next().or(held.iter().next()).map(|(index, _)| index)
            {
                assert_eq!(Some(slab.remove(index)), held.remove(&index));
            }
            assert_eq!(slab.len(), held.len());
        }
        assert!(slab.iter().all(|(index, value)| held[&index] == *value));
        held.into_keys().rev().for_each(|index| {
            slab.remove(index);
        });
        assert_eq!(slab.entries.capacity() + slab.free.capacity(), 0);
    }
}
