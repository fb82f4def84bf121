//! Progress of what takes a while.

use crate::ui::Ui;

/// A progress bar that goes when it is dropped; nothing where stdout is no terminal.
pub struct Bar(Option<indicatif::ProgressBar>);

impl Bar {
    /// A bar of so many steps.
    pub fn new(ui: &Ui, what: &str, length: usize) -> Self {
        Self(ui.gauge(what, length.try_into().unwrap_or(u64::MAX)))
    }

    /// One more is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
            bar.set_message(format!("{}/{}", bar.position(), bar.length().unwrap_or_default()));
        }
    }

    /// So many are done.
    pub fn reach(&self, done: usize) {
        if let Some(bar) = &self.0 {
            bar.set_position(done.try_into().unwrap_or(u64::MAX));
            bar.set_message(format!("{done}/{}", bar.length().unwrap_or_default()));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
