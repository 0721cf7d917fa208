//! The disks that guest-init's own words and Kata's name, all by serial number or by their name below /dev.

use core::fmt;

use crate::failure::{Code, Failure, Report};
use crate::request::Request;
use crate::request::extension::{Extension, SERIAL};
use crate::request::location::Place;
use crate::request::verity::Verity;
use crate::text::{Shown, Text};

/// The number of disks with verity parameters, and of extensions, that a command line may name.
pub const MOST_DISKS: usize = 16;
/// The length to which virtio-blk (VIRTIO_BLK_ID_BYTES in include/uapi/linux/virtio_blk.h) and NVMe cut a serial
/// number, in bytes.
pub const CUT: usize = 20;

/// A disk that is only read through dm-verity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedDisk<'a> {
    /// The disk's serial number, or its name below /dev.
    pub disk: &'a [u8],
    /// The parameters of its hash tree.
    pub verity: Verity<'a>,
}

/// Whether the serial number that a device has is the one that a word names.
///
/// ```
/// use guest_init::request::disks::is_serial;
///
/// assert!(is_serial(b"modules", b"modules") && !is_serial(b"mod", b"modules"));
/// assert!(is_serial(b"extension-nvidia-gpu", b"extension-nvidia-gpu-570"));
/// ```
pub fn is_serial(of_device: &[u8], named: &[u8]) -> bool {
    of_device == named || of_device.len() == CUT && named.starts_with(of_device)
}

/// Reports two disks whose names differ, but not after a device has cut them, because one would be taken for the other.
/// Reports an extension that `guest_init.verity` names, because it has parameters of its own, or none; and a location
/// on an extension that no word mounts.
///
/// Failures: [`Code::DisksCollide`], [`Code::RepeatedKey`], [`Code::BadValue`].
pub(super) fn check_names(request: &Request<'_>, report: &mut Report<'_>) {
    for verified in &request.verity {
        let is_its_disk = |extension: &&Extension<'_>| verified.disk.strip_prefix(SERIAL) == Some(extension.name);
        if let Some(extension) = request.extensions.iter().find(is_its_disk) {
            let reason = format_args!("{extension}.verity_params has the parameters of this disk");
            let subject = format_args!("guest_init.verity={}", Shown(verified.disk));
            return report.add(Failure::new(Code::RepeatedKey, subject, reason));
        }
    }
    for location in request.files.iter().map(|file| &file.location).chain(request.module_dirs()) {
        if let Place::Extension(name) = location.place
            && request.extensions.iter().all(|extension| extension.name != name)
        {
            let reason = format_args!("the command line has no kata.extension.{}.verity_params", Shown(name));
            return report.add(Failure::new(Code::BadValue, location, reason));
        }
    }
    let mut collision = None;
    each_name(request, &mut |disk| {
        each_name(request, &mut |other| {
            // Equal bytes have equal texts, so the texts may be compared.
            let [first, second] = [disk, other].map(Text::<320>::of);
            let [cut, other_cut] = [&first, &second].map(|name| name.as_str().as_bytes().first_chunk::<CUT>());
            if cut.is_some() && cut == other_cut && first.as_str() != second.as_str() {
                collision.get_or_insert((disk, other));
            }
        });
    });
    if let Some((disk, other)) = collision {
        let reason = "both names are the same in their first 20 bytes, to which virtio-blk cuts them: shorten one";
        report.add(Failure::new(Code::DisksCollide, format_args!("{disk}, {other}"), reason));
    }
}

/// The name of a disk: [`SERIAL`] or nothing, and the rest.
#[derive(Clone, Copy)]
struct DiskName<'a>(&'static [u8], &'a [u8]);

impl fmt::Display for DiskName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Shown(self.0), Shown(self.1))
    }
}

/// Calls `visit` with the name of each disk that a request names. A disk may occur several times.
fn each_name<'a>(request: &Request<'a>, visit: &mut dyn FnMut(DiskName<'a>)) {
    request.extensions.iter().for_each(|extension| visit(DiskName(SERIAL, extension.name)));
    request.verity.iter().for_each(|verified| visit(DiskName(b"", verified.disk)));
    for location in request.files.iter().map(|file| &file.location).chain(request.module_dirs()) {
        if let Place::Disk(disk) = location.place {
            visit(DiskName(b"", disk));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn mistake(line: &str) -> std::string::String {
        let mut ignore = |_: &Failure| {};
        let mut report = Report::new(&mut ignore);
        Request::parse(line.as_bytes(), &mut report);
        report.verdict().map_or_else(|failure| failure.to_string(), |()| std::string::String::new())
    }

    #[test]
    fn names_that_a_device_cuts_to_the_same_are_refused() {
        let extensions = |names: [&str; 2]| {
            mistake(&names.map(|name| std::format!("kata.extension.{name}.verity_params ")).concat())
        };
        assert_eq!(extensions(["nvidia-gpu", "nvidia-gp"]), "");
        assert_eq!(
            extensions(["nvidia-gpu1", "nvidia-gpu2"]),
            "read extension-nvidia-gpu1, extension-nvidia-gpu2: ENOTUNIQ: both names are the same in their first 20 \
             bytes, to which virtio-blk cuts them: shorten one"
        );
        let both = std::format!(
            "kata.extension.gpu.verity_params guest_init.verity=extension-gpu,root_hash={},salt=,data_blocks=1,\
             data_block_size=512,hash_block_size=512",
            "0".repeat(64)
        );
        let reason = "kata.extension.gpu.verity_params has the parameters of this disk";
        assert_eq!(mistake(&both), std::format!("read guest_init.verity=extension-gpu: EINVAL: {reason}"));
        assert_eq!(
            mistake("guest_init.modules_file=/run/kata-extensions/gpu/list"),
            "read /run/kata-extensions/gpu/list: EINVAL: the command line has no kata.extension.gpu.verity_params"
        );
        assert_eq!(mistake("guest_init.modules_file=disk:modules:/a guest_init.module_dir=disk:modules:/b"), "");
        let long = "guest_init.modules_file=disk:a-disk-with-a-long-name-1:/a guest_init.module_dir=disk:a-disk-with-a-long-name:/b";
        assert!(mistake(long).starts_with("read a-disk-with-a-long-name-1, a-disk-with-a-long-name: ENOTUNIQ"));
    }
}
