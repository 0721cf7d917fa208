//! What `modprobe --help` prints: the options that guest-init knows.

/// The text, with its last newline.
pub(super) const HELP: &str = "Usage:
\tmodprobe [options] [--] NAME [PARAMETER...]
\tmodprobe [options] -a [--] NAME...
Options:
\t-a, --all              every operand is a name
\t-R, --resolve-alias    only look names up and print what they mean
\t-D, --show-depends     only print what would be done, loaded or not
\t-n, --dry-run, --show  do nothing; with -v, print what would be done
\t-b, --use-blacklist    the blacklist counts for names as well
\t-i, --ignore-install   pass over the module's own install command
\t    --first-time       fail if the module is there already
\t-C, --config=PATH      configuration in place of modprobe.d
\t-d, --dirname=DIR      where /lib/modules begins
\t-S, --set-version=REL  the kernel's release
\t-q, --quiet            say nothing
\t-v, --verbose          print what is done
\t-s, --syslog           messages go to the kernel log
\t-V, --version  -h, --help
";
