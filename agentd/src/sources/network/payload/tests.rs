use super::*;
use std::convert::Infallible;
use std::net::SocketAddr;

/// Everything is this fast in the tests that ask for a rate.
const LOOK: u64 = 10;

fn at(seconds: u64) -> Stamp {
    Stamp::new(seconds * 1000, 0, 0)
}

fn socket(cookie: u64, received: u64, sent: u64) -> TcpSocket {
    TcpSocket {
        cookie,
        local: "10.0.0.5:8888".parse().unwrap(),
        remote: "192.0.2.1:40000".parse().unwrap(),
        established: true,
        uid: 0,
        inode: 0,
        cgroup: None,
        sent,
        received,
        silent_ms: 0,
    }
}

fn owner(role: Role, incoming: bool) -> Owner {
    Owner { whose: Whose::Of("alice".into(), role), incoming }
}

fn opened() -> Owner {
    owner(Role::Workload, false)
}

fn sshd() -> Owner {
    Owner { whose: Whose::Sshd, incoming: true }
}

fn take(
    payload: &mut Payload,
    now: Stamp,
    owner: &Owner,
    living: &[TcpSocket],
    ended: &[TcpSocket],
) {
    let living = living.iter().map(|socket| (socket, owner.clone()));
    let whose = |_: &TcpSocket| Ok::<_, Infallible>(Some(owner.clone()));
    payload.take(now, living, ended, whose, |_| false).unwrap();
}

/// Looks at connections that are written as cookie and bytes received.
fn look(payload: &mut Payload, seconds: u64, owner: &Owner, living: &[(u64, u64)]) {
    let living: Vec<_> = living.iter().map(|(cookie, bytes)| socket(*cookie, *bytes, 0)).collect();
    take(payload, at(seconds), owner, &living, &[]);
}

/// What counts a second where so many connections of so many bytes begin and end between two looks, after ten minutes.
fn of_small(connections: u64, bytes: u64) -> u64 {
    of_small_from(&["192.0.2.1"], Role::Server, connections, (bytes / 2, bytes - bytes / 2))
}

/// The same of so many connections from each of some clients, each of which receives and sends so much.
fn of_small_from(from: &[&str], role: Role, connections: u64, bytes: (u64, u64)) -> u64 {
    let mut payload = Payload::default();
    let (mut cookie, mut begun) = (0, 0);
    for look in 0..=120_u64 {
        let mut ended = Vec::new();
        for client in from.iter().flat_map(|client| (0..connections).map(move |_| client)) {
            cookie += 1;
            let remote = SocketAddr::new(client.parse().unwrap(), 40_000);
            ended.push(TcpSocket { remote, ..socket(cookie, bytes.0, bytes.1) });
        }
        take(&mut payload, at(look * LOOK), &owner(role, true), &[], &ended);
        if look == 60 {
            begun = total(&payload);
        }
    }
    (total(&payload) - begun) / (60 * LOOK)
}

#[test]
fn scans_are_nobodys_and_so_many_requests_that_they_are_no_scan_are_served() {
    assert_eq!(of_small(20, 5700), 0, "two logins a second that are refused");
    assert_eq!(of_small(1, 4000), 0, "a probe");
    assert!(of_small(1000, 8000) > 600_000, "a hundred requests a second");
}

#[test]
fn many_small_requests_within_a_private_network_are_served_and_checks_and_scrapes_are_not() {
    let hosts: Vec<_> = (1..=10).map(|host| format!("10.0.3.{host}")).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let redis = |from: &[&str]| of_small_from(from, Role::Server, 10, (200, 2000));
    assert_eq!(redis(&hosts), 22_000, "one request a second of each of ten hosts");
    assert_eq!(redis(&["fd00::7"]), 2200);
    let public: Vec<_> = hosts.iter().map(|host| host.replacen("10", "198", 1)).collect();
    let public: Vec<_> = public.iter().map(String::as_str).collect();
    assert_eq!(redis(&public), 0, "strangers");
    for role in [Role::Workload, Role::Local] {
        let check = of_small_from(&hosts[..3], role, 2, (200, 400));
        assert_eq!(check, 0, "checks of a load balancer");
        assert_eq!(of_small_from(&hosts[..2], role, 1, (400, 15_000)), 0, "scrapes");
    }
}

fn total(payload: &Payload) -> u64 {
    payload.totals().map(|(_, _, total)| total).sum()
}

#[test]
fn what_was_carried_before_the_first_look_does_not_count() {
    let mut payload = Payload::default();
    let old = socket(9, 70_000, 0);
    take(&mut payload, at(0), &opened(), &[socket(1, 5000, 0)], &[old]);
    assert_eq!(total(&payload), 0);
    look(&mut payload, 10, &opened(), &[(1, 5600)]);
    assert_eq!(total(&payload), 600);
}

#[test]
fn a_new_connection_counts_whole_and_a_closed_one_is_kept_in_the_total() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &opened(), &[]);
    look(&mut payload, 10, &opened(), &[(1, 900), (2, 50)]);
    look(&mut payload, 20, &opened(), &[(2, 60)]);
    look(&mut payload, 30, &opened(), &[]);
    assert_eq!(total(&payload), 960);
}

#[test]
fn a_connection_that_ended_counts_with_what_came_after_it_was_seen_last() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &opened(), &[]);
    look(&mut payload, 10, &opened(), &[(1, 900)]);
    // One lived on after the dump of this look, one between two looks, and one ended after its dump.
    take(&mut payload, at(20), &opened(), &[socket(2, 10, 0)], &[
        socket(1, 1000, 0),
        socket(3, 200_000, 0),
        socket(2, 30, 0),
    ]);
    assert_eq!(total(&payload), 1000 + 200_000 + 30);
    assert_eq!(payload.moved().received, 100 + 200_000 + 30);
    assert_eq!((payload.moved().opened, payload.moved().accepted), (2, 0));
    look(&mut payload, 30, &opened(), &[]);
    assert_eq!(total(&payload), 1000 + 200_000 + 30);
}

#[test]
fn one_that_was_seen_alive_keeps_its_owner_when_it_ends() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &opened(), &[]);
    look(&mut payload, 10, &opened(), &[(1, 900)]);
    let nobody = |_: &TcpSocket| Ok::<_, Infallible>(None);
    let ended = [socket(1, 1000, 0), socket(2, 7000, 0)];
    payload.take(at(20), std::iter::empty(), &ended, nobody, |_| false).unwrap();
    let totals: Vec<_> = payload.totals().collect();
    let expected =
        [("alice", Role::Workload, 1000), (UNSEEN, Role::Unexplained, 7000)];
    assert_eq!(totals, expected);
}

#[test]
fn a_connection_that_is_merely_kept_open_stands_still() {
    let mut payload = Payload::default();
    for seconds in 0..100 {
        look(&mut payload, seconds, &opened(), &[(1, 4000)]);
    }
    assert_eq!(total(&payload), 0);
}

/// A load of so many bytes a second, received and sent, on connections that each take `each` seconds, from one client; what
/// counts of it a second after the first ten minutes. Those that take less than a look are only met when they end.
fn rate(owner: &Owner, received: u64, sent: u64, each: u64) -> u64 {
    let mut payload = Payload::default();
    let mut at_first = 0;
    let mut living: Vec<TcpSocket> = Vec::new();
    for second in 0..1200 {
        if second % each == 0 {
            living.push(socket(second, 0, 0));
        }
        if second % LOOK == 0 {
            let ended: Vec<_> =
                living.iter().filter(|one| second >= one.cookie + each).cloned().collect();
            living.retain(|one| second < one.cookie + each);
            take(&mut payload, at(second), owner, &living, &ended);
        }
        if second == 600 {
            at_first = total(&payload);
        }
        for one in &mut living {
            if second < one.cookie + each {
                one.received += received;
                one.sent += sent;
            }
        }
    }
    (total(&payload) - at_first) / 590
}

#[test]
fn many_short_connections_count_as_one_long_one_does() {
    for each in [1, 4, 10, 60, 3600] {
        assert_eq!(rate(&opened(), 50_000, 0, each) / 1000, 50, "opened, {each} s");
        let server = owner(Role::Server, true);
        assert_eq!(rate(&server, 1000, 49_000, each) / 1000, 50, "accepted, {each} s");
        let person = owner(Role::Workload, true);
        let of_person = rate(&person, 300_000, 0, each);
        assert!((295_000..=300_000).contains(&of_person), "{of_person}, {each} s");
        let copy = rate(&sshd(), 2_000_000, 0, each);
        assert!(copy > 1_900_000, "{copy}, {each} s");
    }
}

#[test]
fn scans_logins_that_are_refused_and_probes_are_nobodys() {
    for role in [Role::Workload, Role::Local, Role::Server, Role::Upkeep] {
        assert_eq!(rate(&owner(role, true), 1400, 1400, 2), 0, "5.7 kB every two seconds");
    }
    assert_eq!(rate(&sshd(), 2800, 2800, 2), 0);
    assert!(rate(&owner(Role::Workload, false), 1400, 1400, 2) > 2700, "what goes out is work");
}

#[test]
fn one_forgotten_tab_gets_one_answer() {
    // 50 kB every five seconds, on a connection each or on one.
    for each in [1, 5, 3600] {
        for role in [Role::Workload, Role::Local] {
            assert_eq!(rate(&owner(role, true), 100, 10_000, each), 0, "{each}");
        }
        assert!(rate(&owner(Role::Workload, true), 100, 300_000, each) > 250_000, "a copy, {each}");
        assert!(rate(&owner(Role::Workload, true), 50_000, 100, each) > 45_000, "an upload, {each}");
    }
}

#[test]
fn strangers_at_sshd_do_not_count() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &sshd(), &[]);
    for attempt in 1..1000 {
        look(&mut payload, attempt, &sshd(), &[(attempt, 9000), (attempt + 1, 4000)]);
    }
    assert_eq!(total(&payload), 0);
}

#[test]
fn what_strangers_say_to_sshd_is_told_and_what_a_session_says_is_not() {
    let mut payload = Payload::default();
    take(&mut payload, at(0), &sshd(), &[], &[]);
    take(&mut payload, at(10), &sshd(), &[socket(1, 2000, 900)], &[socket(2, 2800, 2900)]);
    assert_eq!(payload.attempts(), (4800, 3800));
    take(&mut payload, at(170), &sshd(), &[socket(1, 2500, 1000)], &[]);
    assert_eq!(payload.attempts(), (0, 0));
    take(&mut payload, at(180), &opened(), &[socket(3, 500, 500)], &[]);
    assert_eq!(payload.attempts(), (0, 0));
}

#[test]
fn a_transfer_through_sshd_counts_beyond_the_allowance_at_once() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &sshd(), &[]);
    look(&mut payload, 10, &sshd(), &[(1, 40_000)]);
    look(&mut payload, 20, &sshd(), &[(1, 70_000)]);
    assert_eq!(total(&payload), 70_000 - 65_536);
    look(&mut payload, 30, &sshd(), &[(1, 80_000)]);
    assert_eq!(total(&payload), 80_000 - 65_536);
}

#[test]
fn a_session_counts_every_byte_once_the_grace_time_is_over() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &sshd(), &[]);
    look(&mut payload, 10, &sshd(), &[(1, 4000)]);
    look(&mut payload, 159, &sshd(), &[(1, 4100)]);
    assert_eq!(total(&payload), 0);
    look(&mut payload, 160, &sshd(), &[(1, 4150)]);
    assert_eq!(total(&payload), 50);
}

#[test]
fn a_terminal_that_redraws_itself_does_not_count_and_a_copy_does() {
    for redraw in [100, 2000, 6000, 16_000] {
        assert_eq!(rate(&sshd(), 0, redraw, 3600), 0, "{redraw} B/s");
    }
    for copy in [40_000, 1_000_000, 20_000_000] {
        assert!(rate(&sshd(), 0, copy, 3600) >= copy / 2, "{copy} B/s");
    }
    // Copies of 400 kB each, a connection each.
    assert!(rate(&sshd(), 0, 100_000, 4) > 50_000);
}

#[test]
fn what_a_client_sends_counts_beside_a_redraw() {
    let mut payload = Payload::default();
    let mut carried = |seconds, received, sent| {
        take(&mut payload, at(seconds), &sshd(), &[socket(1, received, sent)], &[]);
        total(&payload)
    };
    carried(0, 0, 0);
    carried(200, 100, 70_000);
    let before = carried(400, 100, 70_000);
    assert_eq!(carried(410, 5100, 90_000) - before, 5000);
}

#[test]
fn the_agent_and_conversations_inside_are_not_shown_and_the_agents_bytes_are_booked() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &opened(), &[]);
    for whose in [Whose::Own, Whose::Inside] {
        look(&mut payload, 10, &Owner { whose, incoming: false }, &[(1, 20)]);
    }
    assert_eq!(payload.totals().count(), 0);
    look(&mut payload, 20, &Owner { whose: Whose::Own, incoming: false }, &[(1, 50)]);
    assert_eq!(payload.moved().received, 30);
}

#[test]
fn what_stays_on_the_machine_is_not_booked() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &opened(), &[]);
    let local = TcpSocket { remote: "10.0.0.5:1".parse().unwrap(), ..socket(1, 500, 0) };
    take(&mut payload, at(10), &opened(), &[local], &[]);
    assert_eq!((payload.moved().received, total(&payload)), (0, 500));
    let living = [socket(2, 500, 0)];
    let living = living.iter().map(|socket| (socket, opened()));
    let whose = |_: &TcpSocket| Ok::<_, Infallible>(None);
    payload.take(at(20), living, &[], whose, |_| true).unwrap();
    assert_eq!(payload.moved().received, 0);
}

#[test]
fn an_owner_is_shown_from_the_first_byte_that_counts() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &opened(), &[]);
    for number in 0..100 {
        let whose = Whose::Of(format!("owner {number}").into(), Role::Workload);
        look(&mut payload, number + 1, &Owner { whose, incoming: false }, &[(number, 0)]);
    }
    look(&mut payload, 200, &opened(), &[(500, 7)]);
    assert_eq!(payload.totals().collect::<Vec<_>>(), [("alice", Role::Workload, 7)]);
}

#[test]
fn the_number_of_owners_is_bounded_and_none_is_lost() {
    let mut payload = Payload::default();
    look(&mut payload, 0, &opened(), &[]);
    for number in 0..1000 {
        let whose = Whose::Of(format!("owner {number}").into(), Role::Workload);
        look(&mut payload, number + 1, &Owner { whose, incoming: false }, &[(number, 1)]);
    }
    assert!(payload.totals().count() <= SUBJECTS + 1);
    assert_eq!(total(&payload), 1000);
}

proptest::proptest! {
    /// No split of the same bytes over connections, short or long, seen alive or not, changes what is booked.
    #[test]
    fn the_same_bytes_are_booked_alike_however_they_are_split(
        parts in proptest::collection::vec((1_u64..40_000_000, 0_u64..5, 0_u64..30), 1..40),
        incoming in proptest::bool::ANY,
    ) {
        let owner = owner(if incoming { Role::Server } else { Role::Workload }, incoming);
        let mut payload = Payload::default();
        let sum: u64 = parts.iter().map(|(bytes, ..)| bytes + SMALL).sum();
        // Each part is a connection that begins at one look and lives for some.
        let part = |cookie: usize| {
            let (bytes, lives, begins) = parts[cookie];
            (u64::try_from(cookie).unwrap(), bytes + SMALL, begins + 1, begins + 1 + lives)
        };
        let all = || (0..parts.len()).map(part);
        for now in 0..40 {
            let grown = |(cookie, bytes, begins, ends): (u64, u64, u64, u64)| {
                socket(cookie, bytes * (now - begins + 1) / (ends - begins + 1), 0)
            };
            let living: Vec<_> = all().filter(|one| (one.2..one.3).contains(&now)).map(grown).collect();
            let ended: Vec<_> = all().filter(|one| one.3 == now).map(grown).collect();
            take(&mut payload, at(now * 10), &owner, &living, &ended);
        }
        proptest::prop_assert_eq!(total(&payload), sum);
    }

    /// No order of connections, counts and owners makes a total fall.
    #[test]
    fn totals_never_fall(looks in proptest::collection::vec(
        proptest::collection::vec((0_u64..8, 0_u64..200_000, 0_u8..5, proptest::bool::ANY), 0..8), 1..30))
    {
        let mut payload = Payload::default();
        let mut before = BTreeMap::new();
        for (second, look) in (0_u64..).zip(looks) {
            let owners = [opened(), sshd(), owner(Role::Local, true), owner(Role::Upkeep, true),
                Owner { whose: Whose::Inside, incoming: true }];
            let sockets: Vec<_> =
                look.iter().map(|(cookie, bytes, ..)| socket(*cookie, bytes / 2, bytes / 2)).collect();
            let of = |index: usize| owners[usize::from(look[index].2)].clone();
            let living = sockets.iter().enumerate().filter(|(at, _)| look[*at].3);
            let living: Vec<_> = living.map(|(at, socket)| (socket, of(at))).collect();
            let ended = sockets.iter().enumerate().filter(|(at, _)| !look[*at].3);
            let ended: Vec<_> = ended.map(|(_, socket)| socket.clone()).collect();
            let whose = |_: &TcpSocket| Ok::<_, Infallible>(None);
            payload.take(at(second * 40), living.into_iter(), &ended, whose, |_| false).unwrap();
            for (subject, _, total) in payload.totals() {
                let old = before.insert(subject.to_owned(), total).unwrap_or(0);
                proptest::prop_assert!(total >= old);
            }
        }
    }
}
