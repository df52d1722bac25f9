//go:build attack

package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// day is a day of an agent's work in steps, each a shell function: projects are
// fetched from the registries that this machine uses, built and tested with npm,
// go and cargo; and what goes on around that. Every step must succeed.
var day = []struct{ name, script string }{
	{"git", `git config --global user.email a@example.com; git config --global user.name a; git config --global init.defaultBranch main
git init -q lib; cd lib; for i in $(seq 40); do echo "line $i" > f$i; git add -A; git commit -qm "change $i"; done; git gc -q; git log --oneline -3
cd ..; git clone -q lib copy; cd copy; git checkout -qb topic; rm f1; git commit -qam less; git rebase -q main; git push -q origin topic`},
	{"npm", `mkdir web; cd web; npm init -y >/dev/null; npm install --no-audit --no-fund typescript @types/node mocha express esbuild
cat > app.ts <<'X'
import { execSync, spawn } from "node:child_process";
export const add = (a: number, b: number) => a + b;
export const rev = () => execSync("git --version").toString();
export const run = (t: string) => new Promise(d => { const p = spawn("sh", ["-c", t]); p.stdout.on("data", x => d(String(x))); });
X
cat > app.test.js <<'X'
const { add, rev, run } = require("./app.js"), http = require("http"), assert = require("assert");
describe("app", () => { it("adds", () => assert.equal(add(1, 2), 3)); it("asks git", () => assert.match(rev(), /git/)); it("runs", async () => assert.match(await run("sleep 0.3; echo x"), /x/));
it("serves", d => { const s = require("express")().get("/", (q, r) => r.send("ok")).listen(0, () => http.get({ port: s.address().port }, r => { s.close(); d(); })); }); });
X
npx tsc --strict --module commonjs --target es2020 --types node app.ts; npx mocha --exit app.test.js; npx esbuild app.ts --bundle --platform=node --outfile=out.js; npm ls --all >/dev/null; npm pack >/dev/null; npm run env >/dev/null`},
	{"go", `go mod download -json github.com/google/go-cmp@v0.7.0 >/dev/null; cp -r "$(go env GOMODCACHE)/github.com/google/go-cmp@v0.7.0" cmp; chmod -R u+w cmp; cd cmp; go build ./...; go test ./...; go vet ./cmp || true
cd ..; mkdir tool; cd tool; go mod init example.com/tool >/dev/null 2>&1; printf 'package main\nimport ("fmt";"os/exec")\nfunc main() { o, _ := exec.Command("sh", "-c", "date").Output(); fmt.Print(string(o)) }\n' > main.go; go run .; go build -o /tmp/tool . && /tmp/tool; go install .`},
	{"cargo", `mkdir rust; cd rust; cargo new -q --lib part; cargo new -q app; (cd app; cargo add -q --path ../part; timeout 60 cargo add -q itoa 2>/dev/null || true)
printf 'pub fn seven() -> u8 { 7 }\n#[test] fn t() { assert_eq!(seven(), 7); }\n' > part/src/lib.rs; printf 'fn main() { println!("cargo:rustc-cfg=x"); std::process::Command::new("sh").args(["-c", "git --version"]).status().unwrap(); }\n' > app/build.rs
printf 'fn main() { println!("{}", part::seven()); }\n#[test] fn t() { assert_eq!(part::seven(), 7); }\n' > app/src/main.rs; cd part; cargo test -q; cd ../app; cargo build -q || { cargo rm -q itoa; cargo build -q; }; cargo test -q; cargo run -q; cargo build -q --release`},
	{"C and make", `mkdir c; cd c; for i in $(seq 30); do echo "int f$i(void) { return $i; }" > f$i.c; done; printf 'int main(void) { return 0; }\n' > main.c
printf 'S := $(wildcard *.c)\nall: prog\nprog: $(S:.c=.o)\n\t$(CC) -o $@ $^\ncheck: prog\n\t./prog\n' > Makefile; make -s -j16; make -s check; make -s -n clean 2>/dev/null || true; strace -V >/dev/null 2>&1 || true`},
	{"python", `python3 -m venv env 2>/dev/null && . env/bin/activate || true; python3 - <<'X'
import json, socket, subprocess, sqlite3, tempfile, multiprocessing
print(subprocess.check_output("git --version", shell=True).decode())
c = sqlite3.connect(":memory:"); c.execute("create table t(a)")
if __name__ == "__main__":
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); d = socket.create_connection(s.getsockname()); d.close()
X
(python3 -m http.server 8123 >/dev/null 2>&1 & p=$!; until curl -fs http://localhost:8123/ >/dev/null; do sleep 0.1; done; kill $p)`},
	{"sudo and packages", `sudo true; sudo ls /root >/dev/null; sudo id; echo 'set -g mouse on' | sudo tee /etc/tmux.local >/dev/null; sudo apt-get -qq update; sudo apt-get -qq install -y openssh-server >/dev/null; sudo useradd -m builder; sudo usermod -aG docker builder; sudo systemctl status >/dev/null 2>&1 || true`},
	{"ssh", `ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_work </dev/null; sudo mkdir -p /run/sshd /home/builder/.ssh; sudo ssh-keygen -A >/dev/null; (pgrep -x sshd || sudo systemctl start ssh || sudo /usr/sbin/sshd) >/dev/null
cat ~/.ssh/id_work.pub > /tmp/key.pub; until (exec 5<>/dev/tcp/localhost/22) 2>/dev/null; do sleep 0.2; done; ssh -o StrictHostKeyChecking=no -o BatchMode=yes -i ~/.ssh/id_work builder@localhost true 2>/dev/null || true; ssh-keyscan localhost 2>/dev/null | head -1 >/dev/null; ssh -V 2>/dev/null`},
	{"looking around", `env | sort >/dev/null; printenv PATH; ps aux | head -3 >/dev/null; df -h >/dev/null; ss -ltn >/dev/null 2>&1 || true; tar czf /tmp/all.tgz c lib; tar tzf /tmp/all.tgz >/dev/null; rg -n return c >/dev/null; find . -name '*.go' | head -3 >/dev/null; grep -rn line lib >/dev/null
echo TOKEN=1 > .env; cat .env; history | tail -1; crontab -l 2>/dev/null || true; timeout 1 bash -c '</dev/tcp/127.0.0.1/5432' 2>/dev/null || true; nc -z localhost 22; dd if=/dev/zero of=/tmp/big bs=1M count=300 status=none; sha256sum /tmp/big >/dev/null; rm /tmp/big; docker version >/dev/null 2>&1 || true`},
}

// R-REG-27, R-MON-07, T-W-04: a day of work stops nobody: three real projects by
// npm, go and cargo, sudo, packages, ssh, builds, tests and looking around.
func TestDevelopmentDay(t *testing.T) {
	output := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%s %v: %v", name, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	// The tools are those of this machine, and so are the places that it fetches from.
	mount := "[[mounts.default]]\nhost = %q\ncontainer = %q\nreadonly = true\n"
	configure(t, "[network]\nmode = \"open\"\n"+fmt.Sprintf(mount, output("go", "env", "GOROOT"), "/opt/go")+fmt.Sprintf(mount, output("rustc", "--print", "sysroot"), "/opt/rust"))
	dir := workspace(t)
	if trust, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt"); err == nil { // whom this machine trusts
		put(t, filepath.Join(dir, "ca.crt"), string(trust), 0o644)
	}
	var script strings.Builder
	fmt.Fprintf(&script, "exec >/workspace/day.log 2>&1\nexport NODE_EXTRA_CA_CERTS=/workspace/ca.crt SSL_CERT_FILE=/workspace/ca.crt CARGO_HTTP_CAINFO=/workspace/ca.crt PATH=/opt/go/bin:/opt/rust/bin:$PATH GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=%q\nnpm config set registry %q\n",
		output("go", "env", "GOPROXY"), output("npm", "config", "get", "registry"))
	for i, step := range day {
		fmt.Fprintf(&script, "echo '== %[1]s' $(date +%%T); bash -e ./step%[2]d.sh </dev/null || echo 'failed: %[1]s'\n", step.name, i)
		put(t, filepath.Join(dir, fmt.Sprintf("step%d.sh", i)), step.script+"\n", 0o644)
	}
	put(t, filepath.Join(dir, "day.sh"), script.String()+"echo '== finished'\n", 0o644)
	began := time.Now()
	s := beginFor(t, dir, "cd /workspace && exec bash ./day.sh", 25*time.Minute)
	err := <-s.ended
	log, _ := os.ReadFile(filepath.Join(dir, "day.log"))
	if err != nil || !strings.Contains(string(log), "== finished") || strings.Contains(string(log), "failed: ") {
		t.Errorf("coi run = %v\n%s\n%s", err, s.out.String(), tail(string(log), 3000))
	}
	if got := rulesOf(t, s.container, "high", "critical"); len(got) > 0 {
		t.Errorf("findings in honest work: %v", got)
	}
	t.Logf("a day of %s; warnings: %v", time.Since(began).Round(time.Second), rulesOf(t, s.container, "warning"))
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
