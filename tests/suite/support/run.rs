//! Runs the program as a user does: from some other directory, with nothing but its arguments.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::fixtures;

/// Settings under which `data/tiny.json` is trained and evaluated on in a fraction of a second.
/// On the CPU and in fp32, since there a run repeats to the bit on every machine.
pub const SMALL: &str = "--data @data --low-resource-max 16 --support 8 --query 4 --inner-epochs 1 \
                         --inner-batch 4 --max-length 32 --threads 1 --device cpu --precision fp32";

/// An architecture of 7,762 parameters. They are drawn wider than BERT's own: from 0.02 so small a
/// model stays for long, with some seeds, where it cannot tell two texts apart.
pub const ARCHITECTURE: &str = r#"{"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 32, "max_position_embeddings": 64,
    "initializer_range": 0.1}"#;

/// How a run of the program ended.
pub struct Answer {
    /// The exit code; `None` behind a signal.
    pub code: Option<i32>,
    /// Results.
    pub stdout: String,
    /// Progress, warnings and errors.
    pub stderr: String,
}

impl Answer {
    /// What was printed on stdout, behind checking that the run succeeded.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }
}

/// An empty directory to run in.
pub fn work_dir() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program, to be run in `dir` with the space-separated words of `arguments`, in which
/// `@data` stands for data/tiny.json, `@plain` for the fixture `bert/plain`, `@tiny` and `@adapted`
/// for [`tiny`] and [`adapted`], `@minilm` for the real encoder.
pub fn command(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metabert"));
    command.args(arguments.split_whitespace().map(with_paths));
    // A binary that only starts where cargo has set a library path would not start for a user.
    command.current_dir(dir).env_remove("LD_LIBRARY_PATH").env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn with_paths(word: &str) -> String {
    type Place = (&'static str, fn() -> PathBuf);
    const PLACES: [Place; 5] = [
        ("@data", || repository("data/tiny.json")),
        ("@plain", || repository("tests/fixtures/bert/plain")),
        ("@tiny", || tiny().to_owned()),
        ("@adapted", || adapted().to_owned()),
        ("@minilm", fixtures::minilm),
    ];
    PLACES.iter().fold(word.to_owned(), |word, (name, path)| match word.contains(name) {
        true => word.replace(name, path().to_str().expect("a path in UTF-8")),
        false => word,
    })
}

/// Runs [`command`] to its end.
pub fn run(dir: &Path, arguments: &str) -> Answer {
    run_with_input(dir, arguments, b"")
}

/// Runs [`command`] to its end with `input` on stdin.
pub fn run_with_input(dir: &Path, arguments: &str, input: &[u8]) -> Answer {
    finish(&mut command(dir, arguments), input)
}

/// Runs a command to its end with `input` on stdin.
pub fn finish(command: &mut Command, input: &[u8]) -> Answer {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // Beside reading the answer, or two full pipes would wait for each other. The program may end
    // without having read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// A tiny random classifier of `negative` and `positive`, made once for all tests.
pub fn tiny() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        fs::write(shared().join("architecture.json"), ARCHITECTURE).unwrap();
        run(
            shared(),
            "model init --config architecture.json --tokenizer @plain --labels negative,positive \
             --out tiny",
        )
        .success();
        shared().join("tiny")
    })
}

/// [`tiny`] adapted to the boots of data/tiny.json until its answers depend on the text.
pub fn adapted() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        run(
            shared(),
            "finetune --checkpoint @tiny --domain boots --data @data --out adapted --folds 0 \
             --inner-steps 60 --inner-lr 1e-2 --max-length 32 --threads 1 --device cpu",
        )
        .success();
        shared().join("adapted")
    })
}

/// A directory for what all tests of this process share. It lies in cargo's target folder, since
/// nothing removes it behind the last test but `cargo clean`.
pub fn shared() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let name = format!("shared-{}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("what an earlier process left can be removed");
        }
        fs::create_dir_all(&dir).expect("the target folder can be written to");
        dir
    })
}

/// A copy of the fixture `bert/plain` for a test to spoil.
pub fn copied_model(dir: &Path, name: &str) -> PathBuf {
    let copy = dir.join(name);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(repository("tests/fixtures/bert/plain")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

/// Rewrites a weights file with the tensors that `change` leaves of it.
pub fn change_tensors(model: &Path, change: impl Fn(&str, Vec<usize>) -> Option<Vec<usize>>) {
    let file = model.join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut changed: HashMap<String, TensorView> = HashMap::new();
    for (name, view) in tensors.tensors() {
        if let Some(shape) = change(&name, view.shape().to_vec()) {
            let length = shape.iter().product::<usize>() * 4;
            let view = TensorView::new(view.dtype(), shape, &view.data()[..length]).unwrap();
            changed.insert(name, view);
        }
    }
    fs::write(&file, safetensors::serialize(&changed, None).unwrap()).unwrap();
}

/// A file as JSON.
pub fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every line of a text as JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    };
    text.lines().map(parse).collect()
}

/// The events of a run, of one kind or (`""`) all.
pub fn events(run: &Path, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    let mut events = json_lines(&text);
    events.retain(|event| kind.is_empty() || event["event"] == kind);
    events
}

/// The events of a run without what a clock says, and without how many processes, threads and workers it had.
pub fn timeless_events(run: &Path) -> Vec<Value> {
    let mut events = events(run, "");
    for event in &mut events {
        let event = event.as_object_mut().expect("an event is an object");
        let other = ["elapsed_s", "episodes_per_min", "machine", "settings"];
        event.retain(|key, _| !other.contains(&key.as_str()));
    }
    events
}

/// The numbers of the outer steps in a run's log, in the order they stand there.
pub fn logged_steps(run: &Path) -> Vec<u64> {
    let steps = events(run, "outer_step");
    steps.iter().map(|event| event["step"].as_u64().expect("a step number")).collect()
}

/// The records of data/tiny.json.
pub fn tiny_records() -> Vec<Value> {
    let records = json(&repository("data/tiny.json"));
    records.as_array().expect("an array of records").clone()
}

/// All files below a directory with their bytes, and all directories with none.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("the directory can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(snapshot(&path));
        } else {
            let bytes = fs::read(&path).expect("the file can be read");
            found.insert(path, bytes);
        }
    }
    found
}

/// Asserts that two files hold the same bytes, without printing them.
pub fn assert_same_bytes(left: &Path, right: &Path) {
    let read =
        |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (a, b) = (read(left), read(right));
    let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    assert!(
        a == b,
        "{} ({} bytes) and {} ({} bytes) differ in {differing} bytes",
        left.display(),
        a.len(),
        right.display(),
        b.len()
    );
}

/// A checkpoint of a run in `dir`.
pub fn checkpoint(dir: &Path, run: &str, step: u64) -> PathBuf {
    dir.join(run).join(format!("checkpoints/step-{step:06}"))
}

/// Checks that two checkpoints have the same parameters and state of the outer optimizer.
pub fn assert_same_state(left: &Path, right: &Path) {
    for file in ["model.safetensors", "training_state.safetensors"] {
        assert_same_bytes(&left.join(file), &right.join(file));
    }
}
