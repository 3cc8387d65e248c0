//! Tables that grow a row at a time: `get --watch`.

use std::collections::BTreeMap;

use tortie_api::{Kind, Object};

use super::columns::Column;
use super::{GetFormat, Printing, cells, chosen, table};

/// What the columns of each kind need so far. A wider cell moves those after it, in its row and the later ones.
#[derive(Default)]
pub(crate) struct Rows {
    widths: BTreeMap<Kind, Vec<usize>>,
    last: Option<Kind>,
}

impl Rows {
    /// Makes the columns wide enough for these objects, so that they stand below each other.
    pub(crate) fn widen(&mut self, object: &Object, format: &GetFormat, printing: &Printing) -> anyhow::Result<()> {
        let columns = chosen(object.kind, format, printing)?;
        let mut row = vec![String::new()];
        row.extend(cells(object, &columns, printing));
        table::row(self.widths(object.kind, &columns), &row);
        Ok(())
    }

    fn widths(&mut self, kind: Kind, columns: &[Column]) -> &mut Vec<usize> {
        /// As wide as the longest event.
        const EVENT: usize = "MODIFIED".len();
        let titles = || [EVENT].into_iter().chain(columns.iter().map(|column| column.title.len())).collect();
        self.widths.entry(kind).or_insert_with(titles)
    }

    /// The row of one event, below the titles where another kind came before.
    pub(crate) fn event(
        &mut self,
        event: &str,
        object: &Object,
        format: &GetFormat,
        printing: &Printing,
    ) -> anyhow::Result<String> {
        let columns = chosen(object.kind, format, printing)?;
        let titles: Vec<&str> = ["EVENT"].into_iter().chain(columns.iter().map(|column| column.title)).collect();
        let mut row = vec![event.to_owned()];
        row.extend(cells(object, &columns, printing));
        let before = self.last.replace(object.kind);
        let widths = self.widths(object.kind, &columns);
        let text = table::row(widths, &row);
        if before == Some(object.kind) {
            return Ok(text);
        }
        let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
        let gap = if before.is_some() { "\n" } else { "" };
        Ok(format!("{gap}{}{text}", table::row(widths, &titles)))
    }
}
