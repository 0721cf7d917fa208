//! The measurements. Each prints a table, and two of them return a chart for the picture.

use crate::boots::{Boots, Source};
use crate::picture::Chart;
use crate::support::cost::{List, to_agent, with_all_indexes};
use crate::support::{Image, Kernel};
use crate::table::{self, above, median, millions};
use crate::way::{self, Way};

/// The choice of things to compare.
pub struct Choice<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The lists of modules.
    pub lists: &'a [List],
    /// The ways, which are compared with each other and with the floor.
    pub ways: &'a [Way],
    /// The places of the modules.
    pub sources: &'a [Source],
}

/// The list that the charts show.
const SHOWN: &str = "eight";
/// One CPU, whose clock counts its instructions.
pub const COUNTED: [&str; 1] = ["--icount"];
/// Two CPUs that run at the same time, whose clock is the host's.
const TIMED: [&str; 3] = ["--smp", "2", "--parallel"];

/// Measures the instructions from the start of PID 1 to the agent's, above the floor's.
pub fn instructions(choice: &Choice<'_>) -> Option<Chart> {
    let Choice { kernel, lists, .. } = *choice;
    // On one CPU the threads of jobs=auto only wait for each other.
    let ways: Vec<_> = choice.ways.iter().filter(|way| **way != Way::Parallel).collect();
    let (mut rows, mut chart) = (Vec::new(), None);
    for source in choice.sources.iter().copied().filter(|source| *source != Source::Share) {
        let boots = Boots::from(source, kernel, lists);
        for list in lists {
            let floor = to_agent(&boots.boot(Way::Floor, list, None, &COUNTED));
            let cost = |way: &&Way| {
                let peer = way.peer().filter(|_| boots.can(**way)).map(|tool| way::peers(tool, kernel, list));
                boots.can(**way).then(|| to_agent(&boots.boot(**way, list, peer.as_ref(), &COUNTED)))
            };
            let costs: Vec<_> = ways.iter().map(cost).collect();
            if list.name == SHOWN && source == Source::Closure {
                let millions = costs.iter().map(|cost| cost.map(|cost| cost.abs_diff(floor) as f64 / 1000.0));
                let title = "From PID 1 to the agent with 25 modules: million instructions above finit_module alone";
                chart = Some(Chart::of(title, 1, ways.iter().copied().zip(millions)));
            }
            let cells = costs.into_iter().map(|cost| cost.map_or("-".into(), |cost| above(cost, floor)));
            let count = list.modules(kernel).len().to_string();
            let names = [list.name.clone(), source.name().into(), count, millions(floor)];
            rows.push(names.into_iter().chain(cells).collect());
        }
    }
    let names = ["list", "from", "modules", "floor"].into_iter();
    let headers: Vec<_> = names.chain(ways.iter().map(|way| way.name())).collect();
    let title = "Million instructions from the start of PID 1 to the agent's: the floor's, and others' above it";
    table::print(title, &headers, &rows);
    chart
}

/// Measures the time from the start of PID 1 to the agent's on two CPUs, as a ratio to the floor's.
pub fn time(choice: &Choice<'_>, rounds: u32) -> Option<Chart> {
    let Choice { kernel, lists, ways, .. } = *choice;
    let (mut rows, mut chart) = (Vec::new(), None);
    for source in choice.sources.iter().copied().filter(|source| *source != Source::Tree) {
        let boots = Boots::from(source, kernel, lists);
        for list in lists {
            let (floor, ratios) = rounds_of(&boots, choice, list, rounds);
            if list.name == SHOWN && source == Source::Closure {
                let title = "The same on 2 CPUs: time, where finit_module alone in the listed order takes 1";
                chart = Some(Chart::of(title, 2, ways.iter().zip(ratios.iter().copied())));
            }
            let cells = ratios.iter().map(|ratio| ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")));
            let names = [list.name.clone(), source.name().into(), format!("{floor:.0}")];
            rows.push(names.into_iter().chain(cells).collect());
        }
    }
    let headers: Vec<_> = ["list", "from", "floor, ms"].into_iter().chain(ways.iter().map(|way| way.name())).collect();
    table::print(&format!("Time on 2 CPUs as a ratio to the floor's, medians of {rounds}"), &headers, &rows);
    chart
}

/// Boots all ways in turn, `rounds` times. Returns the floor's median in ms, and the medians of the ways' ratios to it.
fn rounds_of(boots: &Boots<'_>, choice: &Choice<'_>, list: &List, rounds: u32) -> (f64, Vec<Option<f64>>) {
    let Choice { kernel, ways, .. } = *choice;
    let peer = |way: &Way| way.peer().filter(|_| boots.can(*way)).map(|tool| way::peers(tool, kernel, list));
    let peers: Vec<_> = ways.iter().map(peer).collect();
    let mut ratios = vec![Vec::new(); ways.len()];
    let mut floors = Vec::new();
    for _ in 0..rounds {
        let time = |way, peer| to_agent(&boots.boot(way, list, peer, &TIMED)) as f64 / 1000.0;
        let floor = time(Way::Floor, None);
        floors.push(floor);
        for ((way, peer), ratios) in ways.iter().zip(&peers).zip(&mut ratios) {
            if boots.can(*way) {
                ratios.push(time(*way, peer.as_ref()) / floor);
            }
        }
    }
    (median(&mut floors), ratios.iter_mut().map(|ratios| (!ratios.is_empty()).then(|| median(ratios))).collect())
}

/// Measures the instructions a module of longer and longer lists, with the indexes of the lists' modules and with those
/// of the whole tree.
pub fn growth(kernel: &Kernel) {
    let lists = [10, 25, 50, 100, 200, 400].map(|count| List::of_size(kernel, count));
    let image = || lists.iter().fold(Image::of(kernel), |image, list| list.place(image, kernel));
    let images = [image(), with_all_indexes(image(), kernel)];
    let boots = images.map(|image| Boots::of(Source::Closure, kernel, image.build()));
    let rows = lists.iter().map(|list| {
        let count = list.modules(kernel).len() as u64;
        let cells = boots.iter().flat_map(|boots| {
            let [floor, cost] = [Way::Floor, Way::Keeping].map(|way| to_agent(&boots.boot(way, list, None, &COUNTED)));
            [millions(floor), above(cost, floor), (cost.saturating_sub(floor) / count).to_string()]
        });
        [count.to_string()].into_iter().chain(cells).collect()
    });
    let title = "Million instructions for longer and longer lists, with guest_init.keep_modules=1";
    let headers = ["modules", "floor", "above", "k each", "whole tree's indexes: floor", "above", "k each"];
    table::print(title, &headers, &rows.collect::<Vec<_>>());
}
