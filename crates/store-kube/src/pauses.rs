//! The pauses between attempts to open a stream.

use std::time::Duration;

use tortie_store::Backoff;

use crate::client::{CallError, reconnect_backoff};

/// Two series of ever longer pauses: while the server cannot be reached, and while it answers and refuses. Each begins anew when the
/// other was used. So what a server that has just started answers first is not followed by pauses as long as it was away.
pub(crate) struct Pauses {
    away: Backoff,
    refused: Backoff,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { away: reconnect_backoff(), refused: reconnect_backoff() }
    }
}

impl Pauses {
    /// How long to wait after an attempt failed.
    pub(crate) fn after(&mut self, error: &CallError) -> Duration {
        if let CallError::Away(_) = error {
            self.refused = reconnect_backoff();
            return self.away.pause();
        }
        self.away = reconnect_backoff();
        match error {
            CallError::Busy(asked, _) => self.refused.at_least(*asked),
            _ => self.refused.pause(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_again_is_asked_soon_however_long_it_was_away() {
        let (away, asked) = (CallError::Away(String::new()), Duration::from_secs(1));
        let busy = CallError::Busy(asked, String::new());
        let forbidden = CallError::of(403, None, b"");
        let mut pauses = Pauses::default();
        for _ in 0..20 {
            pauses.after(&away);
        }
        assert!(pauses.after(&away) >= Duration::from_secs(5));
        let first = [&forbidden, &busy, &busy].map(|error| pauses.after(error));
        assert!(first[0] <= Duration::from_millis(100), "{first:?}");
        assert!(first[1..].iter().all(|pause| (asked..=asked * 3 / 2).contains(pause)), "{first:?}");
        // One that goes on refusing is asked ever more seldom.
        for _ in 0..20 {
            pauses.after(&forbidden);
        }
        assert!(pauses.after(&forbidden) >= Duration::from_secs(5));
        assert!(pauses.after(&away) <= Duration::from_millis(100));
    }
}
