//! The smallest case that still fails.

use super::case::Case;
use super::world::Content;

/// Makes a failing case smaller for as long as `fails` holds: without files, lines, arguments and words.
pub fn shrink(mut case: Case, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    loop {
        match smaller(&case).into_iter().find(|smaller| fails(smaller)) {
            Some(smaller) => case = smaller,
            None => return case,
        }
    }
}

/// The cases that lack one part of a case, the larger parts first.
fn smaller(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        if smaller != *case {
            all.push(smaller);
        }
    };
    for (number, (path, _)) in case.files.iter().enumerate() {
        // Without its files each dependency would be missing, which guest-init answers in its own way
        // (MODPROBE.md 12.2).
        if !path.ends_with(b"/kernel") {
            add(&|case| drop(case.files.remove(number)));
        }
    }
    // The first word makes the call a dry run.
    for number in 1..case.call.arguments.len() {
        add(&|case| drop(case.call.arguments.remove(number)));
    }
    add(&|case| case.call.options = None);
    add(&|case| case.call.pwd = None);
    add(&|case| case.call.directory = None);
    for (number, (path, content)) in case.files.iter().enumerate() {
        if let Content::Text(text) = content
            && !path.ends_with(b".bin")
        {
            shorter(text).into_iter().for_each(|text| add(&|case| case.files[number].1 = Content::Text(text.clone())));
        }
    }
    all
}

/// A text without one of its lines, or a line without one of its words.
fn shorter(text: &[u8]) -> Vec<Vec<u8>> {
    let lines: Vec<_> = text.split_inclusive(|&b| b == b'\n').collect();
    let words: Vec<_> = text.split_inclusive(|&b| b == b' ').collect();
    let parts = if lines.len() > 1 { lines } else { words };
    // Halves first: a text may have thousands of lines.
    let halves = [&parts[parts.len() / 2..], &parts[..parts.len() / 2]].map(<[_]>::concat);
    let without = |part: usize| [&parts[..part], &parts[part + 1..]].concat().concat();
    halves.into_iter().chain((0..parts.len().min(100)).map(without)).collect()
}
