//! The entries of a list in a plan: the names that are looked up for each, which for `@devices` are modaliases, and the
//! reasons why an entry is not planned.

use crate::failure::{Code, Failure};
use crate::request::list::{Entry, ModuleEntry};
use crate::resolve::lookup::lookup;
use crate::resolve::nearest;
use crate::resolve::plan::{CallLink, Options, Plan, Wanted};
use crate::text::Shown;

impl<'a> Plan<'a> {
    /// Adds the steps for each entry. An entry `@devices` asks for those `modaliases` that no earlier one asked for.
    /// `refused` is called with each entry that can't be planned, and the reason. For `@devices` it is called with each
    /// modalias that can't; that no module has it is [`Code::UnknownModule`] as well.
    ///
    /// Failures: [`Code::UnknownModule`], [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn add_all<'e>(
        &mut self,
        entries: &'e [Entry<'a>],
        modaliases: &'a [impl AsRef<[u8]>],
        options: Options,
        refused: &mut dyn FnMut(&'e Entry<'a>, Failure),
    ) {
        for (number, entry) in entries.iter().enumerate() {
            match entry {
                Entry::Module(module) => {
                    let _ = self.add(module, options).map_err(|failure| refused(entry, failure));
                }
                Entry::Devices(devices) => {
                    let earlier = entries.get(..number).unwrap_or_default();
                    let is_new = |alias: &&[u8]| !earlier.iter().filter_map(Entry::devices).any(|of| of.ask_for(alias));
                    let aliases = modaliases.iter().map(AsRef::as_ref).filter(|alias| devices.ask_for(alias));
                    self.add_devices(&mut aliases.filter(is_new), options, &mut |failure| refused(entry, failure));
                }
            }
        }
    }

    /// Adds the steps for an entry that is for a module. If that fails, nothing is added.
    ///
    /// Failures: [`Code::UnknownModule`], [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn add(&mut self, entry: &ModuleEntry<'a>, options: Options) -> Result<(), Failure> {
        let added = self.add_name(entry.name.as_bytes(), entry.parameters, entry.optional, options);
        self.entries = self.entries.saturating_add(1);
        match added? {
            true => Ok(()),
            false => Err(nearest::unknown_module(&self.sources, entry.name)),
        }
    }

    /// Adds the steps for the drivers that devices ask for by their modaliases.
    // Out of line, because most lists do not ask for devices.
    #[inline(never)]
    fn add_devices(
        &mut self,
        modaliases: &mut dyn Iterator<Item = &'a [u8]>,
        options: Options,
        refused: &mut dyn FnMut(Failure),
    ) {
        for modalias in modaliases {
            match self.add_name(modalias, b"", true, options) {
                Ok(true) => {}
                Ok(false) => refused(Failure::new(Code::UnknownModule, Shown(modalias), "no module has this alias")),
                Err(failure) => refused(failure),
            }
        }
        self.entries = self.entries.saturating_add(1);
    }

    /// Adds the steps for every module that a name means. Returns whether it means one. If that fails, nothing is
    /// added.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn add_name(
        &mut self,
        name: &'a [u8],
        parameters: &'a [u8],
        is_optional: bool,
        options: Options,
    ) -> Result<bool, Failure> {
        let found = lookup(&self.sources, name)?;
        let Some((last, others)) = found.split_last() else { return Ok(false) };
        let (steps, number) = (self.steps.len(), self.wanted);
        let wanted = Wanted { module: *last, parameters, is_optional, number: None, call: CallLink::default() };
        let result = self.want_all(others, wanted, options);
        if result.is_err() {
            self.truncate(steps, number);
        }
        result.map(|()| true)
    }
}
