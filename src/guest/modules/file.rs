//! A module's file: what is in it, and how the kernel takes it.

extern crate alloc;

use alloc::borrow::Cow;
use core::ffi::CStr;
use core::time::Duration;

use rustix::io::{self, Errno};
use rustix::system::{finit_module, init_module};

use crate::failure::{Code, Failure};
use crate::guest::modules::sysfs::is_present;
use crate::guest::modules::unpack::{Format, LONGEST_MAGIC};
use crate::guest::system::clock::sleep;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::{Directory, File};
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::resolve::tree::module::Module;
use crate::text::Shown;

/// The kernel decompresses the file itself (linux/module.h, since 5.17).
const MODULE_INIT_COMPRESSED_FILE: core::ffi::c_int = 4;
/// The largest file of a share's that is read, in bytes.
const LARGEST: usize = 256 << 20;
/// How often, and how long each time, a module is waited for that someone else is loading.
const BUSY_RETRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// An open file of a module tree.
#[derive(Debug)]
pub struct ModuleFile {
    file: File,
    /// Whether it is compressed, as far as its name let one look.
    format: Option<Format>,
}

impl ModuleFile {
    /// Opens a file of the tree.
    ///
    /// Failures: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`].
    pub fn open(directory: &Directory, path: &[u8]) -> Result<Self, Failure> {
        let failure = |error| unreadable(path, error);
        let file = directory.regular(path).map_err(failure)?;
        file.read_ahead();
        // The name only saves the look: a compressed file with a plain name is recognised when the kernel refuses it.
        let format = if path.ends_with(b".ko") { None } else { head(&file).map_err(failure)? };
        Ok(Self { file, format })
    }

    /// How it is compressed, if it is, and its name does not deny it.
    pub const fn format(&self) -> Option<Format> {
        self.format
    }

    /// The module itself, decompressed.
    ///
    /// Failures: [`Code::Unreadable`], [`Code::NotAModule`] for damaged data.
    pub fn contents(&self, module: &Module<'_>) -> Result<Cow<'static, [u8]>, Failure> {
        let contents = self.file.contents(LARGEST).map_err(|error| unreadable(module.name, error))?;
        match Format::of(&contents) {
            None => Ok(contents),
            Some(format) => {
                let damaged = |reason| Failure::new(Code::NotAModule, *module, reason);
                format.unpack(contents).map(Cow::Owned).map_err(damaged)
            }
        }
    }

    /// Has the kernel load it: as it is, or decompressed by the kernel if it knows the format, or else by us, or by us
    /// after all if the kernel can't: its xz decoder knows no CRC64.
    ///
    /// The outer failure is one of ours, the inner result the kernel's word on the module.
    pub fn load(
        &self,
        module: &Module<'_>,
        parameters: &CStr,
        kernel_format: Option<Format>,
        log: &mut KernelMessages,
    ) -> Result<io::Result<()>, Failure> {
        let result = match self.format {
            None => insist(module, || finit_module(&self.file, parameters, 0)),
            format if format == kernel_format => {
                insist(module, || finit_module(&self.file, parameters, MODULE_INIT_COMPRESSED_FILE))
            }
            Some(_) => Err(Errno::NOEXEC),
        };
        if !self.may_be_compression(result, module, log) {
            return Ok(result);
        }
        let contents = self.contents(module)?;
        Ok(insist(module, || init_module(&contents, parameters)))
    }

    /// Whether a refusal may be one of the compression: the file is compressed, and the kernel did not get as far as to
    /// name the module in it.
    fn may_be_compression(&self, result: io::Result<()>, module: &Module<'_>, log: &mut KernelMessages) -> bool {
        let compressed = || self.format.is_some() || head(&self.file).is_ok_and(|format| format.is_some());
        match result {
            Err(Errno::NOEXEC) => compressed(),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOMEM | Errno::IO) => {
                self.format.is_some() && log.last_about(module.name).is_none()
            }
            _ => false,
        }
    }
}

/// What the first bytes say of a file.
fn head(file: &File) -> io::Result<Option<Format>> {
    let mut bytes = [0; LONGEST_MAGIC];
    let length = io::retry_on_intr(|| io::pread(file, &mut bytes, 0))?;
    Ok(Format::of(bytes.get(..length).unwrap_or_default()))
}

/// Retries what passes by itself: a signal, and EBUSY while another loader has the module half loaded.
fn insist(module: &Module<'_>, load: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..BUSY_RETRIES {
        match io::retry_on_intr(&load) {
            Err(Errno::BUSY) if is_present(module) => sleep(BUSY_PAUSE),
            result => return result,
        }
    }
    Err(Errno::BUSY)
}

/// Why a module's file can't be opened.
pub fn unreadable(path: &[u8], error: Errno) -> Failure {
    let (code, reason) = match error {
        Errno::NOENT | Errno::NOTDIR => (Code::MissingFile, "modules.dep lists the file, and it is not there"),
        Errno::INVAL | Errno::ISDIR => (Code::NotAModule, "no regular file"),
        other => (Code::Unreadable, strerror(other)),
    };
    Failure::from_errno(code, Shown(path), error, reason)
}
