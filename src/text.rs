//! Text of bounded length for failures and log records, without a heap.
//!
//! Owns the only way in which bytes from outside become text to print: [`Shown`].

use core::fmt::{self, Write};
use core::time::Duration;

use heapless::string::StringView;

/// The end of a text that was cut.
const MARK: &str = "...";

/// Text of at most `N` bytes. A longer text is cut between two characters and ends with `...`.
#[derive(Clone, PartialEq, Eq)]
pub struct Text<const N: usize> {
    inner: heapless::String<N>,
    cut: bool,
}

impl<const N: usize> Text<N> {
    /// Creates an empty text.
    pub const fn new() -> Self {
        Self { inner: heapless::String::new(), cut: false }
    }

    /// The text that `value` displays as, cut to `N` bytes.
    pub fn of(value: impl fmt::Display) -> Self {
        Self::shown(&value)
    }

    /// Out of line, because texts are made in many places.
    #[inline(never)]
    fn shown(value: &dyn fmt::Display) -> Self {
        let mut text = Self::new();
        let _ = write!(text, "{value}");
        text
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        &self.inner
    }
}

/// Appends to the text of a [`Text`]. One function for all lengths.
#[inline(never)]
fn append(text: &mut StringView, is_cut: &mut bool, s: &str) {
    let has_room = |text: &StringView, more: usize| text.len() + more + MARK.len() <= text.capacity();
    if !*is_cut && has_room(text, s.len()) {
        let _ = text.push_str(s);
        return;
    }
    for c in s.chars() {
        if *is_cut {
            return;
        }
        *is_cut = !has_room(text, c.len_utf8());
        let _ = if *is_cut { text.push_str(MARK) } else { text.push(c) };
    }
}

#[inline(never)]
fn append_char(text: &mut StringView, is_cut: &mut bool, c: char) {
    append(text, is_cut, c.encode_utf8(&mut [0; 4]));
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for Text<N> {
    /// Never fails. A text that does not fit is cut.
    fn write_str(&mut self, s: &str) -> fmt::Result {
        append(self.inner.as_mut_view(), &mut self.cut, s);
        Ok(())
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        append_char(self.inner.as_mut_view(), &mut self.cut, c);
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Bytes from outside, made fit for a record of one line: printable ASCII stays, every other byte displays as `\xNN`.
/// So no input can add a line to the log, or control a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in self.0.utf8_chunks() {
            for c in run.valid().chars() {
                if c.is_ascii_graphic() || c == ' ' {
                    f.write_char(c)?;
                } else {
                    c.encode_utf8(&mut [0; 4]).bytes().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
                }
            }
            run.invalid().iter().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
        }
        Ok(())
    }
}

/// A time that displays as a number of whole microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Microseconds(pub Duration);

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs().saturating_mul(1_000_000);
        seconds.saturating_add(self.0.subsec_micros().into()).fmt(f)
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_fits_is_whole_and_text_that_does_not_is_marked() {
        assert_eq!(Text::<8>::of("abcde").as_str(), "abcde");
        assert_eq!(Text::<8>::of("abcdef").as_str(), "abcde...");
        assert_eq!(Text::<8>::of("äääää").as_str(), "ää...");
        assert_eq!(Text::<8>::of(format_args!("{}{}", "abcdef", "gh")).as_str(), "abcde...");
    }

    #[test]
    fn outside_bytes_cannot_forge_a_line() {
        assert_eq!(Text::<64>::of(Shown(b"a\nb \x1b[1m\xff \xc3\xa4")).as_str(), "a\\x0ab \\x1b[1m\\xff \\xc3\\xa4");
    }
}
