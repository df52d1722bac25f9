// SPDX-License-Identifier: GPL-2.0
/* The eyes of coi-watch: what processes below the watched cgroups start, fork,
 * end, connect to and ask of the kernel. Every program leaves at once for a
 * process outside; nothing is ever refused or changed. Typed and raw
 * tracepoints and cgroup hooks only: kprobes, fentry and LSM programs are
 * refused by some kernels that have BTF. */
#include "kernel.h"

enum { AF_UNIX = 1 };
enum { EXEC = 1, FORK, EXIT, CONNECT, SEND, LISTEN, ACCEPT, SYSCALL };
enum { ARGV_MAX = 4096, FILE_MAX = 512, INTERP_MAX = 256, NAME_MAX = 64, PATH_MAX = 256, SLOTS = 256, LEVELS = 6 };
enum { EXECS, TREE, OTHER, BUDGETS };                /* budgets of one container */
enum { RATE_NS = 50000, BURST_NS = 2000000000 };     /* 20,000 a second, 40,000 at once */

/* How soon a record is to be read. Waking the reader costs many times what a
 * record does, so most records wait for the next that is worth a wake-up, or
 * for the reader, which looks by itself for a while after each time it was
 * woken. LATER waits for either; SOON wakes the reader unless this container
 * just did; NOW always does. BATCH of any kind wake it too. */
enum { LATER, SOON, NOW };
enum { GATHER_NS = 4000000, BATCH = 64 };
enum { RB_NO_WAKEUP = 1, RB_FORCE_WAKEUP = 2 };

struct slot {
	u64 seq;
	u64 due[BUDGETS];        /* when the next event would be on time */
	u64 over;                /* lost: budget */
	u64 full;                /* lost: ring */
	u64 forks;               /* seen, whether told or not */
	u64 woke;                /* when the reader was last woken for it */
	u64 held;                /* records since */
};

struct head {
	u16 kind;
	u16 slot;
	u32 size;
	u64 seq;
	u64 mono;
	u32 tgid;
	u32 ppid;
	u64 start;
	u32 uid;
	u32 nspid;
};

struct endpoint {
	u16 family;
	u16 type;
	u16 proto;
	u16 lport;
	u16 rport;
	u16 state;
	u32 pad;
	u8 laddr[16];
	u8 raddr[16];
};

struct desc {
	u64 ino;
	u32 dev;
	u32 rdev;
	u32 mode;                /* 0: closed */
	u32 pad;
	struct endpoint sock;
};

struct exec_event {
	struct head h;
	u64 ino;
	s64 ctime;
	u64 magic;
	u32 dev;
	u32 mode;
	u32 nlink;
	s32 tty;
	u32 euid;
	u32 argv_total;
	u16 file_len;
	u16 interp_len;
	u16 name_len;
	u16 argv_len;
	struct desc fd[3];
	u8 data[FILE_MAX + INTERP_MAX + NAME_MAX + ARGV_MAX];
};

struct fork_event { struct head h; u64 child_start; u32 child; u32 child_nspid; };
struct exit_event { struct head h; u64 rchar; u64 wchar; };
struct net_event { struct head h; struct endpoint e; };

struct syscall_event {
	struct head h;
	u32 what;
	u32 pad;
	s64 ret;
	u64 arg[5];
	u32 ns[6];               /* mnt pid net cgroup user 0 */
	u8 path[PATH_MAX];
	u8 path2[PATH_MAX];
};

struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 8 << 20); } events SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, SLOTS); __type(key, u64); __type(value, u32); } watched SEC(".maps");
struct { __uint(type, MAP_ARRAY); __uint(max_entries, SLOTS); __type(key, u32); __type(value, struct slot); } slots SEC(".maps");
struct { __uint(type, MAP_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct exec_event); } scratch SEC(".maps");

/* What a system call number means to us: filled by the loader for the machine
 * it runs on; [1] is the 32-bit table of a 64-bit x86 kernel. 0: nothing. */
enum { SYS_MAX = 512 };
const volatile u8 interest[2][SYS_MAX] = {};
const volatile u32 user_regs[2][7] = {}; /* offsets in pt_regs: number, five arguments, result */
const volatile u32 compat_bit = 0;       /* thread_info.status bit of a 32-bit call */

INLINE u32 *lookup_id(u64 id) { return id ? map_lookup(&watched, &id) : 0; }

INLINE u32 *current_slot(void)
{
	u32 *slot = 0;
#pragma unroll
	for (int level = 1; level <= LEVELS; level++) {
		if (!slot)
			slot = lookup_id(current_ancestor_cgroup(level));
	}
	return slot;
}

/* admit charges one event to a budget of the container: a virtual clock that
 * runs RATE_NS ahead per event and may lead real time by BURST_NS. */
INLINE struct slot *admit(u32 id, int budget)
{
	struct slot *s = map_lookup(&slots, &id);
	if (!s)
		return 0;
	u64 now = ktime_ns(), due = s->due[budget];
	if (due < now)
		s->due[budget] = now + RATE_NS;
	else if (due - now > BURST_NS) {
		__sync_fetch_and_add(&s->over, 1);
		return 0;
	} else
		__sync_fetch_and_add(&s->due[budget], RATE_NS);
	return s;
}

INLINE u32 nspid_of(struct task_struct *t)
{
	struct pid *p = 0;
	u32 level = 0, nr = 0;
	FIELD(p, t, thread_pid);
	FIELD(level, p, level);
	if (level > 32)
		return 0;
	read_kernel(&nr, sizeof(nr), (u8 *)__builtin_preserve_access_index(&p->numbers[0].nr) + level * __builtin_preserve_type_info(*(struct upid *)0, 1));
	return nr;
}

INLINE void fill(struct head *h, u16 kind, u32 id, struct slot *s, struct task_struct *t)
{
	struct task_struct *parent = 0, *leader = 0;
	const struct cred *cred = 0;
	kuid_t uid = {};
	h->kind = kind;
	h->slot = id;
	h->seq = __sync_fetch_and_add(&s->seq, 1);
	h->mono = ktime_ns();
	FIELD(h->tgid, t, tgid);
	FIELD(leader, t, group_leader); /* a thread began later than its process */
	FIELD(h->start, leader, start_boottime);
	FIELD(parent, t, real_parent);
	FIELD(h->ppid, parent, tgid);
	FIELD(cred, t, cred);
	FIELD(uid, cred, uid);
	h->uid = uid.val;
	h->nspid = nspid_of(t);
}

INLINE void emit(struct slot *s, struct head *h, u64 size, int urgency)
{
	u64 held = __sync_fetch_and_add(&s->held, 1), flags = RB_NO_WAKEUP;
	if (urgency == NOW || held >= BATCH - 1 || (urgency == SOON && h->mono - s->woke >= GATHER_NS)) {
		s->woke = h->mono;
		s->held = 0;
		flags = RB_FORCE_WAKEUP;
	}
	if (ringbuf_output(&events, h, size, flags))
		__sync_fetch_and_add(&s->full, 1);
}

/* on_network reports standard descriptors that are sockets to somewhere: what
 * runs so may have a master elsewhere. */
INLINE int on_network(struct exec_event *e)
{
	return e->fd[0].sock.family > AF_UNIX || e->fd[1].sock.family > AF_UNIX || e->fd[2].sock.family > AF_UNIX;
}

INLINE void endpoint_of(struct endpoint *e, struct sock *sk)
{
	u16 type = 0, proto = 0;
	FIELD(e->family, sk, __sk_common.skc_family);
	FIELD(type, sk, sk_type);
	FIELD(proto, sk, sk_protocol);
	e->type = type;
	e->proto = proto;
	if (e->family != 2 && e->family != 10)
		return;
	u8 state = 0;
	FIELD(e->lport, sk, __sk_common.skc_num);
	FIELD(e->rport, sk, __sk_common.skc_dport);
	FIELD(state, sk, __sk_common.skc_state);
	e->state = state;
	if (e->family == 2) {
		read_kernel(e->laddr, 4, __builtin_preserve_access_index(&sk->__sk_common.skc_rcv_saddr));
		read_kernel(e->raddr, 4, __builtin_preserve_access_index(&sk->__sk_common.skc_daddr));
	} else {
		read_kernel(e->laddr, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_rcv_saddr));
		read_kernel(e->raddr, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_daddr));
	}
}

INLINE void desc_of(struct desc *d, struct file *f)
{
	struct inode *i = 0;
	struct super_block *sb = 0;
	u16 mode = 0;
	FIELD(i, f, f_inode);
	FIELD(mode, i, i_mode);
	FIELD(d->ino, i, i_ino);
	FIELD(d->rdev, i, i_rdev);
	FIELD(sb, i, i_sb);
	FIELD(d->dev, sb, s_dev);
	d->mode = mode;
	if ((mode & 0170000) == 0140000) {
		struct socket *sock = 0;
		struct sock *sk = 0;
		FIELD(sock, f, private_data);
		FIELD(sk, sock, sk);
		if (sk)
			endpoint_of(&d->sock, sk);
	}
}

INLINE void stdio_of(struct exec_event *e, struct task_struct *t)
{
	struct files_struct *files = 0;
	struct fdtable *fdt = 0;
	struct file **fds = 0, *f;
	u32 max = 0;
	FIELD(files, t, files);
	FIELD(fdt, files, fdt);
	FIELD(fds, fdt, fd);
	FIELD(max, fdt, max_fds);
#pragma unroll
	for (int i = 0; i < 3; i++) {
		f = 0;
		__builtin_memset(&e->fd[i], 0, sizeof(e->fd[i]));
		if (i < max)
			read_kernel(&f, sizeof(f), fds + i);
		if (f)
			desc_of(&e->fd[i], f);
	}
}

INLINE void image_of(struct exec_event *e, struct file *f)
{
	struct inode *i = 0;
	struct super_block *sb = 0;
	u16 mode = 0;
	e->ctime = 0;
	FIELD(i, f, f_inode);
	FIELD(e->ino, i, i_ino);
	FIELD(mode, i, i_mode);
	e->mode = mode;
	FIELD(e->nlink, i, i_nlink);
	FIELD(sb, i, i_sb);
	FIELD(e->dev, sb, s_dev);
	FIELD(e->magic, sb, s_magic);
	if (HAS(struct inode, i_ctime_sec))
		FIELD(e->ctime, i, i_ctime_sec);
	else if (HAS(struct inode, __i_ctime))
		FIELD(e->ctime, i, __i_ctime.tv_sec);
	else if (HAS(struct inode, i_ctime))
		FIELD(e->ctime, i, i_ctime.tv_sec);
}

INLINE s32 tty_of(struct task_struct *t)
{
	struct signal_struct *sig = 0;
	struct tty_struct *tty = 0;
	s32 index = -1;
	FIELD(sig, t, signal);
	FIELD(tty, sig, tty);
	if (tty)
		FIELD(index, tty, index);
	return index;
}

SEC("tp_btf/sched_process_exec")
int on_exec(u64 *ctx)
{
	u32 *slot = current_slot(), zero = 0;
	if (!slot)
		return 0;
	u32 id = *slot;
	struct slot *s = admit(id, EXECS);
	struct exec_event *e = map_lookup(&scratch, &zero);
	if (!s || !e)
		return 0;
	struct task_struct *t = (void *)ctx[0];
	struct linux_binprm *bprm = (void *)ctx[2];
	fill(&e->h, EXEC, id, s, t);

	struct file *file = 0;
	const char *name = 0;
	struct mm_struct *mm = 0;
	const struct cred *cred = 0;
	struct dentry *dentry = 0;
	kuid_t euid = {};
	u64 start = 0, end = 0;
	FIELD(cred, t, cred);
	FIELD(euid, cred, euid);
	e->euid = euid.val;
	e->tty = tty_of(t);
	FIELD(file, bprm, file);
	image_of(e, file);
	stdio_of(e, t);

	u32 off = 0;
	long n;
	FIELD(name, bprm, filename);
	n = read_kernel_str(e->data, FILE_MAX, name);
	if (n < 0 || n > FILE_MAX)
		n = 0;
	e->file_len = n;
	off += n;
	FIELD(name, bprm, interp);
	n = read_kernel_str(e->data + off, INTERP_MAX, name);
	if (n < 0 || n > INTERP_MAX)
		n = 0;
	e->interp_len = n;
	off += n;
	FIELD(dentry, file, f_path.dentry);
	const unsigned char *base = 0;
	FIELD(base, dentry, d_name.name);
	if (off > FILE_MAX + INTERP_MAX)
		return 0;
	n = read_kernel_str(e->data + off, NAME_MAX, base);
	if (n < 0 || n > NAME_MAX)
		n = 0;
	e->name_len = n;
	off += n;

	FIELD(mm, t, mm);
	FIELD(start, mm, arg_start);
	FIELD(end, mm, arg_end);
	u64 total = end - start, want = total;
	e->argv_total = total;
	if (want > ARGV_MAX)
		want = ARGV_MAX;
	if (off > FILE_MAX + INTERP_MAX + NAME_MAX)
		return 0;
	if (read_user(e->data + off, want, (void *)start))
		want = 0;
	e->argv_len = want;
	u64 size = __builtin_offsetof(struct exec_event, data) + off + want;
	if (size > sizeof(*e))
		size = sizeof(*e);
	e->h.size = size;
	emit(s, &e->h, size, on_network(e) ? NOW : SOON);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	s32 pid = 0, tgid = 0;
	u32 *slot = current_slot();
	if (!slot)
		return 0;
	FIELD(pid, child, pid);
	FIELD(tgid, child, tgid);
	if (pid != tgid)
		return 0;                /* a thread */
	u32 id = *slot;
	struct slot *s = map_lookup(&slots, &id);
	if (!s)
		return 0;
	__sync_fetch_and_add(&s->forks, 1);
	s = admit(id, TREE);
	if (!s)
		return 0;
	struct fork_event e = {};
	fill(&e.h, FORK, id, s, parent);
	e.h.size = sizeof(e);
	e.child = tgid;
	FIELD(e.child_start, child, start_boottime);
	e.child_nspid = nspid_of(child);
	emit(s, &e.h, sizeof(e), LATER);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];
	struct signal_struct *sig = 0;
	atomic_t live = {};
	u32 *slot = current_slot();
	if (!slot)
		return 0;
	FIELD(sig, t, signal);
	FIELD(live, sig, live);
	if (live.counter > 0)
		return 0;                /* other threads go on */
	u32 id = *slot;
	struct slot *s = admit(id, TREE);
	if (!s)
		return 0;
	struct exit_event e = {};
	fill(&e.h, EXIT, id, s, t);
	e.h.size = sizeof(e);
	if (HAS(struct task_io_accounting, rchar)) {
		u64 dead = 0;
		FIELD(e.rchar, t, ioac.rchar);
		FIELD(dead, sig, ioac.rchar);
		e.rchar += dead;
		FIELD(e.wchar, t, ioac.wchar);
		FIELD(dead, sig, ioac.wchar);
		e.wchar += dead;
	}
	emit(s, &e.h, sizeof(e), LATER);
	return 0;
}

INLINE int sock_addr(struct bpf_sock_addr *ctx, u16 kind)
{
	u32 *slot = current_slot();
	if (!slot)
		return 1;
	u32 id = *slot;
	struct slot *s = admit(id, OTHER);
	if (!s)
		return 1;
	struct net_event e = {};
	fill(&e.h, kind, id, s, (void *)current_task());
	e.h.size = sizeof(e);
	e.e.family = ctx->user_family;
	e.e.type = ctx->type;
	e.e.proto = ctx->protocol;
	e.e.rport = ctx->user_port;
	if (e.e.family == 2) {
		u32 a = ctx->user_ip4;
		__builtin_memcpy(e.e.raddr, &a, 4);
	}
	return emit(s, &e.h, sizeof(e), SOON), 1;
}

INLINE int sock_addr6(struct bpf_sock_addr *ctx, u16 kind)
{
	u32 *slot = current_slot();
	if (!slot)
		return 1;
	u32 id = *slot;
	struct slot *s = admit(id, OTHER);
	if (!s)
		return 1;
	struct net_event e = {};
	fill(&e.h, kind, id, s, (void *)current_task());
	e.h.size = sizeof(e);
	e.e.family = ctx->user_family;
	e.e.type = ctx->type;
	e.e.proto = ctx->protocol;
	e.e.rport = ctx->user_port;
	u32 a = ctx->user_ip6[0], b = ctx->user_ip6[1], c = ctx->user_ip6[2], d = ctx->user_ip6[3];
	__builtin_memcpy(e.e.raddr, &a, 4);
	__builtin_memcpy(e.e.raddr + 4, &b, 4);
	__builtin_memcpy(e.e.raddr + 8, &c, 4);
	__builtin_memcpy(e.e.raddr + 12, &d, 4);
	return emit(s, &e.h, sizeof(e), SOON), 1;
}

SEC("cgroup/connect4") int on_connect4(struct bpf_sock_addr *ctx) { return sock_addr(ctx, CONNECT); }
SEC("cgroup/connect6") int on_connect6(struct bpf_sock_addr *ctx) { return sock_addr6(ctx, CONNECT); }
SEC("cgroup/sendmsg4") int on_sendmsg4(struct bpf_sock_addr *ctx) { return sock_addr(ctx, SEND); }
SEC("cgroup/sendmsg6") int on_sendmsg6(struct bpf_sock_addr *ctx) { return sock_addr6(ctx, SEND); }

/* A listening socket is opened by a process; an accepted one appears in a soft
 * interrupt, so its container is found by the cgroup that the socket keeps. */
INLINE u32 *slot_of_sock(struct sock *sk)
{
	struct cgroup *c = 0, *a = 0;
	struct kernfs_node *kn = 0;
	u32 *slot = 0;
	u64 id = 0;
	FIELD(c, sk, sk_cgrp_data.cgroup);
	if (!c || !HAS(struct cgroup, ancestors))
		return 0;
#pragma unroll
	for (int level = 1; level <= LEVELS; level++) {
		if (slot)
			continue;
		s32 own = 0;
		FIELD(own, c, level);
		if (level > own)
			continue;
		a = 0;
		FIELD(a, c, ancestors[level]);
		FIELD(kn, a, kn);
		FIELD(id, kn, id);
		slot = lookup_id(id);
	}
	return slot;
}

enum { TCP_ESTABLISHED = 1, TCP_SYN_RECV = 3, TCP_CLOSE = 7, TCP_LISTEN = 10 };

SEC("tp_btf/inet_sock_set_state")
int on_state(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int from = ctx[1], to = ctx[2];
	u32 *slot;
	u16 kind;
	if (to == TCP_LISTEN) {
		kind = LISTEN;
		slot = current_slot();
	} else if (to == TCP_ESTABLISHED && from == TCP_SYN_RECV) {
		kind = ACCEPT;
		slot = slot_of_sock(sk);
	} else
		return 0;
	if (!slot)
		return 0;
	u32 id = *slot;
	struct slot *s = admit(id, OTHER);
	if (!s)
		return 0;
	struct net_event e = {};
	if (kind == LISTEN)
		fill(&e.h, kind, id, s, (void *)current_task());
	else {
		e.h.kind = kind;
		e.h.slot = id;
		e.h.seq = __sync_fetch_and_add(&s->seq, 1);
		e.h.mono = ktime_ns();
	}
	e.h.size = sizeof(e);
	endpoint_of(&e.e, sk);
	emit(s, &e.h, sizeof(e), SOON);
	return 0;
}

INLINE u64 reg(void *regs, u32 table, u32 which)
{
	u64 v = 0;
	u32 off = user_regs[table & 1][which];
	read_kernel(&v, sizeof(v), (u8 *)regs + (off & 0x1ff));
	return v;
}

INLINE void namespaces(struct syscall_event *e, struct task_struct *t)
{
	struct nsproxy *p = 0;
	struct mnt_namespace *mnt = 0;
	struct pid_namespace *pid = 0;
	struct net *net = 0;
	struct cgroup_namespace *cg = 0;
	struct user_namespace *user = 0;
	const struct cred *cred = 0;
	FIELD(p, t, nsproxy);
	FIELD(mnt, p, mnt_ns);
	FIELD(pid, p, pid_ns_for_children);
	FIELD(net, p, net_ns);
	FIELD(cg, p, cgroup_ns);
	FIELD(cred, t, cred);
	FIELD(user, cred, user_ns);
	FIELD(e->ns[0], mnt, ns.inum);
	FIELD(e->ns[1], pid, ns.inum);
	FIELD(e->ns[2], net, ns.inum);
	FIELD(e->ns[3], cg, ns.inum);
	FIELD(e->ns[4], user, ns.inum);
}

/* How the arguments of a call are read; the loader marks numbers with these. */
enum { PLAIN = 1, FIRST_PATH = 32, SECOND_PATH = 64, TWO_PATHS = 96, FOURTH_PATH = 128 };

SEC("raw_tp/sys_exit")
int on_syscall(u64 *ctx)
{
	void *regs = (void *)ctx[0];
	u64 nr = (u32)reg(regs, 0, 0);
	u32 table = 0;
	struct task_struct *t = (void *)current_task();
	if (nr >= SYS_MAX)
		nr &= 0x3fffffff;        /* x32 */
	if (nr >= SYS_MAX)
		return 0;
	if (!interest[0][nr] && !interest[1][nr])
		return 0;
	if (compat_bit) {
		u32 status = 0;
		FIELD(status, t, thread_info.status);
		table = !!(status & compat_bit);
	}
	u32 what = table ? interest[1][nr] : interest[0][nr];
	if (!what)
		return 0;
	u32 *slot = current_slot();
	if (!slot)
		return 0;
	u32 id = *slot;
	struct slot *s = admit(id, OTHER);
	u32 zero = 0;
	struct syscall_event *e = map_lookup(&scratch, &zero);
	if (!s || !e)
		return 0;
	fill(&e->h, SYSCALL, id, s, t);
	e->h.size = sizeof(*e);
	e->what = what;
	e->ret = (s64)reg(regs, table, 6);
	e->path[0] = e->path2[0] = 0;
	e->ns[5] = table;
#pragma unroll
	for (int i = 0; i < 5; i++) {
		e->arg[i] = reg(regs, table, 1 + i);
		if (table)
			e->arg[i] = (u32)e->arg[i];
	}
	namespaces(e, t);
	if (what & FIRST_PATH)
		read_user_str(e->path, PATH_MAX, (void *)e->arg[0]);
	if (what & SECOND_PATH)
		read_user_str(e->path2, PATH_MAX, (void *)e->arg[1]);
	if (what & FOURTH_PATH)
		read_user_str(e->path, PATH_MAX, (void *)e->arg[3]);
	emit(s, &e->h, sizeof(*e), NOW);
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
