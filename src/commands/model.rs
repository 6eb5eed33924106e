//! `metabert model`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::checkpoint;
use super::message::printable;
use super::output::{ensure_model_fits, print_json, print_result};
use crate::checks::{self, Invalid};
use crate::cli::{InfoArgs, InitArgs};
use crate::data::TextTokenizer;
use crate::files::atomic::write_directory;
use crate::files::limited;
use crate::machine::device::available_memory_mib;
use crate::model::json::MAX_CONFIG_MIB;
use crate::model::{BertConfig, Classifier, ModelDirectory, Pooling, Precision, pretrained};
use crate::params::init as draw;

/// Runs `model info`.
pub fn info(args: &InfoArgs) -> Result<()> {
    let path = checkpoint::intact_model(&args.model)?;
    let directory = ModelDirectory::open(&path)?;
    let weights = directory.read_weights()?;
    let config = directory.config();
    let num_labels = weights.num_head_labels();
    let pooling = directory.pooling();
    let classifier = Classifier::new(config, pooling, num_labels.unwrap_or(2), Precision::Fp32);
    let (params, report) = weights.load(&classifier, 0)?;
    // After loading, which refuses a head of more labels than it has weights for.
    let labels = num_labels.map(|count| directory.labels_or_placeholders(count));
    let is_loaded = |name: &str| !report.initialised.iter().any(|absent| absent == name);
    let num_parameters: usize =
        params.iter().filter(|(name, _)| is_loaded(name)).map(|(_, tensor)| tensor.numel()).sum();
    let tokenizer = TextTokenizer::open(directory.encoder_path());
    if args.json {
        let report = json!({
            "path": path,
            "architecture": config,
            "pooling": pooling.to_string(),
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
    let wordpieces = |it: TextTokenizer| format!("{} wordpieces", it.vocab_size());
    let positions = config.max_position_embeddings;
    let rows = [
        ("architecture", config.to_string()),
        ("pooling", pooling.to_string()),
        ("vocabulary", format!("{} wordpieces, {positions} positions", config.vocab_size)),
        ("parameters", num_parameters.to_string()),
        ("labels", labels.map_or("none: no head".into(), |labels| labels.join(", "))),
        ("initialises", list(&report.initialised)),
        ("ignores", list(&report.unexpected)),
        ("tokenizer", tokenizer.map_or_else(|error| error.to_string(), wordpieces)),
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
    let tokenizer = args.tokenizer.as_deref().map(checkpoint::located).transpose()?;
    let tokenizer = tokenizer.map(TextTokenizer::open).transpose()?;
    if let Some(tokenizer) = &tokenizer {
        config_json.insert("vocab_size".into(), (u64::from(tokenizer.max_id()) + 1).into());
    }
    let config = BertConfig::from_json(&config_json)
        .map_err(|reason| Invalid(format!("{}: {reason}", args.config)))?;
    let labels = &args.labels;
    let differ = (1..labels.len()).all(|id| !labels[..id].contains(&labels[id]));
    let expected = "at least two different labels";
    checks::require(labels.len() > 1 && differ, "--labels", expected, labels.join(","))?;
    let classifier = Classifier::new(&config, Pooling::Cls, labels.len(), Precision::Fp32);
    ensure_fits_memory(classifier.layout().num_parameters(), &args.config)?;
    let params = draw::draw(classifier.layout(), args.seed)
        .with_context(|| format!("{}: cannot draw its weights", args.config))?;
    write_directory(&args.out, |dir| -> Result<()> {
        let max_length = config.max_position_embeddings as usize;
        pretrained::save(dir, &params, &config_json, labels, max_length)?;
        if let Some(tokenizer) = &tokenizer {
            tokenizer.save_into(dir, max_length)?;
        }
        Ok(())
    })
    .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    print_result(&format!("{}\n", args.out.display()))
}

/// Refuses to make weights that the memory cannot hold: the system would end the program, or another one.
fn ensure_fits_memory(num_parameters: i64, config: &str) -> Result<(), Invalid> {
    let needed = (4 * num_parameters as u64) >> 20;
    let available = available_memory_mib().unwrap_or(u64::MAX);
    let found = format!(
        "{num_parameters} parameters, which take {needed} MiB of {available} MiB available"
    );
    checks::require(needed <= available, config, "a model that fits into memory", found)
}

/// The `config.json` that `--config` means: of a named size, or of a file.
fn architecture(name: &str) -> Result<Map<String, Value>> {
    let Some(config) = BertConfig::named(name) else {
        let read = limited::read(Path::new(name), MAX_CONFIG_MIB).map_err(|error| {
            let expected = "expected bert-base, bert-mini, bert-tiny or a config.json";
            Invalid(format!("--config {name}: {expected}: {error}"))
        })?;
        return serde_json::from_slice(&read)
            .map_err(|error| Invalid(format!("{name}: expected a JSON object: {error}")).into());
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
