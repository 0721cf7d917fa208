//! The guest's heap as the heap of a whole program with threads: this one. `allocator.rs` calls it directly.

use std::thread;

use guest_init::bare::heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// A fixed sequence of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Allocates, grows, shrinks and frees pieces, and checks that each still holds what was written to it.
fn juggle(seed: u64, rounds: usize, largest: usize) {
    let mut numbers = Numbers(seed);
    let mut pieces: Vec<(u8, Vec<u8>)> = Vec::new();
    for round in 0..rounds {
        let mark = (seed as usize + round) as u8;
        match numbers.below(4) {
            0 | 1 => pieces.push((mark, vec![mark; numbers.below(largest)])),
            2 if !pieces.is_empty() => {
                let which = numbers.below(pieces.len());
                let (mark, piece) = &mut pieces[which];
                piece.resize(numbers.below(largest), *mark);
                piece.shrink_to_fit();
            }
            _ if !pieces.is_empty() => drop(pieces.swap_remove(numbers.below(pieces.len()))),
            _ => {}
        }
        if round % 64 == 0 {
            assert!(pieces.iter().all(|(mark, piece)| piece.iter().all(|byte| byte == mark)));
        }
    }
    assert!(pieces.iter().all(|(mark, piece)| piece.iter().all(|byte| byte == mark)));
}

#[test]
fn no_byte_is_handed_out_twice() {
    // Within the arena, then far beyond it, then pieces that are mappings of their own.
    for largest in [300, 20 << 10, 1 << 20] {
        thread::scope(|scope| {
            (0..4).for_each(|seed| drop(scope.spawn(move || juggle(seed, 2_000, largest))));
        });
    }
}

#[test]
fn zeroed_memory_is_zeroed_in_the_arena_and_in_mappings() {
    for size in [1, 4096, 100 << 10, 1 << 20] {
        for _ in 0..4 {
            let dirty = vec![0xff_u8; size];
            drop(dirty);
            let zeroed = vec![0_u8; size];
            assert!(zeroed.iter().all(|byte| *byte == 0), "{size}");
        }
    }
}

#[test]
fn large_pieces_are_unmapped_when_they_are_freed() {
    // 600 GB in all. Of each piece one byte is written.
    for _ in 0..1_000 {
        let mut piece = Vec::<u8>::with_capacity(500 << 20);
        piece.push(1);
        piece.reserve_exact(600 << 20);
        assert_eq!(piece, [1]);
    }
    let sizes = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = sizes.split(' ').next().and_then(|size| size.parse().ok()).expect("pages of all mappings");
    assert!(pages < 10 << 20, "{pages} pages are mapped");
}

#[test]
fn alignment_is_kept() {
    #[repr(align(64))]
    struct Line(u8);
    #[repr(align(4096))]
    struct Page(u8);
    for n in 0..100 {
        let (small, line, page) = (Box::new(n), Box::new(Line(n)), Box::new(Page(n)));
        assert_eq!((*small, line.0, page.0), (n, n, n));
        assert_eq!((&raw const *line).addr() % 64, 0);
        assert_eq!((&raw const *page).addr() % 4096, 0);
    }
}
