//! Sets of numbers as sorted ranges: addresses, ports, protocols, ICMP types with their codes.

/// A set of numbers: ranges, first and last included, sorted, apart and not adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    /// Nothing.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// One number.
    pub fn one(value: impl Into<u128>) -> Self {
        let value = value.into();
        Self(vec![(value, value)])
    }

    /// From the first to the last, both included; nothing when the last comes before the first.
    pub fn span(first: impl Into<u128>, last: impl Into<u128>) -> Self {
        Self::of([(first.into(), last.into())])
    }

    /// The union of ranges in any order.
    pub fn of(ranges: impl IntoIterator<Item = (u128, u128)>) -> Self {
        let mut all: Vec<(u128, u128)> = ranges.into_iter().filter(|(first, last)| first <= last).collect();
        all.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u128)> + Clone {
        self.0.iter().copied()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of ranges, not of numbers.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The first number.
    pub fn first(&self) -> Option<u128> {
        self.0.first().map(|(first, _)| *first)
    }

    /// Whether a number is in it.
    pub fn contains(&self, value: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= value);
        after.checked_sub(1).is_some_and(|index| value <= self.0[index].1)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Ranges) -> Ranges {
        Self::of(self.iter().chain(other.iter()))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Ranges) -> Ranges {
        let mut found = Vec::new();
        let (mut a, mut b) = (0, 0);
        while let (Some(&(a_first, a_last)), Some(&(b_first, b_last))) = (self.0.get(a), other.0.get(b)) {
            let (first, last) = (a_first.max(b_first), a_last.min(b_last));
            if first <= last {
                found.push((first, last));
            }
            if a_last <= b_last { a += 1 } else { b += 1 }
        }
        Self(found)
    }

    /// What is in this and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Ranges) -> Ranges {
        let mut found = Vec::new();
        let mut skip = 0;
        for (first, last) in self.iter() {
            while other.0.get(skip).is_some_and(|(_, end)| *end < first) {
                skip += 1;
            }
            let mut start = Some(first);
            for &(taken, end) in &other.0[skip..] {
                let Some(from) = start.filter(|_| taken <= last) else { break };
                if from < taken {
                    found.push((from, taken - 1));
                }
                start = end.checked_add(1).map(|next| next.max(from)).filter(|next| *next <= last);
            }
            if let Some(from) = start {
                found.push((from, last));
            }
        }
        Self(found)
    }

    /// Whether both have a number in common.
    pub fn meets(&self, other: &Ranges) -> bool {
        // The smaller one is looked up in the larger.
        let (small, large) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        small.iter().any(|(first, last)| {
            let index = large.0.partition_point(|(_, end)| *end < first);
            large.0.get(index).is_some_and(|(start, _)| *start <= last)
        })
    }

    /// Whether all of this is in the other.
    pub fn is_within(&self, other: &Ranges) -> bool {
        self.iter().all(|(first, last)| {
            let index = other.0.partition_point(|(_, end)| *end < first);
            other.0.get(index).is_some_and(|(start, end)| *start <= first && last <= *end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tortie_random::Random;

    #[test]
    fn every_operation_agrees_with_sets_of_single_numbers() {
        let mut random = Random::new(11);
        for _ in 0..2000 {
            let mut draw = || {
                let mut ranges = Vec::new();
                for _ in 0..random.below(5) {
                    let first = random.below(24) as u128;
                    ranges.push((first, first + random.below(5) as u128));
                }
                Ranges::of(ranges)
            };
            let (a, b) = (draw(), draw());
            let set = |ranges: &Ranges| (0..40).map(|value| ranges.contains(value)).collect::<Vec<bool>>();
            let (in_a, in_b) = (set(&a), set(&b));
            let both =
                |f: fn(bool, bool) -> bool| -> Vec<bool> { in_a.iter().zip(&in_b).map(|(a, b)| f(*a, *b)).collect() };
            assert_eq!(set(&a.union(&b)), both(|a, b| a || b), "{a:?} union {b:?}");
            assert_eq!(set(&a.intersection(&b)), both(|a, b| a && b), "{a:?} and {b:?}");
            assert_eq!(set(&a.minus(&b)), both(|a, b| a && !b), "{a:?} minus {b:?}");
            assert_eq!(a.meets(&b), both(|a, b| a && b).contains(&true), "{a:?} meets {b:?}");
            assert_eq!(a.is_within(&b), !both(|a, b| a && !b).contains(&true), "{a:?} within {b:?}");
            for result in [a.union(&b), a.intersection(&b), a.minus(&b)] {
                assert_eq!(result, Ranges::of(result.iter()), "{result:?} is not in its one form");
            }
        }
    }

    #[test]
    fn the_largest_number_is_not_a_boundary() {
        let all = Ranges::span(0u128, u128::MAX);
        assert_eq!(all.minus(&Ranges::one(u128::MAX)), Ranges::span(0u128, u128::MAX - 1));
        assert_eq!(all.minus(&Ranges::one(0u128)).union(&Ranges::one(0u128)), all);
        assert!(all.minus(&all).is_empty());
    }
}
