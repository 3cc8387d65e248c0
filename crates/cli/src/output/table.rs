//! Our own table: aligned columns, nothing behind the last word, headings dimmed where there is colour.

const GAP: &str = "   ";
/// A wider cell is cut: it would widen every row. Whole values are in JSON and YAML.
const WIDEST: usize = 200;
const CUT: &str = "...";

/// The text of a table.
pub(crate) fn render(titles: &[&str], rows: &[Vec<String>], colour: bool) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| cut(escaped(cell))).collect()).collect();
    let mut widths: Vec<usize> = titles.iter().map(|title| title.len()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(shown(cell).chars().count());
        }
    }
    let mut text =
        String::with_capacity((rows.len() + 1) * widths.iter().map(|width| width + GAP.len()).sum::<usize>());
    if colour {
        text.push_str("\x1b[1m");
    }
    line(&mut text, &widths, titles.iter().copied());
    if colour {
        text.insert_str(text.len() - 1, "\x1b[0m");
    }
    for row in &rows {
        line(&mut text, &widths, row.iter().map(|cell| shown(cell)));
    }
    text
}

/// One row of a table whose columns are at least so wide; a wider cell widens its column.
pub(crate) fn row(widths: &mut [usize], cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cut(escaped(cell))).collect();
    for (width, cell) in widths.iter_mut().zip(&cells) {
        *width = (*width).max(shown(cell).chars().count());
    }
    let mut text = String::new();
    line(&mut text, widths, cells.iter().map(|cell| shown(cell)));
    text
}

/// What is stored by others must not steer the terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() || is_direction(char) {
            true => out.extend(char.escape_default()),
            false => out.push(char),
        }
    }
    out
}

/// Whether a character changes the direction in which a terminal shows those after it.
fn is_direction(char: char) -> bool {
    matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn cut(cell: String) -> String {
    match cell.char_indices().nth(WIDEST) {
        None => cell,
        Some(_) => cell.chars().take(WIDEST - CUT.len()).chain(CUT.chars()).collect(),
    }
}

/// An empty cell still takes its place.
fn shown(cell: &str) -> &str {
    if cell.is_empty() { "-" } else { cell }
}

fn line<'a>(text: &mut String, widths: &[usize], cells: impl Iterator<Item = &'a str>) {
    let mut behind = 0;
    for (width, cell) in widths.iter().zip(cells) {
        text.extend(std::iter::repeat_n(' ', behind));
        text.push_str(cell);
        behind = width - cell.chars().count() + GAP.len();
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_cell_do_not_reach_the_terminal() {
        let rows = [vec!["a\x1b[2J\x07b\u{9b}".into()]];
        assert_eq!(render(&["NAME"], &rows, false), "NAME\na\\u{1b}[2J\\u{7}b\\u{9b}\n");
    }

    #[test]
    fn what_turns_the_direction_of_text_is_escaped_as_control_characters_are() {
        for char in ['\u{61C}', '\u{200E}', '\u{200F}', '\u{202A}', '\u{202E}', '\u{2066}', '\u{2069}'] {
            assert_eq!(escaped(&format!("a{char}b")), format!("a\\u{{{:x}}}b", u32::from(char)));
        }
    }

    #[test]
    fn a_long_cell_is_cut_and_does_not_widen_the_other_rows() {
        let rows = [vec!["日".repeat(100_000), "n1".into()], vec!["a".into(), "n2".into()]];
        let text = render(&["MESSAGE", "NODE"], &rows, false);
        assert!(
            text.lines()
                .all(|line| line.chars().count() == WIDEST + GAP.len() + 4
                    || line.chars().count() == WIDEST + GAP.len() + 2),
            "{text}"
        );
        assert!(text.contains("日...   n1\n"));
        let whole = vec!["x".repeat(WIDEST)];
        assert!(!render(&["A"], &[whole], false).contains(CUT));
    }

    #[test]
    fn columns_are_aligned_and_lines_end_with_a_word() {
        let rows = [vec!["web1".into(), "n1".into()], vec!["a".into(), String::new()]];
        assert_eq!(render(&["NAME", "NODE"], &rows, false), "NAME   NODE\nweb1   n1\na      -\n");
    }
}
