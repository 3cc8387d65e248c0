//! Tables as Go's tabwriter lays them out: every cell is padded, the last one too, and a blank line ends the table.

const MIN_WIDTH: usize = 5;
const PADDING: usize = 3;

/// The text of a table whose first row is the heading.
pub(crate) fn render(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![MIN_WIDTH; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count() + PADDING);
        }
    }
    let mut text = String::with_capacity(rows.len() * (widths.iter().sum::<usize>() + 1) + 1);
    for row in rows {
        for (width, cell) in widths.iter().zip(row) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_by_three_and_at_least_five_wide() {
        let rows = [vec!["A".into(), "NODE".into(), "Z".into()], vec!["wéb".into(), "n1".into(), String::new()]];
        assert_eq!(render(&rows), "A     NODE   Z    \nwéb   n1          \n\n");
    }
}
