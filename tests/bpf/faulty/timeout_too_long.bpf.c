/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: timeout too long; gate: source; rule: ops-timeout */
/*
 * Asks the watchdog to wait for a minute: the kernel refuses to load it.
 */
#include "at.h"

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, timeout_too_long_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, timeout_too_long_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, timeout_too_long_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", timeout_too_long_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(timeout_too_long_exit)

SEC(".struct_ops.link")
struct sched_ext_ops timeout_too_long_ops = {
	.select_cpu = (void *)timeout_too_long_select_cpu,
	.enqueue = (void *)timeout_too_long_enqueue,
	.dispatch = (void *)timeout_too_long_dispatch,
	.init = (void *)timeout_too_long_init,
	.exit = (void *)timeout_too_long_exit,
	.timeout_ms = 60000,
	.name = "timeout_too_long",
};
