/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which task is which, from run to run: numbers that a task has again when the workload runs again. The probe records
 * them (probes/tasks.bpf.c), and the guide looks tasks up by them (probes/guide.bpf.c).
 *
 *  - `program` is made of the arguments of the program that a task executed. Of a path, the last two names count, and of
 *    one in a directory for temporary files nothing does: where a directory lies and what mktemp made up changes.
 *  - `place` is made of the program of the task that forked it, and of which of its forks it was. It tells the workers
 *    of a pool apart, which all have the same program.
 *  - `both` is made of the two: jobs may have the same arguments, and differ by their order only.
 *
 * For tracing programs of ours only: it reads the memory of processes, which no scheduler may.
 */
#ifndef AT_IDENTITY_H
#define AT_IDENTITY_H

#include "at.h"

/* Arguments past this are not read. */
#define AT_ARGS_MOST 4096

#define AT_HASH_START 0xcbf29ce484222325ULL /* FNV-1a, 64 bits */
#define AT_HASH_PRIME 0x100000001b3ULL

struct at_identity {
	u64 program; /* 0: it has executed nothing, nor had its ancestors */
	u64 place;
	u64 both;
	u32 forks; /* since it executed its program */
	u32 execs;
};

/* What is known of an argument while its bytes come, one by one. */
struct at_argument {
	u64 last;      /* hash since the last slash */
	u64 last_two;  /* hash since the slash before */
	u64 before;    /* its last eight bytes, the last of them lowest */
	u32 length;
	u32 temporary;
};

/*
 * The arguments of the program that a CPU has just executed, and what is made of them. Two tasks cannot be at it at
 * once: no tracing program of these sleeps. All is kept here, since the verifier follows what is in registers through
 * each turn of the loop, and what is in a map through none.
 */
struct at_arguments {
	u64 program;
	struct at_argument one;
	unsigned char bytes[AT_ARGS_MOST];
};

struct {
	AT_MAP_UINT(type, 6); /* BPF_MAP_TYPE_PERCPU_ARRAY */
	AT_MAP_UINT(max_entries, 1);
	AT_MAP_TYPE(key, u32);
	AT_MAP_TYPE(value, struct at_arguments);
} at_arguments SEC(".maps");

static void *(*const at_lookup)(void *map, const void *key) = (void *)1;
static long (*const at_read_user)(void *to, u32 size, const void *from) = (void *)112;

AT_INLINE u64 at_mix(u64 a, u64 b)
{
	u64 mixed = (a ^ (b + 0x9e3779b97f4a7c15ULL + (a << 6))) * 0xff51afd7ed558ccdULL;

	return mixed ^ mixed >> 32;
}

/* The last bytes of a text, as `before` has them. */
#define AT_LAST5(a, b, c, d, e) ((u64)(a) << 32 | (u64)(b) << 24 | (u64)(c) << 16 | (u64)(d) << 8 | (u64)(e))
#define AT_LAST8(a, b, c, d, e, f, g, h) (AT_LAST5(a, b, c, d, e) << 24 | AT_LAST5(0, 0, f, g, h))

/* Whether a path in a directory for temporary files begins here: /tmp, /var/tmp or /dev/shm, at the start of the
 * argument, after `=`, `:` or `,`, or after an option of one letter; not the `tmp` of /home/me/tmp. */
AT_INLINE bool at_is_temporary(const struct at_argument *one)
{
	u64 before = one->before;
	unsigned char previous = before >> 40;

	if (before == AT_LAST8('v', 'a', 'r', '/', 't', 'm', 'p', '/') ||
	    before == AT_LAST8('d', 'e', 'v', '/', 's', 'h', 'm', '/'))
		return true;
	if ((before & 0xffffffffffULL) != AT_LAST5('/', 't', 'm', 'p', '/'))
		return false;
	if (one->length == 5 || previous == '=' || previous == ':' || previous == ',')
		return true;
	return one->length == 7 && (before >> 48 & 0xff) == '-';
}

AT_INLINE void at_argument_byte(struct at_argument *one, unsigned char byte)
{
	one->before = one->before << 8 | byte;
	if (byte == '/') {
		one->last_two = one->last;
		one->last = AT_HASH_START;
	} else {
		one->last = (one->last ^ byte) * AT_HASH_PRIME;
	}
	one->last_two = (one->last_two ^ byte) * AT_HASH_PRIME;
	one->length++;
	if (byte == '/' && at_is_temporary(one))
		one->temporary = 1;
}

AT_INLINE void at_argument_new(struct at_argument *one)
{
	one->last = one->last_two = AT_HASH_START;
	one->before = 0;
	one->length = 0;
	one->temporary = 0;
}

AT_INLINE void at_argument_ends(struct at_arguments *of)
{
	of->program = at_mix(of->program, of->one.temporary ? 1 : of->one.last_two);
	at_argument_new(&of->one);
}

/* The number of a program with these arguments, each of which ends with a NUL. Never 0. */
AT_INLINE u64 at_program_of(struct at_arguments *of, u32 bytes)
{
	struct bpf_iter_num each;
	int *at;

	of->program = AT_HASH_START;
	at_argument_new(&of->one);
	bpf_iter_num_new(&each, 0, AT_ARGS_MOST);
	while ((at = bpf_iter_num_next(&each))) {
		u32 index = *at;

		if (index >= bytes || index >= AT_ARGS_MOST)
			break;
		if (of->bytes[index])
			at_argument_byte(&of->one, of->bytes[index]);
		else
			at_argument_ends(of);
	}
	bpf_iter_num_destroy(&each);
	if (of->one.length)
		at_argument_ends(of);
	return of->program ?: 1;
}

/* A task was forked. */
AT_INLINE void at_identity_fork(struct at_identity *parent, struct at_identity *child)
{
	child->program = parent->program;
	child->place = at_mix(parent->program ?: 1, parent->forks++) ?: 1;
	child->both = child->place;
	child->forks = 0;
	child->execs = 0;
}

/* A task has executed a program: it is `p`, and current. */
AT_INLINE void at_identity_exec(struct at_identity *identity, struct task_struct *p)
{
	u32 first = 0;
	struct at_arguments *arguments = at_lookup(&at_arguments, &first);
	u64 from = p->mm->arg_start, bytes = p->mm->arg_end - from;

	if (bytes > AT_ARGS_MOST)
		bytes = AT_ARGS_MOST;
	identity->forks = 0;
	identity->execs++;
	if (!arguments || at_read_user(arguments->bytes, bytes, (void *)from)) {
		identity->program = identity->both = 0; /* not those of the program before */
		return;
	}
	identity->program = at_program_of(arguments, bytes);
	identity->both = at_mix(identity->program, identity->place) ?: 1;
}

#endif /* AT_IDENTITY_H */
