//! A server that one handle owns: an accepting thread, one thread a connection, and an end that waits for nobody.

use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

use crate::fault::{self, Fault};
use crate::locked;
use crate::wire::{self, Reply, Request, WireError};

/// More connections than this at once are closed at once.
const MOST_CONNECTIONS: usize = 256;

/// What a service says to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The right reply.
    pub reply: Reply,
    /// What goes wrong on its way.
    pub fault: Option<Fault>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, fault: None }
    }
}

/// Something that answers requests. It is asked from many threads at once.
pub trait Service: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: &Request) -> Answer;
    /// Answers what is not an HTTP/1 request.
    fn answer_malformed(&self, _why: &WireError) -> Answer {
        Reply { close: true, ..Reply::text(400, "Bad Request") }.into()
    }
}

/// What the threads of a server share.
struct Shared {
    service: Arc<dyn Service>,
    open: Mutex<Vec<Weak<TcpStream>>>,
    stopping: AtomicBool,
    accepted: AtomicU64,
}

/// A running server. It ends with this value: the port is closed and every connection is cut.
pub struct Server {
    addr: SocketAddr,
    /// A socket that never listens. It keeps the port ours while it is closed: without it another server, or a client's
    /// end of a connection, may be given its number meanwhile.
    _port: TcpListener,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Shared {
    fn cut_all(&self) {
        for stream in locked(&self.open).drain(..).filter_map(|open| open.upgrade()) {
            let _already_gone = stream.shutdown(Shutdown::Both);
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `addr` (port 0: any free port) and answers with `service`.
    pub fn start(addr: SocketAddr, service: Arc<dyn Service>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            service,
            open: Mutex::default(),
            stopping: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
        });
        let port = bound(addr)?;
        let addr = port.local_addr()?;
        let mut server = Self { addr, _port: port, shared, accepting: None };
        server.listen()?;
        Ok(server)
    }

    /// The address that is, or was, listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Opens the port again after [`refuse`](Self::refuse).
    pub fn listen(&mut self) -> io::Result<()> {
        if self.accepting.is_some() {
            return Ok(());
        }
        let listener = bound(self.addr)?;
        listen(&listener, Backlog::new(128)?)?;
        self.shared.stopping.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(thread::spawn(move || accept(&listener, &shared)));
        Ok(())
    }

    /// Closes the port and cuts every connection: from now on clients are refused.
    pub fn refuse(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let Some(accepting) = self.accepting.take() else { return };
        // A connection of our own wakes the accepting thread, which then sees that it is over.
        let woken = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1)).is_ok();
        self.shared.cut_all();
        if woken {
            let _panicked = accepting.join();
            self.shared.cut_all();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// A socket at `addr` that does not listen yet. This program's others may have the same address, and nobody else may.
pub(crate) fn bound(addr: SocketAddr) -> io::Result<TcpListener> {
    let (family, storage) = match addr {
        SocketAddr::V4(addr) => (AddressFamily::Inet, SockaddrStorage::from(addr)),
        SocketAddr::V6(addr) => (AddressFamily::Inet6, SockaddrStorage::from(addr)),
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    bind(socket.as_raw_fd(), &storage)?;
    Ok(TcpListener::from(socket))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let connection = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, _)) = connection else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let stream = Arc::new(stream);
        {
            let mut open = locked(&shared.open);
            open.retain(|known| known.strong_count() > 0);
            if open.len() >= MOST_CONNECTIONS {
                continue;
            }
            open.push(Arc::downgrade(&stream));
            shared.accepted.fetch_add(1, Ordering::Relaxed);
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A client that goes away in the middle is no failure of the server.
            let _client_went_away = converse(&stream, &shared);
        });
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut reader = BufReader::new(stream);
    loop {
        let (answer, reusable) = match wire::read_request(&mut reader) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => (shared.service.answer(&request), request.keeps_alive()),
            Err(WireError::Io(cause)) => return Err(cause),
            Err(why) => (shared.service.answer_malformed(&why), false),
        };
        let Answer { mut reply, fault } = answer;
        reply.close |= !reusable;
        let alive = match fault {
            None => fault::send(&reply, stream)?,
            Some(fault) => fault.deliver(reply, stream)?,
        };
        if !alive {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Echoes the path and fails as the query asks.
    struct Echo;

    impl Service for Echo {
        fn answer(&self, request: &Request) -> Answer {
            let fault = request.query().parse().ok();
            Answer { reply: Reply::text(200, request.path()), fault }
        }
    }

    fn echo() -> Server {
        Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(Echo)).unwrap()
    }

    fn get(server: &Server, target: &str) -> Result<Reply, WireError> {
        wire::call(server.addr(), &Request::new("GET", target), LIMIT)
    }

    #[test]
    fn answers_and_counts_connections() {
        let server = echo();
        assert_eq!(get(&server, "/a/b").unwrap().body_text(), "/a/b");
        assert_eq!(get(&server, "/c").unwrap().status, 200);
        assert_eq!(server.connections(), 2);
    }

    #[test]
    fn one_connection_serves_many_requests() {
        use std::io::Write;
        let server = echo();
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for path in ["/1", "/2"] {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert_eq!(wire::read_reply(&mut reader).unwrap().body_text(), path);
        }
        assert_eq!(server.connections(), 1);
    }

    #[test]
    fn whole_faults_arrive_as_scripted() {
        let server = echo();
        assert_eq!(get(&server, "/x?status=429").unwrap().status, 429);
        assert!(get(&server, "/x?empty").unwrap().body.is_empty());
        assert!(get(&server, "/x?html").unwrap().body_text().contains("<html>"));
        let redirect = get(&server, "/x?redirect=http://127.0.0.1:1/").unwrap();
        assert_eq!(
            (redirect.status, redirect.header("location")),
            (302, Some("http://127.0.0.1:1/"))
        );
        assert_eq!(get(&server, "/x?drip=0").unwrap().body_text(), "/x");
        assert_eq!(get(&server, "/x?without=Content-Type").unwrap().header("content-type"), None);
    }

    #[test]
    fn broken_faults_are_broken_for_the_client() {
        let server = echo();
        for broken in ["/x?reset", "/x?close", "/x?garbage", "/xyz?truncated"] {
            assert!(get(&server, broken).is_err(), "{broken} gave a reply");
        }
        let limit = Duration::from_millis(50);
        let hang = wire::call(server.addr(), &Request::new("GET", "/x?hang"), limit);
        assert!(matches!(hang, Err(WireError::Io(_))), "{hang:?}");
    }

    #[test]
    fn refusing_closes_the_port_and_listening_opens_the_same_one() {
        let mut server = echo();
        let addr = server.addr();
        server.refuse();
        assert!(TcpStream::connect(addr).is_err());
        server.listen().unwrap();
        assert_eq!(server.addr(), addr);
        assert_eq!(get(&server, "/back").unwrap().body_text(), "/back");
    }

    #[test]
    fn a_port_that_refuses_is_given_to_nobody_else() {
        let mut server = echo();
        server.refuse();
        // As a client's end of a connection is, which may be put at any free port.
        let SocketAddr::V4(addr) = server.addr() else { panic!("{}", server.addr()) };
        let other =
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let taken = bind(other.as_raw_fd(), &SockaddrStorage::from(addr)).unwrap_err();
        assert_eq!(taken, nix::errno::Errno::EADDRINUSE);
        assert!(TcpStream::connect(server.addr()).is_err(), "nobody listens");
    }

    #[test]
    fn the_end_cuts_a_hanging_connection() {
        let server = echo();
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        io::Write::write_all(&mut stream, b"GET /x?hang HTTP/1.1\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let start = Instant::now();
        while server.connections() == 0 {
            thread::yield_now();
        }
        drop(server);
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
        assert!(start.elapsed() < LIMIT);
    }
}
