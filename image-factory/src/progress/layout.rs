//! Lines that fit: what matters most comes first, and what has no room is left out or shortened in the middle.

use unicode_width::UnicodeWidthChar;
use worker::Running;

use super::screen::Size;
use crate::text;

/// Images shown by name at most.
const ROWS: usize = 16;

/// Cells of a bar.
const BAR: u64 = 20;

/// As many of the parts as there is room for, from the first; the first one is shortened if it has none.
pub(crate) fn line(parts: &[String], columns: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let longer = if line.is_empty() { shorten(part, columns) } else { format!("{line} · {part}") };
        if width(&longer) > columns {
            break;
        }
        line = longer;
    }
    line
}

/// A line for each image that moves, as many as are fit to look at, and how many there are beside them.
pub(crate) fn rows(running: &[Running], size: Size) -> Vec<String> {
    let shown = (size.rows / 3).clamp(1, ROWS);
    let mut lines: Vec<String> = running.iter().take(shown).map(|running| row(running, size.columns)).collect();
    if running.len() > shown {
        lines.push(shorten(&format!("  and {} more", running.len() - shown), size.columns));
    }
    lines
}

/// `  push       3%  12.0 MiB of 400.0 MiB  docker.io/library/nginx:1.29`: the name comes last, so that whatever its
/// length the numbers stand below each other. A wide terminal shows a bar too, a narrow one no sizes.
fn row(running: &Running, columns: usize) -> String {
    let Running { source, stage, bytes_done: done, bytes_expected: all, .. } = running;
    let share =
        |of: u64| (u128::from(*done) * u128::from(of)).checked_div((*all).into()).map_or(0, |s| s.min(of.into()));
    let known = |text: String| if *all == 0 { " ".repeat(width(&text)) } else { text };
    let mut line = format!("  {stage:<8}");
    if columns >= 110 {
        line += &known(format!(" [{:<cells$}]", "#".repeat(share(BAR) as usize), cells = BAR as usize));
    }
    line += &known(format!(" {:>3}%", share(100)));
    if columns >= 60 {
        line += &known(format!(" of {:>10}", text::bytes(*all)));
    }
    let name = shorten(&source.to_string(), columns.saturating_sub(width(&line) + 2));
    shorten(&format!("{line}  {name}"), columns)
}

/// The text in at most so many columns. Its end is kept rather than its start, as that tells images apart, and of the
/// start enough to know the registry.
fn shorten(text: &str, columns: usize) -> String {
    // A character without a width would move the cursor.
    let chars: Vec<(char, usize)> = text.chars().filter_map(|char| Some((char, char.width()?))).collect();
    if chars.iter().map(|(_, width)| width).sum::<usize>() <= columns {
        return chars.iter().map(|(char, _)| char).collect();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let start = fitting(chars.iter(), room / 3);
    let end = fitting(chars.iter().rev(), room - room / 3);
    let (start, end) = (&chars[..start], &chars[chars.len() - end..]);
    start.iter().map(|(char, _)| *char).chain(['…']).chain(end.iter().map(|(char, _)| *char)).collect()
}

/// How many of these characters, from the first, have room.
fn fitting<'a>(chars: impl Iterator<Item = &'a (char, usize)>, room: usize) -> usize {
    let ends = chars.scan(0, |end, (_, width)| {
        *end += width;
        Some(*end)
    });
    ends.take_while(|end| *end <= room).count()
}

fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(source: &str, bytes_done: u64) -> Running {
        let source = source.parse().unwrap();
        let (task, attempt) = (proto::TaskId::new(), proto::Attempt::FIRST);
        Running { task, attempt, source, stage: proto::Stage::Push, bytes_done, bytes_expected: 400 << 20 }
    }

    #[test]
    fn a_long_name_keeps_its_registry_and_its_tag() {
        let name = "registry.example.com/a/rather/long/path/to/some/app:1.29.3-alpine";
        let row = row(&running(name, 12 << 20), 80);
        assert_eq!(row, "  push       3% of  400.0 MiB  registry.example…g/path/to/some/app:1.29.3-alpine");
        assert_eq!(shorten("日本語日本語", 7), "日…本語", "no half of a character, which takes two columns");
        assert_eq!(shorten("a\x1b[2Jb\n", 80), "a[2Jb", "nothing moves the cursor");
        assert_eq!((shorten("abc", 0), shorten("abc", 1)), (String::new(), "…".to_owned()));
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        let many = vec![running(&format!("r.example/{}app:1", "long/".repeat(40)), 200 << 20); 40];
        for columns in 0..250 {
            let mut lines = rows(&many, Size { columns, rows: 24 });
            assert_eq!(lines.len(), 9, "eight images, and how many there are beside them");
            lines.push(line(&["12 of 300 images".into(), "3 min 20 s".into(), "job  run 01234567".into()], columns));
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:#?}");
        }
    }

    #[test]
    fn what_matters_least_is_left_out_first() {
        let parts = ["1 of 9 images".to_owned(), "2 failed".to_owned(), "3.0 MiB sent".to_owned()];
        assert_eq!(line(&parts, 80), "1 of 9 images · 2 failed · 3.0 MiB sent");
        assert_eq!(line(&parts, 38), "1 of 9 images · 2 failed");
        assert_eq!(line(&parts, 10), "1 o…images");
    }
}
