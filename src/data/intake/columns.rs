//! Where the fields of a record are among the columns of a table.

use super::problem::{Place, Problem, quote, quote_list};
use super::record::Fields;

/// The columns of the text, the label and the domain among the columns called `names`; `place` is where these are. Only the
/// domain may have none, where the file names it.
///
/// # Errors
/// A field without a column, or with two.
pub(super) fn columns_of(
    names: &[&str],
    place: Place,
    fields: Fields,
) -> Result<[Option<usize>; 3], Problem> {
    let flags = ["--text-field", "--label-field", "--domain-field"];
    let mut columns = [None; 3];
    for (number, (field, flag)) in fields.names.all().into_iter().zip(flags).enumerate() {
        let mut found = names.iter().enumerate().filter(|(_, name)| name.trim() == field);
        columns[number] = match (found.next(), found.next()) {
            (Some((column, _)), None) => Some(column),
            (Some(_), Some(_)) => {
                let message = format!("two columns are called {}", quote(field));
                return Err(Problem::new(place, "", message));
            }
            (None, _) if number == 2 && fields.file_domain.is_some() => None,
            (None, _) => {
                let found = quote_list(names.iter().copied());
                let expected = format!("a column {}", quote(field));
                let problem = Problem::expected(place, "", expected, found);
                return Err(problem.with_fix(format!("name the right one with {flag}")));
            }
        };
    }
    Ok(columns)
}
