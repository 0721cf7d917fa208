//! Settings of the kernel: sysrq, which panics the VM; kernel.panic, which restarts it after a panic; kernel.modprobe,
//! the program that loads modules on demand; and kernel.modules_disabled, which ends module loading.

use core::ffi::CStr;

use rustix::fs::{Access, Mode, OFlags, access, open};
use rustix::io::{self, write};
use rustix::system::{RebootCommand, reboot};

use crate::failure::{Code, Failure};
use crate::guest::system::files::read_head;
use crate::guest::system::initramfs::{has_modprobe_everywhere, own_modprobe};
use crate::request::kernel::KernelWords;
use crate::text::Shown;

const SYSRQ: &CStr = c"/proc/sysrq-trigger";
const PANIC: &CStr = c"/proc/sys/kernel/panic";
const MODPROBE: &CStr = c"/proc/sys/kernel/modprobe";
const MODULES_DISABLED: &CStr = c"/proc/sys/kernel/modules_disabled";

/// Has the kernel restart the VM after a panic: sets kernel.panic to -1 (at once) if it is 0, unless the command line
/// has `panic=`. With 0 the kernel spins for ever after a panic (panic in kernel/panic.c), and the VMM does not learn
/// of it. On s390x the kernel stops the CPUs after any panic, which the VMM sees (do_panic in arch/s390/kernel/ipl.c).
///
/// The function does not use the heap, so that the report of a crash can call it.
pub fn restart_after_panic(kernel: &KernelWords<'_>) {
    // `panic=0` asks for a VM that stays after a panic, for example to be debugged.
    if kernel.sets_panic {
        return;
    }
    let mut value = [0; 16];
    let waits = read_head(PANIC, &mut value).trim_ascii() == b"0";
    if waits && set(PANIC, b"-1").is_ok() {
        log::info!("kernel.panic was 0, with which a VM waits for ever after a panic: set to -1");
    }
}

/// Panics the VM at once, even if other threads of PID 1 hang. If the kernel has no sysrq, restarts the VM (reboot(2)).
pub fn panic_by_sysrq() {
    let _ = set(SYSRQ, b"c");
    let _ = reboot(RebootCommand::Restart);
}

/// Has the kernel run guest-init to load modules on demand, if guest-init is the image's modprobe, and the program that
/// the kernel would run does not exist. An empty path, with which the kernel runs nothing, stays.
///
/// The first look at a sysctl takes the kernel a tenth of guest-init's own instructions. So an image that has modprobe
/// at each path that kernels are built with (CONFIG_MODPROBE_PATH) is not looked at, unless the kernel command line
/// names another one.
pub fn serve_module_requests(kernel: &KernelWords<'_>) {
    if kernel.sets_modprobe || !has_modprobe_everywhere() {
        serve_where_the_kernel_looks();
    }
}

/// Sets kernel.modprobe if the program that it names does not exist. Out of line, because few VMs need it.
#[inline(never)]
fn serve_where_the_kernel_looks() {
    let Some(path) = own_modprobe() else { return };
    let mut value = [0; 256];
    let named = read_head(MODPROBE, &mut value).trim_ascii_end();
    if !named.is_empty()
        && access(named, Access::EXISTS).is_err_and(|error| error == io::Errno::NOENT)
        && set(MODPROBE, path.to_bytes()).is_ok()
    {
        let (named, path) = (Shown(named), Shown(path.to_bytes()));
        log::info!("kernel.modprobe was {named}, which does not exist: set to {path}");
    }
}

/// Disables module loading until the next start of the kernel, if that is asked for.
///
/// Failure: [`Code::NotLocked`].
pub fn lock_modules(asked_for: bool) -> Result<(), Failure> {
    if !asked_for {
        return Ok(());
    }
    match set(MODULES_DISABLED, b"1") {
        // A kernel without CONFIG_MODULES has no such setting and loads no modules.
        Ok(()) | Err(io::Errno::NOENT) => Ok(()),
        Err(error) => {
            let reason = "module loading can't be disabled";
            Err(Failure::from_errno(Code::NotLocked, "kernel.modules_disabled", error, reason))
        }
    }
}

/// Writes a value to a file of /proc.
fn set(path: &CStr, value: &[u8]) -> io::Result<()> {
    write(open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?, value).map(drop)
}
