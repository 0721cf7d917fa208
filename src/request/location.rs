//! Where a file or a directory is: `/path` in the image, or `virtiofs:TAG:/path` on a virtio-fs share of the host.

use core::fmt;

use crate::text::Shown;

/// The longest tag of a share, in bytes (virtio 1.2, section 5.11.4).
const LONGEST_TAG: usize = 36;
const SHARE: &[u8] = b"virtiofs:";

/// The location of a file or directory, which may or may not exist. It displays as it was written.
///
/// ```
/// use guest_init::request::location::Location;
///
/// let list = Location::parse(b"virtiofs:kataShared:/pod/list")?;
/// assert_eq!((list.tag, list.path), (Some(&b"kataShared"[..]), &b"/pod/list"[..]));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The tag of the share. `None`: the location is in the image.
    pub tag: Option<&'a [u8]>,
    /// The path. It begins with `/`, which is the root of the image or of the share.
    pub path: &'a [u8],
}

impl<'a> Location<'a> {
    /// A location in the image.
    pub const fn in_image(path: &'a [u8]) -> Self {
        Self { tag: None, path }
    }

    /// Reads a location. The error says in words what is wrong with the text.
    pub fn parse(text: &'a [u8]) -> Result<Self, &'static str> {
        let location = match text.strip_prefix(SHARE) {
            None => Self::in_image(text),
            Some(rest) => {
                // The tag ends at the first `:/`. It may hold other colons.
                let end = rest.windows(2).position(|pair| pair == b":/").ok_or("a share is `virtiofs:TAG:/path`")?;
                let (tag, path) = rest.split_at(end);
                Self { tag: Some(tag), path: path.get(1..).unwrap_or_default() }
            }
        };
        match location {
            Self { tag: Some([]), .. } => Err("the share's tag is missing"),
            Self { tag: Some(tag), .. } if tag.len() > LONGEST_TAG => Err("a share's tag has at most 36 bytes"),
            Self { path: [b'/', ..], .. } => Ok(location),
            _ => Err("a path that begins with `/`, or `virtiofs:TAG:/path`"),
        }
    }

    /// The path relative to the root that it begins with. The root itself is `.`.
    pub fn below(&self) -> &'a [u8] {
        let start = self.path.iter().position(|&b| b != b'/');
        start.and_then(|start| self.path.get(start..)).unwrap_or(b".")
    }
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = self.tag {
            write!(f, "virtiofs:{}:", Shown(tag))?;
        }
        Shown(self.path).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn places_are_read_as_they_were_meant() {
        let share =
            |tag: &'static str, path: &'static str| Location { tag: Some(tag.as_bytes()), path: path.as_bytes() };
        for (text, expected) in [
            ("/etc/list", Location::in_image(b"/etc/list")),
            ("virtiofs:kataShared:/pod/list", share("kataShared", "/pod/list")),
            ("virtiofs:a:b:/", share("a:b", "/")),
            ("virtiofs:a:/b:/c", share("a", "/b:/c")),
        ] {
            assert_eq!(Location::parse(text.as_bytes()), Ok(expected));
            assert_eq!(expected.to_string(), text);
        }
        let long = std::format!("virtiofs:{}:/x", "t".repeat(37));
        for bad in ["", "list", "virtiofs:", "virtiofs:tag", "virtiofs:tag:list", "virtiofs::/x", "nfs:a:/x", &long] {
            assert!(Location::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
