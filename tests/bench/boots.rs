//! The boots that are measured, the places that modules come from, and the check that each way loads all modules.

use clap::ValueEnum;

use crate::support::cost::{List, SHARE};
use crate::support::image::Built;
use crate::support::{Console, Kernel, Vm};
use crate::way::{self, Way};

/// Seconds after which a boot has failed. The longest list takes minutes on a busy machine.
const LIMIT: &str = "1800";

/// A place that modules come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// An image with the modules of the lists.
    Closure,
    /// An image with the whole tree.
    Tree,
    /// The whole tree on a virtio-fs share. The host's own work does not count as instructions.
    Share,
}

impl Source {
    /// The name of the place in tables.
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
    /// Boots of an image that has the programs of all ways but the peers'.
    pub fn from(source: Source, kernel: &'a Kernel, lists: &[List]) -> Self {
        let image = way::common(kernel, lists);
        let image = if source == Source::Tree { image.options(["--all-modules"]) } else { image };
        Self::of(source, kernel, image.build())
    }

    /// Boots of this image.
    pub fn of(source: Source, kernel: &'a Kernel, image: Built) -> Self {
        Self { kernel, source, image }
    }

    /// Whether a way can load modules from this place. The peers make images of their own, with the modules of one
    /// list.
    pub fn can(&self, way: Way) -> bool {
        match self.source {
            Source::Closure => true,
            Source::Tree => way.peer().is_none(),
            Source::Share => way.shares(),
        }
    }

    /// Boots once, with the peer's image if there is one, and with more options of scripts/vm. Asserts that the list's
    /// modules are all loaded.
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
