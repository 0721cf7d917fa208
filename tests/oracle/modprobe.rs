//! guest-init, called as modprobe, has the output and the exit status of kmod's modprobe, byte for byte: for names of
//! whole kernels, and for configurations, options and mistakes of all kinds. `generated` makes up more calls.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use guest_init::resolve::tree::dep::module_of;

use crate::cases::matching;
use crate::kmod::{Call, Outcome, Programs, no_modules};
use crate::support::random::Random;
use crate::support::{Kernel, built};

/// How many of a kernel's modules, aliases, symbols and built-ins are looked up.
const SAMPLE: [usize; 4] = [250, 120, 40, 40];
const SEED: u64 = 20_260_911;

/// Every kind of line, for modules that all three kernels have.
const CONFIG: &str = r#"
options ext4 a=1 b="x y"
options	loop	max_part=7	  c
options fs-ext4 by_alias=1
options dummy numdummies=2
alias some-thing loop
alias many-* dummy
alias many-* ext4
alias many-* nosuch
alias dangling nosuch
blacklist xfs
blacklist dummy
softdep dummy pre: loop nosuch post: xfs
softdep loop pre: dummy
softdep nbd pre: fs-ext4 post: unix
install btrfs /bin/true
install isofs /bin/false --really
install udf echo $CMDLINE_OPTS | sh
install virtual-thing /bin/true
remove only-removed /bin/true
"#;
/// The kernel command line.
const LINE: &[u8] = br#"quiet loop.max_loop=3 "ext4.word=a b" modprobe.blacklist=vfat,nbd unix.x=1 root=/dev/vda"#;

/// Names that are in CONFIG, or that no kernel has.
const NAMES: [&str; 34] = [
    "ext4",
    "fs-ext4",
    "loop",
    "some-thing",
    "some_thing",
    "many-a",
    "many_b",
    "dangling",
    "xfs",
    "fs-xfs",
    "dummy",
    "rtnl-link-dummy",
    "nbd",
    "btrfs",
    "fs-btrfs",
    "isofs",
    "udf",
    "virtual-thing",
    "only-removed",
    "vfat",
    "fs-vfat",
    "unix",
    "net-pf-1",
    "nosuch",
    "no-such",
    "ext4.ko",
    "kernel/fs/ext4/ext4.ko",
    "/lib/x.ko",
    "./ext4",
    "a]",
    "a[b",
    "a[-]b",
    "",
    "two words",
];

/// Options before a name.
const OPTIONS: [&[&str]; 14] = [
    &["-D"],
    &["-R"],
    &["-qD"],
    &["-bD"],
    &["-iD"],
    &["--show-depends", "-b", "-i"],
    &["-nv"],
    &["-n"],
    &["-qRa"],
    &["-vRa"],
    &["--dry-run", "--verbose", "--first-time"],
    &["-q", "-n", "--"],
    &["-aD", "--"],
    &["-n", "-b", "-v"],
];

/// Whole calls: the arguments, and MODPROBE_OPTIONS.
const CALLS: [(&[&str], Option<&str>); 44] = [
    (&[], None),
    (&["-D"], None),
    (&["-q"], None),
    (&["--"], None),
    (&["-D", "--", "-x"], None),
    (&["-D", "-"], None),
    (&["-aD", "--", "--", "-q"], None),
    (&["-z", "ext4"], None),
    (&["-Dz", "ext4"], None),
    (&["-C"], None),
    (&["-D", "ext4", "-S"], None),
    (&["--config"], None),
    (&["--quiet=1", "ext4"], None),
    (&["--nosuch", "ext4"], None),
    (&["--nosuch=a", "ext4"], None),
    (&["--ver", "ext4"], None),
    (&["--s", "ext4"], None),
    (&["--re=1", "ext4"], None),
    (&["--", "nosuch", "-D"], None),
    (&["ext4", "-D", "data=1"], None),
    (&["-D", "ext4", "a=b c", "d=\"e f\"", "g='h i'", "j", "k l", "", "m=n=o p"], None),
    (&["-D", "many-x", "p=1"], None),
    (&["-D", "dummy", "p=1", "", "q=2"], None),
    (&["-D", "btrfs", "p=1"], None),
    (&["-aD", "ext4", "nosuch", "loop", "unix", "-x"], Some("-b")),
    (&["-a", "-n", "-v", "loop", "nosuch"], None),
    (&["-a", "-n", "-v", "nosuch", "loop"], None),
    (&["-a", "-q", "-n", "nosuch", "loop"], None),
    (&["-a", "-q", "-n", "loop", "loop"], None),
    (&["--show-d", "--ig", "--use", "fs-xfs"], None),
    (&["--sho", "ext4"], None),
    (&["--res", "net-pf-40"], None),
    (&["--dry", "--verb", "--al", "loop", "ext4"], None),
    (&["-Dv", "-q", "nosuch"], None),
    (&["-qvvvvvn", "loop"], None),
    (&["-qvvn", "nosuch"], None),
    (&["-qvvvn", "nosuch"], None),
    (&["--first-time", "-n", "unix"], None),
    (&["--first-time", "-n", "-q", "unix"], None),
    (&["--first-time", "-D", "unix"], None),
    (&["ext4"], Some("-D")),
    (&["-D", "ext4"], Some("-b  -i")),
    (&["loop"], Some("'-D' \"-b\"")),
    (&["loop"], Some("-'D'  -q")),
];

/// The calls of a test and their differences.
struct Comparison {
    programs: Programs,
    calls: usize,
    found: usize,
    differences: Vec<String>,
}

impl Comparison {
    fn new() -> Self {
        Self { programs: Programs::new(), calls: 0, found: 0, differences: Vec::new() }
    }

    fn call(&mut self, arguments: &[Vec<u8>], environment: Option<&str>) {
        let options = environment.map(Vec::from);
        let call = Call { arguments: arguments.to_vec(), options, ..Call::default() };
        let compared = self.programs.compare(&call, &[]);
        self.calls += 1;
        self.found += usize::from(compared.as_ref().is_ok_and(|agreed| agreed.outcome.status == Some(0)));
        if let Err(difference) = compared {
            let words: Vec<_> = arguments.iter().map(|word| word.escape_ascii().to_string()).collect();
            self.differences.push(format!("{words:?} {environment:?}\n{difference}"));
        }
    }

    fn verdict(self, what: &str) {
        let Self { calls, found, differences, .. } = self;
        assert!(differences.is_empty(), "{what}: {} of {calls}:\n{}", differences.len(), differences.join("\n"));
        assert!(found * 2 > calls, "{what}: only {found} of {calls} calls succeeded");
        eprintln!("as kmod's modprobe: {calls} calls, {what}");
    }
}

fn words(of: &[&str]) -> Vec<Vec<u8>> {
    of.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// The options that name a kernel's tree.
fn tree(kernel: &Kernel) -> Vec<Vec<u8>> {
    let directory = kernel.directory.as_os_str().as_bytes();
    vec![b"-d".to_vec(), directory.to_vec(), [b"-S", kernel.release.as_bytes()].concat()]
}

/// `count` of the lines or a few more, evenly spread.
fn spread(lines: Vec<Vec<u8>>, count: usize) -> Vec<Vec<u8>> {
    let step = (lines.len() / count).max(1);
    lines.into_iter().step_by(step).collect()
}

/// Names of modules, aliases, symbols and built-ins.
fn sample(kernel: &Kernel) -> Vec<Vec<u8>> {
    let lines = |file: &str| {
        let text = fs::read(kernel.modules().join(file)).expect("a file of the tree");
        let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        lines.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let first = |line: &Vec<u8>| module_of(line.split(|&b| b == b':').next().unwrap()).to_vec();
    let mut random = Random::new(SEED);
    let mut alias = |line: &Vec<u8>| matching(line.split(|&b| b == b' ').nth(1).unwrap(), &mut random);
    let [modules, aliases, symbols, builtins] = SAMPLE;
    let mut names: Vec<_> = spread(lines("modules.dep"), modules).iter().map(first).collect();
    names.extend(spread(lines("modules.alias"), aliases).iter().map(&mut alias));
    names.extend(spread(lines("modules.symbols"), symbols).iter().map(&mut alias));
    names.extend(spread(lines("modules.builtin"), builtins).iter().map(first));
    // In the plans of these, some modules have several steps.
    names.extend(words(&["t10-pi", "kvmgt", "qla2xxx", "iscsi_tcp"]));
    names
}

fn kernel(version: &str) {
    let kernel = Kernel::version(version);
    let names = sample(&kernel);
    no_modules(|sandbox| {
        sandbox.set_command_line(LINE);
        let mut comparison = Comparison::new();
        let call = |options: &[&str], names: &[Vec<u8>]| [tree(&kernel), words(options), names.to_vec()].concat();
        for (number, name) in names.iter().enumerate() {
            comparison.call(&call(&["-C", "/nonexistent", "-D"], std::slice::from_ref(name)), None);
            let options = OPTIONS[number % OPTIONS.len()];
            comparison.call(&call(options, std::slice::from_ref(name)), None);
        }
        for names in names.chunks(25) {
            comparison.call(&call(&["-aD"], names), None);
        }
        comparison.verdict(&format!("{} names of Linux {}", names.len(), kernel.release));
    });
}

#[test]
fn names_of_linux_6_1_print_what_kmods_modprobe_prints() {
    kernel("6.1");
}

#[test]
fn names_of_linux_6_12_print_what_kmods_modprobe_prints() {
    kernel("6.12");
}

#[test]
fn names_of_linux_7_2_print_what_kmods_modprobe_prints() {
    kernel("7.2");
}

#[test]
fn configurations_and_options_print_what_kmods_modprobe_prints() {
    let kernels = ["6.1", "6.12", "7.2"].map(Kernel::version);
    no_modules(|sandbox| {
        sandbox.set_command_line(LINE);
        let directory = sandbox.directory();
        let other = sandbox.directory();
        fs::write(directory.path().join("some.conf"), CONFIG).expect("a configuration file");
        fs::write(directory.path().join("ignored.txt"), "options ext4 never=1\n").expect("a file");
        fs::write(other.path().join("some.conf"), "options loop hidden=1\n").expect("a configuration file");
        fs::write(other.path().join("single"), "options loop single=1\n").expect("a configuration file");
        let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let config = [path(directory.path()), path(other.path()), path(&other.path().join("single"))];
        let config: Vec<_> = config.into_iter().flat_map(|path| [b"-C".to_vec(), path]).collect();
        let mut comparison = Comparison::new();
        for kernel in &kernels {
            let before = [tree(kernel), config.clone()].concat();
            for options in OPTIONS {
                for name in NAMES {
                    comparison.call(&[&before[..], &words(options), &words(&[name])].concat(), None);
                }
            }
            for (call, environment) in CALLS {
                comparison.call(&[&before[..], &words(call)].concat(), environment);
            }
        }
        comparison.verdict("with a configuration");
    });
}

#[test]
fn a_damaged_index_is_reported_once_and_passed_over() {
    no_modules(|sandbox| {
        let directory = sandbox.directory();
        let tree = directory.path().join("lib/modules/1.0");
        fs::create_dir_all(&tree).expect("a directory");
        fs::write(tree.join("modules.dep"), "a.ko:\n").expect("an index");
        fs::write(tree.join("modules.alias.bin"), "this is no index").expect("an index");
        let mut command = Command::new(built().join("guest-init"));
        command.arg0("/sbin/modprobe").arg("-d").arg(directory.path()).args(["-S1.0", "-aD", "nosuch", "a", "other"]);
        let output = command.output().expect("it starts");
        let tree = tree.display();
        let damage = "plan modules.alias.bin: EBADMSG: at offset 0x0: no index file of depmod: wrong magic number";
        let unknown = |name: &str| format!("modprobe: WARNING: Module {name} not found in directory {tree}\n");
        let stderr = format!("modprobe: ERROR: {damage}\n{}{}", unknown("nosuch"), unknown("other"));
        assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("insmod {tree}/a.ko \n"));
    });
}

#[test]
fn missing_trees_print_what_kmods_modprobe_prints() {
    no_modules(|sandbox| {
        sandbox.set_command_line(LINE);
        let directory = sandbox.directory();
        let root = directory.path().to_str().expect("a path in UTF-8");
        fs::create_dir_all(directory.path().join("lib/modules/1.0")).expect("a directory");
        let mut comparison = Comparison::new();
        for tree in [&["-d", root, "-S1.0"][..], &["-d", root], &["--dirname=/", "-S", "9"], &["-S9"], &["-d", "x"]] {
            for call in [&["-D", "ext4"][..], &["-R", "ext4"], &["-qn", "ext4"], &["-an", "a", "b"], &["-n", "x", "y"]]
            {
                comparison.call(&[words(tree), words(call)].concat(), None);
            }
        }
        assert_eq!(comparison.found, 0);
        comparison.found = comparison.calls;
        comparison.verdict("without a module tree");
    });
}

#[test]
fn options_that_only_kmod_has_are_refused_by_name() {
    no_modules(|_| {
        let programs = Programs::new();
        let ours = |call: &[&str]| programs.ours(&Call { arguments: words(call), ..Call::default() });
        let refused = |option: &str, name: &str| {
            let stderr = format!("modprobe: ERROR: --{name} is not supported: guest-init only loads modules.\n").into();
            assert_eq!(ours(&[option, "x"]), Outcome { status: Some(1), stdout: Vec::new(), stderr });
        };
        for (option, name) in [("-r", "remove"), ("-w9", "wait"), ("-f", "force"), ("-c", "showconfig")] {
            refused(option, name);
            refused(&format!("--{name}{}", if name == "wait" { "=9" } else { "" }), name);
        }
        for name in ["remove-dependencies", "force-modversion", "force-vermagic", "show-modversions", "show-exports"] {
            refused(&format!("--{name}"), name);
        }
        let version = ours(&["-V"]);
        assert!(version.status == Some(0) && version.stdout.starts_with(b"guest-init ") && version.stderr.is_empty());
        let help = ours(&["--help"]);
        assert!(help.status == Some(0) && help.stdout.starts_with(b"Usage:\n\tmodprobe") && help.stderr.is_empty());
    });
}
