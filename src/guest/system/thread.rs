//! Threads: the kernel's, without a C library's. They have nothing of their own but a stack, so only a program that has no
//! C library either may start them.

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use linux_raw_sys::general as linux;
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::thread::futex;

use crate::bare::start::clone;

/// Two threads of one process, with all in common that can be.
const ALIKE: u32 = linux::CLONE_VM
    | linux::CLONE_FS
    | linux::CLONE_FILES
    | linux::CLONE_SIGHAND
    | linux::CLONE_THREAD
    | linux::CLONE_SYSVSEM
    | linux::CLONE_CHILD_CLEARTID;

/// Below a stack, what nobody may touch, in bytes: as much as the largest page.
const GUARD: usize = 64 << 10;

/// Starts a thread that does `work` for as long as the process lives, or until it is done with it.
///
/// Errors: those of mmap(2) and clone(2).
pub fn start(stack: usize, work: impl Fn() + Sync + 'static) -> io::Result<()> {
    let work: &'static dyn Job = Box::leak(Box::new(move |_| work()));
    Thread::start(stack, work, 0).map(core::mem::forget)
}

/// Has `count` threads do the same work, this one as number 0, and waits until all are done. Returns how many they were: what
/// can't be started, the others do without.
pub fn together(count: usize, stack: usize, work: &(impl Fn(usize) + Sync)) -> usize {
    OTHERS.store(count.saturating_sub(1), Ordering::Relaxed);
    let threads: Vec<_> = (1..count).map_while(|number| Thread::start(stack, work, number).ok()).collect();
    work(0);
    let others = threads.len();
    drop(threads);
    OTHERS.store(0, Ordering::Relaxed);
    others + 1
}

/// How many threads [`together`] has beside the one that called it.
static OTHERS: AtomicUsize = AtomicUsize::new(0);

/// Whether several threads are at work together. Then nobody knows whether all can end: one may sleep in the kernel for ever.
pub fn are_several() -> bool {
    OTHERS.load(Ordering::Relaxed) > 0
}

/// What threads can do: called with a thread's number.
trait Job: Fn(usize) + Sync {}

impl<F: Fn(usize) + Sync> Job for F {}

/// A thread that is waited for when it is dropped.
struct Thread<'w> {
    start: &'w Start<'w>,
    /// Behind the wait, it is unmapped.
    _stack: Stack,
}

/// What a thread begins with.
struct Start<'w> {
    work: &'w dyn Job,
    number: usize,
    /// Zero once the thread has ended (CLONE_CHILD_CLEARTID).
    running: AtomicU32,
}

impl<'w> Thread<'w> {
    #[allow(unsafe_code)]
    fn start(stack: usize, work: &'w dyn Job, number: usize) -> io::Result<Self> {
        let stack = Stack::new(stack)?;
        let start = &*Box::leak(Box::new(Start { work, number, running: AtomicU32::new(1) }));
        // SAFETY: what is leaked lives for ever, and the stack until the thread has ended, since dropping this waits for it.
        let result = unsafe { clone(ALIKE as usize, stack.top(), &start.running, run, start) };
        match i32::try_from(result) {
            Ok(error) if error < 0 => Err(Errno::from_raw_os_error(-error)),
            _ => Ok(Self { start, _stack: stack }),
        }
    }
}

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        let running = &self.start.running;
        while running.load(Ordering::Acquire) != 0 {
            let _ = futex::wait(running, futex::Flags::empty(), 1, None);
        }
    }
}

/// What the thread itself does.
extern "C" fn run(start: &Start<'_>) {
    (start.work)(start.number);
}

/// A thread's stack, with a guard below: whoever overflows it ends by SIGSEGV, and does not write on.
struct Stack {
    bottom: *mut c_void,
    size: usize,
}

impl Stack {
    #[allow(unsafe_code)]
    fn new(size: usize) -> io::Result<Self> {
        let (size, access) = (size + GUARD, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping of the kernel's choosing aliases nothing, and its guard is its own.
        unsafe {
            let bottom = mmap_anonymous(null_mut(), size, access, MapFlags::PRIVATE | MapFlags::NORESERVE)?;
            let stack = Self { bottom, size };
            mprotect(bottom, GUARD, MprotectFlags::empty())?;
            Ok(stack)
        }
    }

    /// Where the first frame begins.
    fn top(&self) -> *mut c_void {
        self.bottom.wrapping_byte_add(self.size)
    }
}

impl Drop for Stack {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: its thread has ended or never began, and nothing else knew it.
        let _ = unsafe { munmap(self.bottom, self.size) };
    }
}
