//! How much words differ.

/// By how many letters a word may differ of the `letters` that were allowed: short ones would be like any other.
pub(crate) fn allowed(word: &str, letters: u8) -> u8 {
    match word.chars().count() {
        0..=2 => 0,
        3..=5 => letters.min(1),
        _ => letters,
    }
}

/// By how many letters two words differ (added, left out, changed, or swapped with the next), if by `most` at most.
pub(crate) fn distance(one: &str, other: &str, most: u8) -> Option<u8> {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    if one.len().abs_diff(other.len()) > usize::from(most) {
        return None;
    }
    // Rows of the table of Damerau and Levenshtein: the one before the last, the last, this one.
    let mut before: Vec<u8> = Vec::new();
    let mut last: Vec<u8> = (0..=other.len()).map(|letters| u8::try_from(letters).unwrap_or(u8::MAX)).collect();
    for (i, a) in one.iter().enumerate() {
        let mut this = vec![u8::try_from(i + 1).unwrap_or(u8::MAX)];
        for (j, b) in other.iter().enumerate() {
            let at = |row: &[u8], j: usize| row.get(j).copied().unwrap_or(u8::MAX);
            let mut least = at(&last, j).saturating_add(u8::from(a != b));
            least = least.min(at(&last, j + 1).saturating_add(1)).min(at(&this, j).saturating_add(1));
            let swapped = i > 0 && j > 0 && one.get(i - 1) == Some(b) && other.get(j - 1) == Some(a);
            if swapped {
                least = least.min(at(&before, j - 1).saturating_add(1));
            }
            this.push(least);
        }
        if this.iter().all(|letters| *letters > most) {
            return None;
        }
        before = std::mem::replace(&mut last, this);
    }
    last.last().copied().filter(|letters| *letters <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ() {
        assert_eq!(distance("house", "house", 2), Some(0));
        assert_eq!(distance("house", "mouse", 2), Some(1));
        assert_eq!(distance("house", "hose", 1), Some(1));
        assert_eq!(distance("house", "huose", 1), Some(1));
        assert_eq!(distance("größe", "grösse", 2), Some(2));
        assert_eq!(distance("house", "horses", 1), None);
        assert_eq!(distance("", "ab", 2), Some(2));
        assert_eq!(distance("house", "entirely", 2), None);
    }

    #[test]
    fn short_words_differ_less() {
        assert_eq!(["of", "cat", "house", "houses"].map(|word| allowed(word, 2)), [0, 1, 1, 2]);
        assert_eq!(allowed("houses", 0), 0);
    }
}
