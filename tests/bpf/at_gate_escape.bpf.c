/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_gate_escape: a scheduler that passes every gate and is a bad one still, for tests. It is first come, first served
 * until a task of a program called "trigger" is queued. From then on it either gives out slices so long that everybody
 * waits for seconds (the default), or, with `drop`, puts tasks of that program into a queue that is then not read, so
 * that the kernel throws it out for a runnable task stall.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);
/* The slice after the trigger. */
AT_KNOB(u64, late_slice_us, 3000000);
/* Lose the trigger instead. */
AT_KNOB(bool, drop, false);

#define ASIDE 2ULL

static bool escaped;

AT_INLINE bool is_trigger(struct task_struct *p)
{
	return p->comm[0] == 't' && p->comm[1] == 'r' && p->comm[2] == 'i' && p->comm[3] == 'g' && p->comm[4] == 'g' &&
	       p->comm[5] == 'e' && p->comm[6] == 'r' && !p->comm[7];
}

AT_OP2(void, at_gate_escape_enqueue, struct task_struct *, p, u64, enq_flags)
{
	if (is_trigger(p)) {
		escaped = true;
		if (drop) {
			scx_bpf_dsq_insert(p, ASIDE, slice_us * AT_US, enq_flags);
			return;
		}
	}
	scx_bpf_dsq_insert(p, AT_SHARED, (escaped && !drop ? late_slice_us : slice_us) * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, at_gate_escape_dispatch, s32, cpu, struct task_struct *, prev)
{
	if (!scx_bpf_dsq_move_to_local(AT_SHARED) && !drop)
		scx_bpf_dsq_move_to_local(ASIDE);
}

AT_OP0(s32, "struct_ops.s", at_gate_escape_init)
{
	s32 error = scx_bpf_create_dsq(AT_SHARED, -1);

	return error ? error : scx_bpf_create_dsq(ASIDE, -1);
}

AT_EXIT(at_gate_escape_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_gate_escape_ops = {
	.enqueue = (void *)at_gate_escape_enqueue,
	.dispatch = (void *)at_gate_escape_dispatch,
	.init = (void *)at_gate_escape_init,
	.exit = (void *)at_gate_escape_exit,
	.timeout_ms = 4000,
	.name = "at_gate_escape",
};
