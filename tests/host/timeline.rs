//! guest-image timeline: logs of VMs that were booted, their tables and pictures, and logs that are hostile.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use roxmltree::{Document, Node};
use serde_json::Value;

/// Consoles of VMs with guest_init.log=debug, of which only the lines of guest-init and some of the kernel's
/// are left: one job, two jobs, a module that fails, a deadline, and a list on a share. Beside each is its table.
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/timeline");

fn log(name: &str) -> String {
    fs::read_to_string(PathBuf::from(LOGS).join(name)).unwrap()
}

/// Runs `guest-image timeline` with this input in the folder of logs.
fn timeline(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    command.arg("timeline").args(arguments).current_dir(LOGS);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A log that is not read closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn json(arguments: &[&str], input: &str) -> Value {
    let (_, stdout, _) = timeline(&[arguments, &["--json"]].concat(), input.as_bytes());
    serde_json::from_str(&stdout).unwrap()
}

/// The table of a log on standard input.
fn table(input: &str) -> String {
    let (status, stdout, stderr) = timeline(&["-"], input.as_bytes());
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    stdout
}

#[test]
fn each_log_has_its_table() {
    for name in ["jobs-1", "jobs-2", "failure", "deadline", "share"] {
        let (status, stdout, stderr) = timeline(&[&format!("{name}.log")], b"");
        assert_eq!((status, stderr.as_str()), (0, ""));
        assert_eq!(stdout, log(&format!("{name}.txt")), "{name}");
    }
}

#[test]
fn a_log_has_the_same_table_whatever_is_put_around_its_lines() {
    let plain = log("jobs-1.log");
    let around = |line: &dyn Fn(&str) -> String| plain.lines().map(line).collect::<String>();
    let expected = log("jobs-1.txt").replace("jobs-1.log", "standard input");
    assert_eq!(table(&plain), expected);
    assert_eq!(table(&plain.replace('\n', "\r\n")), expected);
    assert_eq!(table(&around(&|line| line.replacen("] ", "][    T1] ", 1) + "\n")), expected);
    assert_eq!(table(&around(&|line| format!("user  :info  : {line}\n"))), expected);
    let collected =
        |line: &str| format!("time=\"2026\" level=debug vmconsole=\"{}\\r\" sandbox=x\n", line.replace('"', "\\\""));
    assert_eq!(table(&around(&collected)), expected);
}

#[test]
fn of_several_boots_the_last_is_shown() {
    let shown = |boots: &[&str]| table(&boots.iter().map(|name| log(name)).collect::<String>());
    let expected = log("jobs-1.txt").replace("jobs-1.log:", "standard input, boot 3:");
    assert_eq!(shown(&["share.log", "deadline.log", "jobs-1.log"]), expected);
    // Without the kernel's lines, a time that is earlier than the end of a boot begins the next.
    let own = log("jobs-1.log").lines().filter(|line| line.contains("guest-init: ")).collect::<Vec<_>>().join("\n");
    assert!(table(&format!("{own}\n{own}\n")).starts_with("standard input, boot 2: guest-init to /sbin/agent\n"));
}

#[test]
fn json_has_the_values_of_the_table() {
    let logs = json(&["jobs-2.log", "deadline.log"], "");
    let (first, second) = (&logs[0], &logs[1]);
    assert_eq!(
        (&first["log"], &first["boot"], &first["agent"]),
        (&"jobs-2.log".into(), &1.into(), &"/sbin/agent".into())
    );
    assert_eq!(
        (&first["init_us"], &first["end_us"], &first["failure"]),
        (&5_308_431.into(), &9_235_961.into(), &Value::Null)
    );
    let planning = serde_json::json!({ "name": "planning", "start_us": 5_348_787, "took_us": 24_527 });
    assert_eq!(first["phases"][2], planning);
    let drm = serde_json::json!({
        "module": "drm", "action": "insmod", "start_us": 5_479_054, "took_us": 394_828, "thread": 1, "outcome": "done",
        "critical": false, "slowest": false,
    });
    assert_eq!(first["steps"][2], drm);
    assert_eq!(second["failure"], "deadline of 2 s: ETIMEDOUT: passed while loading i915 (code 0x60)");
    let last = second["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["outcome"], &last["thread"], &last["took_us"]),
        (&"unfinished".into(), &Value::Null, &884_908.into())
    );
}

#[test]
fn a_step_in_which_the_vm_died_without_a_word_is_unfinished_up_to_the_last_line() {
    let log = log("deadline.log");
    let (cut, _) = log.split_once("[    7.869321] guest-init: failed").unwrap();
    let table = table(&format!("{cut}[    7.500000] BUG: unable to handle page fault\n[    7.5"));
    assert!(table.contains(" to the end of the log\n"), "{table}");
    assert!(table.ends_with(" 6984.413  515.587       -  i915                unfinished, critical\n"), "{table}");
    // If the boot went on, only the line of the end is lost.
    let lost = table_without_i915s_end();
    assert!(lost.contains(" 6290.478        -       -  i915                end not in the log\n"), "{lost}");
}

/// The table of a boot whose log lacks the end of the last step.
fn table_without_i915s_end() -> String {
    let log = log("jobs-1.log");
    let lines = log.lines().filter(|line| !line.contains("i915: done"));
    table(&lines.map(|line| line.to_string() + "\n").collect::<String>())
}

#[test]
fn a_log_without_lines_of_level_debug_is_shown_as_far_as_it_goes() {
    let (status, stdout, stderr) = timeline(&["../console/healthy.log"], b"");
    assert_eq!(status, 1);
    let phases = " start ms   time ms  phase\n    0.000  2376.337  kernel\n 2376.337    48.407  guest-init\n";
    let summary = "../console/healthy.log: kernel 2376.337 ms, guest-init 48.407 ms to its last line";
    let expected = format!("{summary}\n\n{phases}");
    assert_eq!(stdout, expected);
    assert!(stderr.contains("boot with guest_init.log=debug"), "{stderr}");
    let (status, stdout, stderr) = timeline(&["-"], b"agent: ready\n");
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("guest-image: warning: standard input: no line of guest-init"), "{stderr}");
    let (status, stdout, stderr) = timeline(&["jobs-1.log", "absent.log"], b"");
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("guest-image: absent.log: No such file or directory"), "{stderr}");
}

#[test]
fn without_times_of_lines_the_modules_still_have_theirs() {
    let log = log("jobs-1.log");
    let lines = log.lines().map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest).to_string() + "\n");
    let (status, stdout, stderr) = timeline(&["-"], lines.collect::<String>().as_bytes());
    assert_eq!(status, 0);
    assert!(stderr.ends_with("printk.time=1\n"), "{stderr}");
    assert!(stdout.contains("        -   283.512       0  e1000e\n"), "{stdout}");
    assert!(stdout.contains("        -  1961.127       0  i915                slowest\n"), "{stdout}");
}

/// A picture's bars: the class, the tooltip, the left end and the width.
fn bars<'p>(picture: &'p Document<'_>) -> Vec<(&'p str, &'p str, f64, f64)> {
    let number = |node: &Node<'p, '_>, name| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let bars = picture.descendants().filter(|node| node.has_tag_name("rect")).map(|node| {
        let tooltip = node.first_element_child().unwrap().text().unwrap().trim();
        (node.attribute("class").unwrap(), tooltip, number(&node, "x"), number(&node, "width"))
    });
    bars.collect()
}

#[test]
fn the_bars_of_a_picture_are_to_one_scale() {
    let (status, svg, _) = timeline(&["jobs-1.log", "jobs-2.log", "--svg"], b"");
    assert_eq!(status, 0);
    let picture = Document::parse(&svg).expect("XML");
    // All of guest-init's time on two threads is the whole width.
    let scale = 740.0 / (9235.961 - 5308.431);
    let mut init = f64::NAN;
    for (class, tooltip, left, width) in bars(&picture) {
        let (_, times) = tooltip.rsplit_once(": ").unwrap();
        let (took, start) = times.split_once(" ms, from ").unwrap();
        let [took, start] = [took, start.strip_suffix(" ms on").unwrap()].map(|number| number.parse::<f64>().unwrap());
        // The first phase of a log starts with PID 1.
        init = if tooltip.starts_with("mounts") { start } else { init };
        assert!((width - (took * scale).max(0.5)).abs() < 0.006, "{class} {tooltip}: {width}");
        assert!((left - 70.0 - (start - init) * scale).abs() < 0.006, "{class} {tooltip}: {left}");
    }
}

#[test]
fn a_picture_has_every_step_and_marks_the_slowest_and_the_critical_path() {
    let (_, svg, _) = timeline(&["jobs-2.log", "--svg"], b"");
    let picture = Document::parse(&svg).expect("XML");
    let with = |class: &str| {
        let bars = bars(&picture).into_iter().filter(|(classes, ..)| classes.split(' ').any(|one| one == class));
        let mut names: Vec<_> = bars.map(|(_, tooltip, ..)| tooltip.split(':').next().unwrap().to_string()).collect();
        names.sort();
        names
    };
    let steps = json(&["jobs-2.log"], "")[0]["steps"].clone();
    let expected = |mark: &str| {
        let marked = steps.as_array().unwrap().iter().filter(|step| mark.is_empty() || step[mark] == true);
        let mut names: Vec<_> = marked.map(|step| step["module"].as_str().unwrap().to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(
        (with("step"), with("critical"), with("slowest")),
        (expected(""), expected("critical"), vec!["i915".into()])
    );
    let texts: Vec<_> = picture
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .map(|node| node.text().unwrap().trim())
        .collect();
    assert!(["phases", "thread 0", "thread 1", "i915", "drm"].iter().all(|text| texts.contains(text)), "{texts:?}");
    assert!(
        texts.iter().any(|text| text.starts_with("slowest: i915 2973.746 ms, e1000e 582.502 ms, drm")),
        "{texts:?}"
    );
}

#[test]
fn the_picture_of_a_failed_boot_shows_the_failure() {
    let (_, svg, _) = timeline(&["failure.log", "deadline.log", "--svg"], b"");
    let picture = Document::parse(&svg).expect("XML");
    let failures: Vec<_> = picture.descendants().filter(|node| node.attribute("class") == Some("failure")).collect();
    let tags: Vec<_> = failures.iter().map(|node| node.tag_name().name()).collect();
    assert_eq!(tags, ["line", "text", "line", "text"]);
    assert_eq!(
        failures[3].text().unwrap().trim(),
        "failed: deadline of 2 s: ETIMEDOUT: passed while loading i915 (code 0x60)"
    );
    let bars = bars(&picture);
    let class = |name: &str| bars.iter().find(|(_, tooltip, ..)| tooltip.starts_with(name)).unwrap().0;
    assert_eq!((class("kvm_intel: "), class("i915: ")), ("step failed", "step critical unfinished slowest"));
}

/// Asserts that a log is shown in every form in bounded time, and that nothing of it reaches the terminal or the XML
/// unescaped. Returns the table.
fn survives(log: &[u8]) -> String {
    let start = Instant::now();
    let (_, table, stderr) = timeline(&["-"], log);
    for text in [&table, &stderr] {
        assert!(text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{text:?}");
    }
    let (_, svg, _) = timeline(&["-", "--svg"], log);
    assert!(svg.is_empty() || Document::parse(&svg).is_ok(), "{svg}");
    let (_, json, _) = timeline(&["-", "--json"], log);
    assert!(serde_json::from_str::<Value>(&json).is_ok());
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    table
}

#[test]
fn a_hostile_log_neither_breaks_the_table_nor_the_picture() {
    let most = u64::MAX;
    let lines: [&[&str]; 7] = [
        &[
            &format!("[{most}.999999] R a: done in {most} us by thread 0"),
            "[    1.000000] R b: done in 9 us by thread 63",
        ],
        &["[18446744073709.551615] R a: done in 1 us by thread 0", &format!("R b: done in {most} us by thread 1")],
        &["[    9.000000] R activity: x", "[    1.000000] R insmod a", "[    0.500000] R a: done in 9 us by thread 0"],
        &["[    1.000000] R insmod <b>&\"'\u{1b}[31m\u{0}\u{85}.ko", "[    2.000000] R activity: ]]><script>\u{7}"],
        &["[    1.000000] R failed: \u{1b}]0;x\u{7}<&> (exit 0x42)", "[    0.100000] R executing \u{1b}[2J"],
        &["[    1.000000] R insmod", "[    1.000000] R insmod ", "R : done in 1 us by thread 0"],
        &["[    1.000000] Run / as init process", "[    0.500000] Run / as init process"],
    ];
    let logs = lines.map(|lines| lines.join("\n").replace(" R ", " guest-init: ").replace("\nR ", "\nguest-init: "));
    for log in logs {
        assert!(!survives(log.as_bytes()).is_empty(), "{log}");
    }
    survives(b"[    1.000000] guest-init: activity: \xff\xfe\n[    1.0");
    survives(b"");
    // Every piece of a real log.
    let whole = log("failure.log");
    for end in (0..whole.len()).step_by(97).filter(|end| whole.is_char_boundary(*end)) {
        survives(&whole.as_bytes()[end / 2..end]);
    }
}

#[test]
fn a_hundred_thousand_modules_take_bounded_time() {
    let step = |number: u64| {
        let (seconds, micros) = (number / 1000, number % 1000 * 1000);
        let (begin, end) = (format!("insmod k/m{number}.ko"), format!("m{}: done in", number / 2));
        let (took, thread) = (number * 7919 % 1_000_000, number % 64);
        let record = format!("[{seconds:5}.{micros:06}] guest-init:");
        format!("{record} {begin}\n{record} {end} {took} us by thread {thread}\n")
    };
    let table = survives((0..100_000).map(step).collect::<String>().as_bytes());
    assert!(table.lines().count() > 100_000);
    // More than are kept are counted.
    let many = "[    1.000000] guest-init: insmod k/a.ko\n".repeat(140_000);
    let (status, _, stderr) = timeline(&["-", "--svg"], many.as_bytes());
    assert_eq!(status, 0);
    assert!(stderr.contains("more than 131072 modules: 8928 lines are left out"), "{stderr}");
}
