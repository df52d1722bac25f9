/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel types that the programs read, with just the members they read.
 * preserve_access_index makes the loader find the true offsets in the BTF of
 * the running kernel, so one object serves every kernel that has these names. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_RINGBUF = 27 };

/* Helper numbers are part of the kernel's stable interface. */
static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*ktime_ns)(void) = (void *)5;
static u64 (*current_pid_tgid)(void) = (void *)14;
static u64 (*current_task)(void) = (void *)35;
static u64 (*current_ancestor_cgroup)(int level) = (void *)123;
static long (*read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static long (*ringbuf_output)(void *map, void *data, u64 size, u64 flags) = (void *)130;
static u64 (*ringbuf_query)(void *map, u64 what) = (void *)134;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr { const unsigned char *name; };
struct super_block { u32 s_dev; u64 s_magic; };
struct timespec64 { s64 tv_sec; };
struct inode {
	u16 i_mode;
	u32 i_nlink;
	u64 i_ino;
	u32 i_rdev;
	struct super_block *i_sb;
	s64 i_ctime_sec;                  /* since 6.11 */
	struct timespec64 __i_ctime;      /* 6.6 to 6.10 */
	struct timespec64 i_ctime;        /* before */
};
struct dentry { struct qstr d_name; };
struct path { struct dentry *dentry; };
struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
};
struct fdtable { u32 max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };
struct mm_struct { u64 arg_start; u64 arg_end; };
typedef struct { u32 val; } kuid_t;
struct ns_common { u32 inum; };
struct user_namespace { struct ns_common ns; };
struct cred { kuid_t uid; kuid_t euid; struct user_namespace *user_ns; };
struct upid { s32 nr; };
struct pid { u32 level; struct upid numbers[1]; };
typedef struct { s32 counter; } atomic_t;
struct tty_struct { s32 index; };
struct task_io_accounting { u64 rchar; u64 wchar; };
struct signal_struct {
	atomic_t live;
	struct tty_struct *tty;
	struct task_io_accounting ioac;
};
struct mnt_namespace { struct ns_common ns; };
struct net { struct ns_common ns; };
struct pid_namespace { struct ns_common ns; };
struct cgroup_namespace { struct ns_common ns; };
struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct cgroup_namespace *cgroup_ns;
};
struct thread_info { u32 status; };
struct task_struct {
	struct thread_info thread_info;
	s32 pid;
	s32 tgid;
	u64 start_boottime;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct pid *thread_pid;
	const struct cred *cred;
	struct mm_struct *mm;
	struct files_struct *files;
	struct signal_struct *signal;
	struct nsproxy *nsproxy;
	struct task_io_accounting ioac;
};
struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};
struct in6_addr { u8 bytes[16]; };
typedef struct { struct net *net; } possible_net_t;
struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	u8 skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct kernfs_node { u64 id; };
struct cgroup {
	s32 level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[8];      /* since 6.1 */
};
struct sock_cgroup_data { struct cgroup *cgroup; };
struct sock {
	struct sock_common __sk_common;
	u16 sk_type;
	u16 sk_protocol;
	struct sock_cgroup_data sk_cgrp_data;
};
struct socket { struct sock *sk; };

#pragma clang attribute pop

/* Fixed layouts of the kernel's interface: no relocation. */
struct bpf_sock_addr {
	u32 user_family;
	u32 user_ip4;
	u32 user_ip6[4];
	u32 user_port;
	u32 family;
	u32 type;
	u32 protocol;
};

#define FIELD(dst, src, member) read_kernel(&(dst), sizeof(dst), __builtin_preserve_access_index(&(src)->member))
#define HAS(type, member) __builtin_preserve_field_info(((type *)0)->member, 2)
