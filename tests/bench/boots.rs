//! One boot after the other: where the modules lie, and that each way loads what it is asked for.

use clap::ValueEnum;

use crate::support::cost::{List, SHARE};
use crate::support::image::Built;
use crate::support::{Console, Kernel, Vm};
use crate::way::{self, Way};

/// Seconds after which a boot is given up: the longest list takes minutes on a busy machine.
const LIMIT: &str = "1800";

/// Where modules lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// An image with those of the lists.
    Closure,
    /// An image with the whole tree.
    Tree,
    /// The whole tree on a virtio-fs share. What a host does meanwhile is not counted in instructions.
    Share,
}

impl Source {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closure => "closure",
            Self::Tree => "whole tree",
            Self::Share => "share",
        }
    }
}

/// Boots of one image.
pub struct Boots<'a> {
    kernel: &'a Kernel,
    source: Source,
    image: Built,
}

impl<'a> Boots<'a> {
    /// Of the image from which all ways but the peers' can be chosen.
    pub fn from(source: Source, kernel: &'a Kernel, lists: &[List]) -> Self {
        let image = way::common(kernel, lists);
        let image = if source == Source::Tree { image.options(["--all-modules"]) } else { image };
        Self::of(source, kernel, image.build())
    }

    /// Of an image that holds what it takes.
    pub fn of(source: Source, kernel: &'a Kernel, image: Built) -> Self {
        Self { kernel, source, image }
    }

    /// Whether a way can take modules from there. The peers have no images but those of their own closure.
    pub fn can(&self, way: Way) -> bool {
        match self.source {
            Source::Closure => true,
            Source::Tree => way.peer().is_none(),
            Source::Share => way.shares(),
        }
    }

    /// One boot, in an image of its own if the way has one; `options` are more for scripts/vm. All of the list is loaded.
    pub fn boot(&self, way: Way, list: &List, peer: Option<&Built>, options: &[&str]) -> Console {
        eprintln!("bench: {}: {} from {}", list.name, way.name(), self.source.name());
        let share = format!("{SHARE}={}", self.kernel.directory.display());
        let more: &[&str] = match self.source {
            Source::Closure => &[],
            Source::Tree => &["--memory", "2048"],
            Source::Share => &["--share", &share],
        };
        let vm =
            Vm::of(self.kernel, peer.unwrap_or(&self.image)).append(&way.words(list, self.source == Source::Share));
        let console = vm.options(["--timeout", LIMIT]).options(more.iter().chain(options).copied()).run().agent_ran();
        let loaded = console.modules();
        let missing: Vec<_> =
            list.modules(self.kernel).into_iter().filter(|name| !loaded.contains(&&name[..])).collect();
        assert!(missing.is_empty(), "{}: not loaded: {missing:?}\n{console}", way.name());
        console
    }
}
