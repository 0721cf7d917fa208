//! Kata's extensions: each disk is verified and mounted below /run, before the lists are read, because lists and
//! modules may be on one. The mounts stay for the agent, which reads them itself.

extern crate alloc;

use alloc::format;

use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MoveMountFlags, move_mount};

use crate::failure::{Code, Failure};
use crate::guest::places::Places;
use crate::guest::places::detached::make_directory;
use crate::guest::places::disk::wanted::WantedDisk;
use crate::guest::system::errno::strerror;
use crate::request::Request;
use crate::request::extension::{Extension, MOUNT_POINTS, SERIAL};
use crate::request::kernel::disk_name::{By, DiskName};
use crate::text::Shown;

/// The attributes of the mounts. Agents execute programs of an extension.
const ATTRIBUTES: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_RDONLY.union(MountAttrFlags::MOUNT_ATTR_NOSUID).union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Mounts the extensions of a request, in its order.
///
/// Failures: those of [`WantedDisk`] and of [`VerifiedDisks`](crate::guest::places::disk::verified::VerifiedDisks), and
/// those of loading drivers.
#[inline]
pub fn mount_all<'a>(request: &Request<'a>, places: &mut Places<'a>) -> Result<(), Failure> {
    if request.extensions.is_empty() { Ok(()) } else { mount_each(&request.extensions, places) }
}

/// Out of line, because most VMs have no extension.
#[inline(never)]
fn mount_each(extensions: &[Extension<'_>], places: &mut Places<'_>) -> Result<(), Failure> {
    extensions.iter().try_for_each(|extension| mount(extension, places))
}

/// Mounts one extension.
fn mount(extension: &Extension<'_>, places: &mut Places<'_>) -> Result<(), Failure> {
    let (drivers, verified) = places.drivers_and_verified()?;
    drivers.purpose = "an extension";
    let wanted = WantedDisk::for_files(extension, ATTRIBUTES);
    let serial = [SERIAL, extension.name].concat();
    let disk = wanted.wait(&DiskName { by: By::Serial, value: &serial }, drivers)?;
    let path = verified.path_of_extension(&wanted, extension, &disk, drivers)?;
    let mount = wanted.mount(&path, drivers)?;
    let target = format!("{MOUNT_POINTS}/{}", Shown(extension.name));
    let moved = make_directory(MOUNT_POINTS)
        .and_then(|()| make_directory(&target))
        .and_then(|()| move_mount(&mount, "", CWD, &*target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH));
    moved.map_err(|error| {
        wanted.failure(Code::DiskFailed, error, format_args!("it can't be mounted at {target}: {}", strerror(error)))
    })?;
    log::info!("{extension}: mounted at {target}");
    Ok(())
}
