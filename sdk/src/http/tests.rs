use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::loopback::{Asked, Server, serve};
use super::*;
use crate::context::Context;
use crate::error::{Error, Result, Retry};
use crate::model::cx;
use crate::secret::redact;

/// Speaks in objects with a code and a message.
struct Test;

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
}

impl Dialect for Test {
    fn called(&self) -> &'static str {
        "the test's API"
    }

    fn usual_place(&self) -> &'static str {
        "it is usually on port 1"
    }

    fn words(&self, answer: &Answer) -> Option<Words> {
        let Said { code, message } = answer.json().ok()?;
        Some(Words::new(message).coded(code))
    }

    fn explain(&self, refusal: &Refusal, error: Error) -> Error {
        if refusal.is("taken") {
            return error.at("/name").retry(Retry::UntilDeadline);
        }
        error
    }
}

const TOKEN: &str = "canary-of-http";
const AT: &str = "/connection/token";

fn token() -> SecretString {
    TOKEN.into()
}

fn client_as(server: &Server, authentication: Authentication) -> Client {
    let builder = Client::of(&server.endpoint, &Test);
    builder.authentication(authentication).build().unwrap()
}

fn client(server: &Server) -> Client {
    client_as(server, Authentication::bearer(&token(), AT).unwrap())
}

/// Answers everything alike.
fn always(status: u16, headers: &'static str, body: &'static str) -> Server {
    serve(move |_| (status, headers.to_owned(), body))
}

async fn failure(server: &Server) -> Failure {
    let request = Request::<Value>::get(["a"]).query("q", TOKEN);
    client(server).call(&cx(), request).await.unwrap_err()
}

#[test]
fn addresses() {
    for good in ["http://127.0.0.1:3903", "https://server.example/admin/"] {
        assert!(Endpoint::try_from(good.to_owned()).is_ok(), "{good}");
    }
    for (bad, problem) in [
        ("server:3903", "no address of an HTTP server"),
        ("127.0.0.1:3903", "no URL"),
        ("ftp://server.example", "no address of an HTTP server"),
        ("https://root:canary@server.example", "holds no credential"),
        ("https://server.example/?token=canary", "no query"),
    ] {
        let error = Endpoint::try_from(bad.to_owned()).unwrap_err();
        assert!(error.contains(problem), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

/// What is built arrives as it was meant.
#[tokio::test]
async fn requests_as_they_are_sent() {
    let server = always(200, "", "{}");
    let (cx, client) = (cx(), client(&server));
    let odd = "a;b=c&d+e %/?#ü";
    let requests = [
        Request::get(["zones", odd])
            .query("name", odd)
            .query_if("page", None::<u8>),
        Request::post(["form"]).form([("text", odd), ("empty", "")]),
        Request::put(["json"])
            .json(&json!({"text": odd}))
            .if_match("\"7\""),
        Request::patch(["a"]).body("text/plain", odd),
        Request::delete(["a", "b"]),
    ];
    for request in requests {
        client.call::<Nothing>(&cx, request).await.unwrap();
    }
    let encoded = "a%3Bb%3Dc%26d%2Be+%25%2F%3F%23%C3%BC";
    let asked = server.asked();
    let seen: Vec<_> = asked
        .iter()
        .map(|asked| {
            let Asked {
                method,
                target,
                body,
                ..
            } = asked;
            (
                method.as_str(),
                target.as_str(),
                body.as_str(),
                asked.header("content-type"),
            )
        })
        .collect();
    let zone = format!("/base/zones/a;b=c&d+e%20%25%2F%3F%23%C3%BC?name={encoded}");
    let form = format!("text={encoded}&empty=");
    let json = json!({"text": odd}).to_string();
    assert_eq!(
        seen,
        [
            ("GET", zone.as_str(), "", ""),
            (
                "POST",
                "/base/form",
                form.as_str(),
                "application/x-www-form-urlencoded"
            ),
            ("PUT", "/base/json", json.as_str(), "application/json"),
            ("PATCH", "/base/a", odd, "text/plain"),
            ("DELETE", "/base/a/b", "", ""),
        ]
    );
    assert_eq!(asked[2].header("if-match"), "\"7\"");
    // Whoever decodes a form finds the values again.
    let decoded: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).collect();
    assert_eq!(decoded[0], ("text".into(), odd.into()));
}

#[tokio::test]
async fn what_can_not_be_sent() {
    let server = always(200, "", "{}");
    let elsewhere = "http://localhost:1/base/canary".parse().unwrap();
    for (request, problem) in [
        (
            Request::<Nothing>::get(["a", "..", "b"]),
            "\"..\" can't stand in the path",
        ),
        (Request::get([""]), "\"\" can't stand in the path"),
        (
            Request::get(["a"]).if_match("a\nb"),
            "the header if-match can't hold",
        ),
        (
            Request::get(["a"]).json(&[f64::NAN].map(|_| Unwritable)),
            "can't be written as JSON",
        ),
        (
            Request::whole(Method::GET, elsewhere),
            "another server, localhost",
        ),
    ] {
        let error = Error::from(client(&server).call(&cx(), request).await.unwrap_err());
        assert!(error.to_string().contains(problem), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert_eq!(server.asked().len(), 0);
}

struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[tokio::test]
async fn who_asks() {
    let key = HeaderName::from_static("x-api-key");
    let prefixed = |name, prefix| Authentication::header(name, prefix, &token(), AT).unwrap();
    for (authentication, name, value) in [
        (Authentication::nobody(), "authorization", ""),
        (
            Authentication::bearer(&token(), AT).unwrap(),
            "authorization",
            "Bearer canary-of-http",
        ),
        (prefixed(key, ""), "x-api-key", TOKEN),
        (
            prefixed(header::AUTHORIZATION, "ShopToken="),
            "authorization",
            "ShopToken=canary-of-http",
        ),
        (
            Authentication::basic("ann", &token(), AT).unwrap(),
            "authorization",
            "Basic YW5uOmNhbmFyeS1vZi1odHRw",
        ),
    ] {
        let server = always(200, "", "{}");
        let client = client_as(&server, authentication);
        client
            .call(&cx(), Request::<Nothing>::get(["a"]))
            .await
            .unwrap();
        assert_eq!(server.asked()[0].header(name), value);
        assert!(!format!("{client:?}").contains(TOKEN), "{client:?}");
    }
    let error = Authentication::bearer(&"canary\ntoken".into(), AT).unwrap_err();
    assert_eq!(error.pointer(), Some(AT));
    assert!(!error.to_string().contains("canary"), "{error}");
    assert!(Authentication::basic("a:b", &token(), AT).is_err());
}

/// Logs in with a form; each session is good for what `serve` says.
struct Ticket {
    asked: Rc<Cell<usize>>,
}

impl LogIn for Ticket {
    async fn log_in(&self, cx: &Context, anonymous: &Client) -> Result<Session> {
        #[derive(Deserialize)]
        struct Given {
            ticket: String,
        }
        self.asked.set(self.asked.get() + 1);
        let request = Request::<Given>::post(["login"]).form([("password", TOKEN)]);
        let given = anonymous
            .call(cx, request.doing("unable to log in"))
            .await?;
        let ticket = SecretString::from(given.ticket);
        Session::default()
            .header(header::COOKIE, "Ticket=", &ticket)?
            .header_of_changes(HeaderName::from_static("x-csrf"), &ticket)
    }
}

/// A server whose tickets are `ticket-0` and so on. Those below `valid` are over.
fn of_tickets(valid: &'static AtomicUsize, accepts: bool) -> Server {
    let made = AtomicUsize::new(0);
    serve(move |asked| {
        let no = (
            401,
            String::new(),
            "{\"code\":\"\",\"message\":\"who?\"}".to_owned(),
        );
        if asked.target.ends_with("/login") {
            let number = made.fetch_add(1, Ordering::SeqCst);
            let ticket = json!({"ticket": format!("ticket-{number}")});
            return if accepts {
                (200, String::new(), ticket.to_string())
            } else {
                no
            };
        }
        let number = asked.header("cookie").strip_prefix("Ticket=ticket-");
        let number: usize = number.unwrap().parse().unwrap();
        if number < valid.load(Ordering::SeqCst) {
            return no;
        }
        (200, String::new(), "{}".to_owned())
    })
}

fn with_ticket(server: &Server, asked: &Rc<Cell<usize>>) -> Client {
    let ticket = Ticket {
        asked: Rc::clone(asked),
    };
    client_as(
        server,
        Authentication::log_in(&"ann", ticket, "/connection/password"),
    )
}

#[tokio::test]
async fn one_session_is_shared_and_renewed_once() {
    static VALID: AtomicUsize = AtomicUsize::new(0);
    let server = of_tickets(&VALID, true);
    let (cx, log_ins) = (cx(), Rc::<Cell<usize>>::default());
    // Clients of the same process, which come at once.
    let clients: Vec<_> = (0..8).map(|_| with_ticket(&server, &log_ins)).collect();
    let all = async || {
        let get = |client| Client::call(client, &cx, Request::<Nothing>::get(["a"]));
        for answer in join_all(clients.iter().map(get)).await {
            answer.unwrap();
        }
    };
    all().await;
    all().await;
    assert_eq!(log_ins.get(), 1);
    // All of them find that it is over, and the first one logs in for all.
    VALID.store(1, Ordering::SeqCst);
    all().await;
    assert_eq!(log_ins.get(), 2);
    clients[0]
        .call(&cx, Request::<Nothing>::post(["a"]))
        .await
        .unwrap();
    let asked = server.asked();
    let last = asked.last().unwrap();
    assert_eq!(
        (last.header("cookie"), last.header("x-csrf")),
        ("Ticket=ticket-1", "ticket-1")
    );
    let is_read = |asked: &&Asked| asked.method == "GET";
    assert!(
        asked
            .iter()
            .filter(is_read)
            .all(|read| read.header("x-csrf").is_empty())
    );
    // Another user of the same server has a session of its own.
    let ticket = Ticket {
        asked: Rc::clone(&log_ins),
    };
    let other = client_as(&server, Authentication::log_in(&"bob", ticket, AT));
    other
        .call(&cx, Request::<Nothing>::get(["a"]))
        .await
        .unwrap();
    assert_eq!(log_ins.get(), 3);
    // A ticket is a secret, too.
    assert!(!redact("it was ticket-1").contains("ticket-1"));
}

#[tokio::test]
async fn a_session_that_is_never_accepted() {
    static NEVER: AtomicUsize = AtomicUsize::new(usize::MAX);
    let server = of_tickets(&NEVER, true);
    let log_ins = Rc::<Cell<usize>>::default();
    let client = with_ticket(&server, &log_ins);
    let error = Error::from(
        client
            .call(&cx(), Request::<Nothing>::get(["a"]))
            .await
            .unwrap_err(),
    );
    assert_eq!(error.pointer(), Some("/connection/password"));
    assert_eq!(log_ins.get(), 2);
    // A wrong password is asked for once.
    let server = of_tickets(&NEVER, false);
    let log_ins = Rc::<Cell<usize>>::default();
    let client = with_ticket(&server, &log_ins);
    let error = Error::from(
        client
            .call(&cx(), Request::<Nothing>::get(["a"]))
            .await
            .unwrap_err(),
    );
    assert_eq!(error.pointer(), Some("/connection/password"));
    assert!(error.to_string().contains("unable to log in"), "{error}");
    assert!(
        error.to_string().contains("POST /base/login with 401"),
        "{error}"
    );
    assert!(!error.to_string().contains(TOKEN), "{error}");
    assert_eq!(log_ins.get(), 1);
}

const NO: &str = "{\"code\":\"no\",\"message\":\"because\"}";

/// The one table of what a status means: where it points, whether it is tried again, and
/// whether it counts as a refusal where the server says nothing of its own.
#[tokio::test]
async fn what_refusals_mean() {
    const SERVER: Option<&str> = Some("/connection/endpoint");
    const TOKEN_AT: Option<&str> = Some(AT);
    for (status, pointer, retry, hint) in [
        (400, None, Retry::Never, "does not take these values"),
        (
            401,
            TOKEN_AT,
            Retry::Never,
            "does not accept this credential",
        ),
        (403, TOKEN_AT, Retry::Never, "not allowed to do that"),
        (404, None, Retry::Never, "is there"),
        (409, None, Retry::Briefly, "in the way"),
        (412, None, Retry::UntilDeadline, "keeps changing it"),
        (422, None, Retry::Never, "does not take these values"),
        (423, None, Retry::UntilDeadline, "locked"),
        (429, SERVER, Retry::UntilDeadline, "busy"),
        (500, SERVER, Retry::Briefly, "server's log"),
        (503, SERVER, Retry::Briefly, "server's log"),
        (599, SERVER, Retry::Briefly, "server's log"),
        (302, SERVER, Retry::Never, "no redirect is followed"),
        (418, None, Retry::Never, "does not take these values"),
    ] {
        let failure = failure(&always(status, "", NO)).await;
        let refusal = failure.refusal().unwrap_or_else(|| panic!("{status}"));
        assert_eq!((refusal.status.as_u16(), refusal.is("no")), (status, true));
        let error = failure.error();
        assert_eq!(error.pointer(), pointer, "{error}");
        assert_eq!(error.may_retry(), retry, "{error}");
        assert_eq!(error.code(), Some("no"));
        let text = error.to_string();
        assert!(
            text.contains(&format!("GET /base/a with {status}")),
            "{text}"
        );
        assert!(text.contains(": because") && text.contains(hint), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
        // The same from a proxy.
        let failure = self::failure(&always(status, "", "<html>no</html>")).await;
        assert!(failure.refusal().is_none(), "{failure:?}");
        let text = failure.error().to_string();
        let known = [400, 404, 418, 422];
        let odd = "does not answer GET /base/a as the test's API does";
        assert_eq!(text.contains(odd), known.contains(&status), "{text}");
        assert!(failure.error().pointer().is_some(), "{text}");
        assert!(text.contains("<html>no</html>"), "{text}");
    }
}

#[tokio::test]
async fn what_a_server_has_to_add() {
    let taken = always(400, "", "{\"code\":\"taken\",\"message\":\"it is there\"}");
    let error = Error::from(failure(&taken).await);
    assert_eq!(
        (error.pointer(), error.may_retry()),
        (Some("/name"), Retry::UntilDeadline)
    );
    let moved = always(
        307,
        "location: https://other.example/a?canary-of-http\r\n",
        "",
    );
    let error = Error::from(failure(&moved).await);
    assert!(
        error.to_string().contains("https://other.example/a)"),
        "{error}"
    );
    let empty = always(401, "", "");
    let error = Error::from(failure(&empty).await);
    assert!(error.to_string().contains("without a word"), "{error}");
    assert_eq!(error.pointer(), Some(AT));
}

#[tokio::test]
async fn when_a_server_wants_to_be_asked_again() {
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1));
    let by_date = format!("retry-after: {in_an_hour}\r\n");
    for (status, header, least, most) in [
        (429, "retry-after: 7\r\n".to_owned(), 7, 7),
        (503, "Retry-After:  7 \r\n".to_owned(), 7, 7),
        (429, by_date.clone(), 3590, 3600),
        (503, by_date, 3590, 3600),
        (
            429,
            "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(),
            0,
            0,
        ),
    ] {
        let server = serve(move |_| (status, header.clone(), NO));
        let Retry::After(pause) = failure(&server).await.error().may_retry() else {
            panic!("{status} asks for nothing");
        };
        assert!((least..=most).contains(&pause), "{pause}");
    }
    let nonsense = always(429, "retry-after: soon\r\n", NO);
    assert_eq!(
        failure(&nonsense).await.error().may_retry(),
        Retry::UntilDeadline
    );
    // What isn't retried isn't because of a header.
    let never = always(400, "retry-after: 7\r\n", NO);
    assert_eq!(failure(&never).await.error().may_retry(), Retry::Never);
}

/// Only what the kind says is absence.
#[tokio::test]
async fn absence_is_the_kinds_to_say() {
    let find = async |server: &Server, absent: fn(&Refusal) -> bool| {
        let request = Request::<Value>::get(["a"]);
        client(server).find(&cx(), request, absent).await
    };
    let no_such = always(
        500,
        "",
        "{\"code\":\"no-such\",\"message\":\"x does not exist\"}",
    );
    let by_text = |refusal: &Refusal| refusal.words.message.ends_with("does not exist");
    assert!(find(&no_such, by_text).await.unwrap().is_none());
    assert!(
        find(&no_such, |refusal| refusal.is("no-such"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        find(&no_such, |refusal| refusal.status == 404)
            .await
            .is_err()
    );
    // Of a proxy the kind isn't even asked.
    let proxy = always(404, "", "<html>nothing here</html>");
    assert!(find(&proxy, |_| true).await.is_err());
    let there = always(200, "", "{}");
    assert_eq!(find(&there, |_| true).await.unwrap(), Some(json!({})));
}

#[tokio::test]
async fn an_answer_that_is_none() {
    let server = always(
        200,
        "etag: \"7\"\r\n",
        "{\"secret\":\"canary-of-http\", oops}",
    );
    let error = Error::from(failure(&server).await);
    let text = error.to_string();
    assert!(
        text.contains("the answer to GET /base/a is not as expected"),
        "{text}"
    );
    assert!(!text.contains(TOKEN), "{text}");
    let request = Request::<Answer>::get(["a"]);
    let answer = client(&server).call(&cx(), request).await.unwrap();
    assert_eq!(answer.etag(), Some("\"7\""));
    assert!(!format!("{answer:?}").contains(TOKEN), "{answer:?}");
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let nobody = Client::of(&Endpoint::try_from(nobody).unwrap(), &Test)
        .build()
        .unwrap();
    let failed = nobody
        .call(&cx(), Request::<Nothing>::get(["a"]).query("q", TOKEN))
        .await;
    let error = Error::from(failed.unwrap_err());
    assert!(error.summary().contains("unable to reach"), "{error}");
    assert_eq!(
        (error.may_retry(), error.pointer()),
        (Retry::Briefly, Some("/connection/endpoint"))
    );
    assert!(!error.to_string().contains(TOKEN), "{error}");
}

/// Pages of two, of the numbers from 1 to 5.
fn pages() -> Server {
    serve(|asked| {
        let page: u32 = asked
            .target
            .rsplit_once("page=")
            .map_or(1, |(_, page)| page.parse().unwrap());
        let first = 2 * page - 1;
        let items: Vec<_> = (first..first + 2).filter(|number| *number <= 5).collect();
        let link = match page {
            1 | 2 => format!("link: </base/numbers?page={}>; rel=\"next\"\r\n", page + 1),
            _ => String::new(),
        };
        (200, link, json!(items).to_string())
    })
}

#[tokio::test]
async fn all_of_a_list() {
    let (cx, server) = (cx(), pages());
    let client = client(&server);
    let page = |number: usize| Request::<Vec<u32>>::get(["numbers"]).query("page", number);
    let by_number = client.all_by_number(&cx, 2, page).await.unwrap();
    assert_eq!(by_number, [1, 2, 3, 4, 5]);
    let by_link = client.all_by_link(&cx, page(1)).await.unwrap();
    assert_eq!(by_link, [1, 2, 3, 4, 5]);
    let by_cursor = client.all_by_cursor(&cx, page(1), |items: Vec<u32>| {
        let next = items
            .last()
            .filter(|last| **last < 5)
            .map(|last| page(*last as usize / 2 + 1));
        (items, next)
    });
    assert_eq!(by_cursor.await.unwrap(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_list_that_leads_astray() {
    let first = || Request::<Vec<u32>>::get(["numbers"]);
    let round = always(200, "link: </base/numbers?page=1>; rel=next\r\n", "[1]");
    let error = Error::from(
        client(&round)
            .all_by_link(&cx(), first())
            .await
            .unwrap_err(),
    );
    assert!(
        error.to_string().contains("a list without an end"),
        "{error}"
    );
    assert_eq!(round.asked().len(), 2);
    let away = always(200, "link: <http://localhost:1/>; rel=next\r\n", "[1]");
    let error = Error::from(client(&away).all_by_link(&cx(), first()).await.unwrap_err());
    assert!(
        error.to_string().contains("another server, localhost"),
        "{error}"
    );
    let (over, flag) = crate::model::request(Duration::from_mins(1));
    flag.store(true, Ordering::SeqCst);
    let stopped = client(&round).all_by_number(&over, 0, |_| first()).await;
    assert!(
        Error::from(stopped.unwrap_err())
            .to_string()
            .contains("interrupted")
    );
}
