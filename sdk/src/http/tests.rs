use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use super::*;
use crate::model::cx;

#[test]
fn addresses() {
    for good in ["http://127.0.0.1:3903", "https://garage.example/admin/"] {
        assert!(parse_server(good).is_ok(), "{good}");
    }
    for (bad, problem) in [
        ("garage:3903", "no address of an HTTP server"),
        ("127.0.0.1:3903", "no URL"),
        ("ftp://garage.example", "no address of an HTTP server"),
        ("https://root:canary@garage.example", "holds no credential"),
        ("https://garage.example/?token=canary", "no query"),
    ] {
        let error = parse_server(bad).unwrap_err();
        assert!(error.contains(problem), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn a_path_is_put_below_that_of_the_server() {
    let server = parse_server("https://garage.example/admin/").unwrap();
    assert_eq!(
        below(&server, "v2/GetKeyInfo").as_str(),
        "https://garage.example/admin/v2/GetKeyInfo"
    );
}

#[test]
fn a_token_is_shown_by_nothing() {
    let value = bearer(&"canary-token".into(), "/token").unwrap();
    assert!(!format!("{value:?}").contains("canary"));
    let error = bearer(&"canary\ntoken".into(), "/connection/token").unwrap_err();
    assert_eq!(error.pointer(), Some("/connection/token"));
    assert!(!error.to_string().contains("canary"), "{error}");
}

/// A server that answers each connection with these bytes.
fn answering(answer: &'static [u8]) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer).unwrap();
        }
    });
    parse_server(&format!("http://{address}")).unwrap()
}

async fn get(server: &Url) -> Result<HttpAnswer> {
    let client = HttpClient::new(server.clone(), "/connection/endpoint", None).unwrap();
    let mut url = below(server, "signed");
    url.set_query(Some("signature=canary"));
    client.send(&cx(), HttpRequest::new(Method::GET, url)).await
}

#[tokio::test]
async fn whatever_is_answered_comes_back() {
    let server = answering(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy");
    let answer = get(&server).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (503, &b"busy"[..]));
}

#[tokio::test]
async fn what_does_not_come_back_is_tried_again() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        parse_server(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
    };
    let cut = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\nbroken");
    let silent = answering(b"");
    for (server, said) in [
        (nobody, "unable to reach"),
        (cut, "broke off before its answer was whole"),
        (silent, "broke off before its answer was whole"),
    ] {
        let error = get(&server).await.unwrap_err();
        assert!(error.summary().contains(said), "{error}");
        assert_eq!(error.may_retry(), Retry::Briefly, "{error}");
        assert_eq!(error.pointer(), Some("/connection/endpoint"));
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
