//! How far a long load is: one line on standard error, if that is a terminal and the load takes
//! longer than a second.

use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A load that takes no longer shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts what one load reads.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    stage: Mutex<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not taken long yet.
    Waiting,
    Shown,
    /// The load is over, or there is no terminal.
    Over,
}

impl Progress {
    /// Starts to count. `total` is the length of all files in octets; compressed ones give more.
    pub fn new(total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = "loading {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let stage = if stderr().is_terminal() { Stage::Waiting } else { Stage::Over };
        Self { bar, started: Instant::now(), stage: Mutex::new(stage) }
    }

    /// More octets were read.
    pub fn advance(&self, octets: u64) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::Over {
            return;
        }
        if *stage == Stage::Waiting && self.started.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            *stage = Stage::Shown;
        }
        self.bar.inc(octets);
        if self.bar.length().is_some_and(|length| self.bar.position() > length) {
            self.bar.set_length(self.bar.position());
        }
    }

    /// The load is over: the line is cleared, and nothing is counted any more.
    pub fn finish(&self) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Stage::Over;
        self.bar.finish_and_clear();
    }
}
