//! Our own table: aligned columns, nothing behind the last word, headings dimmed where there is colour.

const GAP: &str = "   ";

/// The text of a table.
pub(crate) fn render(titles: &[&str], rows: &[Vec<String>], colour: bool) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
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
    let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
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
        match char.is_control() {
            true => out.extend(char.escape_default()),
            false => out.push(char),
        }
    }
    out
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
    fn columns_are_aligned_and_lines_end_with_a_word() {
        let rows = [vec!["web1".into(), "n1".into()], vec!["a".into(), String::new()]];
        assert_eq!(render(&["NAME", "NODE"], &rows, false), "NAME   NODE\nweb1   n1\na      -\n");
    }
}
