//! scripts/bench: the costs of several ways from the kernel to the agent, on one kernel.
//!
//! Instructions are exact, because the VM has one CPU, and its clock counts them. Time is not exact, so the ways are
//! booted in turn, and the result is a way's ratio to the floor of the same round.

mod boots;
mod compression;
mod parts;
mod picture;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod way;
mod whole;

use std::path::PathBuf;

use boots::Source;
use clap::{Parser, ValueEnum};
use parts::Choice;
use support::Kernel;
use support::cost::List;
use way::Way;

/// The names of the lists.
const LISTS: [&str; 4] = ["demonstration", "eight", "virtio", "100-modules"];

/// Compares guest-init with other ways from the kernel to the agent: tables in Markdown, each as soon as it is
/// measured.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Arguments {
    /// What to measure [default: all, which takes an hour and more]
    parts: Vec<Part>,
    /// Only these lists [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = LISTS)]
    lists: Vec<String>,
    /// Only these ways [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    ways: Vec<Way>,
    /// Only modules from there [default: all]
    #[arg(long = "from", value_delimiter = ',', value_name = "NAME,…")]
    sources: Vec<Source>,
    /// How often each way is timed
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Draw instructions and time of the list `eight` into an SVG file
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// An argument that cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Part {
    /// Instructions from the start of PID 1 to the agent's, above the floor
    Instructions,
    /// The same in time on two CPUs, as a ratio to the floor's
    Time,
    /// Instructions of the whole boot, from the kernel's start, with each way's own image; the image's size, the bytes
    /// on the console, and the memory that is free at the agent
    Boot,
    /// Instructions for each module of longer and longer lists
    Growth,
    /// Instructions for a module, plain and compressed, with a parameter and without
    Compression,
}

fn main() {
    let arguments = Arguments::parse();
    let kernel = Kernel::under_test();
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let mut lists = vec![List::demonstration(), List::eight(), List::virtio(), List::of_size(kernel, 100)];
    lists.retain(|list| arguments.lists.is_empty() || arguments.lists.contains(&list.name));
    let choice = Choice {
        kernel,
        lists: &lists,
        ways: if arguments.ways.is_empty() { Way::value_variants() } else { &arguments.ways },
        sources: if arguments.sources.is_empty() { Source::value_variants() } else { &arguments.sources },
    };

    let mut charts = Vec::new();
    if wanted(Part::Instructions) {
        charts.extend(parts::instructions(&choice));
    }
    if wanted(Part::Time) {
        charts.extend(parts::time(&choice, arguments.rounds));
    }
    if wanted(Part::Boot) {
        lists.iter().for_each(|list| whole::measure(&choice, list));
    }
    if wanted(Part::Growth) {
        parts::growth(kernel);
    }
    if wanted(Part::Compression) {
        compression::measure(kernel);
    }
    if let Some(path) = arguments.picture {
        picture::write(&path, &charts);
    }
}
