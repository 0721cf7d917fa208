//! Lists and files with mistakes, and lists that Kata or a command line can't carry as they are.

use std::fs;

use guest_init::request::list;

use super::{Outcome, Work, read, shown};

#[test]
fn a_list_that_has_no_words_without_blanks_is_reported() {
    let work = Work::new();
    work.pod("optional.yaml", "?a debug=1");
    let Outcome { status, stdout, stderr } = work.run("optional.yaml");
    assert_eq!((status, stdout.as_str()), (0, "guest_init.modules=\"?a debug=1\"\n"));
    assert!(stderr.contains("`?` does not cover parameters outside of the list") && stderr.contains("strict=1"));
    assert!(work.fails("optional.yaml --annotation").contains("`?` does not cover"));
    let params = "io.katacontainers.config.hypervisor.kernel_params";
    let own = format!("kind: Pod\nmetadata:\n  name: p\n  annotations:\n    {params}: 'x=\"a b\"'\n");
    work.file("own.yaml", &own);
    let (_, warnings) = work.warns("own.yaml");
    assert!(warnings[0].contains("Kata cuts `x=\"a b\"` at its blanks"), "{warnings:?}");
}

#[test]
fn an_annotation_that_kata_refuses_or_puts_in_place_of_other_words_is_reported() {
    let work = Work::new();
    work.pod("pod.yaml", "a");
    let hypervisor = "[hypervisor.qemu]\nkernel_params = \"rdinit=/sbin/guest-init\"\n[agent.kata]\n";
    work.file("own.toml", hypervisor);
    assert_eq!(work.prints("own.toml pod.yaml"), "guest_init.modules=a\n");
    work.file("narrow.toml", "[hypervisor.qemu]\nenable_annotations = [\"enable_iommu\"]\n[agent.kata]\n");
    let refused =
        "enable_annotations lacks kernel_params, so Kata refuses io.katacontainers.config.hypervisor.kernel_params";
    assert_eq!(work.warns("narrow.toml pod.yaml").1, [format!("pod.yaml: Pod p: narrow.toml: {refused}")]);
    for patterns in ["\"kernel_params\"", "\".*\"", "\"enable_iommu\", \"kernel_params\""] {
        work.file("wide.toml", &format!("[hypervisor.qemu]\nenable_annotations = [{patterns}]\n[agent.kata]\n"));
        assert_eq!(work.prints("wide.toml pod.yaml"), "guest_init.modules=a\n", "{patterns}");
    }
    let (_, warnings) = work.warns("own.toml pod.yaml --runtime rust");
    assert!(warnings[0].ends_with("the configuration's kernel_params: repeat their words in it"), "{warnings:?}");
}

#[test]
fn a_list_that_katas_own_agent_would_not_get_is_reported() {
    let work = Work::new();
    work.configuration("remote.toml", r#"["a"]"#);
    work.file("remote.toml", "[hypervisor.remote]\n[agent.kata]\nkernel_modules = [\"a\"]\n");
    let (printed, warnings) = work.warns("remote.toml");
    assert_eq!(printed, "guest_init.modules=a\n");
    assert!(warnings[0].contains("Kata's Go runtime does not send kernel_modules"), "{warnings:?}");
    assert!(work.warns("remote.toml --runtime rust").1.is_empty());
    work.file(
        "lines.yaml",
        "kind: Pod\nmetadata:\n  name: p\n  annotations:\n    io.katacontainers.config.agent.kernel_modules: |\n      \
         a x=1\n      b\n",
    );
    let (printed, warnings) = work.warns("lines.yaml");
    assert_eq!(printed, "guest_init.modules=\"a x=1 b\"\n");
    assert!(warnings[0].contains("a newline does not end an entry"), "{warnings:?}");
}

#[test]
fn a_list_in_the_wrong_table_is_reported() {
    let work = Work::new();
    let list = "kernel_modules = [\"a\"]";
    work.file("hypervisor.toml", &format!("[hypervisor.qemu]\n{list}\n[agent.kata]\n"));
    work.file("top.toml", &format!("{list}\n[agent.kata]\n"));
    work.file("other.toml", &format!("[agent.mine]\n{list}\n"));
    work.file("deep.toml", &format!("[agent.kata.mem_agent]\n{list}\n"));
    work.file("spelling.toml", "[agent.kata]\nkernel-module = [\"a\"]\n");
    let belongs = "where Kata ignores it; it belongs in [agent.kata]";
    for (file, warning) in [
        ("hypervisor.toml", format!("hypervisor.toml:2: kernel_modules is in [hypervisor.qemu], {belongs}")),
        ("top.toml", format!("top.toml:1: kernel_modules is in no table, {belongs}")),
        ("other.toml", "other.toml: kernel_modules is in [agent.mine]; the agent is [agent.kata]".into()),
        ("deep.toml", format!("deep.toml:2: kernel_modules is in [agent.kata.mem_agent], {belongs}")),
        (
            "spelling.toml",
            "spelling.toml:2: Kata ignores `kernel-module`; its key is kernel_modules, in [agent.kata]".into(),
        ),
    ] {
        let nothing = format!("{file}: no kernel modules are asked for");
        assert_eq!(work.warns(file), (String::new(), vec![warning, nothing]));
    }
    work.file("agent.toml", &format!("[agent]\n{list}\n"));
    assert_eq!(work.fails("agent.toml"), "agent.toml:2: kernel_modules is in [agent]; it belongs in [agent.kata]\n");
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
    work.configuration("entries.toml", r##"["a; b", "#c", "[d", "e \"x", "-q", "a/b", "f, g", "", " "]"##);
    assert_eq!(
        work.fails("entries.toml"),
        "read entries.toml `a; b`: EINVAL: `;` ends an entry of guest-init's lists, but not of Kata's arrays; quote the value \
         that contains it\n\
         read entries.toml `#c`: EINVAL: a name begins with a letter, a digit or `_`\n\
         read entries.toml `[d`: EINVAL: a name begins with a letter, a digit or `_`\n\
         read entries.toml `e \"x`: EINVAL: a quote is not closed; an annotation's entries end at every `;`, also inside quotes\n\
         read entries.toml `-q`: EINVAL: a name begins with a letter, a digit or `_`\n\
         read entries.toml `a/b`: EINVAL: a name holds no `/`\n\
         read entries.toml `f, g`: EINVAL: no module's name holds a comma; `;` ends an entry in an annotation, and in an \
         array each entry is a string\n"
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
    std::os::unix::fs::symlink("opt/absent.toml", work.path("link.toml")).unwrap();
    fs::write(work.path("utf-16.toml"), b"\xff\xfe[\0").unwrap();
    work.configuration("string.toml", "\"a; b\"");
    let no_pod = "no pod, no template of pods, no sandbox of crictl, and not an OCI bundle's config.json";
    let example = "kernel_modules = [\"e1000e EEE=1\", \"i915\"]";
    let brace = "unclosed bracket '{': `metadata: {name: x`";
    let end = "the file ends before a bracket or a quote is closed";
    let number = "io.katacontainers.config.agent.kernel_modules is 8250, and not a string: quote it";
    for (arguments, reason) in [
        ("type.toml", &*format!("type.toml:4: an integer among the strings of kernel_modules: {example}")),
        ("string.toml", &format!("string.toml:2: kernel_modules is a string, and not an array of strings: {example}")),
        ("syntax.toml", "syntax.toml:2: not valid TOML: unclosed array, expected `]`: `kernel_modules = [`"),
        ("agent.toml", "agent.toml: [runtime] asks for the agent \"x\", and there is no [agent.x]"),
        ("syntax.yaml", &format!("syntax.yaml:2: not valid YAML: {brace}")),
        ("syntax.json", &format!("syntax.json:2: not valid JSON: {end}")),
        ("number.yaml", &format!("number.yaml: Pod x: {number}")),
        ("service.yaml", &format!("service.yaml: {no_pod}")),
        ("empty.yaml", &format!("empty.yaml: {no_pod}")),
        ("absent.yaml", "absent.yaml: No such file or directory (os error 2)"),
        ("link.toml", "link.toml, a link to opt/absent.toml: No such file or directory (os error 2)"),
        ("/dev/zero", "/dev/zero: more than 16 MiB"),
        ("utf-16.toml", "utf-16.toml: not a text in UTF-8"),
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
