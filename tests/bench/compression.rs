//! The cost of a module in each form, with a parameter and without.

use std::fs;
use std::process::Command;

use crate::boots::{Boots, Source};
use crate::support::cost::{List, to_agent};
use crate::support::folder::Folder;
use crate::support::{Image, Kernel};
use crate::table::{self, millions};
use crate::way::{self, Way};

/// The module, which has two dependencies, and a parameter.
const MODULE: &str = "e1000e";
const PARAMETER: &str = "InterruptThrottleRate=3000";

/// Measures the instructions from the start of PID 1 to the agent's.
pub fn measure(kernel: &Kernel) {
    let lists = [List::new("bare", MODULE), List::new("parameter", &format!("{MODULE} {PARAMETER}"))];
    let rows = [".ko", ".ko.xz"].map(|form| {
        let folder = tree(kernel, &lists[0], form);
        let tree = Kernel { directory: folder.path(""), release: kernel.release.clone() };
        let image = lists.iter().fold(way::programs(Image::of(&tree)), |image, list| {
            image.modules(&list.text).file(&format!("/bench/{}", list.name), list.entries(), 0o644)
        });
        let boots = Boots::of(Source::Closure, kernel, image.build());
        let cost = |way: Way, list: &List| millions(to_agent(&boots.boot(way, list, None, &["--icount"])));
        let cells = [Way::Keeping, Way::Each].map(|way| lists.each_ref().map(|list| cost(way, list)));
        [form.to_string()].into_iter().chain(cells.into_iter().flatten()).collect()
    });
    let title = format!("Million instructions from PID 1's start to the agent's, {MODULE} on Linux {}", kernel.release);
    table::print(&title, &["file", "guest-init", "with a parameter", "kmod", "with a parameter"], &rows);
}

/// A module tree with the modules of a list in this form.
fn tree(kernel: &Kernel, list: &List, form: &str) -> Folder {
    let folder = Folder::new();
    for name in list.modules(kernel) {
        let path = format!("lib/modules/{}/kernel/{name}.ko", kernel.release);
        folder.file(&path, kernel.plain(&name));
        if form == ".ko.xz" {
            // As the kernel's own build does (scripts/Makefile.modinst): the kernel's decoder has no CRC64.
            run(Command::new("xz").args(["--check=crc32", "--lzma2=dict=1MiB"]).arg(folder.path(&path)));
        }
    }
    for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        let content = fs::read(kernel.modules().join(name)).expect("a file of the tree");
        folder.file(&format!("lib/modules/{}/{name}", kernel.release), content);
    }
    run(Command::new("/sbin/depmod").arg("-b").arg(folder.path("")).arg(&kernel.release));
    folder
}

fn run(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}
