/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes the numbers of at_identity.h of the arguments that a process has now, each time it forks, as if it had just
 * executed its program: so a test may give it arguments that cannot be read.
 */
#include "at_identity.h"

/* The process. */
AT_KNOB(u32, watched, 0);

struct {
	AT_MAP_UINT(type, 2); /* BPF_MAP_TYPE_ARRAY */
	AT_MAP_UINT(max_entries, 1);
	AT_MAP_UINT(map_flags, 1024); /* BPF_F_MMAPABLE */
	AT_MAP_TYPE(key, u32);
	AT_MAP_TYPE(value, struct at_identity);
} identities SEC(".maps");

SEC("tp_btf/sched_process_fork") int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0];
	u32 first = 0;
	struct at_identity *identity = at_lookup(&identities, &first);

	if (identity && (u32)parent->pid == watched)
		at_identity_exec(identity, parent);
	return 0;
}
