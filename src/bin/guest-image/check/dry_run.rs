//! The dry run: on this host, PID 1's own code reads the command line and the lists, plans them, and opens the module
//! files.

use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, anyhow};
use guest_init::bare::start::MACHINE;
use guest_init::failure::{Code, Failure, Report};
use guest_init::guest::boot::command_line;
use guest_init::guest::modules::findings::Finding;
use guest_init::guest::modules::loader::{LoadOptions, Loader, plan_entries};
use guest_init::guest::modules::tree::{MODULES, ModuleTree};
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::machine::Machine;
use guest_init::request::devices::VIRTIO_MMIO;
use guest_init::request::list;
use guest_init::request::location::Location;
use guest_init::request::{MOST_ENTRIES, Request};
use guest_init::resolve::plan::Plan;
use guest_init::resolve::plan::consequence::Consequence;

use super::agent;
use super::disks::Disks;
use super::findings::{Findings, Remark, Topic};
use super::inspection::Inspection;
use super::kernel_image::KernelImage;
use super::kernel_verdict::KernelFacts;
use super::vm_options::VmOptions;
use crate::shared::folder::Folder;
use crate::shared::lists::List;
use crate::shared::modaliases::ADVICE;

/// The answer of a dry run.
pub enum Answer {
    /// The VM would start its agent.
    Starts(Findings),
    /// The VM would panic before its agent starts.
    Fails(Findings),
    /// Nothing is known about the VM, because a file on this host can't be read.
    Unknown(anyhow::Error),
}

/// Why a dry run ends early.
enum Stop {
    /// PID 1 would end with this failure.
    Fails(Box<Failure>),
    /// A file on this host can't be read.
    Unknown(anyhow::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Fails(failure.into())
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Unknown(error)
    }
}

/// Plans the command line and the lists, and inspects every module file of the plan.
pub fn run(lists: &[List], vm: &VmOptions) -> Answer {
    let kernel = match vm.kernel_image() {
        Ok(kernel) => kernel,
        Err(error) => return Answer::Unknown(error),
    };
    let mut findings = Findings::default();
    let mut logged = Vec::new();
    let mut log = |failure: &Failure| logged.push(failure.clone());
    let mut report = Report::new(&mut log);
    let machine = machine_of(vm, kernel);
    let outcome = DryRun { vm, kernel, machine }.walk(lists, &mut report, &mut findings);
    let end = match outcome {
        Ok(load_failures) => {
            logged.extend(load_failures);
            logged.first().cloned()
        }
        Err(Stop::Fails(failure)) => Some(*failure),
        Err(Stop::Unknown(error)) => return Answer::Unknown(error),
    };
    findings.conclude(end, logged);
    match findings.end {
        None => Answer::Starts(findings),
        Some(_) => Answer::Fails(findings),
    }
}

/// The machine of the kernel, or, without its image, of the guest-init in the root.
pub fn machine_of(vm: &VmOptions, kernel: Option<&KernelImage>) -> Option<&'static Machine> {
    match kernel {
        Some(kernel) => kernel.machine,
        None => vm.tree.root().as_ref().and_then(agent::machine_of),
    }
}

struct DryRun<'v> {
    vm: &'v VmOptions,
    kernel: Option<&'v KernelImage>,
    /// The VM's machine, if it is known.
    machine: Option<&'static Machine>,
}

impl DryRun<'_> {
    /// Does what PID 1 does before the first load. Returns the failures with which loads and the agent would end, as
    /// far as the files show them.
    fn walk(&self, lists: &[List], report: &mut Report<'_>, findings: &mut Findings) -> Result<Vec<Failure>, Stop> {
        let longest = self.machine.unwrap_or(MACHINE).longest_command_line();
        let mut request = command_line::parse_cut(self.vm.cmdline.as_bytes(), longest, report);
        let misplaced = request.misplaced().map(|word| Remark::new(Topic::CommandLine, None, word.to_string()));
        findings.warnings.extend(misplaced);
        request.strict |= self.vm.strict;
        report.verdict()?;
        let disks = Disks::look_at(&self.vm.disk, &request, report, findings)?;
        report.verdict()?;
        self.add_lists(&mut request, lists, &disks, report)?;
        let modaliases = self.modaliases(&request, findings)?;
        // PID 1 ends here if a list is wrong. The dry run goes on, to report all failures at once.
        if request.entries.is_empty() {
            report.verdict()?;
            return Ok(self.agent(&request, findings));
        }
        let trees = match self.trees(request.module_dirs(), &disks, findings) {
            Ok(trees) => trees,
            Err(stop) => {
                report.verdict()?;
                return Err(stop);
            }
        };
        let words = request.kernel.modules;
        let config = trees.config(words);
        let mut plan = Plan::new(trees.sources(&config));
        let (mut remarks, mut ignored, mut unfit) = (Vec::new(), Vec::new(), 0);
        let mut found = |finding| match finding {
            Finding::EntryNotPlanned { consequence: Consequence::EndsTheVm, failure, .. } => report.add(failure),
            Finding::EntryNotPlanned { failure, .. } => remarks.push(Remark::passed_over(&failure)),
            Finding::NoDriver { .. } => unfit += 1,
            Finding::StepFails { step, failure } if step.consequence == Consequence::EndsTheVm => report.add(failure),
            Finding::ParameterIgnored { step, failure } => ignored.push((step, failure)),
            // The inspection meets the same failure again and reports it.
            Finding::StepFails { .. } | Finding::ParametersUnknown { .. } => {}
        };
        plan_entries(&mut plan, &request.entries, &modaliases, &trees, &mut found);
        let options = LoadOptions {
            threads: 1,
            strict: request.strict,
            looks_into_all: true,
            keep_modules: true,
            words,
            purpose: "the list",
        };
        let loader = Loader::open(&plan, &trees, options, &mut found);
        findings.warnings.append(&mut remarks);
        if unfit > 0 {
            let text = format!("@devices: no module is for {unfit} of {} modaliases", modaliases.len());
            findings.notes.push(Remark::new(Topic::Devices, None, text));
        }
        report.verdict()?;

        let kernel = KernelFacts::new(self.vm, self.machine, self.kernel, words, &trees, findings);
        findings.warnings.extend(kernel.unread());
        findings.notes.extend(kernel.without_config().into_iter().chain(kernel.without_keys()));
        let mut inspection = Inspection::new(self.vm, kernel, &trees, ignored, findings);
        inspection.steps(&plan, &loader, &request.entries);
        let mut failures = inspection.finish(&trees.sources(&config));
        failures.extend(self.agent(&request, findings));
        Ok(failures)
    }

    /// The names that the VM's devices ask for. Remarks on a VM whose devices are not known, and on modaliases that no
    /// list asks for.
    fn modaliases(&self, request: &Request<'_>, findings: &mut Findings) -> Result<Vec<Vec<u8>>, Stop> {
        let mut names = self.vm.devices.read()?.to_vec();
        let asks = request.entries.iter().any(|entry| entry.devices().is_some());
        if !asks && self.vm.devices.are_given() {
            let text = "--modalias has no effect: no list has the entry @devices";
            findings.warnings.push(Remark::new(Topic::Devices, None, text.into()));
        }
        if asks && !self.vm.devices.are_given() {
            let text = format!("@devices: this VM's devices are not known: {ADVICE}");
            findings.notes.push(Remark::new(Topic::Devices, None, text));
        }
        if request.kernel.announces_virtio_mmio && !names.iter().any(|name| name == VIRTIO_MMIO) {
            names.push(VIRTIO_MMIO.to_vec());
            names.sort_unstable();
        }
        Ok(names)
    }

    /// The failure of the agent, if it is known to fail.
    fn agent(&self, request: &Request<'_>, findings: &mut Findings) -> Vec<Failure> {
        let (root, on_root) = (self.vm.tree.root(), request.kernel.root.and_then(|root| self.vm.shared_root(&root)));
        agent::inspect(request, self.machine, root.as_ref(), on_root.as_ref(), findings).into_iter().collect()
    }

    /// Adds the entries of all lists to the request: first the lists that the command line names, then those given as
    /// arguments.
    fn add_lists<'a>(
        &self,
        request: &mut Request<'a>,
        lists: &'a [List],
        disks: &Disks,
        report: &mut Report<'_>,
    ) -> Result<(), Stop> {
        let mut texts = Vec::new();
        for file in &request.files {
            let text = self.vm.list(&file.location, disks)?;
            texts.push(text.unwrap_or_else(|failure| {
                report.add(failure);
                &[]
            }));
        }
        request.insert_lists(&texts, report);
        for List { name, text } in lists {
            let text = match text {
                Ok(text) => text,
                Err(failure) => {
                    report.add(failure.clone());
                    continue;
                }
            };
            list::read(text, name, &mut |entry| {
                let entry = entry.and_then(|entry| {
                    let reason = format_args!("a VM takes at most {MOST_ENTRIES} entries");
                    request.entries.push(entry).map_err(|entry| Failure::new(Code::TooMany, entry, reason))
                });
                if let Err(failure) = entry {
                    report.add(failure);
                }
            });
        }
        Ok(())
    }

    /// Remarks on modules that are only below `/usr` of the root. That keeps a root with guest-init from its agent.
    /// Other roots are what an image is made of, and `build` puts the modules into the right place.
    fn remark_on_place(&self, modules: &Folder, findings: &mut Findings) {
        let Some(root) = self.vm.tree.root().filter(|root| modules.path == root.path.join("usr/lib/modules")) else {
            return;
        };
        let path = modules.path.display();
        let text = format!("{path}: a guest looks in {MODULES}; it needs /lib as a link to usr/lib");
        let remarks = if agent::is_image(&root) { &mut findings.warnings } else { &mut findings.notes };
        remarks.push(Remark::new(Topic::Tree, None, text));
    }

    /// Opens the module trees of the kernel's release.
    fn trees(&self, locations: &[Location<'_>], disks: &Disks, findings: &mut Findings) -> Result<ModuleTrees, Stop> {
        let mut trees: Option<ModuleTrees> = None;
        for (folder, is_add_on) in self.vm.module_dirs(locations, disks)? {
            self.remark_on_place(&folder, findings);
            if trees.is_none() {
                let release = self.release_in(&folder)?;
                (findings.modules, findings.release) = (folder.path.join(&release), release);
            }
            let mut tree = ModuleTree::open(folder.directory, &folder.path.display(), &findings.release)?;
            tree.has_own_config = is_add_on;
            match &mut trees {
                None => trees = Some(ModuleTrees::of(tree)),
                Some(trees) => trees.add(tree),
            }
        }
        let root = self.vm.tree.root();
        let config = self.vm.config(root.as_ref().and_then(|root| root.directory.as_ref().ok()));
        let mut trees = trees.context("no directory of modules is named")?;
        trees.require_config(&config)?;
        Ok(trees)
    }

    /// The kernel's release: that of `--kernel`, of `--release`, or of the only tree in the folder.
    fn release_in(&self, folder: &Folder) -> Result<String, Stop> {
        match (&self.kernel, self.vm.tree.named_release()) {
            (Some(kernel), Some(named)) if kernel.release != named => {
                Err(anyhow!("--release {named}: --kernel is {}; leave --release out", kernel.release).into())
            }
            (Some(kernel), _) => Ok(kernel.release.clone()),
            (None, Some(named)) => Ok(named.into()),
            (None, None) => Ok(self.vm.tree.release_in(folder)?),
        }
    }
}
