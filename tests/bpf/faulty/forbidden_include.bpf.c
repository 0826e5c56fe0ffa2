/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: forbidden include; gate: source; rule: include-allowed */
/*
 * Includes a header of the system, which is not that of the kernel that will run it.
 */
#include "at.h"
#include <linux/sched.h>

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, forbidden_include_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, forbidden_include_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, forbidden_include_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", forbidden_include_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(forbidden_include_exit)

SEC(".struct_ops.link")
struct sched_ext_ops forbidden_include_ops = {
	.select_cpu = (void *)forbidden_include_select_cpu,
	.enqueue = (void *)forbidden_include_enqueue,
	.dispatch = (void *)forbidden_include_dispatch,
	.init = (void *)forbidden_include_init,
	.exit = (void *)forbidden_include_exit,
	.timeout_ms = 10000,
	.name = "forbidden_include",
};
