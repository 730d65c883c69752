//! When a request is tried again, and after how long.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use rand::Rng;

/// The first pause.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause, and the longest that a provider may ask for.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// Whether the same request may succeed later.
pub(super) fn may_pass(status: StatusCode) -> bool {
    // 529 is what some providers answer when they are overloaded.
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 529)
}

/// How long the provider asks to be left alone: seconds, or a date.
pub(super) fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date: SystemTime = chrono::DateTime::parse_from_rfc2822(text).ok()?.into();
    Some(date.duration_since(now).unwrap_or_default())
}

/// The pause before the next attempt, when `failed` have failed: twice as long each time, and by chance up to that, so that callers spread.
pub(super) fn pause(failed: u32) -> Duration {
    let most = FIRST.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(LONGEST);
    most.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        for (failed, least, most) in [(1, 100, 200), (2, 200, 400), (5, 1600, 3200), (20, 30_000, 60_000)] {
            let pause = pause(failed).as_millis();
            assert!((least..=most).contains(&pause), "{failed}: {pause} ms");
        }
    }

    #[test]
    fn what_the_provider_asks_for_is_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asked = |text: &'static str| asked(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now);
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
        assert_eq!(super::asked(&HeaderMap::new(), now), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let passing: Vec<u16> = (400..600).filter(|code| may_pass(StatusCode::from_u16(*code).unwrap())).collect();
        assert_eq!(passing, [408, 425, 429, 500, 502, 503, 504, 529]);
    }
}
