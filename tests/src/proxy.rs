//! A place between a client and an HTTP server on loopback, where a chosen request
//! goes wrong in a chosen way.
//!
//! It knows requests and nothing of what they mean. A connection carries one
//! request each, so that what happens to one happens to no other.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How often somebody who waits looks whether the proxy is still wanted.
const GLANCE: Duration = Duration::from_millis(50);

/// What goes wrong.
pub enum Fault {
    /// The server hears nothing; this is answered in its place.
    Answer {
        /// The status.
        status: u16,
        /// The body, as JSON or not.
        body: String,
    },
    /// The server hears nothing, and the connection is cut.
    CutBefore,
    /// The server hears all and does it; its answer is lost and the connection cut.
    CutAfter,
    /// The server does it, and half of its answer comes through before the
    /// connection is cut.
    CutWithin,
    /// The server hears nothing, and nothing is answered until the client leaves.
    Hang,
    /// The server does it; nothing is answered until the client leaves.
    HangAfter,
    /// The request goes to the server, and the connections on both sides are cut when
    /// this has passed, whatever it has done by then.
    CutDuring(Duration),
    /// This is done, then the request goes to the server.
    Before(Box<dyn FnMut() + Send>),
    /// The request goes to the server, then this is done, then whatever the server
    /// has answered by then comes through.
    Meanwhile(Box<dyn FnMut() + Send>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer { .. } => "Answer",
            Self::CutBefore => "CutBefore",
            Self::CutAfter => "CutAfter",
            Self::CutWithin => "CutWithin",
            Self::Hang => "Hang",
            Self::HangAfter => "HangAfter",
            Self::CutDuring(_) => "CutDuring",
            Self::Before(_) => "Before",
            Self::Meanwhile(_) => "Meanwhile",
        })
    }
}

/// A proxy. Connections are cut and refused once it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

/// What goes wrong with whom, and how often yet.
#[derive(Debug)]
struct Rule {
    begins: String,
    passes: usize,
    times: usize,
    fault: Arc<Mutex<Fault>>,
}

impl Proxy {
    /// A proxy before a server, which need not be there yet.
    #[must_use]
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server,
            rules: Mutex::default(),
            requests: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.is_over() {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                if let Ok(client) = client {
                    // A connection that breaks is what this is for.
                    thread::spawn(move || shared.serve(&client));
                }
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next `times` requests go wrong whose first line begins like this:
    /// `POST /v2/CreateBucket`.
    pub fn fail(&self, begins: &str, times: usize, fault: Fault) {
        self.fail_later(begins, 0, times, fault);
    }

    /// The same, after the first `passes` such requests.
    pub fn fail_later(&self, begins: &str, passes: usize, times: usize, fault: Fault) {
        let begins = begins.to_owned();
        let fault = Arc::new(Mutex::new(fault));
        lock(&self.shared.rules).push(Rule {
            begins,
            passes,
            times,
            fault,
        });
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Forgets the requests so far and gives them, each as `POST /v2/CreateBucket`
    /// with its query.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.requests))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the one who listens.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Serves one request. That somebody leaves in between ends it.
    fn serve(&self, client: &TcpStream) -> Option<()> {
        let request = Message::read(client).ok()?;
        let (line, _) = request.head.split_once(" HTTP/")?;
        lock(&self.requests).push(line.to_owned());
        let Some(fault) = self.fault_of(line) else {
            let answer = answer_of(&mut self.forward(&request).ok()?).ok()?;
            return send(client, &answer);
        };
        let mut fault = lock(&fault);
        match &mut *fault {
            Fault::Answer { status, body } => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} Made Up\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                drop(fault);
                send(client, answer.as_bytes())
            }
            Fault::CutBefore => Some(()),
            Fault::Hang => {
                drop(fault);
                self.wait_for_the_end_of(client)
            }
            Fault::CutAfter => {
                answer_of(&mut self.forward(&request).ok()?).ok()?;
                Some(())
            }
            Fault::HangAfter => {
                drop(fault);
                answer_of(&mut self.forward(&request).ok()?).ok()?;
                self.wait_for_the_end_of(client)
            }
            Fault::CutWithin => {
                let answer = answer_of(&mut self.forward(&request).ok()?).ok()?;
                send(client, &answer[..answer.len() / 2])
            }
            Fault::CutDuring(time) => {
                let time = *time;
                drop(fault);
                let server = self.forward(&request);
                thread::sleep(time);
                drop(server);
                Some(())
            }
            Fault::Before(act) => {
                act();
                drop(fault);
                send(client, &answer_of(&mut self.forward(&request).ok()?).ok()?)
            }
            Fault::Meanwhile(act) => {
                let server = self.forward(&request);
                act();
                drop(fault);
                send(client, &answer_of(&mut server.ok()?).ok()?)
            }
        }
    }

    /// The fault that this request is to have.
    fn fault_of(&self, line: &str) -> Option<Arc<Mutex<Fault>>> {
        let mut rules = lock(&self.rules);
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && line.starts_with(&rule.begins))?;
        if rule.passes > 0 {
            rule.passes -= 1;
            return None;
        }
        rule.times -= 1;
        Some(Arc::clone(&rule.fault))
    }

    fn forward(&self, request: &Message) -> io::Result<TcpStream> {
        let mut server = TcpStream::connect(self.server)?;
        server.write_all(request.alone().as_bytes())?;
        server.write_all(&request.body)?;
        Ok(server)
    }

    fn wait_for_the_end_of(&self, mut client: &TcpStream) -> Option<()> {
        client.set_read_timeout(Some(GLANCE)).ok()?;
        while !self.is_over() {
            match client.read(&mut [0; 64]) {
                Ok(0) => break,
                Err(error) if !is_timeout(&error) => break,
                _ => {}
            }
        }
        Some(())
    }
}

/// A request, as far as it has to be understood.
struct Message {
    /// Up to the empty line, which isn't part of it.
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn read(client: &TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(client);
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        assert_eq!(
            header("transfer-encoding"),
            None,
            "a request in chunks is not understood here"
        );
        let length = header("content-length").map_or(0, |text| text.parse().expect("a length"));
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Self { head, body })
    }

    /// Its head, saying that the connection ends with the answer.
    fn alone(&self) -> String {
        let is_other = |line: &&str| !line.to_ascii_lowercase().starts_with("connection:");
        let lines = self.head.lines().filter(is_other);
        let mut head: String = lines.flat_map(|line| [line, "\r\n"]).collect();
        head.push_str("connection: close\r\n\r\n");
        head
    }
}

/// All that a server answers, which then closes the connection.
fn answer_of(server: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    match server.read_to_end(&mut answer) {
        // One that was killed resets it: what came before counts.
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(answer),
    }
}

fn send(mut client: &TcpStream, bytes: &[u8]) -> Option<()> {
    client.write_all(bytes).ok()?;
    client.shutdown(Shutdown::Write).ok()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
