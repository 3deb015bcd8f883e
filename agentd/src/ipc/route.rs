//! What can be asked for: method and path to a closed list.

use agent_core::action::Power;
use agent_proto::limits;
use agent_proto::problem::{ErrorKind, Problem};
use hyper::{Method, Uri};

/// One request as understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The picture.
    Status,
    /// The picture with every signal.
    Why,
    /// The events behind a number, and with `follow` those that come.
    Events {
        /// The number.
        after: u64,
        /// Whether to wait for more.
        follow: bool,
    },
    /// The doctor's checks.
    Doctor,
    /// The description of this API.
    OpenApi,
    /// Prometheus text.
    Metrics,
    /// Whether the process answers.
    Health,
    /// Make a hold.
    Hold,
    /// Prolong a hold.
    Renew(u64),
    /// End a hold.
    EndHold(u64),
    /// End all of the caller's holds.
    Release,
    /// Hibernate or stop.
    Act(Power),
    /// What EC2 announces.
    Spot,
    /// Go through an interruption without one.
    Drill,
}

/// Understands a request line.
pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Route, Problem> {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    if path.len() + query.len() > limits::PATH_BYTES {
        return Err(Problem::new(ErrorKind::TooLarge, "read the request: its path is too long"));
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match *parts.as_slice() {
        ["v1", "events"] => events(query).and_then(|route| only(method, &Method::GET, route)),
        _ if !query.is_empty() => Err(Problem::new(
            ErrorKind::InvalidRequest,
            format!("read '{path}': it takes no query"),
        )),
        ["v1", "status"] => only(method, &Method::GET, Route::Status),
        ["v1", "why"] => only(method, &Method::GET, Route::Why),
        ["v1", "spot"] => only(method, &Method::GET, Route::Spot),
        ["v1", "spot", "drill"] => only(method, &Method::POST, Route::Drill),
        ["v1", "doctor"] => only(method, &Method::GET, Route::Doctor),
        ["v1", "openapi.json"] => only(method, &Method::GET, Route::OpenApi),
        ["metrics"] => only(method, &Method::GET, Route::Metrics),
        ["healthz"] => only(method, &Method::GET, Route::Health),
        ["v1", "hold"] => only(method, &Method::POST, Route::Hold),
        ["v1", "release"] => only(method, &Method::POST, Route::Release),
        ["v1", "stop"] => only(method, &Method::POST, Route::Act(Power::Stop)),
        ["v1", "hibernate"] => only(method, &Method::POST, Route::Act(Power::Hibernate)),
        ["v1", "hold", id] => {
            hold_id(id).and_then(|id| only(method, &Method::DELETE, Route::EndHold(id)))
        }
        ["v1", "hold", id, "renew"] => {
            hold_id(id).and_then(|id| only(method, &Method::POST, Route::Renew(id)))
        }
        _ => {
            Err(Problem::new(ErrorKind::NotFound, format!("find '{path}': there is no such path"))
                .with_hint("GET /v1/openapi.json lists all paths"))
        }
    }
}

fn only(method: &Method, allowed: &Method, route: Route) -> Result<Route, Problem> {
    if method == allowed {
        return Ok(route);
    }
    Err(Problem::new(
        ErrorKind::MethodNotAllowed,
        format!("{method} this path: only {allowed} is allowed"),
    ))
}

fn hold_id(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        Problem::new(ErrorKind::InvalidRequest, "find the hold: its id must be a whole number")
            .with_hint("agentctl status lists the holds")
    })
}

fn events(query: &str) -> Result<Route, Problem> {
    let (mut after, mut follow) = (0, false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", number)) => {
                after = number.parse().map_err(|_| invalid("'after' must be a whole number"))?;
            }
            Some(("follow", "1")) => follow = true,
            Some(("follow", "0")) => follow = false,
            _ => return Err(invalid("only 'after=NUMBER' and 'follow=1' are known")),
        }
    }
    Ok(Route::Events { after, follow })
}

fn invalid(what: &str) -> Problem {
    Problem::new(ErrorKind::InvalidRequest, format!("read the query of '/v1/events': {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, uri: &str) -> Result<Route, ErrorKind> {
        parse(&method.parse().unwrap(), &uri.parse().unwrap()).map_err(|problem| problem.kind)
    }

    /// Every route, by its request.
    const ROUTES: [(&str, &str, Route); 16] = [
        ("GET", "/v1/status", Route::Status),
        ("GET", "/v1/why", Route::Why),
        ("GET", "/v1/events", Route::Events { after: 0, follow: false }),
        ("GET", "/v1/events?follow=1&after=7", Route::Events { after: 7, follow: true }),
        ("GET", "/v1/doctor", Route::Doctor),
        ("GET", "/v1/openapi.json", Route::OpenApi),
        ("GET", "/metrics", Route::Metrics),
        ("GET", "/healthz", Route::Health),
        ("POST", "/v1/hold", Route::Hold),
        ("POST", "/v1/hold/3/renew", Route::Renew(3)),
        ("DELETE", "/v1/hold/3", Route::EndHold(3)),
        ("POST", "/v1/release", Route::Release),
        ("POST", "/v1/stop", Route::Act(Power::Stop)),
        ("POST", "/v1/hibernate", Route::Act(Power::Hibernate)),
        ("GET", "/v1/spot", Route::Spot),
        ("POST", "/v1/spot/drill", Route::Drill),
    ];

    #[test]
    fn every_route_is_found_with_its_method_and_with_no_other() {
        for (method, uri, route) in ROUTES {
            assert_eq!(ask(method, uri), Ok(route));
            for other in ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "FROB"] {
                if other != method {
                    assert_eq!(ask(other, uri), Err(ErrorKind::MethodNotAllowed), "{other} {uri}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_listed_is_not_found() {
        for uri in [
            "/",
            "/v1",
            "/v2/status",
            "/v1/status/",
            "/v1/status/x",
            "/v1/spot/",
            "/v1/spot/drill/1",
            "/v1//status",
            "/V1/status",
            "/../etc",
        ] {
            assert_eq!(ask("GET", uri), Err(ErrorKind::NotFound), "{uri}");
        }
    }

    #[test]
    fn a_bad_query_or_id_is_invalid_and_never_guessed() {
        for (method, uri) in [
            ("GET", "/v1/events?after=-1"),
            ("GET", "/v1/events?after=99999999999999999999"),
            ("GET", "/v1/events?folow=1"),
            ("GET", "/v1/status?verbose=1"),
            ("POST", "/v1/stop?dry_run=1"),
            ("POST", "/v1/spot/drill?in=5"),
            ("DELETE", "/v1/hold/all"),
            ("POST", "/v1/hold/0x3/renew"),
        ] {
            assert_eq!(ask(method, uri), Err(ErrorKind::InvalidRequest), "{uri}");
        }
    }

    #[test]
    fn a_long_path_is_too_large() {
        let uri = format!("/v1/events?after={}", "1".repeat(limits::PATH_BYTES));
        assert_eq!(ask("GET", &uri), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn the_description_lists_the_same_paths_and_methods() {
        let document: serde_json::Value =
            serde_json::from_str(super::super::answer::OPENAPI).unwrap();
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.push((method.to_uppercase(), path.replace("{id}", "3")));
            }
        }
        let mut routed: Vec<(String, String)> = ROUTES
            .iter()
            .filter(|(_, uri, _)| !uri.contains('?'))
            .map(|(method, uri, _)| ((*method).to_owned(), (*uri).to_owned()))
            .collect();
        described.sort();
        routed.sort();
        assert_eq!(described, routed);
    }
}
