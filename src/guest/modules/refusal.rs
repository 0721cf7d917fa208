//! The reason for which the kernel refused a module. It is found from the errno, the kernel's message and the module's
//! file (MODPROBE.md 10.4).

use core::ffi::CStr;
use core::fmt;

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
use crate::resolve::signature::{Signature, SignatureRefusal};
use crate::text::{Shown, Text};

/// The end of the kernel's message about a module whose signature it can't verify (`security_locked_down`).
const LOCKDOWN: &str = "unsigned module loading is restricted; see man kernel_lockdown.7";
/// The reason for a refused signature if the file can't be read here. The kernel may have decompressed it.
const SIGNER_UNREAD: &str = "the kernel refuses its signature; the file can't be read to name the signer";

/// The failure for an error of finit_module or init_module. `file` and `parameters` are what was loaded. `words` are
/// the words of the command line about modules. `messages` are the kernel's since the load began.
///
/// Out of line, so that its pages lie apart from the load's.
#[inline(never)]
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
    let message = messages.last_about_or_any(module).unwrap_or_default();
    if errno == Errno::ENOEXEC
        && let Some(reason) = other_machine(&contents())
    {
        return Failure::from_errno(Code::NotAModule, step.module, errno, reason);
    }
    let (code, reason) = match errno {
        Errno::ENOEXEC | Errno::EINVAL if message.contains("disagrees about version of symbol") => {
            (Code::OtherKernel, other_kernel(&contents(), &message))
        }
        Errno::ENOEXEC if message.contains("version magic") || is_foreign(&contents()) => {
            (Code::OtherKernel, other_kernel(&contents(), &message))
        }
        Errno::ENOEXEC => (Code::NotAModule, kernel_says(not_a_module(&contents()), &message)),
        Errno::EPERM if message.ends_with(LOCKDOWN) => (Code::Forbidden, locked_down(&contents(), &message)),
        Errno::EPERM => (Code::Forbidden, forbidden(module, words, &message)),
        Errno::EINVAL | Errno::ENOENT if message.contains(" invalid for parameter ") => {
            (Code::BadParameter, Text::of(format_args!("the kernel says: {}", Shown(message.as_bytes()))))
        }
        Errno::ENOSPC if message.contains("too long") => {
            (Code::BadParameter, kernel_says("a value is too long", &message))
        }
        Errno::ENOENT if message.contains("Unknown symbol") => {
            (Code::UnresolvedSymbol, kernel_says("a module that it needs is not loaded", &message))
        }
        Errno::EINVAL if contents().is_empty() => (Code::NotAModule, Text::of("the file is empty")),
        Errno::EKEYREJECTED | Errno::EBADMSG | Errno::ENOPKG | Errno::ENOKEY => {
            (Code::BadSignature, bad_signature(errno, &contents(), &message))
        }
        Errno::ENOMEM => (Code::OutOfMemory, kernel_says("no memory for it", &message)),
        Errno::ENOSYS => (Code::Forbidden, Text::of("this kernel was built without CONFIG_MODULES")),
        Errno::EIO | Errno::ETXTBSY | Errno::EACCES | Errno::EFBIG if message.is_empty() => {
            (Code::Unreadable, Text::of(strerror(errno)))
        }
        other => (Code::InitFailed, init_failed(other, parameters, &message)),
    };
    Failure::from_errno(code, step.module, errno, reason)
}

type Reason = Text<512>;

/// A reason, followed by the kernel's message if there is one.
fn kernel_says(reason: &str, message: &str) -> Reason {
    match message {
        "" => Text::of(reason),
        message => Text::of(format_args!("{reason}; the kernel says: {}", Shown(message.as_bytes()))),
    }
}

/// Whether a file was built for another release than the running kernel's.
fn is_foreign(file: &[u8]) -> bool {
    let release = ModInfo::find(file).and_then(|info| info.release());
    release.is_some_and(|release| release != running_release().as_bytes())
}

/// The reason of [`Code::OtherKernel`]: both releases. If they are equal, the kernel's message has the difference.
fn other_kernel(file: &[u8], message: &str) -> Reason {
    let running = running_release();
    match ModInfo::find(file).and_then(|info| info.release()) {
        Some(release) if release != running.as_bytes() => {
            let reason = format_args!("built for {}, this kernel is {}", Shown(release), Shown(running.as_bytes()));
            kernel_says(Text::<200>::of(reason).as_str(), message)
        }
        _ => kernel_says("built for another build of this kernel", message),
    }
}

/// The reason for which an ELF file, a module or a program, does not fit this machine. `None`: it fits, or is no ELF
/// file.
pub fn other_machine(file: &[u8]) -> Option<Text<80>> {
    Elf::new(file)?.misfit(uname().machine().to_str().ok()?)
}

/// The reason of [`Code::NotAModule`].
fn not_a_module(file: &[u8]) -> &'static str {
    match Elf::new(file) {
        Some(_) => "not whole, or built for another machine",
        None => "no module: the file does not begin as one",
    }
}

/// The reason of [`Code::BadSignature`]. EKEYREJECTED has several causes, which the kernel's message tells apart
/// (`module_sig_check` in kernel/module/signing.c). The kernel logs nothing if the signature does not fit.
fn bad_signature(errno: Errno, file: &[u8], message: &str) -> Reason {
    if file.is_empty() {
        return kernel_says(SIGNER_UNREAD, message);
    }
    let is_about = |end: &str| message.ends_with(end);
    let refusal = match SignatureRefusal::without_key(Signature::of(file)) {
        SignatureRefusal::UnknownKey(_) if errno == Errno::EBADMSG => SignatureRefusal::Malformed,
        SignatureRefusal::UnknownKey(signer)
            if errno == Errno::ENOPKG || is_about("unsupported crypto is rejected") =>
        {
            SignatureRefusal::Unsupported(Some(signer))
        }
        SignatureRefusal::UnknownKey(signer)
            if errno == Errno::EKEYREJECTED && !is_about("unavailable key is rejected") =>
        {
            SignatureRefusal::Wrong(signer)
        }
        other => other,
    };
    let is_silent = matches!(refusal, SignatureRefusal::Wrong(_)) && !message.starts_with("PKCS7: ");
    refused(format_args!("{refusal}"), if is_silent { "" } else { message })
}

/// The reason of [`Code::Forbidden`] if the kernel is locked down. It refuses a module whose signature it can't verify.
fn locked_down(file: &[u8], message: &str) -> Reason {
    if file.is_empty() {
        return refused(format_args!("lockdown: {SIGNER_UNREAD}"), message);
    }
    refused(format_args!("lockdown: {}", SignatureRefusal::without_key(Signature::of(file))), message)
}

#[inline(never)]
fn refused(reason: fmt::Arguments<'_>, message: &str) -> Reason {
    kernel_says(Text::<300>::of(reason).as_str(), message)
}

/// The reason of [`Code::Forbidden`] with EPERM: `nomodule`, `module_blacklist=`, kernel.modules_disabled, or lockdown.
/// The module's own init function may also return EPERM.
fn forbidden(module: &[u8], words: &ModuleWords<'_>, message: &str) -> Reason {
    const MOST: usize = 64;
    if let Some(reason) = words.refuse(module) {
        return Text::of(reason);
    }
    if read_path(c"/proc/sys/kernel/modules_disabled", MOST).is_ok_and(|text| text.starts_with(b"1")) {
        return Text::of("kernel.modules_disabled is set");
    }
    kernel_says("the kernel does not permit it (lockdown, a security module, or its init function)", message)
}

/// The reason of [`Code::InitFailed`].
fn init_failed(errno: Errno, parameters: &CStr, message: &str) -> Reason {
    let with = match parameters.to_bytes() {
        [] => Text::<160>::new(),
        text => Text::of(format_args!(" with `{}`", Shown(text))),
    };
    let reason = Text::<300>::of(format_args!("its init function failed{with}: {}", strerror(errno)));
    kernel_says(reason.as_str(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_only_the_kernel_can_read_is_not_called_unsigned() {
        let message = "Loading of module with unavailable key is rejected";
        let reason = bad_signature(Errno::EKEYREJECTED, b"", message);
        assert_eq!(
            reason.as_str(),
            "the kernel refuses its signature; the file can't be read to name the signer; the kernel says: Loading of \
             module with unavailable key is rejected"
        );
        let reason = locked_down(b"", "");
        assert!(reason.as_str().starts_with("lockdown: the kernel refuses its signature; "), "{reason}");
    }
}
