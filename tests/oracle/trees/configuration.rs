//! Random configurations that reach the modules of all trees.

use crate::cases::Case;
use crate::support::random::Random;

/// The number of lines.
const LINES: usize = 16;

/// A configuration for some modules, of which none depends on a later one. Soft dependencies have no loops, because in
/// a loop the order of independent modules would decide which one is first.
pub fn configuration(names: &[String], random: &mut Random) -> Case {
    let mut text = String::new();
    for number in 0..LINES {
        let later = 1 + random.below(names.len() - 1);
        let (module, earlier) = (&names[later], &names[random.below(later)]);
        text += &match random.below(8) {
            0..3 => format!("options {module} opt={number}\n"),
            3..5 => format!("softdep {module} pre: {earlier}\n"),
            5 => format!("softdep {earlier} post: {module}\n"),
            6 => format!("blacklist {module}\n"),
            _ => random.pick(&["install {} /bin/true\n", "alias any-{} {}\n", "\n"]).replace("{}", module),
        };
    }
    let line = format!("{}.word=\"a b\"", names[random.below(names.len())]).into_bytes();
    Case { files: vec![(0, "some.conf", text.into_bytes())], line, ..Case::default() }
}
