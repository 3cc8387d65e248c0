//! A vector with holes: small numbers stand for things that come and go.

/// Things by number. When the last one goes, so does the memory.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

const LIVES: &str = "whoever holds a number holds what it stands for";

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(value);
            return index;
        }
        // Grown by an eighth, not doubled: there are hundreds of thousands of these.
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 8 + 4);
        }
        self.entries.push(Some(value));
        u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 things are kept")
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        let value = self.entries[index as usize].take().expect(LIVES);
        self.free.push(index);
        if self.free.len() == self.entries.len() {
            *self = Self::default();
        }
        value
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
        self.entries.len() - self.free.len()
    }
}
