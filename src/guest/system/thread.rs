//! Threads that have nothing of their own but a stack: the kernel's, without a C library's.
//!
//! A thread keeps the thread pointer of the thread that started it (clone(2) without CLONE_SETTLS). A C library has its
//! heap's caches and errno behind that pointer, and two threads at once would ruin them. So the safe functions start
//! threads in a bare program only, which has no such storage ([`crate::bare`]).

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use linux_raw_sys::general as linux;
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::process::getpid;
use rustix::thread::{futex, gettid};

use crate::bare::IS_BARE;
use crate::bare::start::clone;
use crate::guest::system::syscalls::use_signal_stack;

/// A thread of this process that shares everything that can be shared.
const SHARE_ALL: u32 = linux::CLONE_VM
    | linux::CLONE_FS
    | linux::CLONE_FILES
    | linux::CLONE_SIGHAND
    | linux::CLONE_THREAD
    | linux::CLONE_SYSVSEM
    | linux::CLONE_CHILD_CLEARTID;

/// The guard below a stack, in bytes: as much as the largest page, and more than any frame.
const GUARD: usize = 64 << 10;

/// The stack on which a thread reports its own fault, in bytes. The kernel's signal frame takes up to 11 KiB of it
/// (x86_64 with AMX), the command line 8 KiB, and the rest of the report a few KiB.
pub const SIGNAL_STACK: usize = 64 << 10;

/// Starts a thread that does `work` and is never waited for. `stack` is in bytes.
///
/// Errors: those of mmap(2) and clone(2); ENOSYS in a program that is not bare.
#[expect(unsafe_code, reason = "a raw thread in a bare program")]
pub fn start(stack: usize, work: impl Fn() + Sync + 'static) -> io::Result<()> {
    if !IS_BARE {
        return Err(Errno::NOSYS);
    }
    // SAFETY: a bare program has no thread-local storage.
    unsafe { start_without_tls(stack, work) }
}

/// As [`start`], in any program.
///
/// # Safety
///
/// `work` uses no thread-local storage, neither its own nor a C library's.
#[expect(unsafe_code, reason = "the caller answers for thread-local storage")]
pub unsafe fn start_without_tls(stack: usize, work: impl Fn() + Sync + 'static) -> io::Result<()> {
    let work: &'static dyn Work = Box::leak(Box::new(move |_| work()));
    // SAFETY: the caller's contract.
    unsafe { Thread::start(stack, work, 0) }.map(core::mem::forget)
}

/// Has `count` threads do the same work, the calling thread as number 0, and waits until all are done. Returns how many
/// threads worked: if one can't be started, the others do without it. A program that is not bare works alone.
#[expect(unsafe_code, reason = "raw threads in a bare program")]
pub fn together(count: usize, stack: usize, work: &(impl Fn(usize) + Sync)) -> usize {
    let count = if IS_BARE { count } else { 1 };
    // SAFETY: a bare program has no thread-local storage, and in another none is started.
    unsafe { together_without_tls(count, stack, work) }
}

/// As [`together`], in any program.
///
/// # Safety
///
/// `work` uses no thread-local storage, neither its own nor a C library's.
#[expect(unsafe_code, reason = "the caller answers for thread-local storage")]
pub unsafe fn together_without_tls(count: usize, stack: usize, work: &(impl Fn(usize) + Sync)) -> usize {
    OTHERS.store(count.saturating_sub(1), Ordering::Relaxed);
    // SAFETY: the caller's contract.
    let start = |number| unsafe { Thread::start(stack, work, number) };
    let threads: Vec<_> = (1..count).map_while(|number| start(number).ok()).collect();
    work(0);
    let others = threads.len();
    drop(threads);
    OTHERS.store(0, Ordering::Relaxed);
    others + 1
}

/// How many threads [`together`] started.
static OTHERS: AtomicUsize = AtomicUsize::new(0);

/// Whether another thread of this process may never end: one that works in [`together`] can sleep in the kernel for
/// ever, and so can the main thread while another asks.
pub fn others_may_stay() -> bool {
    OTHERS.load(Ordering::Relaxed) > 0 || gettid() != getpid()
}

/// The work of threads: a function of the thread's number.
trait Work: Fn(usize) + Sync {}

impl<F: Fn(usize) + Sync> Work for F {}

/// A thread that is waited for when it is dropped.
struct Thread<'w> {
    task: &'w Task<'w>,
    /// Unmapped after the wait.
    _stack: Stack,
}

/// The arguments of a thread.
struct Task<'w> {
    work: &'w dyn Work,
    number: usize,
    signal_stack: *mut c_void,
    /// Zero once the thread has ended (CLONE_CHILD_CLEARTID).
    running: AtomicU32,
}

impl<'w> Thread<'w> {
    /// # Safety
    ///
    /// `work` uses no thread-local storage.
    #[expect(unsafe_code, reason = "clone(2) takes raw pointers")]
    unsafe fn start(stack: usize, work: &'w dyn Work, number: usize) -> io::Result<Self> {
        let stack = Stack::new(stack)?;
        // Leaked, since the kernel sets `running` to zero first and wakes who waits there afterwards (mm_release in
        // kernel/fork.c).
        let task = Task { work, number, signal_stack: stack.top(), running: AtomicU32::new(1) };
        let task = &*Box::leak(Box::new(task));
        // SAFETY: the caller's contract. The task lives for ever, and the stack until the thread has ended: a drop
        // waits for that.
        let result = unsafe { clone(SHARE_ALL as usize, stack.top(), &task.running, run, task) };
        match i32::try_from(result) {
            Ok(error) if error < 0 => Err(Errno::from_raw_os_error(-error)),
            _ => Ok(Self { task, _stack: stack }),
        }
    }
}

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        let running = &self.task.running;
        while running.load(Ordering::Acquire) != 0 {
            let _ = futex::wait(running, futex::Flags::empty(), 1, None);
        }
    }
}

/// The thread's own first function.
#[expect(unsafe_code, reason = "a signal stack is raw memory")]
extern "C" fn run(task: &Task<'_>) {
    // SAFETY: this part of the mapping lives until the thread has ended, and nothing else uses it.
    unsafe { use_signal_stack(task.signal_stack, SIGNAL_STACK) };
    (task.work)(task.number);
}

/// The mapping of one thread, from its lowest address: the guard, the stack, the signal stack.
///
/// A stack that overflows runs into the guard and raises SIGSEGV. A signal stack that overflows would run into the
/// stack, which nobody uses any more by then.
struct Stack {
    bottom: *mut c_void,
    size: usize,
}

impl Stack {
    #[expect(unsafe_code, reason = "a mapping is raw memory")]
    fn new(stack: usize) -> io::Result<Self> {
        let (size, access) = (GUARD + stack + SIGNAL_STACK, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping of the kernel's choosing aliases nothing, and its guard is a part of it.
        unsafe {
            let bottom = mmap_anonymous(null_mut(), size, access, MapFlags::PRIVATE | MapFlags::NORESERVE)?;
            let stack = Self { bottom, size };
            mprotect(bottom, GUARD, MprotectFlags::empty())?;
            Ok(stack)
        }
    }

    /// The end of the stack, where its first frame begins, and the bottom of the signal stack.
    fn top(&self) -> *mut c_void {
        self.bottom.wrapping_byte_add(self.size - SIGNAL_STACK)
    }
}

impl Drop for Stack {
    #[expect(unsafe_code, reason = "a mapping is raw memory")]
    fn drop(&mut self) {
        // SAFETY: the thread has ended or was never started, and nothing else points into the mapping.
        let _ = unsafe { munmap(self.bottom, self.size) };
    }
}
