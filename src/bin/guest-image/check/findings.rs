//! What a check finds, as text and as JSON.

use std::fmt::{self, Display};
use std::path::PathBuf;

use guest_init::failure::{Code, Failure};
use guest_init::resolve::modinfo::ModInfo;
use guest_init::text::Shown;
use serde::{Serialize, Serializer};

use crate::cli::stdout::{BAD, GOOD, NOTE, WARNING, styled};

/// All that is known of a VM before it starts.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// The kernel's release.
    pub release: String,
    /// The module tree.
    pub modules: PathBuf,
    reaches_agent: bool,
    /// What the VM would end with.
    #[serde(rename = "code", serialize_with = "code_of")]
    pub end: Option<Failure>,
    /// What would be done, in order; nothing, if that is known to fail.
    pub steps: Vec<Step>,
    /// All that is wrong.
    #[serde(serialize_with = "failures")]
    pub failures: Vec<Failure>,
    /// What will not be as it was asked for.
    pub warnings: Vec<Remark>,
    /// What is good to know.
    pub notes: Vec<Remark>,
}

/// A step of the plan.
#[derive(Debug, Serialize)]
pub struct Step {
    /// `insmod`, `install`, `adjust`, `builtin`, `blacklisted` or `missing`.
    pub action: &'static str,
    /// The module's name, with `_`.
    pub module: String,
    /// Its file, below the tree.
    pub file: Option<String>,
    /// All that it gets.
    pub parameters: String,
    /// The entry that asks for it.
    pub entry: String,
    /// False for what only a soft dependency asks for.
    pub required: bool,
    /// Whether its failure would be passed over.
    pub optional: bool,
    /// Whether it is known to fail, and passed over.
    pub passed_over: bool,
    /// The line that the plan has for it.
    #[serde(skip)]
    pub line: String,
}

/// A warning or a note.
#[derive(Debug, Serialize)]
pub struct Remark {
    /// What it is about.
    #[serde(rename = "kind")]
    pub topic: Topic,
    /// The module, if it is about one.
    pub module: Option<String>,
    /// What a person reads.
    pub text: String,
    /// The parameters that there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

/// What remarks are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// What an optional entry, or a soft dependency, does not get.
    PassedOver,
    /// Parameters that a module does not have.
    Parameter,
    /// A module that the blacklist keeps out.
    Blacklisted,
    /// Modules of another release.
    Release,
    /// Firmware that is not there.
    Firmware,
    /// An index that is missing.
    Index,
    /// Who decompresses.
    Compression,
}

/// A parameter that a module has.
#[derive(Debug, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `int`, `array of int`, …
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// What the module says of it.
    pub description: Option<String>,
}

impl Remark {
    /// A remark, on a module or on none.
    pub const fn new(topic: Topic, module: Option<String>, text: String) -> Self {
        Self { topic, module, text, parameters: Vec::new() }
    }

    /// That on a failure which would be passed over.
    pub fn passed_over(failure: &Failure) -> Self {
        let text = format!("{}: optional, passed over: {}", failure.subject, failure.reason);
        Self::new(Topic::PassedOver, Some(failure.subject.to_string()), text)
    }
}

impl Parameter {
    /// All that a module says of its parameters, in its order.
    pub fn all(info: &ModInfo<'_>) -> Vec<Self> {
        let said = |key: &str, name: &[u8]| {
            let of_it = |value: &[u8]| value.strip_prefix(name)?.strip_prefix(b":").map(|text| Shown(text).to_string());
            info.values(key).find_map(of_it)
        };
        let mut names: Vec<_> = Vec::new();
        info.parameters().for_each(|name| names.extend((!names.contains(&name)).then_some(name)));
        let parameter = |name: &[u8]| Self {
            name: Shown(name).to_string(),
            type_name: said("parmtype", name),
            description: said("parm", name),
        };
        names.into_iter().map(parameter).collect()
    }
}

impl Findings {
    /// Takes the end that PID 1 would come to, and what it would have told before.
    pub fn conclude(&mut self, end: Option<Failure>, told: Vec<Failure>) {
        self.failures = if told.is_empty() { end.iter().cloned().collect() } else { told };
        // One entry too many is told as often as there is one.
        self.failures.dedup();
        self.reaches_agent = end.is_none();
        if !self.reaches_agent {
            self.steps.clear();
        }
        self.end = end;
    }

    /// The codes of all failures, each once.
    fn codes(&self) -> Vec<Code> {
        let mut codes: Vec<_> = self.failures.iter().map(|failure| failure.code).collect();
        codes.sort_by_key(|code| *code as u8);
        codes.dedup();
        codes
    }

    /// The steps that do something.
    fn done(&self) -> impl Iterator<Item = &Step> {
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
                let loaded = self.done().filter(|step| step.action == "insmod").count();
                let modules = if loaded == 1 { "module" } else { "modules" };
                let text = format!("the VM would load {loaded} {modules} and start its agent");
                writeln!(f, "{}{}", of(&self.release), styled(GOOD, text))
            }
        }
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.done() {
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
struct Told {
    code: String,
    stage: String,
    subject: String,
    errno: String,
    reason: String,
}

fn failures<S: Serializer>(failures: &[Failure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(failures.iter().map(|failure| Told {
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
