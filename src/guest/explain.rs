//! Why the kernel refused a module: its errno, what it said on its log, and what the file says of itself, in one line
//! (KMOD 3.2).

extern crate std;

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::string::String;

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
use rustix::io;

use super::files::read_path;
use super::module::ModuleFile;
use super::tree::running_release;
use crate::elf::Elf;
use crate::failure::{Code, Failure};
use crate::request::name::same;
use crate::request::words::words;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::plan::Step;
use crate::text::{Shown, Text};

/// The kernel log, read from the moment before a load.
///
/// What was read is kept until the next load, since it can be read but once.
pub struct KernelLog {
    file: Option<OwnedFd>,
    about: Option<String>,
    any: Option<String>,
}

impl KernelLog {
    /// Opens it; without it, failures are explained by their errno alone.
    pub fn open() -> Self {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Self { file: open(c"/dev/kmsg", flags, Mode::empty()).ok(), about: None, any: None }
    }

    /// Passes over all that was said so far.
    pub fn skip_to_end(&mut self) {
        (self.about, self.any) = (None, None);
        if let Some(file) = &self.file {
            let _ = seek(file, SeekFrom::End(0));
        }
    }

    /// The kernel's last word since then about `module`.
    pub fn said_about(&mut self, module: &[u8]) -> Option<String> {
        let (about, any) = self.last_words(module);
        self.any = any.or(self.any.take());
        self.about = about.or(self.about.take());
        self.about.clone()
    }

    /// The kernel's last word since then about `module`, or if it did not name it, its last word at all.
    fn last_word(&mut self, module: &[u8]) -> Option<String> {
        self.said_about(module).or_else(|| self.any.clone())
    }

    fn last_words(&self, module: &[u8]) -> (Option<String>, Option<String>) {
        let (mut about, mut any) = (None, None);
        let Some(file) = &self.file else { return (about, any) };
        let mut buffer = [0; 8192];
        // The kernel goes on talking: more than its whole buffer is never waited for.
        for _ in 0..10_000 {
            match io::retry_on_intr(|| io::read(file, &mut buffer)) {
                Ok(length) => {
                    let Some(text) = kernel_record(buffer.get(..length).unwrap_or_default()) else { continue };
                    any = Some(text);
                    if any.as_ref().is_some_and(|text| names(text.as_bytes(), module)) {
                        about = any.clone();
                    }
                }
                // Records that were overwritten before they were read.
                Err(io::Errno::PIPE) => {}
                Err(_) => break,
            }
        }
        (about, any)
    }
}

/// The text of a record `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT\n…` if the kernel itself wrote it: its facility is 0.
fn kernel_record(record: &[u8]) -> Option<String> {
    let record = str::from_utf8(record).ok()?;
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    (priority >> 3 == 0).then(|| text.lines().next().map(String::from))?
}

fn names(text: &[u8], module: &[u8]) -> bool {
    text.windows(module.len().max(1)).any(|window| same(window, module))
}

/// A module's file that can't be opened.
pub fn unreadable(path: &[u8], errno: Errno) -> Failure {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => Failure::from_errno(
            Code::MissingFile,
            Shown(path),
            errno,
            "modules.dep lists the file, and it is not there",
        ),
        Errno::EINVAL | Errno::EISDIR => Failure::from_errno(Code::NotAModule, Shown(path), errno, "no regular file"),
        other => Failure::from_errno(Code::Unreadable, Shown(path), other, other.desc()),
    }
}

/// What the kernel's refusal means. `file` was handed to finit_module together with `parameters`.
pub fn explain(step: &Step<'_>, file: &ModuleFile, parameters: &CStr, errno: Errno, log: &mut KernelLog) -> Failure {
    let module = step.module.name;
    let contents = || file.contents(&step.module).unwrap_or_default();
    let said = log.last_word(module).unwrap_or_default();
    let (code, reason) = match errno {
        Errno::ENOEXEC | Errno::EINVAL if said.contains("disagrees about version of symbol") => {
            (Code::OtherKernel, other_kernel(&contents(), &said))
        }
        Errno::ENOEXEC if said.contains("version magic") || is_foreign(&contents()) => {
            (Code::OtherKernel, other_kernel(&contents(), &said))
        }
        Errno::ENOEXEC => (Code::NotAModule, kernel_says(what_it_is(&contents()), &said)),
        Errno::EPERM => (Code::Forbidden, forbidden(module, &said)),
        Errno::EINVAL | Errno::ENOENT if said.contains(" invalid for parameter ") => {
            (Code::BadParameter, Text::of(format_args!("the kernel says: {}", Shown(said.as_bytes()))))
        }
        Errno::ENOSPC if said.contains("too long") => (Code::BadParameter, kernel_says("a value is too long", &said)),
        Errno::ENOENT if said.contains("Unknown symbol") => {
            (Code::UnresolvedSymbol, kernel_says("a module that it needs is not loaded", &said))
        }
        Errno::EINVAL if contents().is_empty() => (Code::NotAModule, Text::of("the file is empty")),
        Errno::EKEYREJECTED | Errno::EBADMSG | Errno::ENOPKG | Errno::ENOKEY => {
            (Code::BadSignature, kernel_says(signature(errno), &said))
        }
        Errno::ENOMEM => (Code::OutOfMemory, kernel_says("no memory for it", &said)),
        Errno::ENOSYS => (Code::Forbidden, Text::of("this kernel was built without CONFIG_MODULES")),
        Errno::EIO | Errno::ETXTBSY | Errno::EACCES | Errno::EFBIG if said.is_empty() => {
            (Code::Unreadable, Text::of(errno.desc()))
        }
        other => (Code::InitFailed, init_failed(other, parameters, &said)),
    };
    Failure::from_errno(code, step.module, errno, reason)
}

type Reason = Text<512>;

/// A reason of ours, and the kernel's own words if it had any.
fn kernel_says(reason: &str, said: &str) -> Reason {
    match said {
        "" => Text::of(reason),
        said => Text::of(format_args!("{reason}; the kernel says: {}", Shown(said.as_bytes()))),
    }
}

/// Whether a file says that it was built for another release.
fn is_foreign(file: &[u8]) -> bool {
    let release = ModInfo::find(file).and_then(|info| info.release());
    release.is_some_and(|release| release != running_release().as_bytes())
}

/// Names both kernels; where a module was built for this release and yet otherwise, the kernel's words say how.
fn other_kernel(file: &[u8], said: &str) -> Reason {
    let running = running_release();
    match ModInfo::find(file).and_then(|info| info.release()) {
        Some(release) if release != running.as_bytes() => {
            let reason = format_args!("built for {}, this kernel is {}", Shown(release), Shown(running.as_bytes()));
            kernel_says(Text::<200>::of(reason).as_str(), said)
        }
        _ => kernel_says("built for another build of this kernel", said),
    }
}

fn what_it_is(file: &[u8]) -> &'static str {
    match Elf::new(file) {
        Some(_) => "not whole, or built for another machine",
        None => "no module: the file does not begin as one",
    }
}

const fn signature(errno: Errno) -> &'static str {
    match errno {
        Errno::EBADMSG => "its signature is malformed",
        Errno::ENOPKG => "its signature uses an algorithm that this kernel lacks",
        Errno::ENOKEY => "it is signed by a key that this kernel does not have",
        _ => "it has no signature that this kernel accepts",
    }
}

/// Four switches give EPERM, and so may a module's own start.
fn forbidden(module: &[u8], said: &str) -> Reason {
    const MOST: usize = 1 << 16;
    let line = read_path(c"/proc/cmdline", MOST).unwrap_or_default();
    let mut on_command_line = words(&line).take_while(|word| !word.is_end());
    let is_disabled = || read_path(c"/proc/sys/kernel/modules_disabled", MOST).is_ok_and(|text| text.starts_with(b"1"));
    let blacklists = |names: &[u8]| names.split(|&b| b == b',').any(|name| same(name, module));
    if on_command_line.clone().any(|word| word.name == b"nomodule") {
        return Text::of("`nomodule` on the kernel command line");
    }
    if on_command_line.any(|word| word.name == b"module_blacklist" && word.value.is_some_and(blacklists)) {
        return Text::of("`module_blacklist=` on the kernel command line names it");
    }
    if is_disabled() {
        return Text::of("kernel.modules_disabled is set");
    }
    kernel_says("the kernel does not permit it (lockdown, a security module, or its own start)", said)
}

fn init_failed(errno: Errno, parameters: &CStr, said: &str) -> Reason {
    let with = match parameters.to_bytes() {
        [] => Text::<160>::new(),
        text => Text::of(format_args!(" with `{}`", Shown(text))),
    };
    let reason = Text::<300>::of(format_args!("its own start{with} gave: {}", errno.desc()));
    kernel_says(reason.as_str(), said)
}
