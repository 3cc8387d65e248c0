//! Pauses between attempts: exponential backoff with jitter, so that many machines do not retry at the same moment.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// How long to wait before the next try.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: FIRST }
    }
}

impl Backoff {
    /// A random pause, from half of the current one up to all of it.
    pub(crate) fn pause(&self) -> Duration {
        let share = (RandomState::new().hash_one(0) % 1000) as f64 / 2000.0;
        self.pause.mul_f64(0.5 + share)
    }

    /// When a pause that begins now is over.
    pub(crate) fn at(&self) -> Instant {
        Instant::now() + self.pause()
    }

    /// Makes the next pause longer.
    pub(crate) fn longer(&mut self) {
        self.pause = (self.pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_stay_within_their_half() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            let pause = backoff.pause();
            assert!(pause >= backoff.pause / 2 && pause <= backoff.pause, "{pause:?}");
            backoff.longer();
        }
        assert_eq!(backoff.pause, LONGEST);
    }
}
