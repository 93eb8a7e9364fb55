//! The last lines of a terminal, drawn again and again below what is said.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use unicode_width::UnicodeWidthStr;

/// The lines that are drawn now. Whoever writes to standard error takes them away first.
static DRAWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What a terminal has that does not tell its size.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// How much fits on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Size {
    /// The size of the terminal that standard error is, at this moment.
    fn now() -> Self {
        match rustix::termios::tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Self { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            _ => USUAL,
        }
    }
}

/// Whether standard error is a terminal on which lines can be drawn again.
pub(crate) fn is_there() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Draws what `lines` gives for the terminal's size in place of what is drawn.
pub(crate) fn draw(lines: impl FnOnce(Size) -> Vec<String>) {
    let size = Size::now();
    let mut lines = lines(size);
    // The cursor stands below the lines: all of them must fit above it.
    lines.truncate(size.rows.saturating_sub(1));
    let mut drawn = lock();
    let mut text = erase(&drawn, size.columns);
    *drawn = lines;
    text.extend(drawn.iter().flat_map(|line| [line, "\n"]));
    // Nobody is left to tell if the terminal is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes whole lines to standard error, above what is drawn.
pub(crate) fn write_above(text: &[u8]) -> io::Result<()> {
    let drawn = lock();
    if drawn.is_empty() {
        return io::stderr().write_all(text);
    }
    let lines = drawn.iter().flat_map(|line| [line, "\n"]).collect::<String>();
    // At once, so that nothing else that writes to the terminal comes between.
    io::stderr().write_all(&[erase(&drawn, Size::now().columns).as_bytes(), text, lines.as_bytes()].concat())
}

/// Takes away what is drawn.
pub(crate) fn clear() {
    draw(|_| Vec::new());
}

/// From now on a panic is told where the lines were, not below them.
pub(crate) fn clear_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Not `clear`: the thread that panics may be the one that draws, and would wait for itself.
        if let Ok(mut drawn) = DRAWN.try_lock() {
            let _ = io::stderr().write_all(erase(&std::mem::take(&mut *drawn), Size::now().columns).as_bytes());
        }
        tell(panic);
    }));
}

/// What takes these lines away from a terminal of so many columns. It may have become narrower since they were drawn,
/// and has broken those that are too long.
fn erase(drawn: &[String], columns: usize) -> String {
    match drawn.iter().map(|line| line.width().div_ceil(columns).max(1)).sum() {
        0 => String::new(),
        // Row by row: some terminals keep what is cleared at once from the top of the screen, as if it had been said.
        rows => format!("\r\x1b[2K{}", "\x1b[1A\x1b[2K".repeat(rows)),
    }
}

fn lock() -> MutexGuard<'static, Vec<String>> {
    // Whatever panicked, these are the lines that are drawn, or none.
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_again_when_the_terminal_has_become_narrower() {
        let drawn = ["x".repeat(30), String::new(), "x".repeat(20)];
        let rows = |columns| erase(&drawn, columns).matches("\x1b[1A").count();
        assert_eq!((rows(80), rows(30), rows(20)), (3, 3, 4));
        assert_eq!(erase(&[], 20), "");
    }
}
