//! Protobuf fields, read in place: no copies, no generated types.
//!
//! Accepts what every decoder accepts, except groups, which no message of ours ever had.

/// The bytes are no protobuf message, or not one of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub(crate) struct Malformed {
    /// Position in the decompressed request.
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// A field's content, by wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Varint(u64),
    Fixed64(u64),
    /// Start and end of the bytes.
    Bytes(usize, usize),
    Fixed32,
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) content: Content,
    /// Where its tag starts.
    pub(crate) at: usize,
}

impl Field {
    /// A number.
    pub(crate) fn varint(&self) -> Result<u64, Malformed> {
        match self.content {
            Content::Varint(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    /// The bits of a double.
    pub(crate) fn bits(&self) -> Result<u64, Malformed> {
        match self.content {
            Content::Fixed64(bits) => Ok(bits),
            _ => Err(self.wrong()),
        }
    }

    /// Start and end of a message's or text's bytes.
    pub(crate) fn range(&self) -> Result<(usize, usize), Malformed> {
        match self.content {
            Content::Bytes(start, end) => Ok((start, end)),
            _ => Err(self.wrong()),
        }
    }

    pub(crate) fn wrong(&self) -> Malformed {
        Malformed { at: self.at, what: "a field has the wrong wire type" }
    }
}

/// Reads the fields of one message; positions are those of the whole buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    buffer: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    /// The message at `start..end` of a buffer.
    pub(crate) fn new(buffer: &'a [u8], (start, end): (usize, usize)) -> Self {
        let end = end.min(buffer.len());
        Self { buffer, at: start.min(end), end }
    }

    /// Where the next field starts.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next field; none at the message's end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field>, Malformed> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        let tag = self.read_varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 {
            return Err(Malformed { at, what: "no field number" });
        }
        let content = match tag & 7 {
            0 => Content::Varint(self.read_varint()?),
            1 => Content::Fixed64(u64::from_le_bytes(self.take()?)),
            2 => {
                let length = usize::try_from(self.read_varint()?).unwrap_or(usize::MAX);
                let start = self.at;
                if length > self.end - start {
                    return Err(Malformed { at, what: "a field is longer than its message" });
                }
                self.at = start + length;
                Content::Bytes(start, self.at)
            }
            5 => {
                let _: [u8; 4] = self.take()?;
                Content::Fixed32
            }
            _ => return Err(Malformed { at, what: "a wire type that is not used" }),
        };
        Ok(Some(Field { number, content, at }))
    }

    /// The next number of a packed list, which has no tags; none at its end.
    #[inline]
    pub(crate) fn next_packed(&mut self) -> Result<Option<u64>, Malformed> {
        if self.at >= self.end { Ok(None) } else { self.read_varint().map(Some) }
    }

    #[inline]
    fn read_varint(&mut self) -> Result<u64, Malformed> {
        let rest = &self.buffer[self.at..self.end];
        if let Some(&first) = rest.first()
            && first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(first));
        }
        self.read_long_varint()
    }

    fn read_long_varint(&mut self) -> Result<u64, Malformed> {
        let rest = &self.buffer[self.at..self.end];
        let mut value = 0u64;
        for (count, &byte) in rest.iter().take(10).enumerate() {
            if count == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * count);
            if byte < 0x80 {
                self.at += count + 1;
                return Ok(value);
            }
        }
        let what = if rest.len() < 10 { "the message ends inside a number" } else { "a number over 64 bits" };
        Err(Malformed { at: self.at, what })
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.buffer[self.at..self.end].first_chunk::<N>();
        let bytes = bytes.ok_or(Malformed { at: self.at, what: "the message ends inside a number" })?;
        self.at += N;
        Ok(*bytes)
    }
}
