//! What characters are to words.

/// Whether a character is of a script in which spaces do not separate words. Korean has spaces, but its particles are attached to words.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}'       // Thai, Lao
        | '\u{1000}'..='\u{109F}'     // Burmese
        | '\u{1100}'..='\u{11FF}'     // Hangul, its parts
        | '\u{1780}'..='\u{17FF}'     // Khmer
        | '\u{3005}'..='\u{3007}'     // iteration mark, zero
        | '\u{3041}'..='\u{318F}'     // kana, Bopomofo, Hangul
        | '\u{31A0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}'     // Han
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7FF}'     // Hangul
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF66}'..='\u{FFDC}'     // kana and Hangul of half width
        | '\u{20000}'..='\u{3FFFF}')
        && c.is_alphanumeric()
}

/// Whether a word is one character of such a script.
pub(crate) fn is_single(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(is_unspaced) && chars.all(is_mark)
}

/// Whether a character that is no letter belongs to the letter before it: accents, vowel killers, joiners.
pub(super) fn is_mark(c: char) -> bool {
    is_accent(c)
        || is_joiner(c)
        || matches!(c,
        '\u{0483}'..='\u{0489}'
        | '\u{0591}'..='\u{05C7}'     // Hebrew points
        | '\u{0610}'..='\u{061A}'     // Arabic
        | '\u{0640}'..='\u{0640}'
        | '\u{064B}'..='\u{065F}'
        | '\u{0670}'..='\u{0670}'
        | '\u{06D6}'..='\u{06ED}'
        | '\u{093C}' | '\u{094D}' | '\u{09BC}' | '\u{09CD}' | '\u{0A3C}' | '\u{0A4D}' | '\u{0ABC}' | '\u{0ACD}' // India
        | '\u{0B3C}' | '\u{0B4D}' | '\u{0BCD}' | '\u{0C3C}' | '\u{0C4D}' | '\u{0CBC}' | '\u{0CCD}'
        | '\u{0D3B}' | '\u{0D3C}' | '\u{0D4D}' | '\u{0DCA}'
        | '\u{0E47}'..='\u{0E4E}'     // Thai tones
        | '\u{0EC8}'..='\u{0ECE}'
        | '\u{0F71}'..='\u{0F84}'     // Tibetan
        | '\u{1037}' | '\u{1039}' | '\u{103A}'
        | '\u{17C9}'..='\u{17D3}'
        | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}'
        | '\u{3099}' | '\u{309A}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FE20}'..='\u{FE2F}')
}

/// Whether a character is an accent of its own, as decomposed texts have them.
pub(super) fn is_accent(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}')
}

/// Whether a character shapes its neighbours and is nothing itself.
pub(super) fn is_joiner(c: char) -> bool {
    matches!(c, '\u{00AD}' | '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_without_spaces() {
        assert!("東京かなカナー한국ไทยລາວខ្មែរ々".chars().filter(|c| c.is_alphanumeric()).all(is_unspaced));
        assert!(is_single("猫") && is_single("ก็") && !is_single("猫が") && !is_single("a") && !is_single(""));
        assert!(!"Latin Ελληνικά русский عربي हिन्दी தமிழ் 123。、".chars().any(is_unspaced));
    }
}
