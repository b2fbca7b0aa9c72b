//! Amounts of memory and disk, as people write them.

use bytesize::ByteSize;

/// Reads `500MB`, `20GiB`, `1.5 TiB` and plain numbers of bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    // Whatever is too large for the type is taken to be the largest; nobody means that.
    let size: Result<ByteSize, _> = text.trim().parse();
    size.ok().map(|size| size.as_u64()).filter(|bytes| *bytes < u64::MAX).ok_or_else(|| {
        let text = super::text::one_line(text, 40);
        format!("`{text}` is not a size: write a number and a unit, such as \"500MiB\" or \"20GiB\"")
    })
}

/// With one decimal, in the largest unit that leaves it above one: `20.0 GiB`.
pub fn format_size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("0", 0), ("512", 512), ("1KiB", 1 << 10), ("1 kB", 1000), (" 20GiB ", 20 << 30), ("1.5 TiB", 3 << 39)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "GiB", "twenty", "1 furlong", "-1GiB", "1e99", "99999999999PiB", "0x10", "nan", "inf"] {
            assert!(parse_size(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(format_size(20 << 30), "20.0 GiB");
    }
}
