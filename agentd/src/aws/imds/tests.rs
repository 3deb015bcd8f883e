//! The client against a service that is healthy, broken, or hostile.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::net::Ipv6Addr;

use super::*;
use crate::aws::testserver::{Reply, Seen, Server, imds_script, refusing_url};

const QUICK: Limits = Limits {
    connect: Duration::from_millis(200),
    request: Duration::from_millis(250),
    question: Duration::from_secs(2),
    body: 64 * 1024,
    pauses: [Duration::from_millis(1), Duration::from_millis(2)],
};

fn client(url: &str) -> Imds {
    Imds::new(Endpoint::parse(url).unwrap(), QUICK, boot_clock()).unwrap()
}

fn token_reply(text: &str, ttl: &str) -> Reply {
    Reply::ok(text).with("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl)
}

/// A service that hands out tokens and answers every other request so.
async fn answering(reply: Reply) -> Server {
    Server::start(move |seen| match seen.method.as_str() {
        "PUT" => token_reply("TOKEN", "21600"),
        _ => reply.clone(),
    })
    .await
}

/// What the client makes of a service that answers like this.
async fn error_for(reply: Reply) -> (ImdsError, Server) {
    let server = answering(reply).await;
    let error = client(&server.url()).get("meta-data/x").await.unwrap_err();
    (error, server)
}

#[tokio::test]
async fn reads_with_one_token_and_exactly_one_token_header() {
    let server =
        Server::start(imds_script(&[("meta-data/instance-id", "i-0123456789abcdef0\n")])).await;
    let imds = client(&server.url());
    for _ in 0..3 {
        let text = imds.get("meta-data/instance-id").await.unwrap();
        assert_eq!(text.as_deref(), Some("i-0123456789abcdef0"));
    }
    assert_eq!(server.count("PUT", "/api/token"), 1);
    let token_request = &server.seen()[0];
    assert_eq!(token_request.header("x-aws-ec2-metadata-token-ttl-seconds"), ["21600"]);
    for seen in server.seen().iter().filter(|seen| seen.method == "GET") {
        assert_eq!(seen.header("x-aws-ec2-metadata-token"), ["TOKEN"]);
    }
}

#[tokio::test]
async fn no_such_thing_is_not_an_error() {
    let server = Server::start(imds_script(&[])).await;
    assert_eq!(client(&server.url()).get("meta-data/spot/instance-action").await, Ok(None));
    assert_eq!(server.count("GET", "instance-action"), 1, "a 404 is never asked again");
}

#[tokio::test]
async fn the_date_of_the_answer_is_read() {
    let server = Server::start(imds_script(&[("meta-data/x", "y")])).await;
    let answer = client(&server.url()).ask("meta-data/x").await.unwrap().unwrap();
    assert_eq!(answer.date_ms, Some(1_795_262_400_000));
}

#[tokio::test]
async fn content_type_is_never_looked_at() {
    let reply = Reply::ok("{}").with("Content-Type", "image/png");
    let server = answering(reply).await;
    assert_eq!(client(&server.url()).get("dynamic/x").await, Ok(Some("{}".to_owned())));
}

#[tokio::test]
async fn an_http_1_0_answer_that_ends_with_the_connection_is_read() {
    let server = answering(Reply::Raw(
        b"HTTP/1.0 200 OK\r\nServer: EC2ws\r\nConnection: close\r\n\r\nspot".to_vec(),
    ))
    .await;
    assert_eq!(client(&server.url()).get("meta-data/x").await, Ok(Some("spot".to_owned())));
}

#[tokio::test]
async fn works_over_ipv6() {
    let server =
        Server::start_at(Ipv6Addr::LOCALHOST.into(), imds_script(&[("meta-data/x", "y")])).await;
    assert_eq!(client(&server.url()).get("meta-data/x").await, Ok(Some("y".to_owned())));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_sent_alone() {
    let tokens = AtomicUsize::new(0);
    let server = Server::start(move |seen: &Seen| {
        if seen.method == "PUT" {
            return token_reply(&format!("T{}", tokens.fetch_add(1, Ordering::Relaxed)), "21600");
        }
        if seen.header("x-aws-ec2-metadata-token") == ["T1"] {
            Reply::ok("y")
        } else {
            Reply::status(401, "")
        }
    })
    .await;
    let imds = client(&server.url());
    assert_eq!(imds.get("meta-data/x").await, Ok(Some("y".to_owned())));
    assert_eq!(imds.get("meta-data/x").await, Ok(Some("y".to_owned())));
    assert_eq!(server.count("PUT", "/api/token"), 2);
    assert_eq!(server.count("GET", "/x"), 3);
}

#[tokio::test]
async fn a_service_that_refuses_every_token_gets_two_questions() {
    let (error, server) = error_for(Reply::status(401, "")).await;
    assert!(matches!(error, ImdsError::Unauthorized { .. }), "{error}");
    assert_eq!((server.count("PUT", "/api/token"), server.count("GET", "/x")), (2, 2));
}

#[tokio::test]
async fn a_token_is_replaced_when_boot_time_says_so() {
    let now = Arc::new(AtomicU64::new(1_000));
    let clock = now.clone();
    let server = Server::start(imds_script(&[("meta-data/x", "y")])).await;
    let endpoint = Endpoint::parse(&server.url()).unwrap();
    let imds = Imds::new(
        endpoint,
        QUICK,
        Arc::new(move || Duration::from_secs(clock.load(Ordering::Relaxed))),
    )
    .unwrap();
    imds.get("meta-data/x").await.unwrap();
    now.fetch_add(19_000, Ordering::Relaxed);
    imds.get("meta-data/x").await.unwrap();
    assert_eq!(server.count("PUT", "/api/token"), 1);
    now.fetch_add(1_000, Ordering::Relaxed);
    imds.get("meta-data/x").await.unwrap();
    assert_eq!(server.count("PUT", "/api/token"), 2, "within its last tenth it is replaced");
}

#[tokio::test]
async fn version_1_is_never_used() {
    for status in [200, 400, 403, 404, 405, 500] {
        let server = Server::start(move |seen: &Seen| match seen.method.as_str() {
            "PUT" => Reply::status(status, "TOKEN"),
            _ => Reply::ok("i-0123456789abcdef0"),
        })
        .await;
        client(&server.url()).get("meta-data/instance-id").await.unwrap_err();
        assert_eq!(server.count("GET", "instance-id"), 0, "token request answered with {status}");
    }
}

#[tokio::test]
async fn a_token_without_its_time_to_live_is_an_error() {
    let server = Server::start(|_: &Seen| Reply::ok("TOKEN")).await;
    let error = client(&server.url()).get("meta-data/x").await.unwrap_err();
    assert!(error.to_string().contains("time-to-live"), "{error}");
}

#[tokio::test]
async fn each_status_has_its_own_error() {
    let (error, server) = error_for(Reply::status(403, "")).await;
    assert!(matches!(error, ImdsError::Forbidden { .. }), "{error}");
    assert_eq!(server.count("GET", "/x"), 1);

    let (error, server) = error_for(Reply::status(429, "")).await;
    assert!(matches!(error, ImdsError::Throttled { .. }), "{error}");
    assert_eq!(server.count("GET", "/x"), 1, "a throttled service is left alone");

    let (error, server) = error_for(Reply::status(500, "")).await;
    assert!(matches!(error, ImdsError::Status { status: 500, .. }), "{error}");
    assert_eq!(server.count("GET", "/x"), 3);
}

#[tokio::test]
async fn a_passing_failure_is_overcome() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen: &Seen| match seen.method.as_str() {
        "PUT" => token_reply("TOKEN", "60"),
        _ => match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::status(503, ""),
            1 => Reply::Drop,
            _ => Reply::ok("y"),
        },
    })
    .await;
    assert_eq!(client(&server.url()).get("meta-data/x").await, Ok(Some("y".to_owned())));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(|_: &Seen| Reply::ok("credentials")).await;
    let (error, _server) =
        error_for(Reply::status(302, "").with("Location", elsewhere.url())).await;
    assert!(matches!(error, ImdsError::Redirected { status: 302, .. }), "{error}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_is_not_asked_again() {
    let (error, server) = error_for(Reply::Hang).await;
    assert_eq!(error, ImdsError::TimedOut { path: "meta-data/x".to_owned(), hint: "" });
    assert_eq!(server.count("GET", "/x"), 1);
}

#[tokio::test]
async fn a_token_request_that_hangs_names_the_hop_limit() {
    let server = Server::start(|_: &Seen| Reply::Hang).await;
    let error = client(&server.url()).get("meta-data/x").await.unwrap_err();
    assert!(error.to_string().contains("hop limit"), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let error = client(&refusing_url().await).get("meta-data/x").await.unwrap_err();
    assert!(matches!(error, ImdsError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn garbage_is_an_error_whatever_its_kind() {
    for garbage in [
        &b"\0\0\0\0\0\0\0\0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off",
        b"",
    ] {
        let (error, server) = error_for(Reply::Raw(garbage.to_vec())).await;
        assert!(error.is_passing(), "{error}");
        assert_eq!(server.count("GET", "/x"), 3, "{garbage:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let (error, _server) = error_for(Reply::Endless).await;
    assert!(matches!(error, ImdsError::TooLarge { limit: 65_536, .. }), "{error}");
}

#[tokio::test]
async fn one_question_has_one_deadline() {
    let server = answering(Reply::status(500, "")).await;
    let limits = Limits {
        question: Duration::from_millis(40),
        pauses: [Duration::from_mins(1); 2],
        ..QUICK
    };
    let imds = Imds::new(Endpoint::parse(&server.url()).unwrap(), limits, boot_clock()).unwrap();
    assert!(matches!(imds.get("meta-data/x").await, Err(ImdsError::TimedOut { .. })));
}

#[test]
fn the_endpoint_follows_the_sdk_variables() {
    const URL: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
    let with = |pairs: &'static [(&str, &str)]| {
        Endpoint::from_env(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
        .map(|endpoint| endpoint.to_string())
    };
    assert_eq!(with(&[]).unwrap(), "http://169.254.169.254");
    assert_eq!(with(&[(MODE, "IPv6")]).unwrap(), "http://[fd00:ec2::254]");
    assert_eq!(
        with(&[(MODE, "IPv6"), (URL, "http://127.0.0.1:1338/")]).unwrap(),
        "http://127.0.0.1:1338"
    );
    assert_eq!(with(&[(URL, "")]).unwrap(), "http://169.254.169.254");
    for bad in [
        &[(MODE, "IPv5")],
        &[(URL, "https://127.0.0.1")],
        &[(URL, "http://a/b")],
        &[(URL, "http://u:p@a")],
        &[(URL, "x")],
    ] {
        assert!(with(bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn the_client_shows_no_token() {
    let server = Server::start(imds_script(&[("meta-data/x", "y")])).await;
    let imds = client(&server.url());
    imds.get("meta-data/x").await.unwrap();
    assert!(!format!("{imds:?}").contains("TOKEN"));
}

/// Four paths that want a token at the same moment, and how long they took.
async fn four_at_once(imds: &Imds) -> (Vec<Result<Option<Answer>, ImdsError>>, Duration) {
    let begin = Instant::now();
    let limit = Duration::from_millis(900);
    let ask = |path: &'static str| imds.try_within(path, limit);
    let (a, b, c, d) = tokio::join!(ask("meta-data/a"), ask("b"), ask("c"), ask("d"));
    (vec![a, b, c, d], begin.elapsed())
}

#[tokio::test]
async fn who_waits_for_a_token_shares_the_attempt_that_is_under_way() {
    let server = Server::start(imds_script(&[("meta-data/a", "y")])).await;
    let (answers, _) = four_at_once(&client(&server.url())).await;
    assert_eq!(answers[0].as_ref().unwrap().as_ref().unwrap().text, "y");
    assert!(answers[1..].iter().all(|answer| *answer == Ok(None)), "{answers:?}");
    assert_eq!((server.count("PUT", "/api/token"), server.count("GET", "")), (1, 4));
}

#[tokio::test]
async fn a_token_request_that_hangs_costs_everybody_its_time_once() {
    let server = Server::start(|_: &Seen| Reply::Hang).await;
    let imds = client(&server.url());
    let (answers, took) = four_at_once(&imds).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.to_string().contains("hop limit"), "{error}");
    }
    assert!(took < Duration::from_millis(600), "{took:?}");
    assert_eq!(server.count("PUT", "/api/token"), 1);
    imds.try_within("b", Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(server.count("PUT", "/api/token"), 2, "who comes later makes a new attempt");
}

#[tokio::test]
async fn one_try_is_one_request_within_its_limit() {
    let server = answering(Reply::status(500, "")).await;
    let imds = client(&server.url());
    let error = imds.try_within("x", Duration::from_secs(1)).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert_eq!(server.count("GET", "/x"), 1);
    let server = answering(Reply::Hang).await;
    let begin = Instant::now();
    let error = client(&server.url()).try_within("x", Duration::from_millis(50)).await;
    assert_eq!(error, Err(ImdsError::TimedOut { path: "x".to_owned(), hint: "" }));
    assert!(begin.elapsed() < Duration::from_millis(200));
}

#[tokio::test]
async fn paths_that_are_refused_at_once_replace_the_token_once() {
    let tokens = AtomicUsize::new(0);
    let server = Server::start(move |seen: &Seen| {
        if seen.method == "PUT" {
            return token_reply(&format!("T{}", tokens.fetch_add(1, Ordering::Relaxed)), "21600");
        }
        assert_eq!(seen.header("x-aws-ec2-metadata-token").len(), 1);
        let good = seen.header("x-aws-ec2-metadata-token") == ["T1"];
        Reply::status(if good { 404 } else { 401 }, "")
    })
    .await;
    let (answers, _) = four_at_once(&client(&server.url())).await;
    assert!(answers.iter().all(|answer| *answer == Ok(None)), "{answers:?}");
    assert_eq!(server.count("PUT", "/api/token"), 2);
}

#[tokio::test]
async fn two_different_dates_are_no_date() {
    for (second, date) in [("Sat, 21 Nov 2026 12:00:00 GMT", true), ("x", false)] {
        let reply = Reply::ok("y").with("Date", "Sat, 21 Nov 2026 12:00:00 GMT");
        let server = answering(reply.with("Date", second)).await;
        let answer = client(&server.url()).ask("x").await.unwrap().unwrap();
        assert_eq!(answer.date_ms.is_some(), date, "{second}");
    }
}
