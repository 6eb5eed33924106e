//! A server with the interface of the Hugging Face Hub on this machine, for one model, with faults on demand. Large files lie on
//! a server of their own, to which the first one redirects, as on the real Hub.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The commit that the branch `main` of the model is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The model.
pub const NAME: &str = "org/tiny";
/// The addresses of the two servers.
const HOSTS: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

/// A request as a server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whether it went to the server of large files.
    pub of_large_files: bool,
    /// The path with its query.
    pub path: String,
    /// The first byte that `Range` asks for.
    pub from: Option<usize>,
    /// The content of `Authorization`.
    pub authorization: Option<String>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Every answer with a file breaks off after so many of its bytes.
    pub cut_after: Option<usize>,
    /// An answer waits here, without an end, once it has sent so many bytes.
    pub stall_after: Option<usize>,
    /// Every answer begins with the first byte, whatever part is asked for.
    pub ignores_range: bool,
    /// The last byte of the weights is another one.
    pub spoilt: bool,
    /// The model can only be read with this token.
    pub token: Option<&'static str>,
}

struct File {
    path: String,
    bytes: Vec<u8>,
    is_large: bool,
}

/// A running pair of servers, which ends with the tests.
#[derive(Clone)]
pub struct HubServer {
    files: Arc<Vec<File>>,
    faults: Arc<Mutex<Faults>>,
    requests: Arc<Mutex<Vec<Request>>>,
    ports: [u16; 2],
}

impl HubServer {
    /// Serves the files of a model directory.
    pub fn of(model: &Path, faults: Faults) -> Self {
        let entries = fs::read_dir(model).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.path().is_file()).map(|entry| {
            let path = entry.file_name().to_string_lossy().into_owned();
            let is_large = path == "model.safetensors";
            File { bytes: fs::read(entry.path()).unwrap(), path, is_large }
        });
        // Two hosts, since a token may follow a redirection to its own host.
        let listeners = HOSTS.map(|host| TcpListener::bind((host, 0)).unwrap());
        let server = Self {
            files: Arc::new(files.collect()),
            faults: Arc::new(Mutex::new(faults)),
            requests: Arc::default(),
            ports: listeners.each_ref().map(|it| it.local_addr().unwrap().port()),
        };
        for (number, listener) in listeners.into_iter().enumerate() {
            let server = server.clone();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let server = server.clone();
                    // A client that goes away is none of the server's business.
                    thread::spawn(move || drop(server.answer(stream.unwrap(), number == 1)));
                }
            });
        }
        server
    }

    /// What `HF_ENDPOINT` names.
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", HOSTS[0], self.ports[0])
    }

    /// The requests so far, for paths that contain `part`.
    pub fn requests(&self, part: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.path.contains(part)).cloned().collect()
    }

    /// Ends or begins faults.
    pub fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    fn answer(&self, stream: TcpStream, of_large_files: bool) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Request { of_large_files, path, from: None, authorization: None };
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_lowercase().as_str() {
                "range" => {
                    let from = value.strip_prefix("bytes=").and_then(|it| it.split('-').next());
                    request.from = from.and_then(|from| from.parse().ok());
                }
                "authorization" => request.authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        self.requests.lock().unwrap().push(request.clone());
        self.send(stream, &request, method == "HEAD")
    }

    fn send(&self, mut stream: TcpStream, request: &Request, is_head: bool) -> std::io::Result<()> {
        let faults = *self.faults.lock().unwrap();
        let mut status = |text: &str, headers: &str, body: &[u8]| {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {text}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
            )?;
            if is_head { Ok(()) } else { stream.write_all(body) }
        };
        let expected = faults.token.map(|token| format!("Bearer {token}"));
        if !request.of_large_files && expected.is_some() && request.authorization != expected {
            return status("401 Unauthorized", "", b"");
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let api = format!("/api/models/{NAME}/revision/");
        if let Some(revision) = path.strip_prefix(&api) {
            return match [COMMIT, "main", "refs%2Fpr%2F3"].contains(&revision) {
                true => status("200 OK", "", self.listing().to_string().as_bytes()),
                false => status("404 Not Found", "", b""),
            };
        }
        let prefix = format!("/{NAME}/resolve/{COMMIT}/");
        let file = path.strip_prefix(&prefix);
        let Some(file) = file.and_then(|it| self.files.iter().find(|file| file.path == it)) else {
            return status("404 Not Found", "", b"");
        };
        let tag = format!("ETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n", digest(file));
        if file.is_large && !request.of_large_files && !is_head {
            let location = format!("Location: http://{}:{}{path}\r\n", HOSTS[1], self.ports[1]);
            return status("302 Found", &format!("{tag}{location}"), b"");
        }
        let mut bytes = file.bytes.clone();
        if faults.spoilt && file.is_large {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let asked = request.from.filter(|_| !faults.ignores_range);
        let (from, size) = (asked.unwrap_or(0), bytes.len());
        let (line, range) = match asked {
            None => ("200 OK", String::new()),
            Some(from) => (
                "206 Partial Content",
                format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1),
            ),
        };
        if is_head {
            return status(line, &tag, &bytes);
        }
        write!(
            stream,
            "HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: {}\r\n{tag}{range}\r\n",
            size - from
        )?;
        let stop = [faults.cut_after, faults.stall_after].into_iter().flatten().min();
        let end = stop.map_or(size, |stop| size.min(from + stop));
        stream.write_all(&bytes[from..end])?;
        stream.flush()?;
        while self.faults.lock().unwrap().stall_after.is_some() && end < size {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn listing(&self) -> Value {
        let siblings = self.files.iter().map(|file| {
            let (size, digest) = (file.bytes.len(), digest(file));
            match file.is_large {
                true => json!({ "rfilename": file.path, "size": size, "blobId": COMMIT,
                    "lfs": { "sha256": digest, "size": size, "pointerSize": 134 } }),
                false => json!({ "rfilename": file.path, "size": size, "blobId": digest }),
            }
        });
        json!({ "id": NAME, "modelId": NAME, "sha": COMMIT, "tags": [], "downloads": 0, "likes": 0,
            "private": false, "gated": false, "siblings": siblings.collect::<Vec<_>>() })
    }
}

/// What the Hub names a file's bytes by.
fn digest(file: &File) -> String {
    let bytes = &file.bytes;
    match file.is_large {
        true => hexadecimal(&Sha256::digest(bytes)),
        false => {
            let header = format!("blob {}\0", bytes.len()).into_bytes();
            hexadecimal(&Sha1::digest([&header, bytes.as_slice()].concat()))
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
