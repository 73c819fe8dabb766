//! A scripted HTTP server: it answers as told, and keeps every byte it was sent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and path, such as `GET /x`.
    pub line: String,
    /// All bytes, head and body.
    pub bytes: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The head in lower case.
    pub fn head(&self) -> String {
        let head = self.bytes.len() - self.body.len();
        String::from_utf8_lossy(&self.bytes[..head]).to_lowercase()
    }
}

/// What to answer.
pub enum Answer {
    /// Status and body.
    Body(u16, Vec<u8>),
    /// Nothing: the connection breaks.
    Break,
}

impl Answer {
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::Body(status, value.to_string().into_bytes())
    }
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

/// The server; it stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let script: Box<Script> = Box::new(script);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    serve(stream, &script, &kept);
                }
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came until now.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, script: &Script, kept: &Mutex<Vec<Request>>) {
    let Some(request) = read(&mut stream) else { return };
    kept.lock().unwrap().push(request.clone());
    if let Answer::Body(status, body) = script(&request) {
        let head = format!(
            "HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut part = [0; 4_096];
    let head = loop {
        let n = stream.read(&mut part).ok().filter(|n| *n > 0)?;
        bytes.extend(&part[..n]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    while bytes.len() < head + length {
        let n = stream.read(&mut part).ok().filter(|n| *n > 0)?;
        bytes.extend(&part[..n]);
    }
    let first = String::from_utf8_lossy(&bytes).lines().next()?.to_owned();
    let line = first.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Some(Request { line, body: bytes[head..].to_vec(), bytes })
}
