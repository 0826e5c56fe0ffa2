/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: whoever has little weight waits for ever; gate: behaviour; rule: starved */
/*
 * starves_nice: orders tasks by weight alone, so that those of low weight never come to run while others want
 * to.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, starves_nice_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, starves_nice_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert_vtime(p, AT_SHARED, slice_us * AT_US, 20000 - p->scx.weight, enq_flags);
	at_kick(p);
}

AT_OP2(void, starves_nice_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", starves_nice_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(starves_nice_exit)

SEC(".struct_ops.link")
struct sched_ext_ops starves_nice_ops = {
	.select_cpu = (void *)starves_nice_select_cpu,
	.enqueue = (void *)starves_nice_enqueue,
	.dispatch = (void *)starves_nice_dispatch,
	.init = (void *)starves_nice_init,
	.exit = (void *)starves_nice_exit,
	.timeout_ms = 10000,
	.name = "starves_nice",
};
