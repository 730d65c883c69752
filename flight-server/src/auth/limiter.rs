//! Bounds how fast passwords can be guessed.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Wrong passwords that one address may send for one user before it has to wait.
const PER_USER: Bucket = Bucket { burst: 10.0, refill: Duration::from_secs(5) };
/// Wrong passwords that one address may send for any users before it has to wait.
const PER_ADDRESS: Bucket = Bucket { burst: 200.0, refill: Duration::from_secs(1) };
/// Most addresses and users remembered. Past this, the ones that have recovered are forgotten.
const MAX_ENTRIES: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    burst: f64,
    /// Time after which one more attempt is allowed.
    refill: Duration,
}

/// Counts failed logins per address and user; a successful one costs nothing.
#[derive(Debug, Default)]
pub(super) struct LoginLimiter {
    entries: Mutex<HashMap<(IpAddr, Option<String>), Entry>>,
}

#[derive(Debug)]
struct Entry {
    failures: f64,
    at: Instant,
}

impl Entry {
    fn level(&self, bucket: Bucket, now: Instant) -> f64 {
        let recovered = now.saturating_duration_since(self.at).as_secs_f64() / bucket.refill.as_secs_f64();
        (self.failures - recovered).max(0.0)
    }
}

impl LoginLimiter {
    /// How long `address` has to wait before its next attempt as `user`; None when it may try now.
    pub(super) fn wait(&self, address: IpAddr, user: &str, now: Instant) -> Option<Duration> {
        let entries = self.entries.lock();
        keys(address, user)
            .into_iter()
            .filter_map(|(key, bucket)| {
                let over = entries.get(&key)?.level(bucket, now) - (bucket.burst - 1.0);
                (over > 0.0).then(|| bucket.refill.mul_f64(over.min(60.0)))
            })
            .max()
    }

    /// Notes a wrong password.
    pub(super) fn failed(&self, address: IpAddr, user: &str, now: Instant) {
        let mut entries = self.entries.lock();
        if entries.len() >= MAX_ENTRIES {
            entries
                .retain(|(_, user), entry| entry.level(if user.is_some() { PER_USER } else { PER_ADDRESS }, now) > 0.0);
        }
        for (key, bucket) in keys(address, user) {
            let entry = entries.entry(key).or_insert(Entry { failures: 0.0, at: now });
            entry.failures = entry.level(bucket, now) + 1.0;
            entry.at = now;
        }
    }
}

fn keys(address: IpAddr, user: &str) -> [((IpAddr, Option<String>), Bucket); 2] {
    [((address, Some(user.to_owned())), PER_USER), ((address, None), PER_ADDRESS)]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn guessing_is_slowed_down_and_recovers() {
        let limiter = LoginLimiter::default();
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(limiter.wait(HERE, "ada", start), None);
            limiter.failed(HERE, "ada", start);
        }
        let wait = limiter.wait(HERE, "ada", start).unwrap();
        assert_eq!(wait, Duration::from_secs(5));
        assert_eq!(limiter.wait(HERE, "grace", start), None, "another user is not held up");
        assert_eq!(limiter.wait(HERE, "ada", start + wait), None);
    }

    #[test]
    fn many_users_from_one_address_are_bounded_too() {
        let limiter = LoginLimiter::default();
        let start = Instant::now();
        for n in 0..200 {
            limiter.failed(HERE, &format!("user-{n}"), start);
        }
        assert!(limiter.wait(HERE, "another", start).is_some());
    }
}
