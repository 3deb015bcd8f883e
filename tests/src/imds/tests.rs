use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::wire::{WireError, call};

const LIMIT: Duration = Duration::from_secs(5);
const ID: &str = "/latest/meta-data/instance-id";

fn imds() -> Imds {
    Imds::start(SocketAddr::from(([127, 0, 0, 1], 0)), Instance::default()).unwrap()
}

fn token(imds: &Imds) -> String {
    let put = Request::new("PUT", "/latest/api/token").with_header(tokens::TTL, "60");
    let reply = call(imds.addr(), &put, LIMIT).unwrap();
    assert_eq!((reply.status, reply.header(tokens::TTL)), (200, Some("60")));
    reply.body_text()
}

fn get(imds: &Imds, path: &str, token: &str) -> Result<Reply, WireError> {
    let get = Request::new("GET", path).with_header("X-aws-ec2-metadata-token", token);
    call(imds.addr(), &get, LIMIT)
}

#[test]
fn metadata_needs_one_valid_token() {
    let imds = imds();
    let token = token(&imds);
    let reply = get(&imds, ID, &token).unwrap();
    assert_eq!((reply.status, reply.body_text().as_str()), (200, "i-0a1b2c3d4e5f60718"));
    assert_eq!(call(imds.addr(), &Request::new("GET", ID), LIMIT).unwrap().status, 401);
    let two = Request::new("GET", ID)
        .with_header("x-aws-ec2-metadata-token", &token)
        .with_header("x-aws-ec2-metadata-token", &token);
    assert_eq!(call(imds.addr(), &two, LIMIT).unwrap().status, 401);
    assert_eq!(get(&imds, ID, "wrong").unwrap().status, 401);
    let seen = imds.seen();
    assert_eq!((seen.tokens, seen.tokenless, seen.doubled, seen.rejected), (1, 1, 1, 1));
}

#[test]
fn replies_look_like_the_real_service() {
    let imds = imds();
    let reply = get(&imds, ID, &token(&imds)).unwrap();
    assert_eq!((reply.minor, reply.header("connection")), (0, Some("close")));
    assert!(reply.header("date").unwrap().ends_with(" GMT"));
    let left: u64 = reply.header(tokens::TTL).unwrap().parse().unwrap();
    assert!((50..=60).contains(&left), "{left}");
    imds.keep_alive();
    assert_eq!(get(&imds, ID, &token(&imds)).unwrap().minor, 1);
}

#[test]
fn tokens_are_made_at_one_path_by_put_and_not_for_proxies() {
    let imds = imds();
    let ask = |method: &str, path: &str, extra: &str| {
        let request =
            Request::new(method, path).with_header(tokens::TTL, "60").with_header(extra, "1");
        call(imds.addr(), &request, LIMIT).unwrap().status
    };
    assert_eq!(ask("PUT", "/latest/api/token", "X-Any"), 200);
    assert_eq!(ask("PUT", "/2021-07-15/api/token", "X-Any"), 403);
    assert_eq!(ask("PUT", "/latest/api/token", "X-Forwarded-For"), 403);
    assert_eq!(ask("POST", "/latest/api/token", "X-Any"), 405);
    assert_eq!(ask("POST", ID, "X-Any"), 405);
}

#[test]
fn faults_strike_and_heal() {
    let mut imds = imds();
    let token = token(&imds);
    imds.fault(ID, Fault::Status(503), Times::Next(1));
    assert_eq!(get(&imds, ID, &token).unwrap().status, 503);
    assert_eq!(get(&imds, ID, &token).unwrap().status, 200);
    imds.fault("/latest/meta-data/*", Fault::Reset, Times::Always);
    assert!(get(&imds, ID, &token).is_err());
    imds.refuse();
    assert!(get(&imds, ID, &token).is_err());
    imds.heal().unwrap();
    assert_eq!(get(&imds, ID, &token).unwrap().status, 200);
    imds.disable();
    assert_eq!(get(&imds, ID, &token).unwrap().status, 403);
    assert_eq!(imds.seen().of_path(ID).len(), 5);
}

#[test]
fn revoked_tokens_are_rejected_and_the_clock_can_be_wrong() {
    let imds = imds();
    let old = token(&imds);
    imds.revoke_tokens();
    assert_eq!(get(&imds, ID, &old).unwrap().status, 401);
    imds.shift_clock(jiff::SignedDuration::from_hours(24 * 365 * 100));
    let date = get(&imds, ID, &token(&imds)).unwrap();
    assert!(date.header("date").unwrap().contains(" 21"), "{:?}", date.headers);
}

#[test]
fn missing_items_are_404_with_a_valid_token_and_head_has_no_body() {
    let imds = imds();
    let token = token(&imds);
    assert_eq!(get(&imds, "/latest/meta-data/spot/instance-action", &token).unwrap().status, 404);
    let head = Request::new("HEAD", ID).with_header("X-aws-ec2-metadata-token", &token);
    // The length announces a body that does not come; the reader must see that.
    assert!(matches!(call(imds.addr(), &head, LIMIT), Err(WireError::Malformed(_))));
}

#[test]
fn it_serves_ipv6() {
    let loopback = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
    let Ok(imds) = Imds::start(loopback, Instance::default()) else {
        eprintln!("skipped: there is no IPv6 loopback");
        return;
    };
    assert!(imds.endpoint().starts_with("http://[::1]:"));
    assert_eq!(get(&imds, ID, &token(&imds)).unwrap().status, 200);
}

#[test]
fn behind_a_router_tokens_never_arrive_and_the_rest_does() {
    let mut imds = imds();
    let token = token(&imds);
    imds.hop_limit();
    let put = Request::new("PUT", "/latest/api/token").with_header(tokens::TTL, "60");
    let lost = call(imds.addr(), &put, Duration::from_millis(50));
    assert!(matches!(lost, Err(WireError::Io(_))), "{lost:?}");
    assert_eq!(get(&imds, ID, &token).unwrap().status, 200);
    imds.heal().unwrap();
    assert_eq!(call(imds.addr(), &put, LIMIT).unwrap().status, 200);
}

#[test]
fn too_many_requests_are_answered_with_429() {
    let imds = imds();
    let token = token(&imds);
    imds.throttle(1.0, 0.0);
    assert_eq!(get(&imds, ID, &token).unwrap().status, 200);
    assert_eq!(get(&imds, ID, &token).unwrap().status, 429);
}

#[test]
fn the_time_can_be_left_out_and_notices_move_with_the_clock() {
    let imds = imds();
    let token = token(&imds);
    let path = "/latest/meta-data/spot/instance-action";
    imds.instance().with(|instance| {
        instance.spot_action = Some(notice::moving_spot("terminate", 120));
    });
    imds.shift_clock(jiff::SignedDuration::from_hours(24 * 365 * 100));
    let reply = get(&imds, path, &token).unwrap();
    assert!(reply.body_text().contains("\"time\":\"21"), "{}", reply.body_text());
    imds.undate();
    assert_eq!(get(&imds, path, &token).unwrap().header("date"), None);
}
