//! The division of one dimension into classes: the values that satisfy the same conditions.

use std::collections::HashMap;

use crate::ranges::Ranges;

/// A domain, divided. Its classes are numbered from 0; together they are the domain, and no two have a value in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Segments in order, without gaps inside the domain: first, last, and the class.
    segments: Vec<(u128, u128, usize)>,
    classes: Vec<Ranges>,
}

impl Partition {
    /// Divides a domain by conditions. The time is that of sorting their edges, and for each condition the segments
    /// that it covers.
    pub fn new<'a>(domain: &Ranges, conditions: impl IntoIterator<Item = &'a Ranges> + Clone) -> Self {
        let segments = segments(domain, conditions.clone());
        let mut class = vec![0usize; segments.len()];
        let mut sizes = vec![segments.len()];
        for condition in conditions {
            refine(&segments, &mut class, &mut sizes, condition);
        }
        Self::numbered(segments, &class)
    }

    /// Numbers the classes by their first value.
    fn numbered(segments: Vec<(u128, u128)>, class: &[usize]) -> Self {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let mut ranges: Vec<Vec<(u128, u128)>> = Vec::new();
        let mut numbered = Vec::with_capacity(segments.len());
        for (&(first, last), old) in segments.iter().zip(class) {
            let number = *numbers.entry(*old).or_insert_with(|| {
                ranges.push(Vec::new());
                ranges.len() - 1
            });
            ranges[number].push((first, last));
            numbered.push((first, last, number));
        }
        Self { segments: numbered, classes: ranges.into_iter().map(Ranges::of).collect() }
    }

    /// How many classes there are; none only of an empty domain.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether the domain is empty.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The values of a class.
    pub fn class(&self, class: usize) -> &Ranges {
        &self.classes[class]
    }

    /// The values of each class, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Ranges> {
        self.classes.iter()
    }

    /// One value of a class.
    pub fn representative(&self, class: usize) -> u128 {
        self.classes[class].first().unwrap_or_default()
    }

    /// The class of a value; none outside of the domain.
    pub fn class_of(&self, value: u128) -> Option<usize> {
        let after = self.segments.partition_point(|(first, ..)| *first <= value);
        let (_, last, class) = self.segments.get(after.checked_sub(1)?)?;
        (value <= *last).then_some(*class)
    }
}

/// The domain cut at every edge of every condition.
fn segments<'a>(domain: &Ranges, conditions: impl IntoIterator<Item = &'a Ranges>) -> Vec<(u128, u128)> {
    let mut starts: Vec<u128> = Vec::new();
    for condition in conditions {
        for (first, last) in condition.iter() {
            starts.push(first);
            starts.extend(last.checked_add(1));
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let mut cut = Vec::new();
    let mut next = 0;
    for (first, last) in domain.iter() {
        let mut from = first;
        next += starts[next..].partition_point(|start| *start <= first);
        while let Some(&start) = starts.get(next).filter(|start| **start <= last) {
            cut.push((from, start - 1));
            from = start;
            next += 1;
        }
        cut.push((from, last));
    }
    cut
}

/// Parts each class into what a condition covers and the rest.
fn refine(segments: &[(u128, u128)], class: &mut [usize], sizes: &mut Vec<usize>, condition: &Ranges) {
    let mut covered: HashMap<usize, Vec<usize>> = HashMap::new();
    for (first, last) in condition.iter() {
        let start = segments.partition_point(|(_, end)| *end < first);
        for (index, _) in segments.iter().enumerate().skip(start).take_while(|(_, (begin, _))| *begin <= last) {
            covered.entry(class[index]).or_default().push(index);
        }
    }
    for (old, indexes) in covered {
        if indexes.len() < sizes[old] {
            sizes[old] -= indexes.len();
            for &index in &indexes {
                class[index] = sizes.len();
            }
            sizes.push(indexes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tortie_random::Random;

    #[test]
    fn two_values_are_of_one_class_if_and_only_if_they_satisfy_the_same_conditions() {
        let mut random = Random::new(5);
        for _ in 0..500 {
            let mut draw = |most: usize| {
                let mut ranges = Vec::new();
                for _ in 0..random.below(most) {
                    let first = random.below(30) as u128;
                    ranges.push((first, first + random.below(6) as u128));
                }
                Ranges::of(ranges)
            };
            let domain = draw(4).union(&Ranges::span(3u8, 9u8));
            let conditions: Vec<Ranges> = (0..4).map(|_| draw(4)).collect();
            let partition = Partition::new(&domain, &conditions);
            let signature =
                |value: u128| conditions.iter().map(|condition| condition.contains(value)).collect::<Vec<_>>();
            for a in 0..40u128 {
                assert_eq!(partition.class_of(a).is_some(), domain.contains(a));
                for b in 0..40u128 {
                    if let (Some(of_a), Some(of_b)) = (partition.class_of(a), partition.class_of(b)) {
                        assert_eq!(of_a == of_b, signature(a) == signature(b), "{a} {b} {conditions:?}");
                        assert_eq!(partition.class(of_a).contains(b), of_a == of_b);
                    }
                }
            }
        }
    }

    #[test]
    fn ten_thousand_addresses_that_one_condition_covers_are_one_class() {
        let members = Ranges::of((0..10_000u128).map(|number| (number * 3, number * 3)));
        let partition = Partition::new(&Ranges::span(0u32, u32::MAX), [&members]);
        assert_eq!(partition.len(), 2);
    }
}
