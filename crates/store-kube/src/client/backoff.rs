//! How long to wait before a server is asked again.

use std::time::Duration;

/// Ever longer pauses, of random length, so that many who lost the same server do not come back at once.
pub(crate) struct Backoff(Duration);

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST: Duration = Duration::from_secs(10);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    /// The next pause: between half of what it has come to and all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST);
        now.mul_f64(0.5 + 0.5 * random())
    }

    /// The next pause, which is not shorter than what the server asks for, and up to half as long again.
    pub(crate) fn at_least(&mut self, asked: Duration) -> Duration {
        self.next().max(asked.mul_f64(1.0 + 0.5 * random()))
    }
}

/// Between 0 and 1.
fn random() -> f64 {
    let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_lost_a_server_at_the_same_time_come_back_over_half_of_an_ever_longer_pause() {
        let mut clients: Vec<Backoff> = (0..1_000).map(|_| Backoff::new()).collect();
        for longest in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000].map(Duration::from_millis) {
            let mut pauses: Vec<Duration> = clients.iter_mut().map(Backoff::next).collect();
            pauses.sort();
            assert!(pauses[0] >= longest / 2 && pauses[999] <= longest, "{:?} {:?}", pauses[0], pauses[999]);
            // They are spread over it: no twentieth of the time has more than a tenth of them.
            let (begin, part) = (longest / 2, longest / 40);
            for at in 0..20 {
                let from = begin + part * at;
                let together = pauses.iter().filter(|pause| (from..from + part).contains(pause)).count();
                assert!(together < 100, "{together} of 1,000 within {part:?}");
            }
        }
    }

    #[test]
    fn a_server_that_asks_for_a_pause_gets_it_and_many_come_back_over_half_as_long_again() {
        let asked = Duration::from_secs(20);
        let pauses: Vec<Duration> = (0..1_000).map(|_| Backoff::new().at_least(asked)).collect();
        assert!(pauses.iter().all(|pause| (asked..=asked * 3 / 2).contains(pause)));
        for second in (20..30).map(Duration::from_secs) {
            let together =
                pauses.iter().filter(|pause| (second..second + Duration::from_secs(1)).contains(pause)).count();
            assert!(together < 200, "{together} of 1,000 come within the second after {second:?}");
        }
    }
}
