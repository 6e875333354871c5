//! How long to wait before something that failed is tried again: exponential, with full jitter. Pure: chance is an argument.

use std::time::Duration;

/// The bound of the first wait.
const BASE: Duration = Duration::from_secs(1);

/// Waits that grow with each failure in a row.
///
/// Each is drawn evenly from zero to a bound that doubles from 1 s up to a cap ("full jitter", M. Brooker, "Exponential Backoff
/// And Jitter", AWS Architecture Blog 2015): what was cut at the same moment does not come back at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    cap: Duration,
    /// Failures in a row.
    failures: u32,
}

impl Backoff {
    /// Without failures so far; no wait is longer than `cap`.
    pub fn up_to(cap: Duration) -> Self {
        Backoff { cap, failures: 0 }
    }

    /// Another failure, and the wait that follows it. `chance` lies in 0 to 1.
    pub fn after_failure(&mut self, chance: f64) -> Duration {
        let bound = BASE.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(chance.clamp(0.0, 1.0))
    }

    /// A success: the next wait is short again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_lies_between_zero_and_a_bound_that_doubles_up_to_the_cap(
            cap_millis in 1u64..10_000_000,
            chances in proptest::collection::vec(0.0f64..=1.0, 1..80),
        ) {
            let cap = Duration::from_millis(cap_millis);
            let mut backoff = Backoff::up_to(cap);
            for (n, chance) in chances.into_iter().enumerate() {
                let bound = cap.min(Duration::from_secs(1u64 << n.min(40)));
                let wait = backoff.after_failure(chance);
                prop_assert!(wait <= bound, "{wait:?} is longer than {bound:?}");
                // full jitter: the whole range is used, evenly
                prop_assert!((wait.as_secs_f64() - bound.as_secs_f64() * chance).abs() < 1e-6);
            }
        }

        #[test]
        fn a_success_makes_the_next_wait_short_again(failures in 0usize..200) {
            let mut backoff = Backoff::up_to(Duration::from_secs(600));
            for _ in 0..failures {
                backoff.after_failure(1.0);
            }
            backoff.reset();
            prop_assert_eq!(backoff.after_failure(1.0), BASE);
        }
    }
}
