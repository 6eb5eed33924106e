//! `metabert model fetch`.

use std::cell::RefCell;

use anyhow::Result;
use indicatif::{HumanBytes, ProgressBar};

use super::output::print_result;
use crate::checks::{self, Invalid};
use crate::cli::FetchArgs;
use crate::hub::{Cache, Hub, HubName, Listing, Progress, offline_variable};
use crate::model::weights::WEIGHTS_FILE;
use crate::run::console::Console;

/// What a folder with an encoder or a head can hold that some command reads, or another library beside it.
const FILES: [&str; 10] = [
    "config.json",
    WEIGHTS_FILE,
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "README.md",
];

/// Runs the command.
pub fn run(args: &FetchArgs) -> Result<()> {
    let name = &args.name;
    if let Some(variable) = offline_variable() {
        let found = format!("{variable}, which forbids it; unset it to download");
        checks::require(false, name, "leave to use the network", found)?;
    }
    let console = Console::new(args.quiet, 0);
    let hub = Hub::from_environment();
    let listing = hub.listing(name)?;
    ensure_readable(name, &listing)?;
    let arriving = Arriving { console: &console, file: RefCell::default() };
    let progress = |progress: Progress| arriving.show(progress);
    let fetched = listing.fetch(&hub, &Cache::from_environment(), is_wanted, &progress)?;
    arriving.end();
    if fetched.downloaded.is_empty() {
        console.line(&format!("{name}: was in the cache already"));
    }
    print_result(&format!("{}\n", fetched.snapshot.display()))
}

/// Whether a file of a model is one of [`FILES`], in the model's folder or in that of one of its modules, such as `1_Pooling/`.
fn is_wanted(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_module = folder.starts_with(|c: char| c.is_ascii_digit()) && !folder.contains('/');
    FILES.contains(&name) && (folder.is_empty() || is_module)
}

/// Refuses a model without weights of the one form that can be read, before anything is downloaded.
fn ensure_readable(name: &HubName, listing: &Listing) -> Result<(), Invalid> {
    let is_weights = |path: &str| path.rsplit('/').next() == Some(WEIGHTS_FILE);
    let has_weights = listing.paths().any(|path| is_weights(path) && is_wanted(path));
    let others: Vec<&str> = listing
        .paths()
        .filter(|path| [".bin", ".safetensors"].iter().any(|it| path.ends_with(it)))
        .collect();
    let found = match others.as_slice() {
        [] => "no weights".to_owned(),
        others => format!("only {}; look for a revision that was converted", others.join(", ")),
    };
    checks::require(has_weights, name, WEIGHTS_FILE, found)
}

/// The file that is arriving: a bar of its bytes on a terminal, elsewhere a line.
struct Arriving<'a> {
    console: &'a Console,
    file: RefCell<Option<(String, ProgressBar)>>,
}

impl Arriving<'_> {
    fn show(&self, progress: Progress) {
        let mut file = self.file.borrow_mut();
        if file.as_ref().is_none_or(|(name, _)| name != progress.file) {
            let bar = self.console.begin_bytes(progress.file, Some(progress.size));
            if bar.is_hidden() {
                self.console.line(&format!("{}: {}", progress.file, HumanBytes(progress.size)));
            }
            if let Some((_, ended)) = file.replace((progress.file.to_owned(), bar)) {
                ended.finish_and_clear();
            }
        }
        if let Some((_, bar)) = file.as_ref() {
            bar.set_position(progress.done);
        }
    }

    fn end(&self) {
        if let Some((_, bar)) = self.file.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_model_and_of_its_modules_are_wanted() {
        let wanted = [
            "config.json",
            "model.safetensors",
            "vocab.txt",
            "1_Pooling/config.json",
            "0_Transformer/tokenizer.json",
            "3_Dense/model.safetensors",
        ];
        assert!(wanted.into_iter().all(is_wanted));
        let others = [
            "pytorch_model.bin",
            "onnx/model.onnx",
            "onnx/config.json",
            "1_Pooling/a/config.json",
            "openvino/config.json",
            "model-00001-of-00002.safetensors",
            "rust_model.ot",
        ];
        assert!(!others.into_iter().any(is_wanted));
    }
}
