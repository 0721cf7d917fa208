//! Why the kernel refused a module: its errno, what it said on its log, and what the file says of itself, in one line
//! (MODPROBE.md 10.4).

use core::ffi::CStr;

use rustix::system::uname;
use syscalls::Errno;

use crate::elf::Elf;
use crate::failure::{Code, Failure, IntoErrno};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::tree::running_release;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::read_path;
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::kernel::ModuleWords;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::plan::Step;
use crate::text::{Shown, Text};

/// The failure that the kernel's refusal is. `file` was handed to finit_module together with `parameters`. `words` is what the
/// command line says about modules.
pub fn to_failure(
    error: rustix::io::Errno,
    step: &Step<'_>,
    file: &ModuleFile,
    parameters: &CStr,
    words: &ModuleWords<'_>,
    messages: &mut KernelMessages,
) -> Failure {
    let errno = error.into_errno();
    let module = step.module.name;
    let contents = || file.contents(&step.module).unwrap_or_default();
    let said = messages.last_about_or_any(module).unwrap_or_default();
    if errno == Errno::ENOEXEC
        && let Some(reason) = other_machine(&contents())
    {
        return Failure::from_errno(Code::NotAModule, step.module, errno, reason);
    }
    let (code, reason) = match errno {
        Errno::ENOEXEC | Errno::EINVAL if said.contains("disagrees about version of symbol") => {
            (Code::OtherKernel, other_kernel(&contents(), &said))
        }
        Errno::ENOEXEC if said.contains("version magic") || is_foreign(&contents()) => {
            (Code::OtherKernel, other_kernel(&contents(), &said))
        }
        Errno::ENOEXEC => (Code::NotAModule, kernel_says(what_it_is(&contents()), &said)),
        Errno::EPERM => (Code::Forbidden, forbidden(module, words, &said)),
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
            (Code::Unreadable, Text::of(strerror(errno)))
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

/// What says that an ELF file, a module or a program, is for another machine.
pub fn other_machine(file: &[u8]) -> Option<Text<80>> {
    let (its, uname) = (Elf::new(file)?.machine()?, uname());
    let ours = uname.machine().to_str().ok()?;
    (its != ours).then(|| Text::of(format_args!("built for {its}, this machine is {ours}")))
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
fn forbidden(module: &[u8], words: &ModuleWords<'_>, said: &str) -> Reason {
    const MOST: usize = 64;
    if let Some(reason) = words.refuse(module) {
        return Text::of(reason);
    }
    if read_path(c"/proc/sys/kernel/modules_disabled", MOST).is_ok_and(|text| text.starts_with(b"1")) {
        return Text::of("kernel.modules_disabled is set");
    }
    kernel_says("the kernel does not permit it (lockdown, a security module, or its own start)", said)
}

fn init_failed(errno: Errno, parameters: &CStr, said: &str) -> Reason {
    let with = match parameters.to_bytes() {
        [] => Text::<160>::new(),
        text => Text::of(format_args!(" with `{}`", Shown(text))),
    };
    let reason = Text::<300>::of(format_args!("its own start{with} gave: {}", strerror(errno)));
    kernel_says(reason.as_str(), said)
}
