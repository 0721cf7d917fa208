//! guest-image kata: Kata's own files become words of the kernel command line, which guest-init's parser reads here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use guest_init::failure::{Failure, Report};
use guest_init::request::{Request, list};
use tempfile::TempDir;

mod trouble;

/// The configuration files that Kata ships.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kata");

/// The advice for a pod whose list is its own: Kata can't carry it as it is printed.
const ADVICE: &str = "Kata cuts a pod's annotation io.katacontainers.config.hypervisor.kernel_params at blanks";

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

    /// The output of a run, which must succeed without a warning other than [`ADVICE`].
    fn prints(&self, arguments: &str) -> String {
        let (stdout, warnings) = self.warns(arguments);
        assert_eq!(warnings, [""; 0], "{arguments}: {stdout}");
        stdout
    }

    /// The output of a run, which must succeed, and its warnings other than [`ADVICE`].
    fn warns(&self, arguments: &str) -> (String, Vec<String>) {
        let Outcome { status, stdout, stderr } = self.run(arguments);
        assert_eq!(status, 0, "{arguments}: {stdout}{stderr}");
        let warnings = stderr.lines().filter(|line| !line.contains(ADVICE));
        let warnings = warnings.map(|line| line.strip_prefix("guest-image: warning: ").unwrap().to_string());
        (stdout, warnings.collect())
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
    let Some(entry) = entry.module() else { return entry.to_string() };
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
fn a_byte_order_mark_is_no_part_of_a_file() {
    let work = Work::new();
    work.configuration("mark.toml", r#"["a"]"#);
    work.file("mark.toml", &format!("\u{feff}{}", fs::read_to_string(work.path("mark.toml")).unwrap()));
    assert_eq!(work.prints("mark.toml"), "guest_init.modules=a\n");
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
    let (added, warnings) = work.warns("configuration-qemu-rust.toml pods.yaml --pod pod1");
    assert_eq!(read(&added), both);
    let warning = "` i915`: Kata's Rust runtime does not trim an entry: its agent refuses the entry, and guest-init \
                   takes it";
    assert_eq!(warnings, [format!("pods.yaml: Pod pod1: {warning}")]);
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
    let reason = "kata/config.d/40-d.toml:2: kernel_modules is an integer, and not an array of strings";
    assert!(work.fails("kata/configuration.toml").starts_with(reason));
}

#[test]
fn drop_ins_of_a_linked_configuration_are_beside_the_file_that_it_leads_to() {
    let work = Work::new();
    work.configuration("opt/runtimes/qemu/configuration.toml", "[\"first\"]");
    work.configuration("opt/runtimes/qemu/config.d/10.toml", "[\"real\"]");
    fs::create_dir(work.path("etc")).unwrap();
    symlink("../opt/runtimes/qemu/configuration.toml", work.path("etc/configuration.toml")).unwrap();
    symlink("configuration.toml", work.path("etc/again.toml")).unwrap();
    assert_eq!(work.prints("etc/configuration.toml"), "guest_init.modules=real\n");
    assert_eq!(work.prints("etc/again.toml"), "guest_init.modules=real\n");
    work.configuration("etc/config.d/10.toml", "[\"ignored\"]");
    let (printed, warnings) = work.warns("etc/configuration.toml");
    assert_eq!(printed, "guest_init.modules=real\n");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.starts_with("etc/configuration.toml is a link, so Kata reads /"), "{warning}");
    assert!(warning.ends_with("opt/runtimes/qemu/config.d, and ignores etc/config.d"), "{warning}");
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
fn a_sandbox_of_crictl_is_a_pod() {
    let work = Work::new();
    let annotations = r#""annotations": {"io.katacontainers.config.agent.kernel_modules": "e1000e EEE=1; i915"}"#;
    let metadata = r#""metadata": {"name": "s", "namespace": "n", "attempt": 1, "uid": "1"}"#;
    work.file("sandbox.json", &format!("{{{metadata}, {annotations}, \"linux\": {{}}}}"));
    work.file(
        "sandbox.yaml",
        "metadata:\n  name: s\nannotations:\n  io.katacontainers.config.agent.kernel_modules: e1000e EEE=1; i915\n",
    );
    for file in ["sandbox.json", "sandbox.yaml"] {
        assert_eq!(work.prints(file), "guest_init.modules=\"e1000e EEE=1; i915\"\n", "{file}");
    }
    assert_eq!(work.prints("sandbox.json --pod n/s"), work.prints("sandbox.json"));
    // A container's configuration has an image, and its annotations do not count.
    work.file("container.json", &format!("{{{metadata}, \"image\": {{\"image\": \"x\"}}, {annotations}}}"));
    assert!(work.fails("container.json").contains("no sandbox of crictl"));
    work.file("inside.json", &format!(r#"{{"metadata": {{"name": "s", {annotations}}}, "linux": {{}}}}"#));
    let (_, warnings) = work.warns("inside.json");
    let place = "stands outside of the annotations at the top, where Kata does not read it";
    assert!(warnings[0].ends_with(place), "{warnings:?}");
}

#[test]
fn a_pod_gets_words_that_kata_does_not_cut() {
    let work = Work::new();
    work.pod("two.yaml", "a debug=1; b debug=1");
    let words = "guest_init.modules=a;b a.debug=1 b.debug=1";
    let advice = work.run("two.yaml");
    assert_eq!(advice.stdout, "guest_init.modules=\"a debug=1; b debug=1\"\n");
    assert_eq!(advice.stderr, format!("guest-image: warning: two.yaml: Pod p: {ADVICE}; there, write {words}\n"));
    let annotation = work.run("two.yaml --annotation");
    assert_eq!((annotation.stdout, annotation.stderr), (format!("{words}\n"), String::new()));
    assert_eq!(work.run("configuration-qemu-go.toml").stderr, "");
    let json: serde_json::Value = serde_json::from_str(&work.run("two.yaml --json").stdout).unwrap();
    assert_eq!(json["lists"][0]["annotation"], words);
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
    assert_eq!(first["warnings"].as_array().unwrap().len(), 2);
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

#[test]
fn the_entry_for_devices_is_written_as_it_stands() {
    let work = Work::new();
    work.configuration("devices.toml", r#"["@devices=pci,usb", "i915 x=1"]"#);
    let (word, warnings) = work.warns("devices.toml");
    assert_eq!(read(&word), ["@devices=pci,usb", "i915|x=1"]);
    assert_eq!(warnings, ["devices.toml: `@devices=pci,usb`: Kata's own agent does not know `@devices`"]);
    work.pod("pod.yaml", "@devices;i915");
    assert_eq!(read(&work.warns("pod.yaml").0), ["@devices", "i915|"]);
}
