//! The cells of a row: each is tried, and all that failed are told.

use anyhow::{Result, bail};

/// The cells of one row.
#[derive(Default)]
pub struct Cells {
    tried: Vec<String>,
    failed: Vec<String>,
}

impl Cells {
    /// How a cell ended; answers whether it holds.
    pub fn tell(&mut self, cell: &impl ToString, ended: Result<()>) -> bool {
        let cell = cell.to_string();
        let holds = ended.is_ok();
        if let Err(error) = ended {
            self.failed.push(format!("{cell}: {error:#}"));
        }
        self.tried.push(cell);
        holds
    }

    /// More to know of the cell that was told last.
    pub fn add(&mut self, words: &str) {
        if let Some(last) = self.failed.last_mut() {
            last.push_str("; ");
            last.push_str(words);
        }
    }

    /// Fails by the names and reasons of the cells that failed.
    pub fn end(self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!(
            "{} of {} cells failed ({})\n          - {}",
            self.failed.len(),
            self.tried.len(),
            self.tried.join(", "),
            self.failed.join("\n          - ")
        )
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cell_that_fails_hides_none_that_comes_after_it() {
        let mut cells = Cells::default();
        assert!(!cells.tell(&"scale", Err(anyhow!("1 of 2 pods"))));
        cells.add("put back");
        assert!(cells.tell(&"drain", Ok(())));
        assert!(!cells.tell(&"suspend", Err(anyhow!("the route is there"))));
        let told = cells.end().unwrap_err().to_string();
        for part in [
            "2 of 3 cells failed (scale, drain, suspend)",
            "- scale: 1 of 2 pods; put back\n",
            "- suspend: the route is there",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn cells_that_all_hold_are_no_error() {
        let mut cells = Cells::default();
        assert!(cells.tell(&"scale", Ok(())));
        cells.end().unwrap();
    }
}
