//! Reads what `eval --json` prints.

use serde_json::Value;

/// The results of one checkpoint, or of the majority answer, for one support size.
pub struct Scored<'a> {
    /// Domain by domain.
    pub domains: &'a [Value],
    /// Over all of them.
    pub overall: &'a Value,
}

/// All results in the order of the report: checkpoint by checkpoint, the majority last, size by size.
pub fn scored(report: &Value) -> Vec<Scored<'_>> {
    let results = report["results"].as_array().expect("an array of results");
    let groups = results.split_inclusive(|result| result["domain"] == "all");
    let scored = groups.map(|group| {
        let (overall, domains) = group.split_last().expect("a group has results");
        assert_eq!(overall["domain"], "all", "{report}");
        Scored { domains, overall }
    });
    scored.collect()
}

/// The results of the first checkpoint for the first support size, domain by domain.
pub fn of_domains(report: &Value) -> &[Value] {
    scored(report)[0].domains
}

/// A number of a result by the path of its keys, such as `macro_f1/mean`.
pub fn number(result: &Value, path: &str) -> f64 {
    let found = result.pointer(&format!("/{path}")).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{path}: no number in {result}"))
}
