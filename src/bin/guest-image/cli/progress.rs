//! A progress bar on standard error. It appears on a terminal only, and only if the work takes longer than a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long the bar stays hidden.
const PATIENCE: Duration = Duration::from_secs(1);

/// The progress of some work, in bytes.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// A hidden bar at 0 of `bytes`.
    pub fn new(bytes: u64) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}");
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        Self { bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())), start: Instant::now() }
    }

    /// Advances by `bytes`, and shows the bar after [`PATIENCE`].
    pub fn advance(&self, bytes: u64) {
        if self.bar.is_hidden() && self.start.elapsed() > PATIENCE {
            // indicatif draws nothing if standard error is not a terminal.
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
