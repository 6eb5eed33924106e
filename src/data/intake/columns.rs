//! Where the fields of a record are among the columns of a table, or among those of a record in JSON.

use serde_json::{Map, Value};

use super::problem::{Place, Problem, quote, quote_list};
use super::record::Fields;

/// What names the fields of the text, the label and the domain.
const FLAGS: [&str; 3] = ["--text-field", "--label-field", "--domain-field"];

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
    let mut columns = [None; 3];
    for (number, (field, flag)) in fields.names.all().into_iter().zip(FLAGS).enumerate() {
        let mut found = names.iter().enumerate().filter(|(_, name)| name.trim() == field);
        columns[number] = match (found.next(), found.next()) {
            (Some((column, _)), None) => Some(column),
            (Some(_), Some(_)) => {
                let message = format!("two columns are called {}", quote(field));
                return Err(Problem::new(place, "", message));
            }
            (None, _) if number == 2 && fields.file_domain.is_some() => None,
            (None, _) => return Err(without(names, place, ("column", field), flag)),
        };
    }
    Ok(columns)
}

/// What is wrong with a file whose first record lacks a field and has others that may be it: then so do all, and one message is
/// enough.
pub(super) fn other_fields(place: Place, json: &str, fields: Fields) -> Option<Problem> {
    let record: Map<String, Value> = serde_json::from_str(json).ok()?;
    let wanted = fields.names.all();
    let keys: Vec<&str> = record.keys().map(String::as_str).collect();
    if keys.iter().all(|key| wanted.contains(key)) {
        return None;
    }
    let num_needed = if fields.file_domain.is_some() { 2 } else { 3 };
    let mut needed = wanted.into_iter().zip(FLAGS).take(num_needed);
    let (field, flag) = needed.find(|(field, _)| !keys.contains(field))?;
    Some(without(&keys, place, ("field", field), flag))
}

fn without(names: &[&str], place: Place, (what, field): (&str, &str), flag: &str) -> Problem {
    let expected = format!("a {what} {}", quote(field));
    let problem = Problem::expected(place, "", expected, quote_list(names.iter().copied()));
    problem.with_fix(format!("name the right one with {flag}"))
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::parse;

    #[test]
    fn a_file_with_other_fields_is_refused_once() {
        for (record, expected) in [
            (
                r#"{"utterance": "a", "intent": "x", "team": "d"}"#,
                r#"expected a field "text", found "utterance", "intent", "team"; name the right one with --text-field"#,
            ),
            (
                r#"{"text": "a", "intent": "x", "domain": "d"}"#,
                r#"expected a field "label", found "text", "intent", "domain"; name the right one with --label-field"#,
            ),
            (
                r#"{"text": "a", "label": "x", "team": "d"}"#,
                r#"expected a field "domain", found "text", "label", "team"; name the right one with --domain-field"#,
            ),
        ] {
            let error = parse([record; 3].join("\n")).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{error}");
            assert_eq!(error.problems[0].to_string(), format!("line 1: {expected}"));
        }
    }
}
