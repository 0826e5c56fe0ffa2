/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells a scheduler what to expect of each task: it looks the task up among what earlier runs of the workload took, when
 * it is forked and when it executes a program. It schedules nothing.
 *
 * A program of its own, since a scheduler may not read the arguments of processes: all that it gets is the number of
 * nanoseconds. The loader fills `known` before it attaches, and gives the scheduler this `at_expectations` for its own.
 */
#include "at_expected.h"
#include "at_identity.h"

#define MOST_KNOWN 65536

AT_EXPECTED

/* Of the longest chain that any task of the workload begins, in ns. */
AT_KNOB(u64, longest_ns, 0);

struct {
	AT_MAP_UINT(type, 1); /* BPF_MAP_TYPE_HASH */
	AT_MAP_UINT(max_entries, MOST_KNOWN);
	AT_MAP_UINT(map_flags, 1); /* BPF_F_NO_PREALLOC: mostly there are a few dozen */
	AT_MAP_TYPE(key, u64);
	AT_MAP_TYPE(value, u64);
} known SEC(".maps");

struct {
	AT_MAP_UINT(type, 29); /* BPF_MAP_TYPE_TASK_STORAGE */
	AT_MAP_UINT(map_flags, 1); /* BPF_F_NO_PREALLOC */
	AT_MAP_TYPE(key, int);
	AT_MAP_TYPE(value, struct at_identity);
} identities SEC(".maps");

AT_INLINE struct at_identity *identity_of(struct task_struct *p)
{
	return at_task_storage_get(&identities, p, NULL, AT_STORAGE_CREATE);
}

AT_INLINE u64 look_up(u64 number)
{
	u64 *found = at_lookup(&known, &number);

	return found ? *found : 0;
}

SEC("tp_btf/sched_process_fork") int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	struct at_identity *from = identity_of(parent), *to = identity_of(child);
	struct at_expected *expected = at_task_storage_get(&at_expectations, child, NULL, AT_STORAGE_CREATE);
	u64 chain_ns;

	if (!from || !to || !expected)
		return 0;
	at_identity_fork(from, to);
	chain_ns = look_up(to->place);
	expected->chain_ns = chain_ns ?: at_expected(parent)->chain_ns; /* until it executes a program of its own */
	expected->longest_ns = longest_ns;
	return 0;
}

SEC("tp_btf/sched_process_exec") int on_exec(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct at_identity *identity = identity_of(p);
	struct at_expected *expected = at_task_storage_get(&at_expectations, p, NULL, AT_STORAGE_CREATE);
	u64 chain_ns;

	if (!identity || !expected)
		return 0;
	at_identity_exec(identity, p);
	chain_ns = look_up(identity->both);
	expected->chain_ns = chain_ns ?: look_up(identity->program);
	expected->longest_ns = longest_ns;
	expected->execs = identity->execs;
	return 0;
}
