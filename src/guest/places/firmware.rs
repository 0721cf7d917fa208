//! Firmware of the images that module trees are in. The kernel looks for firmware in /lib/firmware, and before that in
//! one more directory, which a parameter names (fw_path_para in drivers/base/firmware_loader/main.c).

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use rustix::fs::{Mode, OFlags, open};
use rustix::io;

use crate::guest::places::Places;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::read_head;
use crate::request::location::{Location, Place};
use crate::text::Shown;

/// The parameter.
const PARAMETER: &core::ffi::CStr = c"/sys/module/firmware_class/parameters/path";
/// The directory of firmware in an image, which the kernel knows if the image is its own.
const FIRMWARE: &[u8] = b"/lib/firmware";
/// The directory to which firmware of a share or of a disk is bound.
const BOUND: &str = "/run/guest-init/firmware";

impl<'a> Places<'a> {
    /// Has the kernel look for firmware beside the first of the module directories that has firmware, or in
    /// `/lib/firmware` of that directory's extension, share or disk. Nothing is changed if the parameter has a value.
    /// A directory that the kernel will not look in is logged. A module that needs a file of it fails by itself.
    /// Out of line, because most VMs name no directory.
    #[inline(never)]
    pub fn offer_firmware(&mut self, module_dirs: &[Location<'a>]) {
        let mut value = [0; 256];
        let value = read_head(PARAMETER, &mut value).trim_ascii();
        let mut known = (!value.is_empty()).then(|| Shown(value).to_string());
        for location in module_dirs {
            let Some(firmware) = self.firmware_beside(location) else { continue };
            let firmware = Location { path: &firmware, ..*location };
            match &known {
                Some(first) => log::info!("{firmware}: no firmware is taken from it: the kernel looks in {first}"),
                None => match self.set_firmware(location, &firmware) {
                    Ok(path) => {
                        log::info!("{firmware}: the kernel looks for firmware in it");
                        known = Some(path);
                    }
                    Err(error) => {
                        log::warn!(
                            "{firmware}: the kernel can't be told to look for firmware in it: {}",
                            strerror(error)
                        );
                    }
                },
            }
        }
    }

    /// The path of the firmware that belongs to a module directory, if there is any that the kernel does not know.
    fn firmware_beside(&mut self, location: &Location<'a>) -> Option<Vec<u8>> {
        let root = self.directory_of(location).ok()?;
        let path = location.path.strip_suffix(b"/").unwrap_or(location.path);
        let parent = path.iter().rposition(|&b| b == b'/').and_then(|slash| path.get(..slash))?;
        let is_new = |path: &Vec<u8>| location.place != Place::Image || path != FIRMWARE;
        let candidates = [[parent, b"/firmware"].concat(), FIRMWARE.to_vec()];
        let exists = |path: &Vec<u8>| root.directory(Location { path, ..*location }.below()).is_ok();
        candidates.into_iter().filter(is_new).find(exists)
    }

    /// Sets the parameter. Returns its value.
    fn set_firmware(&mut self, location: &Location<'a>, firmware: &Location<'_>) -> io::Result<String> {
        let path = match location.place {
            Place::Image | Place::Extension(_) => format!("{firmware}"),
            Place::Share(_) | Place::Disk(_) => {
                self.bind(location, firmware.below(), BOUND)?;
                BOUND.into()
            }
        };
        let parameter = open(PARAMETER, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        io::write(parameter, path.as_bytes())?;
        Ok(path)
    }
}
