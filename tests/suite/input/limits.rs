//! Files made to exhaust memory, stack or time, given to the program within limits on memory and time.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::basic::Compression as Codec;
use parquet::data_type::ByteArray;
use parquet::file::properties::EnabledStatistics;

use crate::program::command_line_errors::refuses_when;
use crate::support::parquet_file::{Values, properties, strings, written};
use crate::support::run::{
    ARCHITECTURE, Answer, change_tensors, command, copied_model, finish, run, work_dir,
};

/// Address space in KiB: twice what the program takes to label a text, and less than what it would take to hold any of
/// these inputs a second time decompressed, or split into tokens.
const MEMORY_KIB: u64 = 3 << 20;
const SECONDS: &str = "100";

/// Runs the program within the limits.
fn run_limited(dir: &Path, arguments: &str) -> Answer {
    let unlimited = command(dir, arguments);
    let mut limited = Command::new("sh");
    let script = format!("ulimit -v {MEMORY_KIB} && exec timeout {SECONDS} \"$@\"");
    limited.args(["-c", &script, "sh"]).arg(unlimited.get_program()).args(unlimited.get_args());
    // Every thread that allocates would reserve address space of its own.
    limited.env("MALLOC_ARENA_MAX", "2").env("OMP_NUM_THREADS", "1");
    limited.env_remove("LD_LIBRARY_PATH").current_dir(dir);
    limited.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(&mut limited, b"")
}

/// Checks that the program refuses within the limits, as any other bad input.
fn refuses(dir: &Path, arguments: &str, told: &str) {
    refuses_when(dir, arguments, told, || run_limited(dir, arguments));
}

fn validate(file: &Path) -> String {
    format!("data validate --data {}", file.display())
}

fn predict(file: &Path) -> String {
    format!("predict --checkpoint @tiny --device cpu --threads 1 --input {}", file.display())
}

/// JSON that is nested 100,000 deep.
fn deep() -> String {
    format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))
}

#[test]
fn json_of_any_depth_is_read_or_refused() {
    let dir = work_dir();
    let (path, deep) = (dir.path(), deep());
    for (name, content, told) in [
        ("open.json", "[".repeat(100_000), "open.json: not JSON at line 1"),
        ("text.json", format!("[{{\"text\": {deep}}}]"), "text.json: |field \"text\": |an array"),
        ("keys.json", "{\"data\":".repeat(100_000), "keys.json: not an array of records"),
        ("line.jsonl", format!("{{\"label\": {deep}}}"), "line.jsonl: |line 1, field \"label\""),
    ] {
        fs::write(path.join(name), content).unwrap();
        refuses(path, &validate(Path::new(name)), told);
    }
    let record = format!("{{\"x\": {deep}, \"text\": \"good\"}}\n");
    fs::write(path.join("good.jsonl"), record.repeat(2)).unwrap();
    let answer = run_limited(path, &predict(Path::new("good.jsonl")));
    assert_eq!(answer.success().lines().count(), 2);
    fs::write(path.join("bad.jsonl"), format!("{record}{{\"text\": {deep}}}\n")).unwrap();
    refuses(path, &predict(Path::new("bad.jsonl")), "bad.jsonl: line 2: |string `text`");

    for name in ["config.json", "tokenizer.json"] {
        let model = copied_model(path, &format!("model_{name}"));
        fs::write(model.join(name), format!("{{\"model\": {deep}}}")).unwrap();
        let arguments = format!("predict --checkpoint model_{name} --input good.jsonl");
        refuses(path, &arguments, &format!("model_{name}/{name}: |recursion limit"));
    }
    let model = copied_model(path, "weights");
    let header = format!("{{\"a\": {deep}}}");
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    fs::write(model.join("model.safetensors"), file).unwrap();
    refuses(path, "model info weights", "weights/model.safetensors: |recursion limit");
    let set = format!("train --run-dir run --print-config --set {}b=1", "a.".repeat(60_000));
    refuses(path, &set, "found one of 60001 parts");
}

#[test]
fn a_weights_file_that_claims_a_huge_header_is_refused() {
    let dir = work_dir();
    let file = copied_model(dir.path(), "model").join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    for claimed in [1_u64 << 60, 1 << 40, 99_999_999, u64::MAX] {
        bytes[..8].copy_from_slice(&claimed.to_le_bytes());
        fs::write(&file, &bytes).unwrap();
        refuses(dir.path(), "model info model", "model/model.safetensors: |not a complete");
    }
}

/// An empty tensor may claim any number of rows, and each of a head's would get a name.
#[test]
fn a_head_of_more_labels_than_could_be_named_is_refused() {
    let dir = work_dir();
    for (name, rows, columns) in [("many", 1 << 60, 0), ("none", 0, 16)] {
        let model = copied_model(dir.path(), name);
        change_tensors(&model, |name, shape| match name {
            "classifier.weight" => Some(vec![rows, columns]),
            _ => Some(shape),
        });
        let told = format!("{name}/model.safetensors: |`classifier.weight`: expected ");
        refuses(dir.path(), &format!("model info {name}"), &told);
        let predict = format!("predict --checkpoint {name} --input /dev/null");
        refuses(dir.path(), &predict, &told);
    }
}

/// What libtorch says of it is no panic, and comes with what to do.
#[test]
fn weights_that_the_memory_cannot_hold_are_told() {
    let dir = work_dir();
    // 3 GiB for the embeddings alone, which a small machine has as well.
    let config = ARCHITECTURE.replacen('{', "{\"vocab_size\": 16777216, ", 1);
    let config = config.replace("\"hidden_size\": 16", "\"hidden_size\": 48");
    fs::write(dir.path().join("config.json"), config).unwrap();
    let Answer { code, stdout, stderr } =
        run_limited(dir.path(), "model init --config config.json --out model");
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.starts_with("error: config.json: cannot draw its weights: "), "{stderr}");
    for told in [
        "DefaultCPUAllocator",
        "you tried to allocate 3221225472 bytes",
        "; there is too little memory: lower ",
    ] {
        assert!(stderr.contains(told), "expected {told:?} in {stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("Exception raised from"), "{stderr}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only config.json is there");
}

#[test]
fn settings_and_descriptions_of_any_size_are_refused() {
    // Apart from where the program runs, which is compared byte by byte.
    let (dir, models) = (work_dir(), work_dir());
    let endless = "expected at most 16 MiB, found more";
    let arguments = "train --run-dir run --print-config --config /dev/zero";
    refuses(dir.path(), arguments, &format!("/dev/zero: |{endless}"));
    let arguments = "model init --out model --config /dev/zero";
    refuses(dir.path(), arguments, &format!("/dev/zero: |{endless}"));
    for (name, told) in
        [("config.json", endless), ("tokenizer.json", "expected at most 128 MiB, found more")]
    {
        let model = copied_model(models.path(), name);
        File::create(model.join(name)).unwrap().set_len(1 << 33).unwrap();
        let arguments = format!("predict --checkpoint {} --input /dev/null", model.display());
        refuses(dir.path(), &arguments, &format!("{name}/{name}: {told}"));
    }
}

/// Writes a file of a beginning, 200 MB of one piece over and over, and an end.
fn write_long(file: &Path, begin: &str, piece: &str, end: &str) {
    let mut file = File::create(file).unwrap();
    let pieces = piece.repeat(1_000_000 / piece.len());
    file.write_all(begin.as_bytes()).unwrap();
    for _ in 0..200 {
        file.write_all(pieces.as_bytes()).unwrap();
    }
    file.write_all(end.as_bytes()).unwrap();
}

#[test]
fn a_line_of_200_megabytes_is_refused() {
    // Apart from where the program runs, which is compared byte by byte.
    let (dir, input) = (work_dir(), work_dir());
    let (path, file) = (dir.path(), input.path().join("long"));
    let in_a_line = "long: line 2: expected at most 16 MiB in a line, found more";
    for (begin, piece, end) in [
        ("good\n", "a", "\n"),
        ("good\n", "good word ", ""),
        ("{\"text\": \"good\"}\n{\"text\": \"", "good word ", "\"}\n"),
    ] {
        write_long(&file, begin, piece, end);
        refuses(path, &predict(&file), in_a_line);
    }
    refuses(path, &predict(Path::new("/dev/zero")), "/dev/zero: line 1: |at most 16 MiB");

    let told = "field \"text\": expected at most 1048576 bytes, found 200000000; shorten it";
    for (begin, end, place) in [
        ("[{\"text\": \"", "\", \"label\": 1, \"domain\": \"a\"}]", "record 1"),
        ("{\"text\": \"", "\", \"label\": 1, \"domain\": \"a\"}", "line 1"),
    ] {
        write_long(&file, begin, "good word ", end);
        refuses(path, &validate(&file), &format!("long: {place}, {told}"));
    }
    write_long(&file, "[", "\0", "]");
    refuses(path, &validate(&file), "long: not JSON at line 1, column 2");
    write_long(&file, "{\"text\": \"", "[{\"text\":", "");
    refuses(path, &validate(&file), "long: line 1: not JSON");
}

#[test]
fn a_small_file_that_decompresses_to_a_huge_one_is_refused() {
    let dir = work_dir();
    let path = dir.path();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..1 << 10 {
        bomb.write_all(&zeros).unwrap();
    }
    fs::write(path.join("one.gz"), bomb.finish().unwrap()).unwrap();
    // Records, in a thousand files one behind the other.
    let record = "{\"text\": \"good\", \"label\": 1, \"domain\": \"a\"}\n".repeat(25_000);
    let mut part = GzEncoder::new(Vec::new(), Compression::best());
    part.write_all(record.as_bytes()).unwrap();
    fs::write(path.join("many.gz"), part.finish().unwrap().repeat(1_000)).unwrap();
    for name in ["one.gz", "many.gz"] {
        let told = format!("{name}: expected at most |100 times its size|gunzip");
        refuses(path, &validate(Path::new(name)), &told);
    }
    // Nothing is wrong with a small file that compresses well.
    let records: String = (0..30_000)
        .map(|id| {
            let (label, domain) = (id % 2, id / 10_000);
            format!("{{\"text\": \"good {id}\", \"label\": {label}, \"domain\": \"{domain}\"}}\n")
        })
        .collect();
    let mut whole = GzEncoder::new(Vec::new(), Compression::best());
    whole.write_all(records.as_bytes()).unwrap();
    fs::write(path.join("whole.gz"), whole.finish().unwrap()).unwrap();
    run(path, "data stats --data whole.gz").success();
}

#[test]
fn a_small_parquet_file_that_expands_to_a_huge_one_is_refused() {
    let dir = work_dir();
    let text = "a".repeat(1 << 20);
    let labels: Vec<&str> = (0..70).map(|row| ["1", "2"][row % 2]).collect();
    let columns = [
        ("binary text (UTF8)", strings(&[text.as_str(); 70])),
        ("binary label (UTF8)", strings(&labels)),
        ("binary domain (UTF8)", strings(&["d"; 70])),
    ];
    // Once as pages that are large, and once as one page that all rows point to.
    // More rows than are read at once, and more bytes in them than the limit on memory.
    let long = ByteArray::from("a".repeat(4 << 20).as_str());
    let labels: Vec<&str> = (0..1_024).map(|row| ["1", "2"][row % 2]).collect();
    let many = [
        ("binary text (UTF8)", Values::Strings(vec![Some(long); 1_024])),
        ("binary label (UTF8)", strings(&labels)),
        ("binary domain (UTF8)", strings(&["d"; 1_024])),
    ];
    for (name, columns, has_dictionary) in [
        ("pages.parquet", &columns, false),
        ("rows.parquet", &columns, true),
        ("batch.parquet", &many, true),
    ] {
        let properties = properties(Codec::ZSTD(Default::default()))
            .set_dictionary_enabled(has_dictionary)
            .set_dictionary_page_size_limit(8 << 20)
            .set_statistics_enabled(EnabledStatistics::None);
        let bytes = written(columns, false, properties);
        assert!(bytes.len() < 1 << 16, "{}", bytes.len());
        fs::write(dir.path().join(name), bytes).unwrap();
        let told =
            format!("{name}: |expected at most 67108864 bytes|100 times its size|as JSONL first");
        refuses(dir.path(), &validate(Path::new(name)), &told);
    }
}
