/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: every other task gets slices forty times as long; gate: behaviour; rule: unfair */
/*
 * favours_even: takes turns, but gives those with an even number 40 ms and the others 1 ms.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, favours_even_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, favours_even_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 slice_ms = p->pid & 1 ? 1 : 40;

	scx_bpf_dsq_insert(p, AT_SHARED, slice_ms * AT_MS, enq_flags);
	at_kick(p);
}

AT_OP2(void, favours_even_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", favours_even_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(favours_even_exit)

SEC(".struct_ops.link")
struct sched_ext_ops favours_even_ops = {
	.select_cpu = (void *)favours_even_select_cpu,
	.enqueue = (void *)favours_even_enqueue,
	.dispatch = (void *)favours_even_dispatch,
	.init = (void *)favours_even_init,
	.exit = (void *)favours_even_exit,
	.timeout_ms = 10000,
	.name = "favours_even",
};
