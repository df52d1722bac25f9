package detect

import "github.com/code-on-incus/coi/pkg/coi"

// Work is one kind of honest work that may never pause anybody, and why it does
// not. Quiet holds command lines that no rule may say more than info about;
// Noted those that may be warnings.
type Work struct {
	Name, Why    string
	Quiet, Noted []string
}

// Samples are the lines as quiet samples.
func (w Work) Samples() []Sample {
	return append(lines("", w.Quiet...), lines(coi.High, w.Noted...)...)
}

// Everyday is the benign work of the manual, each line a test. Rules of files
// that fire on a quiet one are loaded at level info.
var Everyday = []Work{
	{
		Name: "health checks", Why: "loopback or a port that is only opened; no program is handed over",
		Quiet: []string{
			"cat < /dev/null > /dev/tcp/localhost/5432", "nc -z localhost 5432", "nc -vz -w 2 db 5432-5440", "timeout 1 bash -c '</dev/tcp/db/3306'",
			"until nc -z db 5432; do sleep 1; done", "for i in $(seq 30); do (echo > /dev/tcp/redis/6379) 2>/dev/null && break; sleep 1; done",
			"python3 -c \"import socket; socket.create_connection(('db', 5432), 3).close()\"", "node -e \"require('net').connect(3000).on('connect',()=>process.exit(0))\"",
			"curl -fsS http://localhost:8080/healthz", "curl -s http://127.0.0.1:3000/api | jq .", "wget -qO- http://localhost:9090/-/ready", "echo ruok | nc localhost 2181",
		},
	},
	{
		Name: "remote shells and copies", Why: "the ssh family is the expected reader of its keys",
		Quiet: []string{
			"ssh -i ~/.ssh/id_ed25519 deploy@app.example.com uptime", "rsync -av -e 'ssh -i ~/.ssh/deploy' dist/ web@app.example.com:/srv/", "scp -i ~/.ssh/key.pem app.tgz ubuntu@app.example.com:",
			"git clone git@git.example.com:team/app.git", "GIT_SSH_COMMAND='ssh -i ~/.ssh/ci' git push origin main", "ssh -L 5432:db:5432 bastion.example.com -N",
		},
	},
	{
		Name: "inline code", Why: "a program started, or a connection made, is not one handed to the other",
		Quiet: []string{
			"python3 -c 'import sys; print(sys.version)'", "python3 -c \"import subprocess; print(subprocess.check_output(['git','describe']))\"", "node -e \"require('child_process').execSync('npm run build')\"",
			"perl -ne 'print if /error/' build.log", "perl -pi -e 's/a/b/g' src/*.c", "ruby -e 'puts `git rev-parse HEAD`'", "php -r 'echo PHP_VERSION;'", "php -r \"copy('https://example.com/setup.php', 'setup.php');\"", "awk 'BEGIN{system(\"date\")}'",
		},
	},
	{
		Name: "administration", Why: "account programs and package managers read and write what is theirs",
		Quiet: []string{
			"sudo apt-get install -y build-essential netcat-openbsd socat nmap tcpdump", "sudo useradd -m -u 1001 builder", "sudo usermod -aG docker $USER", "sudo systemctl restart nginx", "sudo systemctl stop postgresql",
			"sudo ls /root", "sudo -E make install", "sudo chown -R 1000:1000 /data", "sudo service ssh restart", "apt-get update && apt-get install -y curl", "sudo sysctl -w vm.max_map_count=262144", "sudo timedatectl status",
			"find /etc/apt/trusted.gpg.d -mindepth 1 -maxdepth 1 ( -name '*.gpg' -o -name '*.asc' )", "find \"$TRUSTEDPARTS\" -mindepth 1 -maxdepth 1 -name '*.gpg'",
		},
	},
	{
		Name: "packages: install, build, test, publish", Why: "the trees of package managers are expected to fetch and to run what they fetched",
		Quiet: []string{
			"npm ci", "npm install --save-dev typescript", "npm test", "npm publish --access public", "pnpm install --frozen-lockfile", "pip install -r requirements.txt", "uv sync", "poetry install", "python3 -m pytest -q", "cargo build --release",
			"cargo test --workspace", "cargo publish", "go build ./...", "go test -race ./...", "go install ./cmd/...", "bundle install", "bundle exec rspec", "mvn -B verify", "./gradlew build", "apt-get -y upgrade", "npx playwright install --with-deps",
			"chmod +x /tmp/install-tool && /tmp/install-tool --prefix=/opt", "go build -o /tmp/app . && /tmp/app --version", "chmod 755 /tmp/test.sh; /tmp/test.sh",
		},
	},
	{
		Name: "files and history of the project", Why: "the workspace is the agent's own",
		Quiet: []string{
			"git clone --depth 1 https://git.example.com/org/large.git", "git gc --aggressive", "git log -p", "rg -n 'password' .", "grep -rn token src/", "tar czf /tmp/src.tgz .", "find . -name '*.pem'", "rm -rf node_modules dist", "rm -f log/*.log", "> build.log",
			"ls /tmp/*.tgz", "tee /tmp/out.txt < report.txt", "helm package chart --destination /tmp/out", "mktemp -d /tmp/build.XXXX",
		},
	},
	{
		Name: "load", Why: "growth is bounded and the tree is known",
		Quiet: []string{"make -j64", "parallel -j8 gzip ::: *.log", "cargo test -- --test-threads=16", "npx cypress run", "stress-ng --cpu 4 --timeout 30s", "seq 100 | xargs -P 16 -I{} curl -s -o /dev/null http://localhost:8080/{}", "npm-run-all --parallel watch:*"},
	},
	{
		Name: "nested containers", Why: "the runtime's own programs are trusted relays",
		Quiet: []string{"docker build -t app .", "docker compose up -d --build", "docker run --rm -v $PWD:/src -w /src golang go test ./...", "docker exec -it db psql -U postgres", "podman build .", "docker buildx build --push -t registry.example.com/a .", "docker ps -a", "kubectl logs -f deploy/web"},
	},
	{
		Name: "installers", Why: "an installer over https is a warning and no more",
		Noted: []string{"curl -fsSL https://example.com/install.sh | sh", "wget -qO- https://example.com/i.sh | sudo -E bash -", "bash -c \"$(curl -fsSL https://example.com/install.sh)\"", "curl -LsSf https://example.com/uv/install.sh | sh -s -- -y"},
	},
	{
		Name: "debugging", Why: "debuggers attach to programs of their own",
		Quiet: []string{"gdb -p $(pidof app)", "gdb ./app core", "strace -f -o trace.txt ./app", "strace -p $(pgrep app) -c", "dlv debug ./cmd/app", "perf record -g ./bench", "py-spy top --pid 12", "valgrind ./a.out", "kill -9 $(lsof -t -i:3000)", "pkill -f 'node server.js'", "killall node", "kill -TERM 4242", "kill -STOP %1"},
	},
	{
		Name: "looking at the environment and settings", Why: "nothing is sent away",
		Quiet: []string{"printenv | sort", "env | grep CI_", "env", "cat .env", "cat ~/.npmrc", "cat ~/.ssh/id_ed25519.pub", "git config --list", "npm config list", "aws sts get-caller-identity", "kubectl config view --minify"},
	},
	{
		Name: "making and writing keys", Why: "writing and making a key is not reading one",
		Quiet: []string{"echo \"$KEY\" | base64 -d > ~/.ssh/id_ed25519", "ssh-keygen -t ed25519 -N '' -f ~/.ssh/id_ed25519", "gpg --batch --gen-key params", "openssl req -x509 -newkey rsa:4096 -nodes -keyout key.pem -out cert.pem -subj /CN=x", "ssh-keyscan git.example.com >> ~/.ssh/known_hosts", "gpg --import key.asc", "chmod 600 ~/.ssh/*"},
	},
	{
		Name: "looking at the network", Why: "asking is a warning at most",
		Quiet: []string{"dig +short example.com", "whois example.com", "tcpdump -r trace.pcap", "ping -c 3 example.com", "ss -ltn", "nslookup example.com", "python3 -m http.server 8000", "curl -X POST -d '{\"a\":1}' https://api.example.com/items", "curl -fsSLO https://example.com/a.tgz"},
		Noted: []string{"nmap -p 1-1000 app.example.com", "sudo tcpdump -i lo port 8080 -c 5"},
	},
	{
		Name: "service work", Why: "reading and restarting is what services are for",
		Quiet: []string{"history | tail", "crontab -l", "systemctl restart app", "journalctl -u app -n 50", "journalctl -f", "systemctl status docker", "tail -f /var/log/syslog", "sudo systemctl disable tetragon", "sudo systemctl enable --now app", "systemctl --user stop app"},
	},
}
