//! The guest's heap, called directly as an allocator: each piece that it gives out is checked.
//!
//! `scripts/test sanitize` runs this with AddressSanitizer. That knows nothing of the pieces of a foreign heap, so the
//! test marks all of the arena but the pieces in use as forbidden. A read or write of the heap beyond a piece ends the
//! program. `scripts/test miri` runs it with small pieces: Miri finds data races and pointers that leave their memory.
//!
//! `heap.rs` has the same heap under a whole program.

use std::alloc::{GlobalAlloc, Layout};
use std::ops::Range;
use std::slice::from_raw_parts;
use std::thread;

use guest_init::bare::heap::Heap;

/// Tells AddressSanitizer which memory may be accessed. Without it, these functions do nothing.
mod access {
    #[cfg(asan)]
    unsafe extern "C" {
        fn __asan_poison_memory_region(start: *const u8, size: usize);
        fn __asan_unpoison_memory_region(start: *const u8, size: usize);
    }

    pub fn forbid(_start: *const u8, _size: usize) {
        // SAFETY: this changes only what AddressSanitizer knows of the memory.
        #[cfg(asan)]
        unsafe {
            __asan_poison_memory_region(_start, _size);
        }
    }

    pub fn allow(_start: *const u8, _size: usize) {
        // SAFETY: as above.
        #[cfg(asan)]
        unsafe {
            __asan_unpoison_memory_region(_start, _size);
        }
    }
}

/// A fixed sequence of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    /// A layout of 1 to `largest` bytes, aligned to 1 to 64 bytes.
    fn layout(&mut self, largest: usize) -> Layout {
        Layout::from_size_align(1 + self.below(largest), 1 << self.below(7)).expect("a layout")
    }
}

/// A piece in use. Each of its bytes is `mark`.
struct Piece {
    start: *mut u8,
    layout: Layout,
    mark: u8,
}

impl Piece {
    fn range(&self) -> Range<usize> {
        self.start.addr()..self.start.addr() + self.layout.size()
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the heap gave out as many bytes, and all of them were written.
        unsafe { from_raw_parts(self.start, self.layout.size()) }
    }

    fn holds(&self, mark: u8) -> bool {
        self.bytes().iter().all(|byte| *byte == mark)
    }
}

/// The pieces that one thread has of a heap.
struct Pieces<'h> {
    heap: &'h Heap,
    all: Vec<Piece>,
    /// Whether no other thread uses the heap, so that it gives out the same place twice in a row.
    alone: bool,
}

impl<'h> Pieces<'h> {
    fn of(heap: &'h Heap) -> Self {
        Self { heap, all: Vec::new(), alone: false }
    }

    /// The same for the only thread that uses the heap: the arena, which begins with the first piece, is forbidden.
    fn alone(heap: &'h Heap) -> Self {
        let first = Layout::new::<u8>();
        // SAFETY: the piece goes back as it came.
        let arena = unsafe {
            let piece = heap.alloc(first);
            heap.dealloc(piece, first);
            piece
        };
        let end = (&raw const *heap).addr() + size_of::<Heap>();
        access::forbid(arena, end - arena.addr());
        Self { heap, all: Vec::new(), alone: true }
    }

    /// Allows access to the place of the next piece of this layout, and leaves something there.
    fn prepare(&self, layout: Layout) -> Option<*mut u8> {
        // SAFETY: the piece is written to within its layout, and goes back as it came.
        self.alone.then(|| unsafe {
            let piece = self.heap.alloc(layout);
            access::allow(piece, layout.size());
            piece.write_bytes(0xff, layout.size());
            self.heap.dealloc(piece, layout);
            piece
        })
    }

    fn add(&mut self, layout: Layout, mark: u8) {
        // SAFETY: no layout is empty.
        let start = unsafe { self.heap.alloc(layout) };
        access::allow(start, layout.size());
        // SAFETY: the piece has as many bytes.
        unsafe { start.write_bytes(mark, layout.size()) };
        self.push(Piece { start, layout, mark });
    }

    fn add_zeroed(&mut self, layout: Layout) {
        self.prepare(layout);
        // SAFETY: no layout is empty.
        let start = unsafe { self.heap.alloc_zeroed(layout) };
        let piece = Piece { start, layout, mark: 0 };
        assert!(piece.holds(0), "{layout:?} is not zeroed");
        self.push(piece);
    }

    fn push(&mut self, piece: Piece) {
        let (range, align) = (piece.range(), piece.layout.align());
        assert!(!piece.start.is_null() && range.start % align == 0, "{range:x?} is not aligned to {align}");
        for other in self.all.iter().map(Piece::range) {
            assert!(range.end <= other.start || other.end <= range.start, "{range:x?} overlaps {other:x?}");
        }
        self.all.push(piece);
    }

    fn resize(&mut self, which: usize, size: usize) {
        let Piece { start: old_start, layout: old, mark } = self.all.swap_remove(which);
        let layout = Layout::from_size_align(size, old.align()).expect("a layout");
        let prepared = self.prepare(layout);
        // SAFETY: the piece is one of the heap's, with this layout, and nothing points to it any more.
        let start = unsafe { self.heap.realloc(old_start, old, size) };
        if let Some(place) = prepared.filter(|place| *place != start) {
            self.forbid(place, size);
        }
        if start != old_start {
            self.forbid(old_start, old.size());
        }
        access::allow(start, size);
        let kept = Piece { start, layout: Layout::from_size_align(size.min(old.size()), 1).expect("a layout"), mark };
        assert!(kept.holds(mark), "{old:?} became {size} bytes and lost its content");
        // SAFETY: the piece has as many bytes.
        unsafe { start.write_bytes(mark, size) };
        self.push(Piece { start, layout, mark });
    }

    fn remove(&mut self, which: usize) {
        let piece = self.all.swap_remove(which);
        assert!(piece.holds(piece.mark), "{:x?} was written to", piece.range());
        let Piece { start, layout, .. } = piece;
        self.forbid(start, layout.size());
        // SAFETY: the piece is one of the heap's, with this layout, and nothing points to it any more.
        unsafe { self.heap.dealloc(start, layout) };
    }

    /// Forbids access to what is no longer a piece. A mapping is the kernel's to give out again.
    fn forbid(&self, start: *mut u8, size: usize) {
        let heap = (&raw const *self.heap).addr();
        if self.alone && (heap..heap + size_of::<Heap>()).contains(&start.addr()) {
            access::forbid(start, size);
        }
    }

    /// Allocates, resizes and frees at random.
    fn juggle(&mut self, seed: u64, rounds: usize, largest: usize) {
        let mut numbers = Numbers(seed);
        for round in 0..rounds {
            match (numbers.below(6), self.all.len()) {
                (0 | 1, _) | (_, 0) => self.add(numbers.layout(largest), round as u8),
                (2, _) => self.add_zeroed(numbers.layout(largest)),
                (3 | 4, count) => self.resize(numbers.below(count), 1 + numbers.below(largest)),
                (_, count) => self.remove(numbers.below(count)),
            }
        }
        self.all.iter().for_each(|piece| assert!(piece.holds(piece.mark), "{:x?} was written to", piece.range()));
    }
}

/// The largest piece of a test, in bytes, and the rounds of the test. Under Miri all pieces fit into the arena, since
/// Miri does not know all that the heap asks of mmap(2) and mremap(2).
const TESTS: &[(usize, usize)] =
    if cfg!(miri) { &[(300, 60)] } else { &[(300, 2_000), (20 << 10, 1_000), (1 << 20, 200)] };

#[test]
fn each_piece_has_its_bytes_for_itself() {
    for &(largest, rounds) in TESTS {
        let heap = Box::new(Heap::new());
        Pieces::alone(&heap).juggle(largest as u64, rounds, largest);
    }
}

#[test]
fn threads_never_get_the_same_bytes() {
    for &(largest, rounds) in TESTS {
        let heap = Box::new(Heap::new());
        thread::scope(|scope| {
            let juggle = |seed| Pieces::of(&heap).juggle(seed, rounds, largest);
            (0..4).for_each(|seed| drop(scope.spawn(move || juggle(seed))));
        });
    }
}

#[test]
fn the_last_piece_of_the_arena_leaves_its_place() {
    let heap = Box::new(Heap::new());
    let layout = Layout::from_size_align(100, 8).expect("a layout");
    // SAFETY: each piece goes back with its own layout.
    unsafe {
        let first = heap.alloc(layout);
        heap.dealloc(first, layout);
        let second = heap.alloc(layout);
        assert_eq!(second, first);
        let third = heap.alloc(layout);
        heap.dealloc(second, layout);
        assert_ne!(heap.alloc(layout), second, "a hole stays");
        assert_ne!(third, second);
    }
}

#[test]
fn an_alignment_beyond_a_page_is_refused() {
    let heap = Box::new(Heap::new());
    let layout = Layout::from_size_align(64, 8192).expect("a layout");
    // SAFETY: the layout is not empty.
    assert!(unsafe { heap.alloc(layout) }.is_null());
}
