//! The protobuf wire format, as much as a snapshot needs (<https://protobuf.dev/programming-guides/encoding/>).

use std::io::{self, BufRead, Read, Write};

use super::DecodeError;

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const BYTES: u8 = 2;
pub(super) const FIXED32: u8 = 5;

/// Reads fields from a stream and knows how far it is, for error messages and for nested messages.
pub(super) struct WireReader<R> {
    inner: R,
    offset: u64,
}

impl<R: BufRead> WireReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, offset: 0 }
    }

    /// What it reads from.
    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn at_end(&mut self) -> Result<bool, DecodeError> {
        Ok(self.inner.fill_buf().map_err(DecodeError::from_io)?.is_empty())
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let mut byte = [0];
        self.inner.read_exact(&mut byte).map_err(DecodeError::from_io)?;
        self.offset += 1;
        Ok(byte[0])
    }

    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.offset;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint { offset: start })
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let mut bytes = [0; 8];
        self.inner.read_exact(&mut bytes).map_err(DecodeError::from_io)?;
        self.offset += 8;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The number and the wire type of the next field.
    pub(super) fn tag(&mut self) -> Result<(u64, u8), DecodeError> {
        let tag = self.varint()?;
        Ok((tag >> 3, (tag & 7) as u8))
    }

    /// Fills `buffer` with the next `len` bytes. The buffer grows with what is really there, so a mangled
    /// length costs no memory.
    pub(super) fn bytes(&mut self, len: u64, buffer: &mut Vec<u8>) -> Result<(), DecodeError> {
        buffer.clear();
        let got = self
            .inner
            .by_ref()
            .take(len)
            .read_to_end(buffer)
            .map_err(DecodeError::from_io)?;
        self.offset += got as u64;
        if (got as u64) < len {
            return Err(DecodeError::Truncated);
        }
        Ok(())
    }

    /// Fills `buffer` with a length-delimited field of at most `max` bytes.
    pub(super) fn limited(
        &mut self,
        what: &'static str,
        max: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let len = self.varint()?;
        if len > max {
            return Err(DecodeError::TooLong {
                what,
                len,
                max,
                offset: self.offset(),
            });
        }
        self.bytes(len, buffer)
    }

    /// A length-delimited field of text.
    pub(super) fn text(&mut self, what: &'static str, max: u64) -> Result<String, DecodeError> {
        let mut bytes = Vec::new();
        self.limited(what, max, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| DecodeError::Text(what))
    }

    /// Passes over `len` bytes.
    pub(super) fn advance(&mut self, len: u64) -> Result<(), DecodeError> {
        let got =
            io::copy(&mut self.inner.by_ref().take(len), &mut io::sink()).map_err(DecodeError::from_io)?;
        self.offset += got;
        if got < len {
            return Err(DecodeError::Truncated);
        }
        Ok(())
    }

    /// Passes over a field that we do not know.
    pub(super) fn skip(&mut self, wire_type: u8) -> Result<(), DecodeError> {
        match wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.advance(8),
            BYTES => {
                let len = self.varint()?;
                self.advance(len)
            }
            FIXED32 => self.advance(4),
            _ => Err(DecodeError::WireType {
                wire_type,
                offset: self.offset,
            }),
        }
    }
}

/// Bytes that `value` takes as a varint.
pub(super) fn varint_len(value: u64) -> u64 {
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

pub(super) fn write_varint(out: &mut impl Write, mut value: u64) -> io::Result<()> {
    let mut bytes = [0_u8; 10];
    let mut len = 0;
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes[len] = if value == 0 { low } else { low | 0x80 };
        len += 1;
        if value == 0 {
            return out.write_all(&bytes[..len]);
        }
    }
}

pub(super) fn write_tag(out: &mut impl Write, field: u64, wire_type: u8) -> io::Result<()> {
    write_varint(out, field << 3 | u64::from(wire_type))
}

/// A varint field; left out when 0, as proto3 wants.
pub(super) fn write_uint(out: &mut impl Write, field: u64, value: u64) -> io::Result<()> {
    if value == 0 {
        return Ok(());
    }
    write_tag(out, field, VARINT)?;
    write_varint(out, value)
}

/// A fixed64 field; left out when 0.
pub(super) fn write_fixed64(out: &mut impl Write, field: u64, value: u64) -> io::Result<()> {
    if value == 0 {
        return Ok(());
    }
    write_tag(out, field, FIXED64)?;
    out.write_all(&value.to_le_bytes())
}

/// A string or bytes field; left out when empty.
pub(super) fn write_bytes(out: &mut impl Write, field: u64, value: &[u8]) -> io::Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    write_tag(out, field, BYTES)?;
    write_varint(out, value.len() as u64)?;
    out.write_all(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_reads_back_and_its_length_is_foretold() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX >> 1,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value).unwrap();
            assert_eq!(bytes.len() as u64, varint_len(value));
            assert_eq!(WireReader::new(&bytes[..]).varint().unwrap(), value);
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let bytes = [0xff; 9].iter().chain(&[0x02]).copied().collect::<Vec<_>>();
        assert!(matches!(
            WireReader::new(&bytes[..]).varint(),
            Err(DecodeError::Varint { offset: 0 })
        ));
        assert!(matches!(
            WireReader::new(&[0x80; 11][..]).varint(),
            Err(DecodeError::Varint { .. })
        ));
    }

    #[test]
    fn a_length_beyond_the_end_is_a_truncated_object_and_allocates_nothing() {
        let mut buffer = Vec::new();
        let result = WireReader::new(&b"abc"[..]).bytes(1 << 40, &mut buffer);
        assert!(matches!(result, Err(DecodeError::Truncated)));
        assert!(buffer.capacity() < 1024);
    }
}
