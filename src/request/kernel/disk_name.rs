//! The names by which the kernel command line means a disk or a partition (block/early-lookup.c of the kernel).

use crate::request::disks::is_serial;

/// A name of a disk or of a partition.
///
/// ```
/// use guest_init::request::kernel::disk_name::{By, DiskName};
///
/// let name = DiskName::parse(b"PARTLABEL=system");
/// assert_eq!(name, Some(DiskName { by: By::PartLabel, value: b"system" }));
/// assert_eq!(DiskName::parse(b"/dev/disk/by-partlabel/system"), name);
/// assert_eq!(DiskName::parse(b"system"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskName<'a> {
    /// The property that the name is compared with.
    pub by: By,
    /// The property's value. For [`By::Path`] the whole path.
    pub value: &'a [u8],
}

/// The property of a disk or of a partition that a name gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `/dev/NAME`: the path.
    Path,
    /// `PARTUUID=`: the GUID of a partition in a GPT, or for an MBR the disk's signature and the partition's number,
    /// `%08x-%02x`.
    PartUuid,
    /// `PARTLABEL=`: the name of a partition in a GPT.
    PartLabel,
    /// `UUID=`: the UUID, or the serial number, of a file system.
    Uuid,
    /// `LABEL=`: the label of a file system.
    Label,
    /// The serial number of a disk, or a name below /dev, as guest-init's own keys have it.
    Serial,
}

/// How names begin. The links below /dev/disk are udev's. guest-init runs without udev, and finds what they would lead
/// to.
const FORMS: [(&[u8], By); 8] = [
    (b"PARTUUID=", By::PartUuid),
    (b"PARTLABEL=", By::PartLabel),
    (b"UUID=", By::Uuid),
    (b"LABEL=", By::Label),
    (b"/dev/disk/by-partuuid/", By::PartUuid),
    (b"/dev/disk/by-partlabel/", By::PartLabel),
    (b"/dev/disk/by-uuid/", By::Uuid),
    (b"/dev/disk/by-label/", By::Label),
];

impl<'a> DiskName<'a> {
    /// Reads a name. `None`: the text has none of the forms, or its value is empty.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let form = FORMS.iter().find_map(|(start, by)| text.strip_prefix(*start).map(|value| Self { by: *by, value }));
        let path = || text.starts_with(b"/dev/").then_some(Self { by: By::Path, value: text });
        form.or_else(path).filter(|name| !name.value.is_empty())
    }

    /// Whether `value`, the property of a disk, is the one that the name gives. Letters of UUIDs count as equal in both
    /// cases, as in the kernel. Serial numbers count as equal if a device may have cut the one that is named.
    pub fn is(&self, value: &[u8]) -> bool {
        match self.by {
            By::PartUuid | By::Uuid => self.value.eq_ignore_ascii_case(value),
            By::Path | By::PartLabel | By::Label => self.value == value,
            By::Serial => is_serial(value, self.value),
        }
    }
}
