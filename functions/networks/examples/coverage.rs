//! Writes `docs/coverage.md`: `cargo run -p carteiro-networks --example coverage > docs/coverage.md`.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    io::stdout().lock().write_all(carteiro_networks::coverage::document().as_bytes())
}
