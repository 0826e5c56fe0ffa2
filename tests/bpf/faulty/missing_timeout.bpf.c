/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: missing timeout; gate: source; rule: ops-timeout */
/*
 * Sets no timeout_ms: the kernel would take 30 s, and nobody has decided that.
 */
#include "at.h"

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, missing_timeout_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, missing_timeout_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, missing_timeout_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", missing_timeout_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(missing_timeout_exit)

SEC(".struct_ops.link")
struct sched_ext_ops missing_timeout_ops = {
	.select_cpu = (void *)missing_timeout_select_cpu,
	.enqueue = (void *)missing_timeout_enqueue,
	.dispatch = (void *)missing_timeout_dispatch,
	.init = (void *)missing_timeout_init,
	.exit = (void *)missing_timeout_exit,
	.name = "missing_timeout",
};
