//! A report as Markdown, to be pasted: the numbers of its sections.

use std::fmt::{Result, Write};

use super::document::{Cell, DataTable, Document};
use super::escape;

/// The text.
pub fn markdown(document: &Document) -> String {
    let mut text = String::new();
    write_document(&mut text, document).expect("a string takes everything");
    text
}

fn write_document(text: &mut String, document: &Document) -> Result {
    writeln!(text, "# {}", escape::markdown(&document.title))?;
    for section in &document.sections {
        let tables: Vec<&DataTable> =
            section.tables.iter().filter(|table| !table.rows.is_empty()).collect();
        if tables.is_empty() {
            continue;
        }
        writeln!(text, "\n## {}", escape::markdown(&section.title))?;
        if section.figures.is_empty() {
            writeln!(text, "\n{}", escape::markdown(&section.text))?;
        }
        tables.into_iter().try_for_each(|table| write_table(text, table))?;
    }
    Ok(())
}

fn write_table(text: &mut String, table: &DataTable) -> Result {
    if !table.title.is_empty() {
        writeln!(text, "\n**{}**", escape::markdown(&table.title))?;
    }
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let names = table.columns.iter().map(|name| escape::markdown(name)).collect();
    writeln!(text, "\n{}", row(names))?;
    let side = |column: usize| if table.is_numeric(column) { "---:" } else { "---" };
    writeln!(text, "{}", row((0..table.columns.len()).map(|it| side(it).to_owned()).collect()))?;
    for cells in &table.rows {
        let shown = |cell: &Cell| match cell {
            Cell::Text(words) => escape::markdown(words),
            number => number.shown(),
        };
        let cells = cells.iter().map(shown).collect();
        writeln!(text, "{}", row(cells))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::document::Section;
    use super::*;

    #[test]
    fn sections_are_tables_and_those_without_numbers_are_left_out() {
        let mut table = DataTable::new("", ["a|b", "n"]);
        table.rows.push(vec![Cell::text("x"), Cell::Number(0.5, 3)]);
        let with = Section { title: "T".to_owned(), tables: vec![table], ..Section::default() };
        let without = Section { title: "U".to_owned(), ..Section::default() };
        let document = Document { title: "r".to_owned(), sections: vec![with, without] };
        let expected = "# r\n\n## T\n\n\n\n| a\\|b | n |\n| --- | ---: |\n| x | 0.500 |\n";
        assert_eq!(markdown(&document), expected);
    }
}
