//! What a person sees while the stack comes up: one bar for each step in progress, one line for each finished one.
//! Where stdout is no terminal the bars become plain lines.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the command line's output"
)]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The terminal.
#[derive(Clone, Debug)]
pub struct Ui {
    bars: Option<MultiProgress>,
    quiet: bool,
}

impl Ui {
    /// Bars on a terminal, lines elsewhere.
    pub fn new() -> Self {
        Self {
            bars: std::io::stdout().is_terminal().then(MultiProgress::new),
            quiet: false,
        }
    }

    /// Nothing at all: for parts that a test starts.
    pub fn quiet() -> Self {
        Self {
            bars: None,
            quiet: true,
        }
    }

    /// Prints a line above the bars.
    pub fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                if bars.println(text).is_err() {
                    println!("{text}");
                }
            }
            None if self.quiet => {}
            None => println!("{text}"),
        }
    }

    /// Runs one step: a bar while it lasts, then a line with its result and how long it took.
    pub async fn step<T>(&self, name: &str, work: impl AsyncFnOnce(&Step) -> Result<T>) -> Result<T> {
        let step = Step::begin(self.clone(), name);
        let result = work(&step).await;
        step.end(result.as_ref().err());
        result
    }

    /// A bar that fills up to `length`, for a thing that is waited for; None where stdout is no terminal.
    pub fn gauge(&self, name: &str, length: u64) -> Option<ProgressBar> {
        let bar = self.bars.as_ref()?.add(ProgressBar::new(length));
        let style = ProgressStyle::with_template("  {prefix:24} [{bar:12.green}] {wide_msg} {elapsed:>5}");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸ "),
        );
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Some(bar)
    }
}

impl Default for Ui {
    fn default() -> Self {
        Self::new()
    }
}

/// One step in progress.
#[derive(Debug)]
pub struct Step {
    ui: Ui,
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
    result: std::sync::Mutex<String>,
}

impl Step {
    fn begin(ui: Ui, name: &str) -> Self {
        let bar = ui.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix:24} {wide_msg} {elapsed:>5}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self {
            ui,
            name: name.to_owned(),
            bar,
            started: Instant::now(),
            result: std::sync::Mutex::default(),
        }
    }

    /// What is happening now.
    pub fn says(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None if self.ui.quiet => {}
            None => println!("· {:24} {what}", self.name),
        }
    }

    /// What the finished line shall say.
    pub fn result(&self, what: impl Into<String>) {
        if let Ok(mut result) = self.result.lock() {
            *result = what.into();
        }
    }

    fn end(&self, error: Option<&anyhow::Error>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (mark, text) = match error {
            None => ("✓", self.result.lock().map(|text| text.clone()).unwrap_or_default()),
            Some(error) => ("✗", error.to_string()),
        };
        self.ui.line(&format!(
            "{mark} {:24} {text:52} {:>7.1} s",
            self.name,
            self.started.elapsed().as_secs_f32()
        ));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // A step that another one's failure cut off has no line of its own; its bar must go all the same.
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Prints a result on stdout.
pub fn print(text: &str) {
    println!("{text}");
}

/// Prints an error on stderr.
pub fn print_error(text: &str) {
    eprintln!("{text}");
}

/// Waits for Ctrl-C.
pub async fn interrupted() {
    // Where there is none, there is nothing to wait for.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
