/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_batch: long slices and a queue for each CPU, for work of which only the end matters.
 *
 * A task waits at the CPU it ran on last, where its caches are warm, and runs long once it is its turn; weight makes
 * the slice longer or shorter. A CPU takes from a queue that is longer than its own by two, so that all tasks wait
 * about as long; a CPU whose queue is empty takes from any, so that none idles while tasks wait.
 *
 * With `long_first`, the tasks that have used most CPU time so far go first. That says little of how long they still
 * need: for a batch with one long job, at_guided knows better. A task is favoured by at most `age_limit_ms`: one that
 * has waited longer than that is ahead of every newcomer, so none starves.
 */
#include "at.h"

/* How long a task of weight 100 (nice 0) may run. */
AT_KNOB(u64, slice_us, 20000);
/* Favour tasks by the CPU time they have used so far. */
AT_KNOB(bool, long_first, false);
/* The largest head start of a task, and so the longest that others wait for it. */
AT_KNOB(u64, age_limit_ms, 2000);

#define SLICE_LEAST_US 500ULL
#define SLICE_MOST_US 200000ULL
#define MAX_CPUS 1024
#define QUEUE_OF(cpu) (0x100ULL + (u64)(u32)(cpu))

struct task_ctx {
	u64 used_ns; /* CPU time since it was first seen */
	u64 began_ns;
};

AT_TASK_CTX(struct task_ctx)

static u32 nr_cpus;

AT_INLINE u64 slice_of(struct task_struct *p)
{
	u64 us = slice_us * p->scx.weight / 100;

	if (us < SLICE_LEAST_US)
		us = SLICE_LEAST_US;
	return (us > SLICE_MOST_US ? SLICE_MOST_US : us) * AT_US;
}

AT_OP3(s32, at_batch_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	s32 waiting = scx_bpf_dsq_nr_queued(QUEUE_OF(prev_cpu));

	return at_select_cpu_beside(p, prev_cpu, wake_flags, slice_of(p), waiting);
}

AT_OP2(void, at_batch_enqueue, struct task_struct *, p, u64, enq_flags)
{
	struct task_ctx *ctx = at_ctx(p);
	u64 limit_ns = age_limit_ms * AT_MS;
	u64 turn = scx_bpf_now() + limit_ns; /* so that subtracting the favour cannot go below zero */
	u64 queue = AT_SHARED;
	u32 cpu = scx_bpf_task_cpu(p);

	if (long_first)
		turn -= ctx->used_ns < limit_ns ? ctx->used_ns : limit_ns;
	if (cpu < nr_cpus)
		queue = QUEUE_OF(cpu);
	scx_bpf_dsq_insert_vtime(p, queue, slice_of(p), turn, enq_flags);
	at_kick(p);
}

/* The CPU to take from first: this one, unless another has at least two more waiting. */
AT_INLINE u32 longest_queue(s32 cpu)
{
	struct bpf_iter_num each;
	u32 longest = cpu;
	s32 most = scx_bpf_dsq_nr_queued(QUEUE_OF(cpu)) + 1;
	int *other;

	bpf_iter_num_new(&each, 0, nr_cpus);
	while ((other = bpf_iter_num_next(&each))) {
		s32 waiting = scx_bpf_dsq_nr_queued(QUEUE_OF(*other));

		if (waiting > most) {
			most = waiting;
			longest = *other;
		}
	}
	bpf_iter_num_destroy(&each);
	return longest;
}

/* For a CPU that has nothing to do: any task that may run here, even one that its CPU would not miss. */
AT_INLINE void take_from_others(s32 cpu)
{
	struct bpf_iter_num other;
	int *step;

	bpf_iter_num_new(&other, 1, nr_cpus);
	while ((step = bpf_iter_num_next(&other))) {
		u32 victim = (u32)cpu + *step;

		if (victim >= nr_cpus)
			victim -= nr_cpus;
		if (scx_bpf_dsq_move_to_local(QUEUE_OF(victim)))
			break;
	}
	bpf_iter_num_destroy(&other);
}

AT_OP2(void, at_batch_dispatch, s32, cpu, struct task_struct *, prev)
{
	u32 longest = longest_queue(cpu);

	if (longest != (u32)cpu && scx_bpf_dsq_move_to_local(QUEUE_OF(longest)))
		return;
	if (scx_bpf_dsq_move_to_local(QUEUE_OF(cpu)) || scx_bpf_dsq_move_to_local(AT_SHARED))
		return;
	take_from_others(cpu);
}

AT_OP1(void, at_batch_running, struct task_struct *, p)
{
	at_ctx(p)->began_ns = scx_bpf_now();
}

AT_OP2(void, at_batch_stopping, struct task_struct *, p, bool, runnable)
{
	struct task_ctx *ctx = at_ctx(p);

	if (ctx->began_ns)
		ctx->used_ns += scx_bpf_now() - ctx->began_ns;
}

AT_OP2(s32, at_batch_init_task, struct task_struct *, p, struct scx_init_task_args *, args)
{
	at_ctx_create(p);
	return 0;
}

AT_OP0(s32, "struct_ops.s", at_batch_init)
{
	struct bpf_iter_num each;
	int *cpu;
	s32 error = scx_bpf_create_dsq(AT_SHARED, -1);

	nr_cpus = scx_bpf_nr_cpu_ids();
	if (nr_cpus > MAX_CPUS)
		nr_cpus = MAX_CPUS;
	bpf_iter_num_new(&each, 0, nr_cpus);
	while (!error && (cpu = bpf_iter_num_next(&each)))
		error = scx_bpf_create_dsq(QUEUE_OF(*cpu), -1);
	bpf_iter_num_destroy(&each);
	return error;
}

AT_EXIT(at_batch_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_batch_ops = {
	.select_cpu = (void *)at_batch_select_cpu,
	.enqueue = (void *)at_batch_enqueue,
	.dispatch = (void *)at_batch_dispatch,
	.running = (void *)at_batch_running,
	.stopping = (void *)at_batch_stopping,
	.init_task = (void *)at_batch_init_task,
	.init = (void *)at_batch_init,
	.exit = (void *)at_batch_exit,
	.timeout_ms = 20000,
	.name = "at_batch",
};
