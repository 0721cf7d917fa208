//! PID 1's way from the command line to the plan, gone on the host by PID 1's own code; what it finds, and how it ends.

use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, ensure};
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
use crate::cli::stderr::Failures;
use crate::shared::lists::List;

/// Goes the way, and says what is found. An error is no verdict on the VM: something here can't be read.
pub fn findings(lists: Result<Vec<List>>, vm: &VmOptions) -> Result<Findings> {
    let kernel = vm.kernel.as_deref().map(KernelImage::read).transpose()?;
    let mut findings = Findings::default();
    let mut told = Vec::new();
    let mut tell = |failure: &Failure| told.push(failure.clone());
    let mut report = Report::new(&mut tell);
    let dry_run = DryRun { vm, kernel };
    let outcome = lists.and_then(|lists| dry_run.run(&lists, &mut report, &mut findings));
    let end = match outcome {
        Ok(later) => {
            told.extend(later);
            told.first().cloned()
        }
        Err(error) => error.downcast::<Failures>()?.0.into_iter().next(),
    };
    findings.conclude(end, told);
    Ok(findings)
}

struct DryRun<'v> {
    vm: &'v VmOptions,
    kernel: Option<KernelImage>,
}

impl DryRun<'_> {
    /// PID 1's steps up to the first load, an error where it would end; then what would fail at the loads, as far as
    /// files say.
    fn run(&self, lists: &[List], report: &mut Report<'_>, findings: &mut Findings) -> Result<Vec<Failure>> {
        let mut request = Request::parse(self.vm.cmdline.as_bytes(), report);
        request.strict |= self.vm.strict;
        verdict(report)?;
        self.add_lists(&mut request, lists, report)?;
        // Here PID 1 would end; what else is wrong is good to know at once.
        if request.entries.is_empty() {
            return verdict(report).map(|()| Vec::new());
        }
        let tree = match self.tree(&request.module_dir, findings) {
            Ok(tree) => tree,
            Err(error) => return verdict(report).and(Err(error)),
        };
        let config = tree.config(request.kernel.modules);
        let mut plan = Plan::new(tree.sources(&config));
        let mut remarks = Vec::new();
        let mut found = |finding: Finding<'_, '_>| match finding {
            Finding::Refused { consequence: Consequence::EndsTheVm, failure, .. } => report.add(failure),
            Finding::Refused { failure, .. } => remarks.push(Remark::passed_over(&failure)),
            Finding::Fails { step, failure } if step.consequence == Consequence::EndsTheVm => report.add(failure),
            // The inspection finds these as well, and says more about them.
            Finding::Fails { .. } | Finding::Ignored { .. } | Finding::Unseen { .. } => {}
        };
        plan_entries(&mut plan, &request.entries, &tree, &mut found);
        let options =
            LoadOptions { threads: 1, strict: request.strict, keep_modules: true, words: request.kernel.modules };
        drop(Ready::open(&plan, &tree, options, &mut found));
        findings.warnings.append(&mut remarks);
        verdict(report)?;

        let kernel = KernelFacts::new(self.vm, self.kernel.as_ref(), request.kernel.modules, findings);
        let mut inspection = Inspection::new(self.vm, kernel, &tree, request.strict, findings);
        let mut given_up = None;
        for step in plan.steps() {
            // What follows an optional entry's failure is not tried.
            let passed_over = given_up == Some(step.wanted) || !inspection.step(&plan, step);
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
    fn add_lists<'a>(&self, request: &mut Request<'a>, lists: &'a [List], report: &mut Report<'_>) -> Result<()> {
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

    fn tree(&self, location: &Location<'_>, findings: &mut Findings) -> Result<ModuleTree> {
        let (directory, path) = self.vm.module_dir(location)?;
        let release = match (&self.kernel, self.vm.tree.named_release()) {
            (Some(kernel), Some(named)) => {
                ensure!(kernel.release == named, "--release {named}: the --kernel is {}", kernel.release);
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
        Ok(ModuleTree::open_in(directory, &name, &release, &config).map_err(Failures::from)?)
    }
}

fn verdict(report: &Report<'_>) -> Result<()> {
    Ok(report.verdict().map_err(Failures::from)?)
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
