//! The heap: small pieces lie one behind the other in an arena, large pieces are mappings of their own.
//!
//! A small piece keeps its place until the process ends, unless it is the last of the arena; then the next piece takes
//! its place. A large piece goes back to the kernel when it is freed. A small piece for which the arena has no room is
//! a mapping as well.
//!
//! The heap has no list of free pieces, so it needs no lock, and a thread that stops anywhere holds up no other thread.
//! guest-init runs for some milliseconds and asks for little: the lists of a general allocator would outweigh what they
//! save.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{copy_nonoverlapping, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// The size of the arena, in bytes. The kernel gives memory only to pages that were written to.
const ARENA: usize = 1 << 20;
/// The size from which a piece is a mapping, in bytes. A mapping wastes less than a page, which has 64 KiB at most.
const LARGE: usize = 256 << 10;

/// The global allocator.
#[repr(C)]
pub struct Heap {
    /// The bytes of the arena that belong to pieces. The counter stands before the arena, so that both begin in one
    /// page.
    used: AtomicUsize,
    arena: UnsafeCell<Arena>,
}

#[repr(C, align(64))]
struct Arena([u8; ARENA]);

#[expect(unsafe_code, reason = "threads share the arena")]
// SAFETY: `used` gives each byte of the arena to one piece, and a piece has one owner.
unsafe impl Sync for Heap {}

impl Heap {
    /// An empty heap.
    pub const fn new() -> Self {
        Self { used: AtomicUsize::new(0), arena: UnsafeCell::new(Arena([0; ARENA])) }
    }

    /// The offset of a piece in the arena; `None` for a mapping.
    fn offset(&self, piece: *mut u8) -> Option<usize> {
        piece.addr().checked_sub(self.arena.get().addr()).filter(|offset| *offset < ARENA)
    }

    /// Takes a new piece from the arena, if it has room for one.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let start = |used: usize| used.checked_next_multiple_of(layout.align());
        let end = |used| start(used)?.checked_add(layout.size()).filter(|end| *end <= ARENA);
        let used = self.used.fetch_update(Ordering::Acquire, Ordering::Relaxed, end).ok()?;
        Some(self.arena.get().cast::<u8>().wrapping_add(start(used)?))
    }

    /// Changes the size of a piece in its place. That is possible if it is the last of the arena, and if there is room.
    ///
    /// The orderings pair with those of `take`: a thread that takes freed bytes does so after all accesses to the old
    /// piece.
    fn resize_last(&self, offset: usize, old: usize, new: usize) -> bool {
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

#[expect(unsafe_code, reason = "an allocator hands out raw memory")]
// SAFETY: pieces of the arena lie one behind the other, and the kernel chooses where mappings lie. Neither gives a byte
// to two pieces.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let small = layout.size() < LARGE && layout.align() <= align_of::<Arena>();
        small.then(|| self.take(layout)).flatten().unwrap_or_else(|| map(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract; `alloc` returns a piece of the layout's size.
        unsafe {
            let piece = self.alloc(layout);
            // The kernel zeroes mappings. In the arena another piece may have been here.
            if self.offset(piece).is_some() {
                piece.write_bytes(0, layout.size());
            }
            piece
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(offset) => _ = self.resize_last(offset, layout.size(), 0),
            // SAFETY: the caller gives the piece up, and a piece outside of the arena is a mapping of this size.
            None => _ = unsafe { munmap(piece.cast(), layout.size()) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match self.offset(piece) {
            Some(offset) if size < LARGE && self.resize_last(offset, layout.size(), size) => piece,
            Some(_) if size <= layout.size() => piece,
            // SAFETY: the caller's size and alignment make a layout. The old piece is shorter than the new one.
            Some(_) => unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    copy_nonoverlapping(piece, new, layout.size());
                    self.dealloc(piece, layout);
                }
                new
            },
            // SAFETY: the caller's contract, and a piece outside of the arena is a mapping of this size.
            None => unsafe {
                mremap(piece.cast(), layout.size(), size, MremapFlags::MAYMOVE).map_or(null_mut(), <*mut _>::cast)
            },
        }
    }
}

/// Maps a piece. Mappings are aligned to a page, which has 4,096 bytes at least; more is refused.
#[expect(unsafe_code, reason = "a mapping is raw memory")]
fn map(layout: Layout) -> *mut u8 {
    if layout.align() > 4096 {
        return null_mut();
    }
    // SAFETY: a new mapping of the kernel's choosing aliases nothing.
    let mapping =
        unsafe { mmap_anonymous(null_mut(), layout.size(), ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    mapping.map_or(null_mut(), <*mut _>::cast)
}
