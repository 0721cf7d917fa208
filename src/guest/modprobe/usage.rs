//! The text of `modprobe --help`.

/// The text, with its last newline.
pub(super) const HELP: &str = "Usage:
\tmodprobe [options] [--] NAME [PARAMETER...]
\tmodprobe [options] -a [--] NAME...
Options:
\t-a, --all              every operand is a name
\t-R, --resolve-alias    only print the modules that the names mean
\t-D, --show-depends     only print what would be done, loaded or not
\t-n, --dry-run, --show  do nothing; with -v, print what would be done
\t-b, --use-blacklist    the blacklist counts for names as well
\t-i, --ignore-install   ignore the module's own install command
\t    --first-time       fail if the module is loaded already
\t-C, --config=PATH      configuration instead of modprobe.d
\t-d, --dirname=DIR      the directory that has lib/modules
\t-S, --set-version=REL  the kernel's release
\t-q, --quiet            print no messages
\t-v, --verbose          print what is done
\t-s, --syslog           messages go to the kernel log
\t-V, --version  -h, --help
";
