//! A progress bar on standard error. It appears on a terminal only, and only if the work takes longer than a second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long the bar stays hidden.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bar that is on the terminal. There is one at most.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The progress of some work.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// A hidden bar at 0 of `bytes`.
    pub fn of_bytes(bytes: u64) -> Self {
        Self::new(bytes, "{wide_bar} {bytes} of {total_bytes}")
    }

    /// A hidden bar at 0 of `count` things, such as `modules`.
    pub fn of(count: usize, things: &str) -> Self {
        Self::new(count as u64, &format!("{{wide_bar}} {{pos}} of {{len}} {things}"))
    }

    fn new(length: u64, template: &str) -> Self {
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        Self { bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())), start: Instant::now() }
    }

    /// Advances, and shows the bar after [`PATIENCE`]. If the work is part of other work whose bar is shown, that bar
    /// stays alone.
    pub fn advance(&self, by: u64) {
        if self.bar.is_hidden() && self.start.elapsed() > PATIENCE {
            let mut shown = shown();
            if shown.is_none() {
                // indicatif draws nothing if standard error is not a terminal.
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
                *shown = Some(self.bar.clone());
            }
        }
        self.bar.inc(by);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.bar.is_hidden() {
            *shown() = None;
        }
        self.bar.finish_and_clear();
    }
}

/// Prints something while no bar is on the terminal.
pub fn apart<R>(print: impl FnOnce() -> R) -> R {
    match shown().as_ref() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
