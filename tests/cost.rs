//! What guest-init costs: instructions from the start of PID 1 to the agent's, above those of tests/support/floor.c, on an
//! image and a kernel command line that both share. Never time.
//!
//! tests/support/cost.toml has what was measured last. More than a tenth above it is a failure; whoever makes guest-init
//! cheaper lowers it there.

mod support;

use support::cost::{List, to_agent, with_all_indexes};
use support::image::Built;
use support::{Image, Kernel, Vm};

#[test]
fn the_demonstration() {
    stays_cheap(&List::demonstration());
}

#[test]
fn eight_names() {
    stays_cheap(&List::eight());
}

#[test]
fn two_boots_are_equal() {
    let list = List::virtio();
    let image = image(&list);
    assert_eq!(instructions(&image, &list, "guest-init"), instructions(&image, &list, "guest-init"));
}

/// Asserts that the list costs no more than is recorded, and a tenth.
fn stays_cheap(list: &List) {
    let image = image(list);
    let ((floor, loaded), (cost, also_loaded)) =
        (instructions(&image, list, "floor"), instructions(&image, list, "guest-init"));
    assert_eq!(also_loaded, loaded, "guest-init and the floor load the same modules in the same order");
    let (above, recorded) = (cost.saturating_sub(floor), recorded(&list.name));
    println!("{}: {} modules, {above} k above {floor} k, recorded: {recorded} k", list.name, loaded.len());
    assert!(
        above * 10 <= recorded * 11,
        "{}: {above} k instructions above the floor, more than a tenth above the {recorded} k of tests/support/cost.toml",
        list.name
    );
}

fn image(list: &List) -> Built {
    let kernel = Kernel::under_test();
    with_all_indexes(list.place(Image::new(), kernel), kernel).build()
}

/// Thousands of instructions that a PID 1 takes to the agent, and the modules that it loads.
fn instructions(image: &Built, list: &List, init: &str) -> (u64, Vec<String>) {
    // What the kernel does to take the modules' files back is several times what guest-init does itself, and would hide it.
    let words = format!("{} guest_init.keep_modules=1 rdinit=/sbin/{init}", list.words());
    let console = Vm::new(image).options(["--icount"]).append(&words).run().agent_ran();
    (to_agent(&console), console.modules().into_iter().map(String::from).collect())
}

fn recorded(list: &str) -> u64 {
    let table: toml::Table = include_str!("support/cost.toml").parse().expect("cost.toml is TOML");
    let number = table.get(list).and_then(toml::Value::as_integer).and_then(|number| number.try_into().ok());
    number.unwrap_or_else(|| panic!("tests/support/cost.toml has no number for {list}"))
}
