//! libkmod as an oracle: the steps that it would take for a name, without taking them.
//!
//! Every call has the flag DRY_RUN, and its thread has given up CAP_SYS_MODULE and sees a /proc/cmdline of its own.
//! This file owns the thread, and the form in which two plans are compared.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{fmt, fs};

use guest_init::request::name::underscore;
use guest_init::resolve::plan::{Action, Options, Plan};
use kmod_sys::*;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities, set_capabilities, unshare_unsafe};
use tempfile::TempDir;

/// A step of a plan, of guest-init's or of libkmod's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// One of `insmod`, `install`, `builtin`, `missing`, `blacklisted`.
    what: &'static str,
    /// The module's name, with `_`.
    pub module: Vec<u8>,
    /// The file as modules.dep names it, or the command.
    subject: Vec<u8>,
    parameters: Vec<u8>,
}

impl Step {
    /// Whether the module is built into the kernel.
    pub fn is_built_in(&self) -> bool {
        self.what == "builtin"
    }

    /// Whether the module is not loaded, because an alias means it and the blacklist has it.
    pub fn is_blacklisted(&self) -> bool {
        self.what == "blacklisted"
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, module, subject, parameters } = self;
        write!(f, "{what} {}: ", module.escape_ascii())?;
        write!(f, "{} `{}`", subject.escape_ascii(), parameters.escape_ascii())
    }
}

/// The steps of one of guest-init's plans.
pub fn steps(plan: &Plan<'_>) -> Vec<Step> {
    // libkmod leaves the calls of an install command to a shell.
    let steps = plan.steps().iter().filter(|step| !step.is_called()).filter_map(|step| {
        let (what, subject) = match step.action {
            Action::Load(file) => ("insmod", file.path),
            Action::Install(command) => ("install", command),
            Action::BuiltIn => ("builtin", Default::default()),
            Action::Missing => ("missing", Default::default()),
            Action::Blacklisted => ("blacklisted", Default::default()),
            // libkmod drops the parameters of a module that an earlier step loads.
            Action::Adjust => return None,
        };
        let mut parameters = Vec::new();
        if matches!(what, "insmod" | "install") {
            plan.parameters(step).each_piece(&mut |piece| parameters.extend_from_slice(piece));
        }
        Some(Step { what, module: underscored(step.module.name), subject: subject.to_vec(), parameters })
    });
    first_of_each(steps.collect())
}

/// A module's name as lsmod shows it. libkmod keeps some dashes in brackets, which no module's name has.
fn underscored(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| underscore(byte)).collect()
}

/// The first step of each module, because in a real run a later step finds it loaded. A `blacklisted` step settles
/// nothing.
pub fn first_of_each(steps: Vec<Step>) -> Vec<Step> {
    let mut kept: Vec<Step> = Vec::new();
    for step in steps {
        let settles = |earlier: &Step| earlier.what != "blacklisted" || step.what == "blacklisted";
        if !kept.iter().any(|earlier| earlier.module == step.module && settles(earlier)) {
            kept.push(step);
        }
    }
    kept
}

/// The mount namespace of a test's thread, with a /proc/cmdline of its own.
pub struct Sandbox {
    /// A tmpfs, because some disks are slow when a file is written again and again.
    scratch: TempDir,
}

impl Sandbox {
    fn enter() -> Self {
        let sandbox = Self { scratch: TempDir::new().expect("a directory") };
        // SAFETY: NEWNS affects this thread alone: its mounts, and its working directory, which no test changes.
        let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
        let entered = unshared
            .and_then(|()| mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC))
            .and_then(|()| mount("none", sandbox.scratch.path(), "tmpfs", MountFlags::empty(), None))
            .inspect(|()| sandbox.set_command_line(b"is this mine?"))
            .and_then(|()| mount_bind(sandbox.cmdline(), "/proc/cmdline"));
        if let Err(error) = entered {
            panic!(
                "libkmod reads this machine's /proc/cmdline, so the test needs a mount namespace of its own, \
                 and with that CAP_SYS_ADMIN: {error}; run it as root"
            );
        }
        assert_eq!(fs::read("/proc/cmdline").expect("/proc/cmdline"), b"is this mine?");
        sandbox.set_command_line(b"");
        sandbox
    }

    /// Sets the command line that libkmod reads, of which it takes 4,095 bytes at most.
    pub fn set_command_line(&self, line: &[u8]) {
        assert!(line.len() < 4096 && !line.contains(&0));
        fs::write(self.cmdline(), line).expect("the command line's file");
    }

    /// A new directory.
    pub fn directory(&self) -> TempDir {
        TempDir::new_in(self.scratch.path()).expect("a directory")
    }

    fn cmdline(&self) -> PathBuf {
        self.scratch.path().join("cmdline")
    }
}

impl Drop for Sandbox {
    /// Unmounts the tmpfs, so that its directory can be removed.
    fn drop(&mut self) {
        let _ = unmount("/proc/cmdline", UnmountFlags::DETACH);
        let _ = unmount(self.scratch.path(), UnmountFlags::DETACH);
    }
}

/// Runs `body` in a thread that has a /proc/cmdline of its own and cannot load modules.
pub fn isolated<T: Send>(body: impl FnOnce(&Sandbox) -> T + Send) -> T {
    static QUIET: Once = Once::new();
    // SAFETY: std's readers of the environment hold its lock. The only reader in C is libkmod, and it runs after this.
    QUIET.call_once(|| unsafe { std::env::set_var("KMOD_LOG", "0") });
    std::thread::scope(|scope| {
        let body = || {
            let sandbox = Sandbox::enter();
            let mut sets = capabilities(None).expect("capget");
            for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
                set.remove(CapabilitySet::SYS_MODULE);
            }
            set_capabilities(None, sets).expect("capset");
            body(&sandbox)
        };
        // Plans are large, and soft dependencies are planned recursively.
        let thread = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, body).expect("a thread");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// libkmod with a tree and a configuration, and with the command line at the time of its creation.
pub struct Oracle {
    context: *mut kmod_ctx,
    /// The tree's directory, with a `/` at its end.
    tree: Vec<u8>,
}

thread_local! {
    /// The steps that `print_action` was called for. libkmod hands it no data of the caller's.
    static STEPS: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
}

impl Oracle {
    /// Opens the directory `tree`, which is a lib/modules/RELEASE, with the configuration in `directories`, the most
    /// important first.
    pub fn new(tree: &Path, directories: &[&Path]) -> Self {
        let [path, directories @ ..] = &[&[tree], directories].concat()[..] else { unreachable!() };
        let c_string = |path: &&Path| CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
        let (path, directories): (_, Vec<_>) = (c_string(path), directories.iter().map(c_string).collect());
        let pointers: Vec<_> = directories.iter().map(|path| path.as_ptr()).chain([std::ptr::null()]).collect();
        // SAFETY: both arguments outlive the call, and the list ends with null.
        let context = unsafe { kmod_new(path.as_ptr(), pointers.as_ptr()) };
        assert!(!context.is_null(), "kmod_new");
        // SAFETY: the context is valid.
        let loaded = unsafe { kmod_load_resources(context) };
        assert_eq!(loaded, 0, "libkmod can't load the indexes of {}", tree.display());
        Self { context, tree: [tree.as_os_str().as_bytes(), b"/"].concat() }
    }

    /// The steps that libkmod would take for `name` with `parameters`, each module once. `None`: the name is unknown.
    pub fn plan(&mut self, name: &[u8], parameters: &[u8], options: Options) -> Option<Vec<Step>> {
        let name = CString::new(name).expect("a name without NUL");
        let parameters = CString::new(parameters).expect("parameters without NUL");
        let mut flags = kmod_probe_KMOD_PROBE_IGNORE_LOADED
            | kmod_probe_KMOD_PROBE_DRY_RUN
            | kmod_probe_KMOD_PROBE_APPLY_BLACKLIST_ALIAS_ONLY;
        if options.use_blacklist {
            flags |= kmod_probe_KMOD_PROBE_APPLY_BLACKLIST;
        }
        if options.ignore_install {
            flags |= kmod_probe_KMOD_PROBE_IGNORE_COMMAND;
        }
        STEPS.take();
        let mut list = std::ptr::null_mut();
        // SAFETY: the context is valid, the strings outlive the calls, and each module of the list is released once.
        // DRY_RUN keeps libkmod from running commands and loading modules.
        unsafe {
            let found = kmod_module_new_from_lookup(self.context, name.as_ptr(), &mut list);
            if found < 0 || list.is_null() {
                return None;
            }
            let mut entry = list;
            while !entry.is_null() {
                let module = kmod_module_get_module(entry);
                let arguments = parameters.as_ptr();
                let data = std::ptr::null();
                let done = kmod_module_probe_insert_module(module, flags, arguments, None, data, Some(print_action));
                assert!(done >= 0, "kmod_module_probe_insert_module: {done}");
                if done > 0 {
                    record("blacklisted", module, b"", b"");
                }
                kmod_module_unref(module);
                entry = kmod_list_next(list, entry);
            }
            kmod_module_unref_list(list);
        }
        let mut steps = STEPS.take();
        for step in steps.iter_mut().filter(|step| step.what == "insmod") {
            step.subject = step.subject.strip_prefix(&self.tree[..]).unwrap_or(&step.subject).to_vec();
        }
        Some(first_of_each(steps))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // SAFETY: this releases the only reference, and nothing uses it later.
        unsafe { kmod_unref(self.context) };
    }
}

/// Records what modprobe's own callback prints for --show-depends.
unsafe extern "C" fn print_action(module: *mut kmod_module, install: bool, options: *const c_char) {
    // SAFETY: the module is valid, and libkmod's strings live until this returns.
    unsafe {
        let (path, own) = (bytes(kmod_module_get_path(module)), bytes(kmod_module_get_options(module)));
        let options = bytes(options).unwrap_or_default();
        // libkmod appends a blank to the configuration's options even if nothing follows.
        let bare = options.strip_suffix(b" ").filter(|bare| own == Some(bare));
        let options = bare.unwrap_or(options);
        match path {
            _ if install => {
                record("install", module, bytes(kmod_module_get_install_commands(module)).unwrap(), options)
            }
            Some(path) => record("insmod", module, path, options),
            None if kmod_module_get_initstate(module) == 0 => record("builtin", module, b"", b""),
            None => record("missing", module, b"", b""),
        }
    }
}

/// Records a step.
///
/// # Safety
/// `module` is a valid module.
unsafe fn record(what: &'static str, module: *mut kmod_module, subject: &[u8], parameters: &[u8]) {
    // SAFETY: the module is valid, and every module has a name.
    let module = unsafe { bytes(kmod_module_get_name(module)) }.unwrap();
    let step = Step { what, module: underscored(module), subject: subject.to_vec(), parameters: parameters.to_vec() };
    STEPS.with_borrow_mut(|steps| steps.push(step));
}

/// The bytes of a C string, or `None` for null.
///
/// # Safety
/// `string` is null or a string that outlives `'a`.
unsafe fn bytes<'a>(string: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_bytes())
}
