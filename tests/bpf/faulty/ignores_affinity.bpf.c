/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: a task is put where it may not run; gate: behaviour; rule: ejected */
/*
 * ignores_affinity: sends every other task to the CPU after the one it ran on, whether it may run there or
 * not.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

static u64 turn;

AT_OP3(s32, ignores_affinity_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, ignores_affinity_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u32 cpu = ((u32)scx_bpf_task_cpu(p) + 1) % scx_bpf_nr_cpu_ids();

	if (turn++ & 1 && p->mm) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, slice_us * AT_US, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, ignores_affinity_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", ignores_affinity_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(ignores_affinity_exit)

SEC(".struct_ops.link")
struct sched_ext_ops ignores_affinity_ops = {
	.select_cpu = (void *)ignores_affinity_select_cpu,
	.enqueue = (void *)ignores_affinity_enqueue,
	.dispatch = (void *)ignores_affinity_dispatch,
	.init = (void *)ignores_affinity_init,
	.exit = (void *)ignores_affinity_exit,
	.timeout_ms = 2000,
	.name = "ignores_affinity",
};
