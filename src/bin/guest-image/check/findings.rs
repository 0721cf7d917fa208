//! The findings of a check, as text and as JSON.

use std::fmt::{self, Display};
use std::path::PathBuf;

use guest_init::failure::{Code, Failure};
use guest_init::request::list::Entry;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::plan::consequence::Consequence;
use guest_init::resolve::plan::{Action, Plan, Step};
use guest_init::text::Shown;
use serde::{Serialize, Serializer};

use crate::cli::stdout::{BAD, GOOD, NOTE, WARNING, styled};

/// Everything that is known about a VM before it starts.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// The kernel's release.
    pub release: String,
    /// The folder of the module tree.
    pub modules: PathBuf,
    reaches_agent: bool,
    /// Where the agent is.
    #[serde(skip)]
    pub agent: AgentPlace,
    /// The failure that the VM would end with.
    #[serde(rename = "code", serialize_with = "code_of")]
    pub end: Option<Failure>,
    /// The steps of PID 1, in order. Empty if PID 1 would fail.
    pub steps: Vec<PlannedStep>,
    /// All failures, each of which would end the VM.
    #[serde(serialize_with = "failures")]
    pub failures: Vec<Failure>,
    /// Differences between the lists and what the VM would do.
    pub warnings: Vec<Remark>,
    /// Other remarks.
    pub notes: Vec<Remark>,
}

/// Where the agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentPlace {
    /// In the root that was named, as far as it was looked for.
    #[default]
    Here,
    /// On the disk or share that PID 1 switches to. Nothing else is known of it.
    OnRoot,
    /// Nobody knows: the root lacks it.
    Missing,
}

/// A step of the plan.
#[derive(Debug, Serialize)]
pub struct PlannedStep {
    /// `insmod`, `install`, `adjust`, `builtin`, `blacklisted` or `missing`.
    pub action: &'static str,
    /// The module's name, with `_`.
    pub module: String,
    /// The module's file, below the tree.
    pub file: Option<String>,
    /// All parameters of the module.
    pub parameters: String,
    /// The entry that first needs the module.
    pub entry: String,
    /// False if only a soft dependency asks for the module.
    pub required: bool,
    /// Whether the entry is optional.
    pub optional: bool,
    /// Whether the step is known to fail, and PID 1 would pass over it.
    pub passed_over: bool,
    /// The text of the step, as the plan prints it.
    #[serde(skip)]
    pub line: String,
}

/// A warning or a note.
#[derive(Debug, Serialize)]
pub struct Remark {
    /// The topic.
    #[serde(rename = "kind")]
    pub topic: Topic,
    /// The module, if the remark is about one.
    pub module: Option<String>,
    /// The text, one line.
    pub text: String,
    /// The parameters that the module has, if the remark is about unknown ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

/// The topic of a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// An optional entry, or a soft dependency, that would fail.
    PassedOver,
    /// A parameter that would not be applied.
    Parameter,
    /// A module that the blacklist names.
    Blacklisted,
    /// A module that was built for another release.
    Release,
    /// Modules whose signature the kernel does not accept, or could not be verified here.
    Signature,
    /// Firmware files that are missing, or were not looked for.
    Firmware,
    /// An index file that is missing.
    Index,
    /// A module tree that is not where the guest looks for it.
    Tree,
    /// Compressed modules, and who decompresses them.
    Compression,
    /// The kernel's image, if it could not be read whole.
    Kernel,
    /// A disk: whether it was verified.
    Disk,
    /// The agent, if it is missing or was not looked for.
    Agent,
    /// The VM's devices: those that no module is for, or that they are not known.
    Devices,
    /// A word that has no effect where it stands on the kernel command line.
    CommandLine,
}

/// A parameter of a module.
#[derive(Debug, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The type: `int`, `array of int`, …
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The description in the module.
    pub description: Option<String>,
}

impl Remark {
    /// A remark, which may be about a module.
    pub const fn new(topic: Topic, module: Option<String>, text: String) -> Self {
        Self { topic, module, text, parameters: Vec::new() }
    }

    /// The remark on a failure of an optional entry.
    pub fn passed_over(failure: &Failure) -> Self {
        let text = format!("{}: optional, passed over: {}", failure.subject, failure.reason);
        Self::new(Topic::PassedOver, Some(failure.subject.to_string()), text)
    }
}

impl Parameter {
    /// The parameters of a module, in the order of its .modinfo.
    pub fn all(info: &ModInfo<'_>) -> Vec<Self> {
        let value = |key: &str, name: &[u8]| {
            let text = |value: &[u8]| value.strip_prefix(name)?.strip_prefix(b":").map(|text| Shown(text).to_string());
            info.values(key).find_map(text)
        };
        let mut names: Vec<_> = Vec::new();
        info.parameters().for_each(|name| names.extend((!names.contains(&name)).then_some(name)));
        let parameter = |name: &[u8]| Self {
            name: Shown(name).to_string(),
            type_name: value("parmtype", name),
            description: value("parm", name),
        };
        names.into_iter().map(parameter).collect()
    }
}

impl PlannedStep {
    /// A step of a plan, with the entry that first needs its module.
    pub fn new(plan: &Plan<'_>, step: &Step<'_>, entry: &Entry<'_>, passed_over: bool) -> Self {
        let (action, file) = match step.action {
            Action::Load(file) => ("insmod", Some(Shown(file.path).to_string())),
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
        Self {
            action,
            module: step.module.to_string(),
            file,
            parameters,
            entry: entry.to_string(),
            required: step.consequence != Consequence::Nothing,
            optional: step.consequence == Consequence::EndsItsEntry,
            passed_over,
            line: plan.show(step).to_string().trim_end().into(),
        }
    }
}

impl Findings {
    /// Takes the failure that PID 1 would end with, and the failures that it would log before.
    pub fn conclude(&mut self, end: Option<Failure>, logged: Vec<Failure>) {
        self.failures = if logged.is_empty() { end.iter().cloned().collect() } else { logged };
        // Every entry above the bound is logged as the same failure.
        self.failures.dedup();
        self.reaches_agent = end.is_none();
        if !self.reaches_agent {
            self.steps.clear();
        }
        self.end = end;
    }

    /// The codes of all failures, sorted, each once.
    fn codes(&self) -> Vec<Code> {
        let mut codes: Vec<_> = self.failures.iter().map(|failure| failure.code).collect();
        codes.sort_by_key(|code| *code as u8);
        codes.dedup();
        codes
    }

    /// The steps that PID 1 would not pass over.
    fn taken(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps.iter().filter(|step| !step.passed_over)
    }

    fn conclusion(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |release: &str| if release.is_empty() { String::new() } else { format!("{release}: ") };
        match &self.end {
            Some(end) => {
                let code = u32::from(end.code as u8) << 8;
                let text = format!("the VM would panic, exitcode={code:#010x}");
                writeln!(f, "{}{}", of(&self.release), styled(BAD, text))
            }
            None => {
                let loaded = self.taken().filter(|step| step.action == "insmod").count();
                let modules = if loaded == 1 { "module" } else { "modules" };
                let (style, end) = match self.agent {
                    AgentPlace::Missing => (WARNING, ", and its agent is missing"),
                    AgentPlace::OnRoot => (GOOD, " and switch to root="),
                    AgentPlace::Here => (GOOD, " and start its agent"),
                };
                let text = format!("the VM would load {loaded} {modules}{end}");
                writeln!(f, "{}{}", of(&self.release), styled(style, text))
            }
        }
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.taken() {
            writeln!(f, "{}", step.line)?;
        }
        for failure in &self.failures {
            writeln!(f, "{} {failure} (exit {})", styled(BAD, "failure:"), failure.code)?;
        }
        for code in self.codes() {
            writeln!(f, "{} {code}: look at {}", styled(NOTE, "note:"), code.look())?;
        }
        let warnings = self.warnings.iter().map(|remark| (WARNING, "warning:", remark));
        for (style, word, remark) in warnings.chain(self.notes.iter().map(|remark| (NOTE, "note:", remark))) {
            writeln!(f, "{} {}", styled(style, word), remark.text)?;
            remark.parameters.iter().try_for_each(|parameter| writeln!(f, "    {parameter}"))?;
        }
        self.conclusion(f)
    }
}

impl Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(type_name) = &self.type_name {
            write!(f, " ({type_name})")?;
        }
        self.description.iter().try_for_each(|description| write!(f, ": {description}"))
    }
}

/// A failure as JSON.
#[derive(Serialize)]
struct JsonFailure {
    code: String,
    stage: String,
    subject: String,
    errno: String,
    reason: String,
}

fn failures<S: Serializer>(failures: &[Failure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(failures.iter().map(|failure| JsonFailure {
        code: failure.code.to_string(),
        stage: failure.code.stage().to_string(),
        subject: failure.subject.to_string(),
        errno: format!("{:?}", failure.errno),
        reason: failure.reason.to_string(),
    }))
}

fn code_of<S: Serializer>(end: &Option<Failure>, serializer: S) -> Result<S::Ok, S::Error> {
    end.as_ref().map(|failure| failure.code.to_string()).serialize(serializer)
}
