// A tool at work: it keeps a connection, and runs commands through a shell on
// pipes meanwhile: honest.js HOST PORT
const net = require("net"), { exec, spawn } = require("child_process");
const [host, port] = process.argv.slice(2);
net.connect(Number(port), host, () => {
  exec("sleep 0.6; echo built", () => {});
  spawn("sh", ["-c", "sleep 0.6 && exit 3"]);
  spawn("bash", ["-ec", "for i in 1 2 3; do sleep 0.2; done; echo done"]);
  spawn("bash", ["./build.sh", "all"]);
  spawn("/bin/sh", ["./build.sh"]);
}).on("data", () => {});
setTimeout(() => process.exit(), 2500);
