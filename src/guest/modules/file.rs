//! The file of a module: its contents, and the system call that loads it.

extern crate alloc;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::time::Duration;

use rustix::fs::fstat;
use rustix::io::{self, Errno};
use rustix::system::{finit_module, init_module};

use crate::failure::{Code, Failure};
use crate::guest::modules::sysfs::is_present;
use crate::guest::modules::unpack::{Format, LONGEST_MAGIC};
use crate::guest::system::clock::sleep;
use crate::guest::system::files::{Directory, File, why_not_opened};
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::resolve::tree::module::Module;
use crate::text::Shown;

/// The flag with which the kernel decompresses the file itself (MODPROBE.md 11.2).
const MODULE_INIT_COMPRESSED_FILE: core::ffi::c_int = 4;
/// The largest file that is read from a share, in bytes.
const LARGEST: usize = 256 << 20;
/// The number of waits for a module that another process is loading, and the time of each: one second in all.
const BUSY_RETRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// An open file of a module tree.
#[derive(Debug)]
pub struct ModuleFile {
    file: File,
    /// The compression, by the file's first bytes. `None` also for `*.ko`, which is looked into only if the kernel
    /// refuses it.
    format: Option<Format>,
    /// The decompressed module, after a load that took it, or if it was kept for the load.
    unpacked: Option<Vec<u8>>,
}

impl ModuleFile {
    /// Opens a file of the tree.
    ///
    /// Failures: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`].
    pub fn open(directory: &Directory, path: &[u8]) -> Result<Self, Failure> {
        let failure = |error| unreadable(path, error);
        let file = open_file(directory, path).map_err(failure)?;
        file.read_ahead();
        // Reading the first bytes of a plain file is saved. A compressed file of that name is recognised when the
        // kernel refuses it.
        let format = if path.ends_with(b".ko") { None } else { format_of(&file).map_err(failure)? };
        Ok(Self { file, format, unpacked: None })
    }

    /// The compression, by the file's first bytes. `None` also for `*.ko`.
    pub const fn format(&self) -> Option<Format> {
        self.format
    }

    /// The size of the file, in bytes; 0 if it can't be asked for.
    pub fn size(&self) -> u64 {
        fstat(&self.file).map_or(0, |file| file.st_size.try_into().unwrap_or(0))
    }

    /// Whether the file is compressed, by its first bytes, whatever its name is.
    pub fn is_compressed(&self) -> bool {
        self.format.is_some() || format_of(&self.file).is_ok_and(|format| format.is_some())
    }

    /// The module in the file, decompressed.
    ///
    /// Failures: [`Code::Unreadable`]; [`Code::NotAModule`] if it can't be decompressed.
    pub fn contents(&self, module: &Module<'_>) -> Result<Cow<'_, [u8]>, Failure> {
        if let Some(unpacked) = &self.unpacked {
            return Ok(Cow::Borrowed(unpacked));
        }
        let contents = self.file.contents(LARGEST).map_err(|error| unreadable(module.name, error))?;
        match Format::of(&contents) {
            None => Ok(contents),
            Some(format) => {
                let damaged = |reason| Failure::new(Code::NotAModule, *module, reason);
                format.unpack(contents).map(Cow::Owned).map_err(damaged)
            }
        }
    }

    /// Keeps the decompressed module, so that a load does not decompress it again.
    pub fn keep(&mut self, unpacked: Vec<u8>) {
        self.unpacked = Some(unpacked);
    }

    /// Loads the module. The kernel decompresses the file if it knows the format. If it does not, or its decoder
    /// refuses the file (MODPROBE.md 11.3), the module is decompressed here, and loaded by init_module(2).
    ///
    /// The outer failure is that of reading and decompressing the file, the inner error the kernel's.
    pub fn load(
        &mut self,
        module: &Module<'_>,
        parameters: &CStr,
        kernel_format: Option<Format>,
        log: &mut KernelMessages,
    ) -> Result<io::Result<()>, Failure> {
        let result = match self.format {
            None => retry_while_busy(module, || finit_module(&self.file, parameters, 0)),
            format if format == kernel_format => {
                retry_while_busy(module, || finit_module(&self.file, parameters, MODULE_INIT_COMPRESSED_FILE))
            }
            Some(_) => Err(Errno::NOEXEC),
        };
        if !self.may_be_due_to_compression(result, module, log) {
            return Ok(result);
        }
        let contents = self.contents(module)?;
        let result = retry_while_busy(module, || init_module(&contents, parameters));
        if let Cow::Owned(unpacked) = contents {
            self.keep(unpacked);
        }
        Ok(result)
    }

    /// Whether the kernel may have refused a file because of its compression. ENOEXEC is its error for a compressed
    /// file without the flag. The other errors are also the decoder's, but not if a message names the module: the
    /// kernel reads the name from the decompressed file.
    fn may_be_due_to_compression(&self, result: io::Result<()>, module: &Module<'_>, log: &mut KernelMessages) -> bool {
        match result {
            Err(Errno::NOEXEC) => self.is_compressed(),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOMEM | Errno::IO) => {
                self.format.is_some() && log.last_about(module.name).is_none()
            }
            _ => false,
        }
    }
}

/// Opens the file of a module. If the file was compressed or decompressed after modules.dep was written, its name has
/// another end now (MODPROBE.md 12.12).
pub fn open_file(directory: &Directory, path: &[u8]) -> io::Result<File> {
    let file = directory.regular(path);
    if !matches!(file, Err(Errno::NOENT)) {
        return file;
    }
    let plain = Format::ALL.iter().find_map(|format| path.strip_suffix(format.suffix().as_bytes())).unwrap_or(path);
    let ends = Format::ALL.iter().map(|format| format.suffix()).chain([""]);
    ends.into_iter().find_map(|end| directory.regular([plain, end.as_bytes()].concat()).ok()).map_or(file, Ok)
}

/// The compression of a file, by its first bytes.
fn format_of(file: &File) -> io::Result<Option<Format>> {
    let mut bytes = [0; LONGEST_MAGIC];
    let length = io::retry_on_intr(|| io::pread(file, &mut bytes, 0))?;
    Ok(Format::of(bytes.get(..length).unwrap_or_default()))
}

/// Retries a load after a signal, and while another process is loading the module (EBUSY).
fn retry_while_busy(module: &Module<'_>, load: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..BUSY_RETRIES {
        match io::retry_on_intr(&load) {
            Err(Errno::BUSY) if is_present(module) => sleep(BUSY_PAUSE),
            result => return result,
        }
    }
    Err(Errno::BUSY)
}

/// The failure of a module's file that can't be opened.
pub fn unreadable(path: &[u8], error: Errno) -> Failure {
    let (code, reason) = match error {
        Errno::NOENT | Errno::NOTDIR => (Code::MissingFile, "modules.dep lists the file, and it is not there"),
        Errno::INVAL | Errno::ISDIR => (Code::NotAModule, "no regular file"),
        other => (Code::Unreadable, why_not_opened(other)),
    };
    Failure::from_errno(code, Shown(path), error, reason)
}
