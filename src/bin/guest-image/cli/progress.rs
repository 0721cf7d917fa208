//! A bar on a terminal, for what takes longer than a second; anywhere else, and for what is quick, nothing at all.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far a piece of work is, in bytes.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// At 0 of `bytes`.
    pub fn new(bytes: u64) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}");
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        Self { bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())), start: Instant::now() }
    }

    /// So many more.
    pub fn advance(&self, bytes: u64) {
        if self.bar.is_hidden() && self.start.elapsed() > PATIENCE {
            // Hidden it stays where standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
