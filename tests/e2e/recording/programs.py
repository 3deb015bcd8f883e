"""Programs that the scenes need in the machine, as files of its tree. They do little, so that many machines can be recorded
side by side."""

from __future__ import annotations

from pathlib import Path

FOLDER = "/usr/local/lib/scenes"

#: duty.py SECONDS SHARE: uses that share of a core, in slices of a tenth of a second.
DUTY = """\
import sys, time
seconds, share = float(sys.argv[1]), float(sys.argv[2])
end = time.monotonic() + seconds
while time.monotonic() < end:
    until = time.process_time() + share / 10
    begun = time.monotonic()
    while time.process_time() < until:
        pass
    time.sleep(max(0.0, 0.1 - (time.monotonic() - begun)))
"""

#: fetch.py ADDRESS PORT SECONDS RATE: reads that many bytes a second from a server that sends as much as is read.
FETCH = """\
import socket, sys, time
address, port, seconds, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
with socket.socket() as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.connect((address, port))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        left = rate // 2
        while left > 0:
            left -= len(server.recv(left))
        time.sleep(0.5)
"""

#: crawl.py ADDRESS PORT SECONDS EVERY: one small request now and then, as a polite crawler does.
CRAWL = """\
import socket, sys, time
address, port, seconds, every = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
end = time.monotonic() + seconds
while time.monotonic() < end:
    with socket.create_connection((address, port)) as server:
        server.recv(600)
    time.sleep(every)
"""

#: Stands for Amazon's agent: starts the shell of a session on a PTY of its own, below a service of the system, and passes on
#: what comes over a socket (in reality a WebSocket to AWS). No PAM, no login, no utmp.
SSM_WORKER = """\
#!/usr/bin/python3
import os, pty, select, socket
server = socket.socket(socket.AF_UNIX)
server.bind("/run/ssm.sock")
server.listen()
while True:
    client, _ = server.accept()
    pid, master = pty.fork()
    if pid == 0:
        os.setgid(1002)
        os.setuid(1002)
        os.chdir("/home/ssm-user")
        os.execv("/bin/sh", ["sh"])
    open_ = True
    while open_:
        for ready in select.select([client, master], [], [])[0]:
            try:
                data = ready.recv(4096) if ready is client else os.read(master, 4096)
            except OSError:
                data = b""
            if not data:
                open_ = False
            elif ready is client:
                os.write(master, data)
            else:
                client.sendall(data)
    client.close()
    os.close(master)
    os.waitpid(pid, 0)
"""

#: A server as VS Code's is: a node program in ~/.vscode-server, started over `ssh -T`, spoken to through the forwarding of that
#: connection. One line of JSON a message; a terminal of the editor is a child with a PTY of its own.
VSCODE_SERVER = """\
const net = require('net'), child = require('child_process'), crypto = require('crypto');
const server = net.createServer(client => {
  let rest = '', shell = null;
  const send = message => client.write(JSON.stringify(message) + '\\n');
  client.on('error', () => client.destroy());
  client.on('close', () => shell && shell.kill());
  client.on('data', data => {
    rest += data;
    const lines = rest.split('\\n');
    rest = lines.pop();
    for (const line of lines) {
      const message = JSON.parse(line);
      if (message.t === 'keep') send({ t: 'keep', pad: 'x'.repeat(100) });
      if (message.t === 'edit') {
        const sum = crypto.createHash('sha256').update(message.text).digest('hex');
        send({ t: 'diagnostics', sum, text: message.text.slice(0, 1500) });
      }
      if (message.t === 'terminal') {
        shell = child.spawn('script', ['-qfc', 'bash --norc', '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
        shell.stdout.on('data', out => send({ t: 'out', text: out.toString() }));
      }
      if (message.t === 'key' && shell) shell.stdin.write(message.text);
    }
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
process.stdin.on('end', () => process.exit(0)).resume();
"""

FILES = {
    "duty.py": DUTY,
    "fetch.py": FETCH,
    "crawl.py": CRAWL,
    "ssm-session-worker": SSM_WORKER,
    "server.js": VSCODE_SERVER,
}


def plant(root: Path) -> None:
    """Writes them into a tree."""
    folder = root / FOLDER.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)


def duty(seconds: float, share: float) -> str:
    """The command line of a job that uses a share of a core."""
    return f"python3 {FOLDER}/duty.py {seconds} {share}"
