//! The rows of a table in a file: a header, then a record a row, cells between commas or tabs.
//!
//! Knows which cells are wanted; what they mean, its neighbours know.

use std::path::Path;

use csv::StringRecord;

use super::columns::columns_of;
use super::problem::{Place, Problem, quote};
use super::record::Fields;
use super::rows::{ReadError, Rows};

/// What separates the cells of the table that a file of this name has: `.csv` and `.tsv`, also of gzip; `None` for others.
pub(in crate::data) fn delimiter_of(path: &Path) -> Option<u8> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match Path::new(name).extension()?.to_str()? {
        "csv" => Some(b','),
        "tsv" | "tab" => Some(b'\t'),
        _ => None,
    }
}

/// Gives the cells of every row of `text` to `take` in the order of `fields`, with the row's line and the place in `text` of
/// its end; or what is wrong with the row. A cell in double quotes may hold delimiters, line breaks and doubled quotes.
///
/// # Errors
/// A header without the fields, and quotes that do not fit.
pub(in crate::data) fn for_each_row(
    text: &str,
    delimiter: u8,
    fields: Fields,
    mut take: impl FnMut(Place, usize, Result<[&str; 3], Problem>),
) -> Result<(), Problem> {
    let mut rows = Rows::new(text.as_bytes(), delimiter, usize::MAX);
    let mut next = || match rows.next() {
        Ok(row) => Ok(row),
        Err(ReadError::Wrong(problem)) => Err(problem),
        Err(ReadError::Unreadable(error)) => unreachable!("a text is read from memory: {error}"),
    };
    let header = next()?.map_or_else(|| Ok(StringRecord::new()), |row| row.cells(delimiter))?;
    check_delimiter(&header)?;
    let columns = columns_of(&header.iter().collect::<Vec<_>>(), Place::Line(1), fields)?;
    let domain = fields.file_domain.unwrap_or_default();
    // Where quotes do not fit, nobody can say where the next row begins: the rest is not read.
    while let Some(row) = next()? {
        let cells = row.cells_of(header.len(), delimiter);
        let chosen = cells.as_ref().map_err(Clone::clone).map(|cells| {
            // Only the domain may have no column.
            columns.map(|column| column.map_or(domain, |column| &cells[column]))
        });
        take(Place::Line(row.line), row.end, chosen);
    }
    Ok(())
}

/// Refuses a header whose names are between other delimiters than those of the file's name.
fn check_delimiter(header: &StringRecord) -> Result<(), Problem> {
    match (header.len(), header.get(0)) {
        (1, Some(cell)) if cell.contains([',', ';', '\t']) => {
            let expected = "commas between the cells of a .csv file, and tabs in a .tsv file";
            Err(Problem::expected(Place::Line(1), "", expected, quote(cell)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::Dataset;
    use super::super::problem::DataError;
    use super::*;

    fn parse(name: &str, content: &str) -> Result<Dataset, DataError> {
        Dataset::parse(Path::new(name), content.as_bytes(), &[])
    }

    const ROWS: &str =
        "id,label,text,domain\n1,pos,\"good, \"\"very\"\" good\nindeed\",a\n2,neg,bad,b\r\n";

    #[test]
    fn rows_are_records_with_their_lines() {
        let dataset = parse("d.csv", ROWS).unwrap();
        assert_eq!(dataset.reviews[0].text, "good, \"very\" good\nindeed");
        assert_eq!(dataset.labels, ["neg", "pos"]);
        assert_eq!(dataset.domains, ["a", "b"]);
        let places = dataset.reviews.iter().map(|review| review.place);
        assert_eq!(places.collect::<Vec<_>>(), [Place::Line(2), Place::Line(4)]);
        // However lines end, and with blank ones.
        for content in [ROWS.replace('\n', "\r\n"), ROWS.replace("\n2", "\n\n\n2")] {
            let places = parse("d.csv", &content).unwrap().reviews.into_iter().map(|it| it.place);
            let second = if content.contains("\n\n") { 6 } else { 4 };
            assert_eq!(places.collect::<Vec<_>>(), [Place::Line(2), Place::Line(second)]);
        }
        // As spreadsheets write it.
        let marked = format!("\u{feff}{ROWS}");
        assert_eq!(parse("d.CSV", &marked).unwrap().reviews, dataset.reviews);
        let tabs = "text\tlabel\tdomain\na, b\t1\td\nc\t0\td\n";
        assert_eq!(parse("d.tsv", tabs).unwrap().reviews[0].text, "a, b");
    }

    #[test]
    fn quotes_that_do_not_fit_are_refused() {
        for (row, expected) in [
            (
                "\"so,1,d\na,2,d\n",
                "line 2: expected a double quote that ends the cell, found the end of the file",
            ),
            (
                "\"so\" it is,1,d\n",
                "line 2: expected the end of the cell after its closing double quote, found more text",
            ),
            (
                "a,1,\"d\na,2,\"d\n",
                "line 2: expected the end of the cell after its closing double quote, found more text",
            ),
        ] {
            let error = parse("d.csv", &format!("text,label,domain\n{row}")).unwrap_err();
            let fix = "double the quotes inside a cell in double quotes";
            assert_eq!(error.problems[0].to_string(), format!("{expected}; {fix}"));
        }
        // A quote inside a cell that has none around it is text.
        let dataset =
            parse("d.tsv", "text\tlabel\tdomain\n5\" pipe\t1\td\n\"\"\"a\"\"\"\t2\td\n").unwrap();
        assert_eq!(dataset.reviews[0].text, "5\" pipe");
        assert_eq!(dataset.reviews[1].text, "\"a\"");
    }

    #[test]
    fn what_is_wrong_with_a_table_is_named_with_its_line() {
        let rows = "text,label,domain\na,1,d\nb,2\n,3,\nc,4,d,e\n";
        let error = parse("d.csv", rows).unwrap_err();
        let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        let cells = "cells, as the header has, found";
        let fix = "put a cell with a delimiter or a quote in double quotes";
        let expected = [
            format!("line 3: expected 3 {cells} 2; {fix}"),
            "line 4, field \"text\": expected a string that is not empty, found empty text; \
             data.empty_texts = \"drop\" leaves it out"
                .to_owned(),
            r#"line 4, field "domain": expected a string that is not empty, found empty text"#
                .to_owned(),
            format!("line 5: expected 3 {cells} 4; {fix}"),
        ];
        assert_eq!(lines, expected);
        for (header, expected) in [
            (
                "text,label",
                r#"line 1: expected a column "domain", found "text", "label"; name the right one with --domain-field"#,
            ),
            ("text,label,domain,text", r#"line 1: two columns are called "text""#),
            (
                "text;label;domain",
                r#"line 1: expected commas between the cells of a .csv file, and tabs in a .tsv file, found "text;label;domain""#,
            ),
            (
                "",
                r#"line 1: expected a column "text", found ; name the right one with --text-field"#,
            ),
        ] {
            assert_eq!(
                parse("d.csv", &format!("{header}\n")).unwrap_err().to_string(),
                format!("d.csv: {expected}")
            );
        }
        assert!(
            parse("d.csv", "text,label,domain\n")
                .unwrap_err()
                .to_string()
                .contains("at least one record")
        );
    }
}
