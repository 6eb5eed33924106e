//! Answers as they are written: a JSON object a line, or a row of a table.

use anyhow::Result;
use csv::{StringRecord, WriterBuilder};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use super::line::Line;
use crate::checks::Invalid;
use crate::data::unlabelled::{Record, Window};
use crate::eval::predict::{argmax, probabilities};

/// What the columns of an answer are called.
const COLUMNS: [&str; 2] = ["predicted_label", "predicted_score"];

/// The form of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// A JSON object a line: the fields of the record or row, or else the text, and the answer with the score of every label.
    Jsonl,
    /// A table: the columns of the input, or else the text, and the answer.
    Table {
        /// A comma or a tab.
        delimiter: u8,
    },
}

/// Gives logits the form of answers.
pub struct Answers {
    form: AnswerForm,
    labels: Vec<String>,
    /// Below it no label is given.
    min_score: f64,
    /// The columns of the table that is read.
    columns: Vec<String>,
}

impl Answers {
    /// Answers out of `labels`.
    pub fn new(form: AnswerForm, labels: Vec<String>, min_score: f64) -> Self {
        Self { form, labels, min_score, columns: Vec::new() }
    }

    /// What comes before the first answer to texts of a table with the columns `header`, or of none.
    ///
    /// # Errors
    /// Columns with the names of an answer's.
    pub fn begin(&mut self, header: Option<&StringRecord>) -> Result<Vec<u8>> {
        self.columns = header.into_iter().flatten().map(str::to_owned).collect();
        let AnswerForm::Table { delimiter } = self.form else { return Ok(Vec::new()) };
        let text = StringRecord::from(vec!["text"]);
        let mut row = header.unwrap_or(&text).clone();
        if let Some(name) = row.iter().find(|name| COLUMNS.contains(name)) {
            let expected = "a name other than those of the answers; rename the column";
            return Err(Invalid(format!("line 1: expected {expected}, found \"{name}\"")).into());
        }
        row.extend(COLUMNS);
        self.table(delimiter, [row])
    }

    /// The answers to the texts of a window, one a row of `logits`.
    ///
    /// # Errors
    /// None that users can cause.
    pub fn of(&self, window: &Window, logits: &[Vec<f32>]) -> Result<Vec<u8>> {
        let answers = window.texts.iter().zip(logits).map(|(text, row)| {
            let answer = self.answer(row);
            // Whatever the model makes of nothing.
            let label = answer.label.filter(|_| !text.trim().is_empty());
            Answer { label, ..answer }
        });
        let AnswerForm::Table { delimiter } = self.form else {
            let mut lines = Vec::new();
            for (index, answer) in answers.enumerate() {
                let of_row = || window.rows.get(index).map(|row| self.record_of(row)).transpose();
                let record = match window.records.get(index) {
                    Some(record) => Some(record.clone()),
                    None => of_row()?,
                };
                let (label, score, scores) = (answer.label, answer.score, answer.scores());
                let line = Line { text: &window.texts[index], record, label, score, scores };
                serde_json::to_writer(&mut lines, &line)?;
                lines.push(b'\n');
            }
            return Ok(lines);
        };
        let rows = answers.enumerate().map(|(index, answer)| {
            let text = || StringRecord::from(vec![window.texts[index].as_str()]);
            let mut row = window.rows.get(index).cloned().unwrap_or_else(text);
            row.push_field(answer.label.unwrap_or_default());
            row.push_field(&answer.score.to_string());
            row
        });
        self.table(delimiter, rows)
    }

    /// The cells of a row as the fields of a record.
    fn record_of(&self, row: &StringRecord) -> Result<Record> {
        let fields = self.columns.iter().zip(row);
        fields.map(|(name, cell)| Ok((name.clone(), to_raw_value(cell)?))).collect()
    }

    /// Whether answers to a window leave out fields of its records: a table has a column for the text alone.
    pub fn leaves_fields_out(&self, window: &Window) -> bool {
        self.form != AnswerForm::Jsonl && window.records.iter().any(|record| record.len() > 1)
    }

    fn table(
        &self,
        delimiter: u8,
        rows: impl IntoIterator<Item = StringRecord>,
    ) -> Result<Vec<u8>> {
        let mut writer = WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        rows.into_iter().try_for_each(|row| writer.write_record(&row))?;
        Ok(writer.into_inner()?)
    }

    fn answer(&self, logits: &[f32]) -> Answer<'_> {
        let probabilities = probabilities(logits);
        let best = argmax(logits) as usize;
        let score = probabilities[best];
        let label = (score >= self.min_score).then_some(self.labels[best].as_str());
        Answer { labels: &self.labels, probabilities, label, score }
    }
}

/// The answer to a text.
struct Answer<'a> {
    labels: &'a [String],
    probabilities: Vec<f64>,
    /// `None` where the score is too low or there is no text.
    label: Option<&'a str>,
    score: f64,
}

impl Answer<'_> {
    fn scores(&self) -> Map<String, Value> {
        let scores = self.labels.iter().cloned().zip(self.probabilities.iter().map(|&p| p.into()));
        scores.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(form: AnswerForm) -> Answers {
        Answers::new(form, vec!["no".into(), "yes".into()], 0.6)
    }

    #[test]
    fn a_table_keeps_its_columns_and_quotes_what_has_to_be() {
        let mut answers = answers(AnswerForm::Table { delimiter: b',' });
        let header = StringRecord::from(vec!["id", "text"]);
        let begin = answers.begin(Some(&header)).unwrap();
        assert_eq!(begin, b"id,text,predicted_label,predicted_score\n");
        let window = Window {
            texts: vec!["a, \"b\"".into(), "c".into(), " ".into()],
            records: Vec::new(),
            rows: vec![
                StringRecord::from(vec!["1", "a, \"b\""]),
                StringRecord::from(vec!["2", "c"]),
                StringRecord::from(vec!["3", " "]),
            ],
        };
        let logits = [vec![-20.0, 20.0], vec![0.0, 0.0], vec![-20.0, 20.0]];
        let rows = answers.of(&window, &logits).unwrap();
        assert_eq!(rows, b"1,\"a, \"\"b\"\"\",yes,1\n2,c,,0.5\n3, ,,1\n");
        let taken = StringRecord::from(vec!["text", "predicted_score"]);
        assert!(answers.begin(Some(&taken)).is_err());
    }

    #[test]
    fn a_row_becomes_a_record() {
        let mut answers = answers(AnswerForm::Jsonl);
        let header = StringRecord::from(vec!["id", "text", "label"]);
        assert_eq!(answers.begin(Some(&header)).unwrap(), b"");
        let rows = vec![StringRecord::from(vec!["1", "a \"b\"", "mine"])];
        let window = Window { texts: vec!["a \"b\"".into()], rows, ..Window::default() };
        let line = answers.of(&window, &[vec![0.0, 0.0]]).unwrap();
        let expected = r#"{"id":"1","text":"a \"b\"","input_label":"mine","label":null,"score":0.5,"scores":{"no":0.5,"yes":0.5}}"#;
        assert_eq!(String::from_utf8(line).unwrap(), format!("{expected}\n"));

        // Answers that are labelled once more.
        let header = StringRecord::from(vec!["text", "input_label", "label"]);
        answers.begin(Some(&header)).unwrap();
        let rows = vec![StringRecord::from(vec!["a", "first", "second"])];
        let window = Window { texts: vec!["a".into()], rows, ..Window::default() };
        let line = String::from_utf8(answers.of(&window, &[vec![0.0, 9.0]]).unwrap()).unwrap();
        let begin =
            r#"{"text":"a","input_label":"first","input_input_label":"second","label":"yes","#;
        assert!(line.starts_with(begin), "{line}");
    }

    #[test]
    fn texts_of_no_table_get_a_column() {
        let mut answers = answers(AnswerForm::Table { delimiter: b'\t' });
        assert_eq!(answers.begin(None).unwrap(), b"text\tpredicted_label\tpredicted_score\n");
        let window = Window { texts: vec!["a, b".into()], ..Window::default() };
        assert_eq!(answers.of(&window, &[vec![20.0, -20.0]]).unwrap(), b"a, b\tno\t1\n");
    }
}
