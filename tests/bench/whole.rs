//! The whole boot, from the kernel's first instruction to the agent's, with the image that somebody would make for each
//! way, and the VMM's part in it: the bytes that it reads and those that it writes to the console.

use std::fs;

use crate::boots::{Boots, Source};
use crate::parts::{COUNTED, Choice};
use crate::support::cost::{List, floor, from_kernel, to_agent};
use crate::support::{Console, Kernel};
use crate::table::{self, millions};
use crate::way::{self, Way};

/// The ways and the compressions of their images. The peers' tools have their own.
const ROWS: [(Way, &str); 7] = [
    (Way::GuestInit, "none"),
    (Way::GuestInit, "zstd"),
    (Way::Busybox, "none"),
    (Way::Busybox, "zstd"),
    (Way::Each, "zstd"),
    (Way::InitramfsTools, "zstd"),
    (Way::Dracut, "zstd"),
];

/// Measures the boots of one list.
pub fn measure(choice: &Choice<'_>, list: &List) {
    let Choice { kernel, ways, .. } = *choice;
    let to_init = to_init(kernel);
    let floor = to_agent(&Boots::from(Source::Closure, kernel, std::slice::from_ref(list)).boot(
        Way::Floor,
        list,
        None,
        &COUNTED,
    ));
    let bound = to_init + floor;
    let mut rows = vec![row("bound", None, bound, bound, None)];
    for (way, compression) in ROWS.into_iter().filter(|(way, _)| ways.contains(way)) {
        let made = way.peer().map(|tool| way::peers(tool, kernel, list));
        let image = made.unwrap_or_else(|| way::own(way, kernel, list).compressed(compression).build());
        let size = fs::metadata(&image.path).expect("the image is there").len();
        let console = Boots::of(Source::Closure, kernel, image).boot(way, list, None, &COUNTED);
        let name = format!("{}, {compression}", way.name());
        rows.push(row(&name, Some(size), from_kernel(&console), bound, Some(&console)));
    }
    let title = format!(
        "The list {}, from the kernel's start to the agent's. The bound: {} million instructions to PID 1 without a \
         module in the image, and the floor's {}",
        list.name,
        millions(to_init),
        millions(floor),
    );
    let headers = ["way", "million instructions", "the bound's = 1", "image, MB", "console, bytes", "MemFree, MB"];
    table::print(&title, &headers, &rows);
}

/// The instructions from the kernel's start to PID 1's, with an image that has no modules.
fn to_init(kernel: &Kernel) -> u64 {
    let nothing = List::new("nothing", "");
    let image = way::without_guest_init(kernel, floor()).add(floor(), "/sbin/floor");
    let image = image.file("/bench/nothing.floor", "", 0o644).build();
    let console = Boots::of(Source::Closure, kernel, image).boot(Way::Floor, &nothing, None, &COUNTED);
    from_kernel(&console) - to_agent(&console)
}

fn row(name: &str, size: Option<u64>, cost: u64, bound: u64, console: Option<&Console>) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        name.into(),
        millions(cost),
        format!("{:.4}", cost as f64 / bound as f64),
        or_none(size.map(|size| format!("{:.2}", size as f64 / 1e6))),
        or_none(console.map(|console| to_console(console).to_string())),
        or_none(console.map(|console| format!("{:.0}", free(console)))),
    ]
}

/// The bytes on the console before the agent's first line. Each line ends in two.
fn to_console(console: &Console) -> usize {
    console.log().take_while(|line| !line.contains("agent:")).map(|line| line.len() + 2).sum()
}

/// The memory that is free at the agent, in MB.
fn free(console: &Console) -> f64 {
    let value = console.report().find_map(|line| line.trim_start().strip_prefix("MemFree"));
    let kilobytes = value.and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.expect("the agent reports MemFree") / 1000.0
}
