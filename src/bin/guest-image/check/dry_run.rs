//! PID 1's way from the command line to the plan, gone on the host by PID 1's own code; what it finds, and how it ends.

use std::os::unix::ffi::OsStrExt;

use anyhow::anyhow;
use guest_init::failure::{Code, Failure, Report};
use guest_init::guest::modules::findings::Finding;
use guest_init::guest::modules::ready::{LoadOptions, Ready, plan_entries};
use guest_init::guest::modules::tree::ModuleTree;
use guest_init::request::list::{self, Entry};
use guest_init::request::location::Location;
use guest_init::request::{MOST_ENTRIES, Request};
use guest_init::resolve::plan::consequence::Consequence;
use guest_init::resolve::plan::{Action, Plan, Step};
use guest_init::text::Shown;

use super::findings::{self, Findings, Remark};
use super::inspection::Inspection;
use super::kernel_image::KernelImage;
use super::kernel_verdict::KernelFacts;
use super::vm_options::VmOptions;
use crate::shared::lists::List;

/// What becomes of a VM.
pub enum Answer {
    /// Its agent starts.
    Starts(Findings),
    /// It ends with a failure before its agent starts.
    Fails(Findings),
    /// It could not be found out: something on this host can't be read.
    Unknown(anyhow::Error),
}

/// Why the walk ends early.
enum Stop {
    /// PID 1 would end here with this failure.
    Fails(Failure),
    /// Nothing is known of the VM from here on.
    Unknown(anyhow::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Fails(failure)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Unknown(error)
    }
}

/// Walks from the command line and the lists to the plan, and looks at every module file of the plan.
pub fn run(lists: &[List], vm: &VmOptions) -> Answer {
    let kernel = match vm.kernel.as_deref().map(KernelImage::read).transpose() {
        Ok(kernel) => kernel,
        Err(error) => return Answer::Unknown(error),
    };
    let mut findings = Findings::default();
    let mut logged = Vec::new();
    let mut log = |failure: &Failure| logged.push(failure.clone());
    let mut report = Report::new(&mut log);
    let outcome = DryRun { vm, kernel }.walk(lists, &mut report, &mut findings);
    let end = match outcome {
        Ok(at_the_loads) => {
            logged.extend(at_the_loads);
            logged.first().cloned()
        }
        Err(Stop::Fails(failure)) => Some(failure),
        Err(Stop::Unknown(error)) => return Answer::Unknown(error),
    };
    findings.conclude(end, logged);
    match findings.end {
        None => Answer::Starts(findings),
        Some(_) => Answer::Fails(findings),
    }
}

struct DryRun<'v> {
    vm: &'v VmOptions,
    kernel: Option<KernelImage>,
}

impl DryRun<'_> {
    /// Takes PID 1's steps up to the first load, with PID 1's own code. Returns the failures that the files show the loads
    /// to end with.
    fn walk(&self, lists: &[List], report: &mut Report<'_>, findings: &mut Findings) -> Result<Vec<Failure>, Stop> {
        let mut request = Request::parse(self.vm.cmdline.as_bytes(), report);
        request.strict |= self.vm.strict;
        report.verdict()?;
        self.add_lists(&mut request, lists, report)?;
        // PID 1 would end here if a list is wrong. The rest is looked at as well, so that everything is known at once.
        if request.entries.is_empty() {
            report.verdict()?;
            return Ok(Vec::new());
        }
        let tree = match self.tree(&request.module_dir, findings) {
            Ok(tree) => tree,
            Err(stop) => {
                report.verdict()?;
                return Err(stop);
            }
        };
        let words = request.kernel.modules;
        let config = tree.config(words);
        let mut plan = Plan::new(tree.sources(&config));
        let (mut remarks, mut ignored) = (Vec::new(), Vec::new());
        let mut found = |finding| match finding {
            Finding::Refused { consequence: Consequence::EndsTheVm, failure, .. } => report.add(failure),
            Finding::Refused { failure, .. } => remarks.push(Remark::passed_over(&failure)),
            Finding::Fails { step, failure } if step.consequence == Consequence::EndsTheVm => report.add(failure),
            Finding::Ignored { step, failure } => ignored.push((step, failure)),
            // The inspection looks at the file and finds why.
            Finding::Fails { .. } | Finding::Unseen { .. } => {}
        };
        plan_entries(&mut plan, &request.entries, &tree, &mut found);
        let options = LoadOptions { threads: 1, strict: request.strict, keep_modules: true, words };
        let ready = Ready::open(&plan, &tree, options, &mut found);
        findings.warnings.append(&mut remarks);
        report.verdict()?;

        let kernel = KernelFacts::new(self.vm, self.kernel.as_ref(), words, findings);
        let mut inspection = Inspection::new(self.vm, kernel, &tree, ignored, findings);
        let mut given_up = None;
        for (number, step) in plan.steps().iter().enumerate() {
            // The steps behind an optional entry's failure are not tried.
            let passed_over = given_up == Some(step.wanted) || !inspection.step(&plan, step, ready.file(number));
            if passed_over && step.consequence != Consequence::Nothing {
                given_up = Some(step.wanted);
            }
            let Some(entry) = request.entries.get(usize::from(step.entry)) else { continue };
            let step = findings::Step { passed_over, ..told(&plan, step, entry) };
            inspection.findings.steps.push(step);
        }
        Ok(inspection.finish(&tree.sources(&config)))
    }

    /// The lists that the command line names, where it names them, and then those given here.
    fn add_lists<'a>(&self, request: &mut Request<'a>, lists: &'a [List], report: &mut Report<'_>) -> Result<(), Stop> {
        let mut texts = Vec::new();
        for file in &request.files {
            let text = self.vm.list(&file.location)?;
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
                    request.entries.push(entry).map_err(|entry| Failure::new(Code::TooMany, entry.name, reason))
                });
                if let Err(failure) = entry {
                    report.add(failure);
                }
            });
        }
        Ok(())
    }

    fn tree(&self, location: &Location<'_>, findings: &mut Findings) -> Result<ModuleTree, Stop> {
        let (directory, path) = self.vm.module_dir(location)?;
        let release = match (&self.kernel, self.vm.tree.named_release()) {
            (Some(kernel), Some(named)) => {
                if kernel.release != named {
                    return Err(anyhow!("--release {named}: the --kernel is {}", kernel.release).into());
                }
                kernel.release.clone()
            }
            (Some(kernel), None) => kernel.release.clone(),
            (None, Some(named)) => named.into(),
            (None, None) => self.vm.tree.release_in(&path)?,
        };
        (findings.modules, findings.release) = (path.join(&release), release.clone());
        let config = self.vm.config_folders()?;
        let config: Vec<_> = config.iter().map(String::as_str).collect();
        let name = path.display();
        Ok(ModuleTree::open_in(directory, &name, &release, &config)?)
    }
}

/// A step as it is told.
fn told(plan: &Plan<'_>, step: &Step<'_>, entry: &Entry<'_>) -> findings::Step {
    let (action, file) = match step.action {
        Action::Load(path) => ("insmod", Some(Shown(path).to_string())),
        Action::Adjust => ("adjust", None),
        Action::BuiltIn => ("builtin", None),
        Action::Install(_) => ("install", None),
        Action::Blacklisted => ("blacklisted", None),
        Action::Missing => ("missing", None),
    };
    let parameters = match step.action {
        Action::Adjust => Shown(step.entry_parameters).to_string(),
        _ => plan.parameters(step).to_string(),
    };
    findings::Step {
        action,
        module: step.module.to_string(),
        file,
        parameters,
        entry: entry.name.to_string(),
        required: step.consequence != Consequence::Nothing,
        optional: step.consequence == Consequence::EndsItsEntry,
        passed_over: false,
        line: plan.show(step).to_string().trim_end().into(),
    }
}
