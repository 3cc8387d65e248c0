//! Our own table: aligned columns, nothing behind the last word, headings dimmed where there is colour.

const GAP: &str = "   ";

/// The text of a table.
pub(crate) fn render(titles: &[&str], rows: &[Vec<String>], colour: bool) -> String {
    let mut widths: Vec<usize> = titles.iter().map(|title| title.len()).collect();
    for row in rows {
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
    for row in rows {
        line(&mut text, &widths, row.iter().map(|cell| shown(cell)));
    }
    text
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
    fn columns_are_aligned_and_lines_end_with_a_word() {
        let rows = [vec!["web1".into(), "n1".into()], vec!["a".into(), String::new()]];
        assert_eq!(render(&["NAME", "NODE"], &rows, false), "NAME   NODE\nweb1   n1\na      -\n");
    }
}
