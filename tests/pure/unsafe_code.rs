//! The unsafe blocks that an ordinary process can reach. `scripts/test sanitize` runs them with AddressSanitizer, and
//! `scripts/test miri` runs those that Miri can.
//!
//! The start of a program and its execve are left to the boot tests.

use std::ffi::{c_char, c_int};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use guest_init::guest::system::clock::sleep;
use guest_init::guest::system::files::map;
use guest_init::guest::system::invocation::Strings;
use guest_init::guest::system::syscalls::{catch, exit};
use guest_init::guest::system::thread::{start, start_without_tls, together, together_without_tls};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use rustix::io::Errno;

/// The stack of a thread in these tests, in bytes: as small as the smallest of guest-init.
const STACK: usize = 16 << 10;

/// The arguments as a C library hands them to main.
const ARGUMENTS: &[*const c_char] = &[c"/sbin/modprobe".as_ptr(), c"".as_ptr(), c"ext4".as_ptr(), ptr::null()];
const NONE: &[*const c_char] = &[ptr::null()];

#[test]
fn arguments_end_at_the_null_pointer() {
    // SAFETY: constant arrays of constant strings, with a null pointer at the end.
    let (arguments, none) = unsafe { (Strings::new(ARGUMENTS.as_ptr()), Strings::new(NONE.as_ptr())) };
    let texts: Vec<_> = arguments.strings().map(|string| string.to_bytes()).collect();
    assert_eq!(texts, [&b"/sbin/modprobe"[..], b"", b"ext4"]);
    assert_eq!(arguments.program(), b"modprobe");
    assert_eq!((none.program(), none.strings().count()), (&b""[..], 0));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no mmap of files")]
fn a_file_is_mapped_whole() {
    // Lengths at both ends of a page.
    for length in [0, 1, 4096, 4097] {
        let bytes = vec![b'x'; length];
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&bytes).expect("room");
        let opened: OwnedFd = File::open(file.path()).expect("the file").into();
        let mapped = map(&opened).expect("a mapping");
        // The mapping outlives the descriptor and the name.
        drop((opened, file));
        assert_eq!(mapped, bytes);
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no process")]
fn the_program_reads_its_name_arguments_and_environment() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (modprobe, tree) = (folder.path().join("modprobe"), folder.path().join("lib/modules/1.0"));
    // A compiler that a shell starts may not get the variable, because of the dash in its name.
    let Some(program) = option_env!("CARGO_BIN_EXE_guest-init") else { panic!("Cargo names the program") };
    symlink(program, &modprobe).expect("a link");
    fs::create_dir_all(&tree).expect("a folder");
    fs::write(tree.join("modules.dep"), "a.ko: b.ko\nb.ko:\n").expect("a file");
    let mut call = Command::new(modprobe);
    let output = call.env("MODPROBE_OPTIONS", "-S 1.0 -d").arg(folder.path()).args(["-D", "a", "x=1"]).output();
    let output = output.expect("it starts");
    let shown = format!("insmod {0}/b.ko \ninsmod {0}/a.ko x=1\n", tree.display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_ordinary_program_starts_no_thread() {
    let calls = AtomicUsize::new(0);
    let work = |number| {
        assert_eq!(number, 0);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    assert_eq!(start(STACK, || unreachable!("no thread is started")), Err(Errno::NOSYS));
    assert_eq!(together(4, STACK, &work), 1);
    assert_eq!(calls.into_inner(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no clone(2)")]
fn threads_work_together_and_are_waited_for() {
    let sum = AtomicUsize::new(0);
    let work = |number| {
        // Whoever does not wait for the slowest finds too little.
        sleep(Duration::from_millis(20 * number as u64));
        sum.fetch_add(number, Ordering::Relaxed);
    };
    // SAFETY: a system call and an addition use no thread-local storage.
    let threads = unsafe { together_without_tls(4, STACK, &work) };
    assert_eq!((threads, sum.into_inner()), (4, 6));
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no process")]
fn a_thread_whose_stack_overflows_still_reaches_the_handler() {
    // SAFETY: the child calls nothing that another thread of this process could have locked, but the heap, which
    // fork(2) of a C library leaves usable.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => overflow_in_a_thread(),
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, CAUGHT)));
        }
    }
}

/// The exit status of a process whose handler was called.
const CAUGHT: c_int = 42;

/// Ends this process: as [`CAUGHT`] says, if the handler finds a stack when a thread has none left.
fn overflow_in_a_thread() -> ! {
    extern "C" fn on_fault(_: c_int) {
        exit(CAUGHT)
    }
    catch(Signal::SIGSEGV as u32, on_fault);
    // SAFETY: a recursion uses no thread-local storage.
    let started = unsafe { start_without_tls(STACK, || _ = recur(0)) };
    if started.is_ok() {
        sleep(Duration::from_secs(10));
    }
    exit(1)
}

/// Calls itself until the stack is full.
#[expect(unconditional_recursion, reason = "it is meant to have no end")]
fn recur(depth: usize) -> usize {
    black_box(recur(black_box(depth) + 1)) + 1
}
