//! Tables that grow a row at a time: `get --watch`.

use std::collections::BTreeMap;

use tortie_api::{Kind, Object};

use super::{Format, Printing, cells, chosen, table};

/// What the columns of each kind need so far. A wider cell moves those after it, in its row and the later ones.
#[derive(Default)]
pub(crate) struct Rows {
    widths: BTreeMap<Kind, Vec<usize>>,
    last: Option<Kind>,
}

impl Rows {
    /// The row of one event, below the titles where another kind came before.
    pub(crate) fn event(
        &mut self,
        event: &str,
        object: &Object,
        format: &Format,
        printing: &Printing,
    ) -> anyhow::Result<String> {
        /// As wide as the longest event.
        const EVENT: usize = "MODIFIED".len();
        let columns = chosen(object.kind, format, printing)?;
        let titles: Vec<&str> = ["EVENT"].into_iter().chain(columns.iter().map(|column| column.title)).collect();
        let mut row = vec![event.to_owned()];
        row.extend(cells(object, &columns, printing));
        let widths = self.widths.entry(object.kind).or_insert_with(|| titles.iter().map(|title| title.len()).collect());
        widths[0] = EVENT;
        let text = table::row(widths, &row);
        if self.last == Some(object.kind) {
            return Ok(text);
        }
        let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
        let gap = if self.last.replace(object.kind).is_some() { "\n" } else { "" };
        Ok(format!("{gap}{}{text}", table::row(widths, &titles)))
    }
}
