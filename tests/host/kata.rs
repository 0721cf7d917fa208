//! guest-image kata: Kata's own files become words of the kernel command line, which guest-init's parser reads here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guest_init::failure::{Failure, Report};
use guest_init::request::{Request, list};
use tempfile::TempDir;

/// The configuration files that Kata ships.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kata");

/// A folder in which guest-image runs.
struct Work(TempDir);

/// The result of a run.
struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Work {
    /// A folder with Kata's files.
    fn new() -> Self {
        let work = Self(TempDir::new().unwrap());
        for file in ["configuration-qemu-go.toml", "configuration-qemu-rust.toml", "pods.yaml"] {
            fs::copy(Path::new(SHIPPED).join(file), work.path(file)).unwrap();
        }
        work
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a configuration of the Go runtime with this list.
    fn configuration(&self, name: &str, list: &str) {
        self.file(name, &format!("[agent.kata]\nkernel_modules = {list}\n"));
    }

    /// Writes a pod with this annotation.
    fn pod(&self, name: &str, annotation: &str) {
        let key = "io.katacontainers.config.agent.kernel_modules";
        self.file(name, &format!("kind: Pod\nmetadata:\n  name: p\n  annotations:\n    {key}: '{annotation}'\n"));
    }

    fn run(&self, arguments: &str) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
        let output = command.arg("kata").args(arguments.split(' ')).current_dir(self.0.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The output of a run, which must succeed without a warning.
    fn prints(&self, arguments: &str) -> String {
        let Outcome { status, stdout, stderr } = self.run(arguments);
        assert_eq!((status, stderr.as_str()), (0, ""), "{arguments}: {stdout}");
        stdout
    }

    /// The messages of a run, which must fail.
    fn fails(&self, arguments: &str) -> String {
        let Outcome { status, stdout, stderr } = self.run(arguments);
        assert_eq!((status, stdout.as_str()), (1, ""), "{arguments}: {stderr}");
        stderr.lines().map(|line| line.strip_prefix("guest-image: ").unwrap().to_string() + "\n").collect()
    }
}

/// The entries of a kernel command line as guest-init reads them, as `name|parameters`.
fn read(command_line: &str) -> Vec<String> {
    let mut log = |failure: &Failure| panic!("{failure}");
    let mut report = Report::new(&mut log);
    let request = Request::parse(command_line.as_bytes(), &mut report);
    report.verdict().unwrap();
    request.entries.iter().map(shown).collect()
}

fn shown(entry: &list::Entry<'_>) -> String {
    let optional = if entry.optional { "?" } else { "" };
    format!("{optional}{}|{}", entry.name, str::from_utf8(entry.parameters).unwrap())
}

/// The list in a comment of the configurations of both runtimes.
const CONFIGURED: [&str; 2] = ["e1000e|InterruptThrottleRate=3000,3000,3000 EEE=1", "i915|enable_ppgtt=0"];
/// The list of the annotation in Kata's guide.
const ANNOTATED: [&str; 2] = ["e1000e|EEE=1", "i915|"];

#[test]
fn katas_two_examples_reach_guest_init_unchanged() {
    let work = Work::new();
    work.configuration("own.toml", r#"["e1000e InterruptThrottleRate=3000,3000,3000 EEE=1", "i915"]"#);
    let configured = work.prints("own.toml");
    assert_eq!(configured, "guest_init.modules=\"e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; i915\"\n");
    assert_eq!(read(&configured), ["e1000e|InterruptThrottleRate=3000,3000,3000 EEE=1", "i915|"]);
    let annotated = work.prints("pods.yaml --pod pod1");
    assert_eq!(annotated, "guest_init.modules=\"e1000e EEE=1; i915\"\n");
    assert_eq!(read(&annotated), ANNOTATED);
    assert_eq!(read(&format!("quiet {} panic=-1", annotated.trim())), ANNOTATED);
}

#[test]
fn the_go_runtimes_annotation_replaces_the_configured_list() {
    let work = Work::new();
    assert_eq!(read(&work.prints("configuration-qemu-go.toml")), CONFIGURED);
    assert_eq!(read(&work.prints("configuration-qemu-go.toml pods.yaml --pod pod1")), ANNOTATED);
    assert_eq!(read(&work.prints("configuration-qemu-go.toml pods.yaml --pod pod2")), CONFIGURED);
    let all = work.prints("pods.yaml configuration-qemu-go.toml");
    let headings: Vec<_> = all.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        headings,
        ["# pods.yaml: Pod pod1: the annotation's list", "# pods.yaml: Pod pod2: the configuration's list"]
    );
    work.pod("none.yaml", "");
    let none = work.run("configuration-qemu-go.toml none.yaml");
    assert_eq!((none.status, none.stdout.as_str()), (0, ""));
    assert_eq!(none.stderr, "guest-image: warning: none.yaml: Pod p: no kernel modules are asked for\n");
}

#[test]
fn the_rust_runtimes_annotation_is_added_untrimmed() {
    let work = Work::new();
    assert_eq!(read(&work.prints("configuration-qemu-rust.toml")), CONFIGURED);
    assert_eq!(read(&work.prints("configuration-qemu-rust.toml pods.yaml --pod pod2")), CONFIGURED);
    let both = [CONFIGURED, ANNOTATED].concat();
    let added = work.run("configuration-qemu-rust.toml pods.yaml --pod pod1");
    assert_eq!((added.status, read(&added.stdout)), (0, both.iter().map(ToString::to_string).collect()));
    let warning = "Kata's Rust runtime does not trim ` i915`: its agent refuses the entry, and guest-init takes it";
    assert_eq!(added.stderr, format!("guest-image: warning: pods.yaml: Pod pod1: {warning}\n"));
    let as_go = work.prints("configuration-qemu-rust.toml pods.yaml --pod pod1 --runtime go");
    assert_eq!(read(&as_go), ANNOTATED);
    work.pod("tight.yaml", "a;b x=1;");
    let tight = work.prints("configuration-qemu-rust.toml tight.yaml");
    assert_eq!(read(&tight)[2..], ["a|", "b|x=1"]);
}

#[test]
fn drop_ins_apply_in_the_order_of_their_names() {
    let work = Work::new();
    fs::create_dir(work.path("kata")).unwrap();
    fs::copy(work.path("configuration-qemu-rust.toml"), work.path("kata/configuration.toml")).unwrap();
    work.configuration("kata/config.d/20-b.toml", "[\"late\"]");
    work.configuration("kata/config.d/10-a.toml", "[\"early\"]");
    work.file("kata/config.d/30-c.toml", "[agent.kata]\nenable_tracing = true\n");
    assert_eq!(work.prints("kata/configuration.toml"), "guest_init.modules=late\n");
    work.file("kata/config.d/40-d.toml", "[agent.kata]\nkernel_modules = 1\n");
    let reason = "kata/config.d/40-d.toml:2: invalid type: integer `1`, expected a sequence\n";
    assert_eq!(work.fails("kata/configuration.toml"), reason);
}

#[test]
fn the_annotation_is_found_in_every_kind_that_makes_pods() {
    let work = Work::new();
    let template =
        "{metadata: {annotations: {io.katacontainers.config.agent.kernel_modules: a}}, spec: {containers: []}}";
    work.file("deployment.yaml", &format!("kind: Deployment\nmetadata: {{name: d}}\nspec: {{template: {template}}}\n"));
    let cron = format!("kind: CronJob\nspec: {{jobTemplate: {{spec: {{template: {template}}}}}}}\n");
    work.file("cron.yaml", &format!("kind: Service\nspec: {{template: none}}\n---\n---\n{cron}"));
    let annotations = r#""annotations": {"io.katacontainers.config.agent.kernel_modules": "a"}"#;
    work.file("config.json", &format!(r#"{{"ociVersion": "1.0.2", {annotations}}}"#));
    work.file(
        "list.json",
        &format!(r#"{{"kind": "List", "items": [{{"kind": "Pod", "metadata": {{{annotations}}}}}]}}"#),
    );
    for file in ["deployment.yaml", "cron.yaml", "config.json", "list.json"] {
        assert_eq!(work.prints(file), "guest_init.modules=a\n", "{file}");
    }
    let own = "kind: Job\nmetadata: {name: j, annotations: {io.katacontainers.config.agent.kernel_modules: a}}\n";
    work.file("own.yaml", &format!("{own}spec: {{template: {{spec: {{containers: []}}}}}}\n"));
    let printed = work.run("own.yaml").stderr;
    assert!(printed.contains("Job j: io.katacontainers.config.agent.kernel_modules stands outside"), "{printed}");
}

#[test]
fn a_list_that_no_command_line_can_hold_needs_a_file() {
    let work = Work::new();
    work.configuration("blanks.toml", r#"["snd id=\"a b\" x=1", "i915"]"#);
    let reason = "no kernel command line can hold a value with both blanks and quotes; write a file with --list\n";
    assert_eq!(work.fails("blanks.toml"), format!("blanks.toml: {reason}"));
    assert_eq!(work.prints("blanks.toml --list list"), "");
    let text = fs::read(work.path("list")).unwrap();
    assert_eq!(text, b"snd id=\"a b\" x=1\ni915\n");
    let mut entries = Vec::new();
    list::read(&text, "list", &mut |entry| entries.push(shown(&entry.unwrap())));
    assert_eq!(entries, ["snd|id=\"a b\" x=1", "i915|"]);
    work.configuration("no-blanks.toml", r#"["snd id=\"a;b\" x=1", "i915"]"#);
    assert_eq!(read(&work.prints("no-blanks.toml")), ["snd|id=\"a;b\" x=1", "i915|"]);
    assert_eq!(work.fails("pods.yaml configuration-qemu-go.toml --list x").lines().count(), 1);
    assert!(!work.path("x").exists());
}

#[test]
fn a_command_line_that_is_too_long_is_reported() {
    let work = Work::new();
    let names = |count| format!("{:?}", (0..count).map(|at| format!("module{at:03}")).collect::<Vec<_>>());
    work.configuration("fits.toml", &names(180));
    assert_eq!(read(&work.prints("fits.toml")).len(), 180);
    work.configuration("long.toml", &names(200));
    let long = work.run("long.toml");
    assert_eq!((long.status, read(&long.stdout).len()), (0, 200));
    assert!(long.stderr.contains("the parameter has 2219 bytes; a kernel command line holds 2,047"), "{}", long.stderr);
    assert_eq!(work.prints("long.toml --list -").lines().count(), 200);
    let params = format!("[hypervisor.qemu]\nkernel_params = \"{}\"\n", "x".repeat(100));
    work.file("params.toml", &(fs::read_to_string(work.path("fits.toml")).unwrap() + &params));
    assert!(work.run("params.toml").stderr.contains("and kernel_params 100 more"));
    work.configuration("many.toml", &names(513));
    assert_eq!(work.fails("many.toml"), "read many.toml: E2BIG: 513 entries; a VM takes at most 512\n");
}

#[test]
fn bad_input_is_named() {
    let work = Work::new();
    work.configuration("entries.toml", r##"["a; b", "#c", "[d", "e \"x", "-q", "a/b", "", " "]"##);
    assert_eq!(
        work.fails("entries.toml"),
        "read entries.toml `a; b`: EINVAL: `;` ends an entry of guest-init's lists, but not of Kata's arrays; quote the value \
         that contains it\n\
         read entries.toml `#c`: EINVAL: a name begins with a letter, a digit or `_`\n\
         read entries.toml `[d`: EINVAL: a name begins with a letter, a digit or `_`\n\
         read entries.toml `e \"x`: EINVAL: a quote is not closed; an annotation's entries end at every `;`, also inside quotes\n\
         read entries.toml `-q`: EINVAL: a name begins with a letter, a digit or `_`\n\
         read entries.toml `a/b`: EINVAL: a name holds no `/`\n"
    );
    work.configuration("type.toml", "[\n  \"a\",\n  5,\n]");
    work.file("syntax.toml", "[agent.kata]\nkernel_modules = [\n");
    work.file("agent.toml", "[runtime]\nagent_name = \"x\"\n[agent.kata]\n");
    work.file("syntax.yaml", "kind: Pod\nmetadata: {name: x\n");
    work.file("syntax.json", "{\"kind\": \"Pod\",\n");
    work.file(
        "number.yaml",
        "kind: Pod\nmetadata: {name: x, annotations: {io.katacontainers.config.agent.kernel_modules: 8250}}\n",
    );
    work.file("service.yaml", "kind: Service\n");
    work.file("empty.yaml", "");
    let no_pod = "no pod, no template of pods, and not an OCI bundle's config.json";
    let number = "io.katacontainers.config.agent.kernel_modules is 8250, and not a string: quote it";
    for (arguments, reason) in [
        ("type.toml", "type.toml:4: invalid type: integer `5`, expected a string"),
        ("syntax.toml", "syntax.toml:2: unclosed array, expected `]`"),
        ("agent.toml", "agent.toml: [runtime] asks for the agent \"x\", and there is no [agent.x]"),
        ("syntax.yaml", "syntax.yaml: unclosed bracket '{' at line 2, column 11"),
        ("syntax.json", "syntax.json: EOF while parsing a value at line 2 column 0"),
        ("number.yaml", &format!("number.yaml: Pod x: {number}")),
        ("service.yaml", &format!("service.yaml: {no_pod}")),
        ("empty.yaml", &format!("empty.yaml: {no_pod}")),
        ("absent.yaml", "absent.yaml: No such file or directory (os error 2)"),
        ("/dev/zero", "/dev/zero: more than 16 MiB"),
        (".", ".: Is a directory (os error 21)"),
        ("pods.yaml --pod x", "--pod x: no such pod; the files have pod1, pod2"),
        (
            "configuration-qemu-go.toml configuration-qemu-rust.toml",
            "configuration-qemu-rust.toml: a second configuration; name only one",
        ),
    ] {
        assert_eq!(work.fails(arguments), format!("{reason}\n"), "{arguments}");
    }
}

#[test]
fn json_has_the_list_and_the_words() {
    let work = Work::new();
    let json: serde_json::Value =
        serde_json::from_str(&work.prints("configuration-qemu-rust.toml pods.yaml --json")).unwrap();
    assert_eq!(json["runtime"], "rust");
    let [first, second] = &json["lists"].as_array().unwrap()[..] else { panic!("{json}") };
    assert_eq!((&first["name"], &first["origin"]), (&"pod1".into(), &"both".into()));
    assert_eq!((&second["name"], &second["origin"]), (&"pod2".into(), &"configuration".into()));
    assert_eq!(first["modules"].as_array().unwrap().len(), 4);
    assert_eq!(first["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(read(first["parameter"].as_str().unwrap()).len(), 4);
    work.configuration("blanks.toml", r#"["snd id=\"a b\""]"#);
    let json: serde_json::Value = serde_json::from_str(&work.prints("blanks.toml --json")).unwrap();
    assert!(json["lists"][0]["parameter"].is_null());
}

/// A module tree with these modules, without dependencies.
fn tree(work: &Work, modules: &[&str]) {
    let dep: String = modules.iter().map(|name| format!("kernel/{name}.ko:\n")).collect();
    work.file("root/lib/modules/1.0/modules.dep", &dep);
    for name in modules {
        work.file(&format!("root/lib/modules/1.0/kernel/{name}.ko"), "");
    }
}

#[test]
fn lists_are_checked_as_by_check() {
    let work = Work::new();
    tree(&work, &["e1000e"]);
    let checked = work.run("pods.yaml --check --root root");
    assert_eq!(checked.status, 1, "{}{}", checked.stdout, checked.stderr);
    let lines: Vec<_> = checked.stdout.lines().collect();
    assert_eq!(
        lines[..2],
        ["# pods.yaml: Pod pod1: the annotation's list", "guest_init.modules=\"e1000e EEE=1; i915\""]
    );
    assert!(checked.stdout.contains("i915: ENOENT: no module, alias or built-in of 1.0"), "{}", checked.stdout);
    let second = lines.iter().position(|line| *line == "# pods.yaml: Pod pod2: no list").unwrap();
    assert!(second > 2 && lines.len() > second + 1, "{}", checked.stdout);
    let json = work.run("pods.yaml --pod pod1 --check --root root --json");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["code"], "0x32");
    assert_eq!(work.run("pods.yaml --root root").status, 2);
    assert_eq!(work.run("pods.yaml --check --root absent").status, 2);
}
