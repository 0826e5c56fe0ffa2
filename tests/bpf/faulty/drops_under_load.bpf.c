/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: dispatch stops reading the queue; gate: behaviour; rule: ejected */
/*
 * drops_under_load: has a budget of tasks, and no longer reads the queue once that is used up.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

static u64 budget = 100;

AT_OP3(s32, drops_under_load_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, drops_under_load_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, drops_under_load_dispatch, s32, cpu, struct task_struct *, prev)
{
	if (!budget)
		return;
	if (scx_bpf_dsq_move_to_local(AT_SHARED))
		budget--;
}

AT_OP0(s32, "struct_ops.s", drops_under_load_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(drops_under_load_exit)

SEC(".struct_ops.link")
struct sched_ext_ops drops_under_load_ops = {
	.select_cpu = (void *)drops_under_load_select_cpu,
	.enqueue = (void *)drops_under_load_enqueue,
	.dispatch = (void *)drops_under_load_dispatch,
	.init = (void *)drops_under_load_init,
	.exit = (void *)drops_under_load_exit,
	.timeout_ms = 1000,
	.name = "drops_under_load",
};
