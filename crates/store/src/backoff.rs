//! Pauses between attempts: ever longer, and of random length, so that many who lost the same server do not come back at once.
//! Each store sets its own first and longest pause, in a function `backoff`.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Ever longer pauses.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

/// From 50 ms to 10 s.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(10))
    }
}

impl Backoff {
    /// Pauses that double from the first to the longest.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// The next pause: between half of what it has come to and all of it.
    pub fn pause(&mut self) -> Duration {
        let pause = part_of(self.next);
        self.next = (self.next * 2).min(self.longest);
        pause
    }

    /// The next pause, which is not shorter than what a server asks for, and up to half as long again.
    pub fn at_least(&mut self, asked: Duration) -> Duration {
        self.pause().max(asked / 2 + part_of(asked))
    }
}

/// Between half of a time and all of it.
pub fn part_of(time: Duration) -> Duration {
    time.mul_f64(0.5 + 0.5 * (random() as f64 / u64::MAX as f64))
}

/// Something that another process does not get as well. It need not be more random than that.
pub fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_lost_a_server_at_the_same_time_come_back_over_half_of_an_ever_longer_pause() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut clients = vec![backoff; 1_000];
        for longest in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000].map(Duration::from_millis) {
            let mut pauses: Vec<Duration> = clients.iter_mut().map(Backoff::pause).collect();
            pauses.sort();
            assert!(pauses[0] >= longest / 2 && pauses[999] <= longest, "{:?} {:?}", pauses[0], pauses[999]);
            // They are spread over it: each twentieth of the time has some, and none more than a tenth of them.
            let (begin, part) = (longest / 2, longest / 40);
            for at in 0..20 {
                let from = begin + part * at;
                let together = pauses.iter().filter(|pause| (from..from + part).contains(pause)).count();
                assert!((1..100).contains(&together), "{together} of 1,000 within {part:?}");
            }
        }
    }

    #[test]
    fn a_server_that_asks_for_a_pause_gets_it_and_many_come_back_over_half_as_long_again() {
        let asked = Duration::from_secs(20);
        let pauses: Vec<Duration> = (0..1_000).map(|_| Backoff::default().at_least(asked)).collect();
        assert!(pauses.iter().all(|pause| (asked..=asked * 3 / 2).contains(pause)));
        for second in (20..30).map(Duration::from_secs) {
            let together =
                pauses.iter().filter(|pause| (second..second + Duration::from_secs(1)).contains(pause)).count();
            assert!((1..200).contains(&together), "{together} of 1,000 come within the second after {second:?}");
        }
    }
}
