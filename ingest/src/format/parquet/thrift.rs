//! A walk over a table of contents in Thrift's compact protocol that believes no length before the bytes are there.

/// Structs and lists inside each other.
const MAX_DEPTH: usize = 64;

/// Checks that every length and count in the struct `bytes` fits into what follows it.
///
/// # Errors
/// What is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    Walk { rest: bytes }.structure(0)
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn structure(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        loop {
            let header = self.byte()?;
            let kind = header & 0x0f;
            if kind == 0 {
                return Ok(());
            }
            if header >> 4 == 0 {
                // The field's number in full; a small difference is part of the header.
                self.varint()?;
            }
            self.value(kind, depth, true)?;
        }
    }

    fn value(&mut self, kind: u8, depth: usize, field: bool) -> Result<(), String> {
        match kind {
            // The value of a boolean field is its type; in a list it has a byte.
            1 | 2 if field => Ok(()),
            1..=3 => self.skip(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => self.list(depth + 1),
            11 => self.map(depth + 1),
            12 => self.structure(depth + 1),
            13 => self.skip(16),
            other => Err(format!("there is no type {other}")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), String> {
        let header = self.byte()?;
        let short = u64::from(header >> 4);
        let count = if short == 15 { self.varint()? } else { short };
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        // Every element takes a byte at least.
        if count > self.rest.len() as u64 {
            return Err(format!("a list claims {count} elements in {} bytes", self.rest.len()));
        }
        (0..count).try_for_each(|_| self.value(header & 0x0f, depth, false))
    }

    fn map(&mut self, depth: usize) -> Result<(), String> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        if count > self.rest.len() as u64 {
            return Err(format!("a map claims {count} entries in {} bytes", self.rest.len()));
        }
        let kinds = self.byte()?;
        (0..count).try_for_each(|_| {
            self.value(kinds >> 4, depth, false)?;
            self.value(kinds & 0x0f, depth, false)
        })
    }

    fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.rest.split_first().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: impl TryInto<usize>) -> Result<(), String> {
        let count = count.try_into().map_err(|_| "a length is too big".to_owned())?;
        self.rest = self.rest.get(count..).ok_or("a length reaches beyond its end")?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            value |= bits.checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is too long".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_checked_against_what_is_there() {
        check(&[0x15, 0x02, 0]).unwrap(); // one i32 field
        check(&[0x18, 0x03, b'a', b'b', b'c', 0x11, 0]).unwrap(); // text, then a boolean
        assert!(check(&[]).unwrap_err().contains("too early"));
        assert!(check(&[0x18, 0xff, 0xff, 0xff, 0x7f, 0]).unwrap_err().contains("beyond"));
        let list = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
        assert!(check(&list).unwrap_err().contains("claims 2147483647 elements"), "{:?}", check(&list));
        assert!(check(&[0x1c; 100]).unwrap_err().contains("too deep"));
        assert!(check(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]).is_err());
    }
}
