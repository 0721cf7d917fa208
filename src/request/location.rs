//! Where a file or a directory is: `/path` in the image, `virtiofs:TAG:/path` on a virtio-fs share of the host, or
//! `disk:DISK:/path` on a disk.

use core::fmt;

use crate::request::extension::MOUNT_POINTS;
use crate::text::Shown;

/// The longest tag of a share, in bytes (virtio 1.2, section 5.11.4).
const LONGEST_TAG: usize = 36;
const SHARE: &[u8] = b"virtiofs:";
const DISK: &[u8] = b"disk:";

/// The location of a file or directory, which may or may not exist. It displays as it was written.
///
/// ```
/// use guest_init::request::location::{Location, Place};
///
/// let list = Location::parse(b"virtiofs:kataShared:/pod/list")?;
/// assert_eq!((list.place, list.path), (Place::Share(b"kataShared"), &b"/pod/list"[..]));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// Where the path begins.
    pub place: Place<'a>,
    /// The path. It begins with `/`, which is the root of the place.
    pub path: &'a [u8],
}

/// The place of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The image.
    Image,
    /// The extension of Kata's with this name, which guest-init mounts below `/run`.
    Extension(&'a [u8]),
    /// The share with this tag.
    Share(&'a [u8]),
    /// The disk with this serial number, or with this name below /dev.
    Disk(&'a [u8]),
}

impl<'a> Location<'a> {
    /// A location in the image.
    pub const fn in_image(path: &'a [u8]) -> Self {
        Self { place: Place::Image, path }
    }

    /// Reads a location. The error says in words what is wrong with the text.
    pub fn parse(text: &'a [u8]) -> Result<Self, &'static str> {
        let location = match (text.strip_prefix(SHARE), text.strip_prefix(DISK)) {
            (Some(rest), _) => named(rest).map(|(tag, path)| Self { place: Place::Share(tag), path }),
            (None, Some(rest)) => named(rest).map(|(disk, path)| Self { place: Place::Disk(disk), path }),
            (None, None) => Some(on_extension(text).unwrap_or(Self::in_image(text))),
        };
        match location {
            None => Err("a share is `virtiofs:TAG:/path`, and a disk is `disk:DISK:/path`"),
            Some(Self { place: Place::Share([]), .. }) => Err("the share's tag is missing"),
            Some(Self { place: Place::Share(tag), .. }) if tag.len() > LONGEST_TAG => {
                Err("a share's tag has at most 36 bytes")
            }
            Some(Self { place: Place::Disk([] | [b'/', ..]), .. }) => {
                Err("a disk is named by its serial number, or by its name below /dev: `disk:vdb:/path`")
            }
            Some(location @ Self { path: [b'/', ..], .. }) => Ok(location),
            Some(_) => Err("a path that begins with `/`, or `virtiofs:TAG:/path`, or `disk:DISK:/path`"),
        }
    }

    /// The path relative to the root that it begins with. The root itself is `.`.
    pub fn below(&self) -> &'a [u8] {
        let start = self.path.iter().position(|&b| b != b'/');
        start.and_then(|start| self.path.get(start..)).unwrap_or(b".")
    }
}

/// Reads a path on an extension. `None`: the path is in the image.
fn on_extension(path: &[u8]) -> Option<Location<'_>> {
    let rest = path.strip_prefix(MOUNT_POINTS.as_bytes())?.strip_prefix(b"/")?;
    let (name, path) = rest.split_at(rest.iter().position(|&b| b == b'/')?);
    (!name.is_empty()).then_some(Location { place: Place::Extension(name), path })
}

/// The name of a share or of a disk, and the path behind it. The name ends at the first `:/`, so it may hold other
/// colons.
fn named(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.windows(2).position(|pair| pair == b":/")?;
    let (name, path) = text.split_at(end);
    Some((name, path.get(1..)?))
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Image => {}
            Place::Extension(name) => write!(f, "{MOUNT_POINTS}/{}", Shown(name))?,
            Place::Share(tag) => write!(f, "virtiofs:{}:", Shown(tag))?,
            Place::Disk(disk) => write!(f, "disk:{}:", Shown(disk))?,
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
        let at = |place, path: &'static str| Location { place, path: path.as_bytes() };
        for (text, expected) in [
            ("/etc/list", Location::in_image(b"/etc/list")),
            ("virtiofs:kataShared:/pod/list", at(Place::Share(b"kataShared"), "/pod/list")),
            ("virtiofs:a:b:/", at(Place::Share(b"a:b"), "/")),
            ("virtiofs:a:/b:/c", at(Place::Share(b"a"), "/b:/c")),
            ("disk:vdb:/list", at(Place::Disk(b"vdb"), "/list")),
            ("disk:a:b c:/lib/modules", at(Place::Disk(b"a:b c"), "/lib/modules")),
            ("/run/kata-extensions/gpu/x/y", at(Place::Extension(b"gpu"), "/x/y")),
            ("/run/kata-extension/gpu/x", Location::in_image(b"/run/kata-extension/gpu/x")),
            ("/run/kata-extensions/x", Location::in_image(b"/run/kata-extensions/x")),
        ] {
            assert_eq!(Location::parse(text.as_bytes()), Ok(expected));
            assert_eq!(expected.to_string(), text);
        }
        let long = std::format!("virtiofs:{}:/x", "t".repeat(37));
        let bad = ["", "list", "virtiofs:", "virtiofs:tag", "virtiofs:tag:list", "virtiofs::/x", "nfs:a:/x", &long];
        for bad in bad.into_iter().chain(["disk:", "disk:vdb", "disk::/x", "disk:vdb:x", "disk:/dev/vdb:/x"]) {
            assert!(Location::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
