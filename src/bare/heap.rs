//! The heap: what is small lies in one arena, behind what came before it, until the process ends. What is large, or finds no
//! room there any more, is a mapping of its own, and goes back to the kernel.
//!
//! So it takes no lock, and a thread that is stopped anywhere holds nobody up. guest-init is there for some milliseconds and
//! asks for little; a general allocator's bookkeeping would be more than what it keeps.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{copy_nonoverlapping, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// The arena, in bytes. Of what nobody used yet, there is no memory.
const ARENA: usize = 1 << 20;
/// From this size on, in bytes, a piece is a mapping: a kernel's page is 64 KiB at most, and a module often a hundred.
const LARGE: usize = 256 << 10;

/// The allocator.
#[repr(C)]
pub struct Heap {
    /// How much of the arena is given away. It stands before it, in a page that is soon needed anyway.
    used: AtomicUsize,
    arena: UnsafeCell<Arena>,
}

#[repr(C, align(64))]
struct Arena([u8; ARENA]);

// SAFETY: each byte of the arena belongs to whoever `used` gave it to.
#[allow(unsafe_code)]
unsafe impl Sync for Heap {}

impl Heap {
    /// An empty one.
    pub const fn new() -> Self {
        Self { used: AtomicUsize::new(0), arena: UnsafeCell::new(Arena([0; ARENA])) }
    }

    /// Where in the arena a piece lies, if it does.
    fn offset(&self, piece: *mut u8) -> Option<usize> {
        piece.addr().checked_sub(self.arena.get().addr()).filter(|offset| *offset < ARENA)
    }

    /// A piece of the arena, if there is room.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let start = |used: usize| used.checked_next_multiple_of(layout.align());
        let end = |used| start(used)?.checked_add(layout.size()).filter(|end| *end <= ARENA);
        let used = self.used.fetch_update(Ordering::Acquire, Ordering::Relaxed, end).ok()?;
        Some(self.arena.get().cast::<u8>().wrapping_add(start(used)?))
    }

    /// Moves the end of the last piece, if this one is the last. Whoever takes what it leaves sees it as it was left.
    fn resize(&self, offset: usize, old: usize, new: usize) -> bool {
        let moved = || {
            let (old, new) = (offset + old, offset + new);
            self.used.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
        };
        offset + new <= ARENA && moved().is_ok()
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: pieces of the arena lie behind each other, and mappings are the kernel's; neither gives a byte away twice.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let small = layout.size() < LARGE && layout.align() <= align_of::<Arena>();
        small.then(|| self.take(layout)).flatten().unwrap_or_else(|| map(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is one for `alloc`, whose piece is as long as it says.
        unsafe {
            let piece = self.alloc(layout);
            // A mapping is zeroed, and the arena is where something lay before.
            if self.offset(piece).is_some() {
                piece.write_bytes(0, layout.size());
            }
            piece
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(offset) => _ = self.resize(offset, layout.size(), 0),
            // SAFETY: the caller has no more use for it, and what is not in the arena is a mapping.
            None => _ = unsafe { munmap(piece.cast(), layout.size()) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match self.offset(piece) {
            Some(offset) if size < LARGE && self.resize(offset, layout.size(), size) => piece,
            Some(_) if size <= layout.size() => piece,
            // SAFETY: the caller's layout and size make a layout, and both pieces are as long as what is copied.
            Some(_) => unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    copy_nonoverlapping(piece, new, layout.size());
                    self.dealloc(piece, layout);
                }
                new
            },
            // SAFETY: what is not in the arena is a mapping, and its length is the layout's.
            None => unsafe {
                mremap(piece.cast(), layout.size(), size, MremapFlags::MAYMOVE).map_or(null_mut(), <*mut _>::cast)
            },
        }
    }
}

/// A piece that is a mapping. Nothing asks for more than a page's alignment.
#[allow(unsafe_code)]
fn map(layout: Layout) -> *mut u8 {
    if layout.align() > 4096 {
        return null_mut();
    }
    // SAFETY: a new mapping of the kernel's choosing aliases nothing.
    let mapping =
        unsafe { mmap_anonymous(null_mut(), layout.size(), ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    mapping.map_or(null_mut(), <*mut _>::cast)
}
