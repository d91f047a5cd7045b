//! Protobuf's encoding: fields one after the other, each a key and a value.

use crate::error::ProtobufError;

/// What went wrong at a place of the page.
type Result<T> = std::result::Result<T, ProtobufError>;

/// A piece of the page that knows where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    pub(super) bytes: &'a [u8],
    /// Of the first byte, in the page.
    pub(super) offset: usize,
}

/// The value of a field, as its wire type gives it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Piece(Bytes<'a>),
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    value: Value<'a>,
    /// Of the field's key, in the page.
    pub(super) offset: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn error<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(ProtobufError { offset: self.offset, what: what.into() })
    }

    fn take(&mut self, length: usize) -> Option<Bytes<'a>> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        let taken = Bytes { bytes: taken, offset: self.offset };
        *self = Bytes { bytes: rest, offset: self.offset + length };
        Some(taken)
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        // Nearly all are short.
        if let Some((&byte, rest)) = self.bytes.split_first()
            && byte < 0x80
        {
            *self = Bytes { bytes: rest, offset: self.offset + 1 };
            return Ok(u64::from(byte));
        }
        let mut value = 0_u64;
        for (at, byte) in self.bytes.iter().enumerate().take(10) {
            let part = u64::from(byte & 0x7f);
            if at == 9 && part > 1 {
                break;
            }
            value |= part << (7 * at);
            if byte & 0x80 == 0 {
                *self = Bytes { bytes: &self.bytes[at + 1..], offset: self.offset + at + 1 };
                return Ok(value);
            }
        }
        if self.bytes.len() < 10 {
            self.error("the page ends within a number")
        } else {
            self.error("a number of more than 64 bits")
        }
    }

    /// A piece after its length.
    pub(super) fn piece(&mut self) -> Result<Bytes<'a>> {
        let start = *self;
        let length = self.varint()?;
        let left = self.bytes.len();
        match usize::try_from(length).ok().and_then(|length| self.take(length)) {
            Some(piece) => Ok(piece),
            None => start.error(format!("{length} bytes should follow, but {left} are left")),
        }
    }

    fn fixed64(&mut self) -> Result<u64> {
        let start = *self;
        match self.take(8).and_then(|taken| <[u8; 8]>::try_from(taken.bytes).ok()) {
            Some(bytes) => Ok(u64::from_le_bytes(bytes)),
            None => start.error("8 bytes should follow"),
        }
    }

    fn field(&mut self) -> Result<Field<'a>> {
        let start = *self;
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return start.error(format!("no field has number {number}"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Piece(self.piece()?),
            5 => match self.take(4) {
                Some(_) => Value::Fixed32,
                None => return self.error("4 bytes should follow"),
            },
            other => {
                return start
                    .error(format!("wire type {other} of field {number}, which this format does not use"));
            }
        };
        Ok(Field { number, value, offset: start.offset })
    }

    /// Walks the piece as a message.
    pub(super) fn fields(self) -> Fields<'a> {
        Fields(self)
    }

    pub(super) fn text(self, what: &str) -> Result<&'a str> {
        match std::str::from_utf8(self.bytes) {
            Ok(text) => Ok(text),
            Err(error) => {
                let offset = self.offset + error.valid_up_to();
                Err(ProtobufError { offset, what: format!("{what} is no UTF-8") })
            }
        }
    }
}

/// The fields of a message; ends after the first error.
pub(super) struct Fields<'a>(Bytes<'a>);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.bytes.is_empty() {
            return None;
        }
        let field = self.0.field();
        if field.is_err() {
            self.0.bytes = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    pub(super) fn error<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(ProtobufError { offset: self.offset, what: what.into() })
    }

    fn wrong<T>(&self, wanted: &str) -> Result<T> {
        self.error(format!("field {} should be {wanted}", self.number))
    }

    pub(super) fn piece(&self) -> Result<Bytes<'a>> {
        match self.value {
            Value::Piece(piece) => Ok(piece),
            _ => self.wrong("a message or a text"),
        }
    }

    pub(super) fn integer(&self) -> Result<u64> {
        match self.value {
            Value::Varint(number) => Ok(number),
            _ => self.wrong("an integer"),
        }
    }

    /// An `int64`.
    pub(super) fn signed(&self) -> Result<i64> {
        Ok(self.integer()?.cast_signed())
    }

    /// A `sint32`.
    pub(super) fn zigzag32(&self) -> Result<i32> {
        Ok(low_half(unzigzag(u64::from(low_half(self.integer()?).cast_unsigned())).cast_unsigned()))
    }

    /// A `uint32`.
    pub(super) fn unsigned32(&self) -> Result<u32> {
        Ok(low_half(self.integer()?).cast_unsigned())
    }

    /// An enum or an `int32`.
    pub(super) fn signed32(&self) -> Result<i32> {
        Ok(low_half(self.integer()?))
    }

    pub(super) fn double(&self) -> Result<f64> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => self.wrong("a double"),
        }
    }

    /// One or many `sint64`: packed or not.
    pub(super) fn deltas(&self, mut each: impl FnMut(i64) -> Result<()>) -> Result<()> {
        match self.value {
            Value::Varint(number) => each(unzigzag(number)),
            Value::Piece(mut piece) => {
                while !piece.bytes.is_empty() {
                    each(unzigzag(piece.varint()?))?;
                }
                Ok(())
            }
            _ => self.wrong("integers"),
        }
    }

    /// One or many `double`: packed or not.
    pub(super) fn doubles(&self, mut each: impl FnMut(f64) -> Result<()>) -> Result<()> {
        match self.value {
            Value::Fixed64(bits) => each(f64::from_bits(bits)),
            Value::Piece(mut piece) => {
                while !piece.bytes.is_empty() {
                    each(f64::from_bits(piece.fixed64()?))?;
                }
                Ok(())
            }
            _ => self.wrong("doubles"),
        }
    }
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Protobuf's rule for 32-bit fields: the lower half of what is there.
fn low_half(number: u64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}
