# A server that runs commands for its own requests, and keeps a connection
# outside: honest.py HOST PORT
import os, socket, subprocess, sys, time

s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
l = socket.socket()
l.bind(("0.0.0.0", 0))
l.listen(1)
if os.fork() == 0:
    me = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    me.connect((sys.argv[1], int(sys.argv[2])))
    c = socket.create_connection((me.getsockname()[0], l.getsockname()[1]))
    c.sendall(b"GET / HTTP/1.0\r\n\r\n")
    time.sleep(2)
    os._exit(0)
c, _ = l.accept()
for line in ("sleep 0.6; date", "git --version; sleep 0.6"):
    p = subprocess.run(["sh", "-c", line], input=c.recv(18), capture_output=True)
    c.sendall(p.stdout)
    subprocess.run(line, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
