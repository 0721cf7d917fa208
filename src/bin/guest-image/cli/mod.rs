//! How a command talks to the shell: exit status, standard output, standard error, a progress bar.

pub mod exit;
pub mod progress;
pub mod stderr;
pub mod stdout;
