//! The elements of DER (X.690) that a signature has.
//!
//! The bytes may be hostile: every length in them is checked, and one that leads out of its element gives `None`.

/// The tag of an integer.
pub const INTEGER: u8 = 0x02;
/// The tag of a sequence.
pub const SEQUENCE: u8 = 0x30;
/// The tag of a set.
pub const SET: u8 = 0x31;
/// The tag of `[0]` that contains elements.
pub const FIRST: u8 = 0xa0;
/// The tag of `[0]` in place of an octet string: a key's identifier.
pub const KEY_ID: u8 = 0x80;

/// An element of DER.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The tag.
    pub tag: u8,
    /// The content.
    pub content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The content, if the element has this tag.
    pub fn content_if(self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

/// The elements of DER that stand one behind another. It ends at the first that is not whole.
#[derive(Clone, Debug)]
pub struct Elements<'a>(pub &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        /// The bit of a length that says that the other bits are the number of its bytes.
        const LONG: u8 = 0x80;
        let (&[tag, first], mut rest) = self.0.split_first_chunk()?;
        let length = if first < LONG {
            first.into()
        } else {
            let (number, behind) =
                rest.split_at_checked(usize::from(first - LONG)).filter(|(number, _)| number.len() <= 4)?;
            rest = behind;
            number.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some(Element { tag, content })
    }
}

/// The first two elements of `bytes`.
pub fn elements(bytes: &[u8]) -> Option<[Element<'_>; 2]> {
    let mut elements = Elements(bytes);
    Some([elements.next()?, elements.next()?])
}

/// The content of the first element of `bytes`, which must have this tag.
pub fn take(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    Elements(bytes).next()?.content_if(tag)
}
