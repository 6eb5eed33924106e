//! The structure of the code: who imports whom, where unsafe code is, how long files are, which words are used.

mod circles;
mod import_table;
mod source;
mod words;

use source::{repository_sources, sources};

#[test]
fn unsafe_code_lives_in_torch_ext() {
    for source in sources() {
        let is_unsafe = source.tokens().iter().any(|token| token == "unsafe");
        let may = source.path.starts_with("torch_ext");
        assert!(may || !is_unsafe, "{}: unsafe code outside torch_ext", source.path.display());
    }
}

#[test]
fn files_are_short_enough_to_be_read_in_one_sitting() {
    let mut long = Vec::new();
    for source in repository_sources() {
        let num_lines = source.text.lines().count();
        let most = if source.path.starts_with("src/commands") { 220 } else { 400 };
        if num_lines > most {
            long.push(format!("{}: {num_lines} lines, of {most} at most", source.path.display()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// rustfmt breaks code at 100 characters; comments and strings are left to the author.
const MAX_WIDTH: usize = 132;

#[test]
fn lines_are_short_enough_to_be_read_side_by_side() {
    let mut wide = Vec::new();
    for source in repository_sources() {
        for (line, text) in (1..).zip(source.text.lines()) {
            let width = text.chars().count();
            if width > MAX_WIDTH {
                let path = source.path.display();
                wide.push(format!("{path}:{line}: {width} characters, of {MAX_WIDTH} at most"));
            }
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}
