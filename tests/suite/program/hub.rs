//! Models by their names on the Hugging Face Hub: `model fetch`, and every command that takes a model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::hub::{COMMIT, Faults, HubServer, NAME};
use crate::support::python::python;
use crate::support::run::{
    Answer, SMALL, assert_same_bytes, command, finish, json, tiny, work_dir,
};

/// The program with the cache in `dir`, against `server`.
pub fn with_hub(dir: &Path, server: &HubServer, arguments: &str) -> Command {
    let mut command = command(dir, arguments);
    command.env("HF_HOME", dir.join("hf")).env("HF_ENDPOINT", server.endpoint());
    for variable in
        ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
    {
        command.env_remove(variable);
    }
    command
}

fn run(dir: &Path, server: &HubServer, arguments: &str) -> Answer {
    finish(&mut with_hub(dir, server, arguments), b"")
}

fn fetch(dir: &Path, server: &HubServer) -> Answer {
    run(dir, server, &format!("model fetch {NAME}"))
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("hf/hub/models--org--tiny")
}

fn weights(dir: &Path) -> PathBuf {
    folder(dir).join("snapshots").join(COMMIT).join("model.safetensors")
}

/// The parts of downloads that have not ended.
fn incomplete(dir: &Path) -> Vec<PathBuf> {
    let blobs = fs::read_dir(folder(dir).join("blobs"));
    let paths = blobs.into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some()).collect()
}

#[test]
fn a_fetched_model_is_found_by_its_name() {
    let (dir, server) = (work_dir(), HubServer::of(tiny(), Faults::default()));
    let path = dir.path();
    let train = format!("train --algo none --model {NAME} --run-dir run --steps 1 {SMALL}");
    let answer = run(path, &server, &train);
    assert_eq!(answer.code, Some(2));
    let cache = path.join("hf/hub");
    let expected = format!(
        "error: org/tiny: expected a model directory, a run or the name of a model in the Hugging Face cache ({}), found none; \
         `metabert model fetch org/tiny` downloads one\n",
        cache.display()
    );
    assert_eq!(answer.stderr, expected);

    let snapshot = folder(path).join("snapshots").join(COMMIT);
    assert_eq!(fetch(path, &server).success(), format!("{}\n", snapshot.display()));
    assert_same_bytes(&weights(path), &tiny().join("model.safetensors"));
    let requests = server.requests("").len();
    let again = fetch(path, &server);
    assert!(again.stderr.contains("org/tiny: was in the cache already"), "{}", again.stderr);
    assert_eq!(server.requests("").len(), requests + 1, "it asked for the list alone");

    // Now without a network.
    let mut offline = with_hub(path, &server, &train);
    finish(offline.env("HF_HUB_OFFLINE", "1"), b"").success();
    let environment = json(&path.join("run/environment.json"));
    assert_eq!(environment["model"], format!("{NAME}@{COMMIT}"));
    let info = format!("model info {NAME}@{COMMIT} --json");
    let info: serde_json::Value =
        serde_json::from_str(&run(path, &server, &info).success()).unwrap();
    assert_eq!(info["labels"], serde_json::json!(["negative", "positive"]));
    let stats = format!("data stats --data @data --model {NAME}");
    run(path, &server, &stats).success();
    assert_eq!(server.requests("").len(), requests + 1, "only fetch uses the network");

    let answer =
        finish(with_hub(path, &server, "model fetch org/tiny").env("HF_HUB_OFFLINE", "1"), b"");
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("found HF_HUB_OFFLINE"), "{}", answer.stderr);
}

/// The layout is that of the Hugging Face libraries: each reads what the other has written.
#[test]
fn the_cache_is_shared_with_the_libraries_of_python() {
    let (dir, server) = (work_dir(), HubServer::of(tiny(), Faults::default()));
    let path = dir.path();
    let snapshot = fetch(path, &server).success();
    let cache = path.join("hf/hub");
    let cache = cache.to_str().unwrap();
    let script = "check_hub_cache.py";
    assert_eq!(python(path, script, &["read", cache, NAME]), snapshot);
    let other = work_dir();
    let cache = other.path().join("hf/hub");
    let written =
        python(path, script, &["write", cache.to_str().unwrap(), NAME, &server.endpoint()]);
    let files = server.requests("/resolve/").len();
    let answer = fetch(other.path(), &server);
    assert_eq!((answer.code, answer.stdout), (Some(0), written), "{}", answer.stderr);
    assert_eq!(server.requests("/resolve/").len(), files, "all files were there");
}

#[test]
fn a_broken_connection_is_taken_up_where_it_ended() {
    let faults = Faults { cut_after: Some(9_000), ..Faults::default() };
    let (dir, server) = (work_dir(), HubServer::of(tiny(), faults));
    fetch(dir.path(), &server).success();
    assert_same_bytes(&weights(dir.path()), &tiny().join("model.safetensors"));
    let requests = server.requests("model.safetensors");
    let from: Vec<_> = requests.iter().filter(|it| it.of_large_files).map(|it| it.from).collect();
    assert!(from.len() > 2, "{from:?}");
    let expected = (0..from.len()).map(|part| (part > 0).then_some(9_000 * part));
    assert_eq!(from, expected.collect::<Vec<_>>());
}

#[test]
fn a_server_that_sends_no_parts_is_taken_from_the_beginning_and_given_up_in_the_end() {
    let cut = Faults { cut_after: Some(9_000), ..Faults::default() };
    let (dir, server) = (work_dir(), HubServer::of(tiny(), Faults { ignores_range: true, ..cut }));
    let answer = fetch(dir.path(), &server);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(server.requests("model.safetensors").len() < 30, "it did not give up");
    server.set(Faults { ignores_range: true, ..Faults::default() });
    fetch(dir.path(), &server).success();
    assert_same_bytes(&weights(dir.path()), &tiny().join("model.safetensors"));
}

#[test]
fn several_processes_fetch_the_same_model_at_once() {
    let (dir, server) = (work_dir(), HubServer::of(tiny(), Faults::default()));
    let start = |_| with_hub(dir.path(), &server, &format!("model fetch {NAME}")).spawn().unwrap();
    let processes: Vec<_> = (0..4).map(start).collect();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_same_bytes(&weights(dir.path()), &tiny().join("model.safetensors"));
}

#[test]
fn a_killed_download_resumes() {
    let faults = Faults { stall_after: Some(9_000), ..Faults::default() };
    let (dir, server) = (work_dir(), HubServer::of(tiny(), faults));
    let path = dir.path();
    let mut child = with_hub(path, &server, &format!("model fetch {NAME}")).spawn().unwrap();
    let begun = Instant::now();
    let is_stalled = || incomplete(path).iter().any(|it| fs::metadata(it).unwrap().len() >= 9_000);
    while !is_stalled() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", incomplete(path));
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    server.set(Faults::default());
    fetch(path, &server).success();
    assert!(
        server.requests("").iter().any(|it| it.from == Some(9_000)),
        "{:?}",
        server.requests("")
    );
    assert_same_bytes(&weights(path), &tiny().join("model.safetensors"));
    assert_eq!(incomplete(path), [] as [PathBuf; 0]);
}

#[test]
fn a_stalled_server_is_given_up() {
    let faults = Faults { stall_after: Some(0), ..Faults::default() };
    let (dir, server) = (work_dir(), HubServer::of(tiny(), faults));
    let mut command = with_hub(dir.path(), &server, &format!("model fetch {NAME}"));
    let answer = finish(command.env("HF_HUB_DOWNLOAD_TIMEOUT", "1"), b"");
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("timeout"), "{}", answer.stderr);
}

#[test]
fn other_bytes_than_the_hub_names_are_refused() {
    let faults = Faults { spoilt: true, ..Faults::default() };
    let (dir, server) = (work_dir(), HubServer::of(tiny(), faults));
    let answer = fetch(dir.path(), &server);
    assert_eq!(answer.code, Some(1));
    let expected = "org/tiny: model.safetensors: expected the digest ";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    assert!(!weights(dir.path()).exists() && !folder(dir.path()).join("refs").exists());
    assert_eq!(incomplete(dir.path()), [] as [PathBuf; 0]);
    server.set(Faults::default());
    fetch(dir.path(), &server).success();
}

#[test]
fn a_token_goes_to_its_host_alone() {
    let faults = Faults { token: Some("secret"), ..Faults::default() };
    let (dir, server) = (work_dir(), HubServer::of(tiny(), faults));
    let path = dir.path();
    let answer = fetch(path, &server);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("for a private or gated one set HF_TOKEN"), "{}", answer.stderr);
    let mut wrong = with_hub(path, &server, &format!("model fetch {NAME}"));
    let answer = finish(wrong.env("HF_TOKEN", "wrong"), b"");
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("refuses it to the token of this machine"), "{}", answer.stderr);

    // The file that a login leaves.
    fs::create_dir_all(path.join("hf")).unwrap();
    fs::write(path.join("hf/token"), "secret\n").unwrap();
    fetch(path, &server).success();
    let [large, small] = [true, false].map(|large| {
        let requests = server.requests("").into_iter().filter(move |it| it.of_large_files == large);
        requests.map(|it| it.authorization).collect::<Vec<_>>()
    });
    assert!(small.contains(&Some("Bearer secret".to_owned())), "{small:?}");
    assert!(!large.is_empty() && large.iter().all(Option::is_none), "{large:?}");
}

#[test]
fn what_cannot_be_fetched_is_named() {
    let (dir, server) = (work_dir(), HubServer::of(tiny(), Faults::default()));
    let fails = |name: &str, expected: &str| {
        let answer = run(dir.path(), &server, &format!("model fetch {name}"));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    };
    fails("org/other", "org/other: expected a model and revision on http://127.0.0.1:");
    fails("org/tiny@v2", "org/tiny@v2: expected a model and revision on");
    fails("../tiny", "expected a name such as ORG/NAME or ORG/NAME@REVISION");
    let model = dir.path().join("old");
    fs::create_dir(&model).unwrap();
    for name in ["config.json", "pytorch_model.bin"] {
        fs::write(model.join(name), "{}").unwrap();
    }
    let answer = fetch(dir.path(), &HubServer::of(&model, Faults::default()));
    assert_eq!(answer.code, Some(2));
    let expected = "expected model.safetensors, found only pytorch_model.bin";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    assert!(!folder(dir.path()).exists(), "nothing was downloaded");
}
