//! A real server on loopback for tests, which answers as it is told and remembers what
//! it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Endpoint;

/// One request, as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query, as they came.
    pub(super) target: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// The server.
pub(super) struct Server {
    pub(super) endpoint: Endpoint,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Starts a server. `answer` is given each request, and gives status, headers and body.
pub(super) fn serve<B: AsRef<str>>(
    answer: impl Fn(&Asked) -> (u16, String, B) + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<Mutex<Vec<Asked>>>::default();
    let heard = Arc::clone(&asked);
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
            thread::spawn(move || {
                let stream = stream.unwrap();
                let asked = hear(&stream);
                heard.lock().unwrap().push(asked.clone());
                let (status, headers, body) = answer(&asked);
                let body = body.as_ref();
                let begins = format!(
                    "HTTP/1.1 {status} As it is\r\nconnection: close\r\ncontent-length: {}\r\n\
                     {headers}\r\n",
                    body.len()
                );
                (&stream)
                    .write_all(format!("{begins}{body}").as_bytes())
                    .unwrap();
            });
        }
    });
    Server {
        endpoint: Endpoint::try_from(format!("http://{address}/base/")).unwrap(),
        asked,
    }
}

fn hear(stream: &TcpStream) -> Asked {
    let mut from = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let mut words = first.split(' ').map(str::to_owned);
    let mut asked = Asked {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        ..Asked::default()
    };
    loop {
        let header = line();
        let Some((name, value)) = header.split_once(": ") else {
            break;
        };
        asked.headers.push((name.to_owned(), value.to_owned()));
    }
    let length = asked.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    asked.body = String::from_utf8(body).unwrap();
    asked
}
