//! `metabert model`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::checkpoint;
use super::error::InputError;
use super::message::printable;
use super::output::{ensure_model_fits, print_json, print_result};
use crate::cli::{InfoArgs, InitArgs};
use crate::data::TextTokenizer;
use crate::files::atomic::write_directory;
use crate::files::limited;
use crate::model::{BertConfig, Classifier, ModelDirectory, Precision, pretrained};
use crate::params::init as draw;

/// Runs `model info`.
pub fn info(args: &InfoArgs) -> Result<()> {
    let path = checkpoint::resolve(&args.model)?;
    let directory = ModelDirectory::open(&path)?;
    let weights = directory.read_weights()?;
    let config = directory.config();
    let num_labels = weights.num_head_labels();
    let classifier = Classifier::new(config, num_labels.unwrap_or(2), Precision::Fp32);
    let (params, report) = weights.load(&classifier, 0)?;
    // After loading, which refuses a head of more labels than it has weights for.
    let labels = num_labels.map(|count| directory.labels_or_placeholders(count));
    let is_loaded = |name: &str| !report.initialised.iter().any(|absent| absent == name);
    let num_parameters: usize =
        params.iter().filter(|(name, _)| is_loaded(name)).map(|(_, tensor)| tensor.numel()).sum();
    let tokenizer = TextTokenizer::open(&path);
    if args.json {
        let report = json!({
            "path": path,
            "architecture": config,
            "num_parameters": num_parameters,
            "labels": labels,
            "initialised": report.initialised,
            "unexpected": report.unexpected,
            "tokenizer_wordpieces": tokenizer.as_ref().ok().map(TextTokenizer::vocab_size),
        });
        return print_json(&report);
    }
    let list = |names: &[String]| match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    let architecture = format!(
        "BERT, {} layers, hidden {}, {} heads, feed-forward {}, {:?}",
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.hidden_act,
    );
    let rows = [
        ("architecture", architecture),
        (
            "vocabulary",
            format!(
                "{} wordpieces, {} positions",
                config.vocab_size, config.max_position_embeddings
            ),
        ),
        ("parameters", num_parameters.to_string()),
        ("labels", labels.map_or("none: no head".into(), |labels| labels.join(", "))),
        ("initialises", list(&report.initialised)),
        ("ignores", list(&report.unexpected)),
        (
            "tokenizer",
            tokenizer.map_or_else(
                |error| error.to_string(),
                |tokenizer| format!("{} wordpieces", tokenizer.vocab_size()),
            ),
        ),
    ];
    let row = |(name, value): &(&str, String)| format!("  {name:13} {}\n", printable(value));
    let rows: String = rows.iter().map(row).collect();
    print_result(&format!("{}\n{rows}", path.display()))
}

/// Runs `model init`.
pub fn init(args: &InitArgs) -> Result<()> {
    let inputs: Vec<&Path> = args.tokenizer.iter().map(PathBuf::as_path).collect();
    ensure_model_fits(&args.out, args.force, &inputs)?;
    let mut config_json = architecture(&args.config)?;
    let tokenizer = args.tokenizer.as_deref().map(TextTokenizer::open).transpose()?;
    if let Some(tokenizer) = &tokenizer {
        config_json.insert("vocab_size".into(), (u64::from(tokenizer.max_id()) + 1).into());
    }
    let config = BertConfig::from_json(&config_json)
        .map_err(|reason| InputError(format!("{}: {reason}", args.config)))?;
    let labels = if args.labels.is_empty() {
        vec!["negative".to_owned(), "positive".to_owned()]
    } else {
        args.labels.clone()
    };
    if labels.len() < 2 || (1..labels.len()).any(|id| labels[..id].contains(&labels[id])) {
        return Err(InputError(format!(
            "--labels: expected at least two different labels, found {}",
            labels.join(",")
        ))
        .into());
    }
    let classifier = Classifier::new(&config, labels.len(), Precision::Fp32);
    ensure_fits_memory(classifier.layout().num_parameters(), &args.config)?;
    let params = draw::draw(classifier.layout(), args.seed)
        .with_context(|| format!("{}: cannot draw its weights", args.config))?;
    write_directory(&args.out, |dir| -> Result<()> {
        pretrained::save(dir, &params, &config_json, &labels)?;
        if let Some(tokenizer) = &tokenizer {
            tokenizer.save_into(dir)?;
        }
        Ok(())
    })
    .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    print_result(&format!("{}\n", args.out.display()))
}

/// Refuses to make weights that the memory cannot hold: the system would end the program, or another one.
fn ensure_fits_memory(num_parameters: i64, config: &str) -> Result<()> {
    let needed_mib = (4 * num_parameters as u64) >> 20;
    match crate::machine::device::available_memory_mib() {
        Some(available_mib) if needed_mib > available_mib => Err(InputError(format!(
            "{config}: expected a model that fits into memory, found {num_parameters} parameters, \
             which take {needed_mib} MiB of {available_mib} MiB available"
        ))
        .into()),
        _ => Ok(()),
    }
}

/// The `config.json` that `--config` means: of a named size, or of a file.
fn architecture(name: &str) -> Result<Map<String, Value>> {
    let Some(config) = BertConfig::named(name) else {
        let read = limited::read(Path::new(name), pretrained::MAX_CONFIG_MIB).map_err(|error| {
            let expected = "expected bert-base, bert-mini, bert-tiny or a config.json";
            InputError(format!("--config {name}: {expected}: {error}"))
        })?;
        return serde_json::from_slice(&read).map_err(|error| {
            InputError(format!("{name}: expected a JSON object: {error}")).into()
        });
    };
    match serde_json::to_value(config) {
        Ok(Value::Object(config)) => Ok(config),
        _ => unreachable!("an architecture serialises to an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_model_larger_than_the_memory_is_refused() {
        assert!(ensure_fits_memory(1_000, "a.json").is_ok());
        let error = ensure_fits_memory(1 << 50, "a.json").unwrap_err().to_string();
        let expected = "a.json: expected a model that fits into memory, found 1125899906842624 ";
        assert!(error.starts_with(expected), "{error}");
    }
}
