//! A report as one HTML file: styles, drawings and numbers are in it, and it loads nothing.

use std::fmt::{Result, Write};

use super::charts::bars::kind_class;
use super::charts::svg::{colour, mark};
use super::document::{Cell, DataTable, Document, Section};
use super::escape;

/// Colours and layout, for light and dark screens.
const STYLE: &str = include_str!("style.css");

/// The page.
pub fn html(document: &Document) -> String {
    let mut page = String::new();
    write_page(&mut page, document).expect("a string takes everything");
    page
}

fn write_page(page: &mut String, document: &Document) -> Result {
    let title = escape::html(&document.title);
    writeln!(page, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(page, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(page, "<meta name=\"color-scheme\" content=\"light dark\">")?;
    writeln!(page, "<title>{title} - metabert</title>\n<style>\n{STYLE}</style>\n</head>\n<body>")?;
    writeln!(page, "<header>\n<p class=\"kind\">metabert report</p>\n<h1>{title}</h1>\n<nav>")?;
    for Section { id, title, .. } in &document.sections {
        writeln!(page, "<a href=\"#{id}\">{}</a>", escape::html(title))?;
    }
    writeln!(page, "</nav>\n</header>\n<main>")?;
    document.sections.iter().try_for_each(|section| write_section(page, section))?;
    writeln!(page, "</main>")?;
    let json = |section: &Section| serde_json::to_string(section).expect("a section serialises");
    let json: Vec<String> = document.sections.iter().map(json).collect();
    let json = escape::json_in_script(&json.join(",\n"));
    writeln!(page, "<script type=\"application/json\" id=\"numbers\">\n[{json}]\n</script>")?;
    writeln!(page, "</body>\n</html>")
}

fn write_section(page: &mut String, section: &Section) -> Result {
    let Section { id, title, text, legend, kinds, figures, tables } = section;
    writeln!(page, "<section id=\"{id}\">\n<h2>{}</h2>", escape::html(title))?;
    writeln!(page, "<p>{}</p>", escape::html(text))?;
    let series = legend
        .iter()
        .map(|(series, name)| (format!("m{} {}", mark(*series), colour(*series)), name));
    let kinds = kinds.iter().map(|(kind, name)| (format!("bar {}", kind_class(*kind)), name));
    let mut entries = series.chain(kinds).peekable();
    if entries.peek().is_some() {
        writeln!(page, "<ul class=\"legend\">")?;
        for (class, name) in entries {
            let name = escape::html(name);
            writeln!(page, "<li><span class=\"swatch {class}\"></span>{name}</li>")?;
        }
        writeln!(page, "</ul>")?;
    }
    if !figures.is_empty() {
        writeln!(page, "<div class=\"figures\">")?;
        for figure in figures {
            let caption = escape::html(&figure.caption);
            writeln!(
                page,
                "<figure>\n<figcaption>{caption}</figcaption>\n{}\n</figure>",
                figure.svg
            )?;
        }
        writeln!(page, "</div>")?;
    }
    let has_numbers = tables.iter().any(|table| !table.rows.is_empty());
    // Beside charts, numbers are for those who look for them.
    let is_folded = has_numbers && !figures.is_empty();
    if is_folded {
        writeln!(page, "<details>\n<summary>Numbers</summary>")?;
    }
    tables.iter().try_for_each(|table| write_table(page, table))?;
    if is_folded {
        writeln!(page, "</details>")?;
    }
    writeln!(page, "</section>")
}

fn write_table(page: &mut String, table: &DataTable) -> Result {
    if table.rows.is_empty() {
        return Ok(());
    }
    if !table.title.is_empty() {
        writeln!(page, "<h3>{}</h3>", escape::html(&table.title))?;
    }
    writeln!(page, "<div class=\"wide\" tabindex=\"0\">\n<table>\n<thead><tr>")?;
    let class = |column: usize| if table.is_numeric(column) { " class=\"number\"" } else { "" };
    for (column, name) in table.columns.iter().enumerate() {
        writeln!(page, "<th scope=\"col\"{}>{}</th>", class(column), escape::html(name))?;
    }
    writeln!(page, "</tr></thead>\n<tbody>")?;
    for row in &table.rows {
        write!(page, "<tr>")?;
        for (column, cell) in row.iter().enumerate() {
            let class = if let Cell::Curve(_) = cell { " class=\"curve\"" } else { class(column) };
            write!(page, "<td{class}>{}</td>", escape::html(&cell.shown()))?;
        }
        writeln!(page, "</tr>")?;
    }
    writeln!(page, "</tbody>\n</table>\n</div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_files_is_escaped_everywhere() {
        let evil = "</script><img src=x onerror=alert(1)>\"'";
        let mut table = DataTable::new(evil, [evil]);
        table.rows.push(vec![Cell::text(evil)]);
        let section = Section {
            id: "x".to_owned(),
            title: evil.to_owned(),
            text: evil.to_owned(),
            legend: vec![(0, evil.to_owned())],
            tables: vec![table],
            ..Section::default()
        };
        let page = html(&Document { title: evil.to_owned(), sections: vec![section] });
        assert!(!page.contains("<img"), "{page}");
        assert_eq!(page.matches("</script>").count(), 1, "{page}");
    }
}
