//! Sizes and durations as people write them, in the configuration and in SQL.

use std::{fmt, str::FromStr, time::Duration};

/// A number of bytes, written as `512MiB`, `1.5GB` or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    const UNITS: [(&'static str, u64); 8] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1000),
    ];

    /// The size, or the largest that this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim();
        let factor = match unit {
            "" | "B" | "b" => 1,
            _ => Self::UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(())?.1,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().map_err(|_| ())?;
        let mut size = whole.checked_mul(factor).ok_or(())?;
        if !fraction.is_empty() {
            let digits = u32::try_from(fraction.len()).map_err(|_| ())?;
            let scale = 10u64.checked_pow(digits).ok_or(())?;
            let fraction: u64 = fraction.parse().map_err(|_| ())?;
            let part = u128::from(fraction) * u128::from(factor) / u128::from(scale);
            size = size.checked_add(u64::try_from(part).map_err(|_| ())?).ok_or(())?;
        }
        Ok(Self(size))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = Self::UNITS.iter().filter(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match exact.map(|(unit, factor)| (self.0 / factor, unit)).min() {
            Some((count, unit)) => write!(f, "{count}{unit}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A duration with its unit: `500ms`, `30s`, `5m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(60 * 60),
        "d" => seconds(24 * 60 * 60),
        _ => None,
    }
}

/// A duration as [`parse_duration`] reads it, in the largest unit that is exact.
pub fn show_duration(value: Duration) -> String {
    let (seconds, millis) = (value.as_secs(), value.subsec_millis());
    if millis != 0 {
        return format!("{}ms", value.as_millis());
    }
    match seconds {
        0 => "0s".to_owned(),
        s if s % 86_400 == 0 && s > 86_400 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_in_their_units() {
        for (text, bytes, shown) in [
            ("512MiB", 512 << 20, "512MiB"),
            ("1.5 GiB", 3 << 29, "1536MiB"),
            ("4GB", 4_000_000_000, "4GB"),
            ("1000", 1000, "1kB"),
            ("1025", 1025, "1025"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
        for wrong in ["", "MiB", "lots", "-1", "1XB", "99999999999TiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_duration("30"), None);
        for text in ["0s", "1500ms", "90s", "5m", "24h", "7d"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }
}
