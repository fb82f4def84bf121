//! Samples of times, and what is told of them.

use std::time::Duration;

/// Times of the same thing, done again and again.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    times: Vec<Duration>,
    /// How often it failed instead.
    pub failed: usize,
}

impl Sample {
    /// Adds a time, or a failure.
    pub fn add<E>(&mut self, result: &Result<Duration, E>) {
        match result {
            Ok(time) => self.times.push(*time),
            Err(_) => self.failed += 1,
        }
    }

    /// Adds another sample.
    pub fn extend(&mut self, other: &Self) {
        self.times.extend(&other.times);
        self.failed += other.failed;
    }

    /// How many times there are.
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// The least time that `percent` of a hundred do not exceed (nearest rank); zero if there is none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The middle one.
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// One of twenty takes longer.
    pub fn p95(&self) -> Duration {
        self.percentile(95)
    }
}

impl<E> FromIterator<Result<Duration, E>> for Sample {
    fn from_iter<I: IntoIterator<Item = Result<Duration, E>>>(results: I) -> Self {
        let mut sample = Self::default();
        results.into_iter().for_each(|result| sample.add(&result));
        sample
    }
}

/// How many times longer; 0 where there is nothing to compare with.
pub fn ratio(time: Duration, with: Duration) -> f64 {
    if with.is_zero() {
        0.0
    } else {
        time.as_secs_f64() / with.as_secs_f64()
    }
}

/// A time for people: seconds from one second on, else milliseconds.
pub fn text(time: Duration) -> String {
    if time >= Duration::from_secs(1) {
        format!("{:.2} s", time.as_secs_f64())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// How many of so many a second that all took this long.
pub fn per_second(count: usize, time: Duration) -> String {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if time.is_zero() {
        return String::new();
    }
    format!("{:.1}", f64::from(count) / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(milliseconds: impl IntoIterator<Item = u64>) -> Sample {
        milliseconds
            .into_iter()
            .map(|time| Ok::<_, ()>(Duration::from_millis(time)))
            .collect()
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let twenty = sample((1..=20).rev());
        assert_eq!((twenty.p50().as_millis(), twenty.p95().as_millis()), (10, 19));
        assert_eq!(sample([7]).p95().as_millis(), 7);
        assert_eq!(Sample::default().p50(), Duration::ZERO);
    }

    #[test]
    fn failures_are_counted_and_not_measured() {
        let mut sample = sample([5]);
        sample.add(&Err(()));
        assert_eq!((sample.count(), sample.failed), (1, 1));
    }

    #[test]
    fn times_and_ratios_are_told_briefly() {
        assert_eq!(text(Duration::from_millis(1_234)), "1.23 s");
        assert_eq!(text(Duration::from_micros(12_900)), "12 ms");
        assert!((ratio(Duration::from_millis(230), Duration::from_millis(200)) - 1.15).abs() < 1e-9);
    }
}
