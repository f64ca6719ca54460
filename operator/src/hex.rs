//! Bytes as hexadecimal digits.

use std::fmt::Write;

pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_byte_becomes_two_digits() {
        assert_eq!(super::hex(&[0, 10, 255]), "000aff");
    }
}
