//! How much memory this process may use.

use std::fs;

/// What to assume when nothing says how much there is.
const FALLBACK: u64 = 4 << 30;

/// Bytes of memory of the machine, or of the container if that is less.
pub fn machine_memory() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_total(&text)).unwrap_or(FALLBACK);
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min();
    usize::try_from(container.map_or(machine, |limit: u64| limit.min(machine))).unwrap_or(usize::MAX)
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(meminfo_total("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(meminfo_total("nothing"), None);
        assert!(machine_memory() > 0);
    }
}
