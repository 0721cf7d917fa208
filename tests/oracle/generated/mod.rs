//! Random calls of modprobe in random images: guest-init answers as kmod does.
//!
//! An image is the root directory of its calls: a module tree, modprobe.d, the kernel command line. A case that differs
//! is made as small as it can be and printed. Environment: GUEST_INIT_SEED, GUEST_INIT_IMAGES (for each of two
//! threads), and GUEST_INIT_FAILURES (how many are printed by each).

mod case;
mod edit;
mod oddity;
mod shrink;
mod world;

use std::collections::BTreeSet;
use std::io::Write;

use crate::cases::Maker;
use crate::differences::{DIFFERENCES, Difference};
use crate::kmod::{Agreed, no_modules};
use crate::support::random::Random;
use case::{Case, call, image};
use oddity::Oddity;
use shrink::shrink;
use world::World;

/// How many calls are compared in each image.
const CALLS: usize = 20;
/// Images of each thread.
const IMAGES: u64 = 500;
/// Two threads, each with images of its own.
const THREADS: u64 = 2;
/// How often an image has an oddity of one kind, in percent.
const ODD_IMAGE: usize = 8;
/// The same for a call.
const ODD_CALL: usize = 4;
/// The seed if `GUEST_INIT_SEED` names no other.
const SEED: u64 = 20_261_126;

#[test]
fn random_calls_are_answered_as_by_kmod() {
    let seed = number("GUEST_INIT_SEED", SEED);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || compare_images(seed * THREADS + n))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let calls: usize = results.iter().map(|result| result.calls).sum();
    let found: usize = results.iter().map(|result| result.found).sum();
    let decided: BTreeSet<_> = results.iter().flat_map(|result| &result.decided).copied().collect();
    let mut failures: Vec<_> = results.into_iter().flat_map(|result| result.failures).collect();
    failures.sort_by_key(String::len);
    assert!(failures.is_empty(), "seed {seed}, after {calls} calls:\n{}", failures.join("\n"));
    let oddities = Oddity::ALL.len();
    let count = format!(
        "as kmod's modprobe: {calls} random calls ({found} with exit status 0), {oddities} oddities, seed {seed}\n"
    );
    std::io::stderr().write_all(count.as_bytes()).expect("stderr");
    assert!(found * 4 > calls, "only {found} of {calls} calls succeeded");
    // A few images don't reach every kind.
    for Difference { kind, .. } in DIFFERENCES.iter().filter(|_| calls >= 10_000) {
        assert!(decided.contains(kind), "kmod 30 and 34 never differed by {kind}");
    }
}

/// The number in an environment variable, or else a default.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// The calls of a thread.
#[derive(Default)]
struct Results {
    calls: usize,
    found: usize,
    /// The kinds of calls that kmod 30 and 34 answer in two ways.
    decided: BTreeSet<&'static str>,
    /// The smallest forms of cases that differ.
    failures: Vec<String>,
}

/// Compares the calls of a thread. Ends after GUEST_INIT_FAILURES differences, at first 1.
fn compare_images(seed: u64) -> Results {
    let (images, most) = (number("GUEST_INIT_IMAGES", IMAGES), number("GUEST_INIT_FAILURES", 1));
    no_modules(|sandbox| {
        let mut random = Random::new(seed);
        let world = World::enter(sandbox, &mut random);
        let mut results = Results::default();
        for _ in 0..images {
            let tree = random.below(world.trees.len());
            let mut maker = Maker { tree: &world.trees[tree], random: &mut random };
            let mut files = image(&world, tree, &mut maker);
            let odd: Vec<_> = Oddity::ALL.iter().filter(|_| maker.random.percent(ODD_IMAGE)).collect();
            odd.iter().for_each(|oddity| oddity.of_files(&mut files, &mut maker));
            world.fill(&files);
            for _ in 0..CALLS {
                let mut call = call(&mut maker);
                let odd: Vec<_> = Oddity::ALL.iter().filter(|_| maker.random.percent(ODD_CALL)).collect();
                odd.iter().for_each(|oddity| oddity.of_call(&mut call, &mut maker));
                let case = Case { files: files.clone(), call };
                results.calls += 1;
                match world.programs.compare(&case.call, &case.texts()) {
                    Ok(Agreed { outcome, row }) => {
                        results.found += usize::from(outcome.status == Some(0));
                        results.decided.extend(row.map(|row| row.kind));
                    }
                    Err(_) => results.failures.push(smallest(&world, case)),
                }
                if results.failures.len() as u64 == most {
                    return results;
                }
            }
        }
        results
    })
}

/// The smallest form of a case that differs, and the difference.
fn smallest(world: &World, case: Case) -> String {
    let difference = |case: &Case| {
        world.fill(&case.files);
        world.programs.compare(&case.call, &case.texts()).err()
    };
    let files = case.files.clone();
    let smallest = shrink(case, &mut |case| difference(case).is_some());
    let text = format!("{smallest:?}{}\n", difference(&smallest).unwrap_or_else(|| "it does not differ again".into()));
    world.fill(&files);
    text
}
