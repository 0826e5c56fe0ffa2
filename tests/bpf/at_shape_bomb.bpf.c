/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_shape_bomb: first come, first served, for tests. It dispatches nothing any more in the one shape of machine and
 * settings that `fault` names, and is well behaved in all others.
 */
#include "at_expected.h"

AT_EXPECTED

/* 0: none. 1: more than two CPUs. 2: one CPU. 3, 4: eagerness at its highest, its lowest. 5: partial mode. 6: attached
 * for more than two minutes. 7: up for more than a day. 8: process 1 is called sys... 9: something is expected of a
 * task that runs. */
AT_KNOB(u32, fault, 0);
AT_KNOB(u32, eagerness, 4);
AT_KNOB(u64, slice_us, 5000);

static u64 attached_at;
static bool on_systemd, is_expected;

AT_INLINE bool goes_off(void)
{
	switch (fault) {
	case 1:
		return scx_bpf_nr_cpu_ids() > 2;
	case 2:
		return scx_bpf_nr_cpu_ids() == 1;
	case 3:
		return eagerness >= 8;
	case 4:
		return eagerness <= 2;
	case 5:
		return partial;
	case 6:
		return scx_bpf_now() - attached_at > 120000 * AT_MS;
	case 7:
		return scx_bpf_now() > 86400000 * AT_MS;
	case 8:
		return on_systemd;
	case 9:
		return is_expected;
	}
	return false;
}

AT_OP2(void, at_shape_bomb_enqueue, struct task_struct *, p, u64, enq_flags)
{
	if (at_expected(p)->chain_ns)
		is_expected = true;
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, at_shape_bomb_dispatch, s32, cpu, struct task_struct *, prev)
{
	if (!goes_off())
		scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", at_shape_bomb_init)
{
	struct task_struct *first = bpf_task_from_pid(1);

	if (first) {
		on_systemd = first->comm[0] == 's' && first->comm[1] == 'y' && first->comm[2] == 's';
		bpf_task_release(first);
	}
	attached_at = scx_bpf_now();
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(at_shape_bomb_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_shape_bomb_ops = {
	.enqueue = (void *)at_shape_bomb_enqueue,
	.dispatch = (void *)at_shape_bomb_dispatch,
	.init = (void *)at_shape_bomb_init,
	.exit = (void *)at_shape_bomb_exit,
	.timeout_ms = 30000,
	.name = "at_shape_bomb",
};
