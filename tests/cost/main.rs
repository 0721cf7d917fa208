//! guest-init's cost: the instructions from the start of PID 1 to the agent's, less those of tests/support/floor.c with
//! the same image and kernel command line. Time is not measured, because it depends on the host.
//!
//! One test compares guest-init with itself: with a parameter and without, where modules are compressed.
//!
//! tests/support/cost.toml has the last measurement, and more than a tenth above it is a failure. Lower the figures
//! there when guest-init has become cheaper.
//!
//! A boot is exact, but its timer ticks, and the kernel's work of now and then, fall at another place in each image,
//! and take up to 50 thousand instructions more or less. So each figure is the median of several images.

#[path = "../support/mod.rs"]
mod support;

use support::cost::{List, to_agent, with_all_indexes};
use support::image::Built;
use support::{Image, Kernel, Machine, Vm};

#[test]
fn the_demonstration_stays_as_cheap_as_recorded() {
    stays_cheap(&List::demonstration());
}

#[test]
fn eight_names_stay_as_cheap_as_recorded() {
    stays_cheap(&List::eight());
}

#[test]
fn two_boots_take_equally_many_instructions() {
    let list = List::virtio();
    let image = image(&list, 0);
    assert_eq!(instructions(&image, &list, "guest-init"), instructions(&image, &list, "guest-init"));
}

/// A tick of the kernel's timer changes such a boot by 4 million instructions, and whether it does depends on the image.
/// So the median of several images counts.
#[test]
fn a_parameter_of_a_compressed_module_costs_at_most_a_hundredth() {
    let kernel = Kernel::version("6.12");
    let costs = FILLERS.map(|filler| {
        let image = Image::of(&kernel).modules("e1000e").file("/filler", vec![0; filler], 0o644).build();
        ["e1000e", "e1000e InterruptThrottleRate=3000"].map(|list| {
            let words = format!("quiet guest_init.keep_modules=1 guest_init.modules=\"{list}\"");
            let console = Vm::of(&kernel, &image).options(["--icount"]).append(&words).run().agent_ran();
            assert_eq!(console.modules(), ["e1000e"]);
            to_agent(&console)
        })
    });
    println!("e1000e on 6.12, k instructions without and with a parameter: {costs:?}");
    let [without, with] = [0, 1].map(|which| {
        let mut costs = costs.map(|pair| pair[which]);
        costs.sort_unstable();
        costs[1]
    });
    assert!(with * 100 <= without * 101, "{with} k instructions with a parameter, {without} k without");
}

/// The sizes of a file that nothing reads, in bytes: one for each image of a list.
const FILLERS: [usize; 3] = [0, 150_000, 300_000];

/// Asserts that the list costs no more than the recorded figure and a tenth of it.
fn stays_cheap(list: &List) {
    let mut above = FILLERS.map(|filler| {
        let image = image(list, filler);
        let ((floor, loaded), (cost, also_loaded)) =
            (instructions(&image, list, "floor"), instructions(&image, list, "guest-init"));
        assert_eq!(also_loaded, loaded, "guest-init and the floor load the same modules in the same order");
        println!("{}: {} modules, {} k above {floor} k", list.name, loaded.len(), cost.saturating_sub(floor));
        cost.saturating_sub(floor)
    });
    above.sort_unstable();
    let ([_, median, _], recorded) = (above, recorded(&list.name));
    println!("{}: {median} k above the floor, recorded: {recorded} k", list.name);
    assert!(
        median * 10 <= recorded * 11,
        "{}: {median} k instructions above the floor, more than a tenth above the {recorded} k of tests/support/cost.toml",
        list.name
    );
}

/// The list's image, with a file of so many bytes that nothing reads.
fn image(list: &List, filler: usize) -> Built {
    let kernel = Kernel::under_test();
    let image = list.place(Image::new(), kernel).file("/filler", vec![0; filler], 0o644);
    with_all_indexes(image, kernel).build()
}

/// The thousands of instructions from a PID 1's start to the agent's, and the loaded modules.
fn instructions(image: &Built, list: &List, init: &str) -> (u64, Vec<String>) {
    // Without keep_modules=1 the kernel frees the modules' files, which takes several times guest-init's own
    // instructions.
    let words = format!("{} guest_init.keep_modules=1 rdinit=/sbin/{init}", list.words());
    let console = Vm::new(image).options(["--icount"]).append(&words).run().agent_ran();
    (to_agent(&console), console.modules().into_iter().map(String::from).collect())
}

fn recorded(list: &str) -> u64 {
    let arch = Machine::under_test().arch.name;
    let table: toml::Table = include_str!("../support/cost.toml").parse().expect("cost.toml is TOML");
    let number = table.get(arch).and_then(|table| table.get(list)).and_then(toml::Value::as_integer);
    let number = number.and_then(|number| number.try_into().ok());
    number.unwrap_or_else(|| panic!("tests/support/cost.toml has no number for {list} on {arch}"))
}
