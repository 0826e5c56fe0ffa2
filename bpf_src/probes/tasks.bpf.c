/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Watches the tasks that descend from one process: when they start and end, what they execute, when they run, wait
 * for a CPU and sleep, and who wakes them. It schedules nothing and changes nothing.
 *
 * Records go into arrays that the reader maps once the workload is over: there is nothing to poll, the memory is bounded
 * from the start, and what does not fit is counted, never waited for. Totals of a task are exact however many of its
 * turns are left out.
 *
 * The reader puts the process into `tasks` before the workload starts; `autotune/observe/probe.py` has the same
 * structs.
 */
#include "at_identity.h"

#define MAX_TASKS 65536  /* alive at a time */
#define MAX_ENDS 65536   /* tasks that ended */
#define MAX_EXECS 32768
#define MAX_TURNS 131072 /* turns on a CPU that are long enough to tell */
#define ARGS_BYTES 480
#define WAIT_BUCKETS 64

#define ANY 0 /* BPF_ANY */
#define MMAPABLE 1024 /* BPF_F_MMAPABLE */
#define SLEEPS_DEEPLY 2 /* TASK_UNINTERRUPTIBLE: it waits for a disk or the like */
#define IS_KERNEL_THREAD 0x00200000 /* PF_KTHREAD */
#define NOBODY 0xffffffffU          /* as a waker: a process that is not watched; 0 is the kernel itself */

/* A turn is recorded when it, or the wait or sleep before it, is at least this long. */
AT_KNOB(u64, tell_ns, AT_MS);

struct task {
	u64 start_ns, on_ns, runnable_ns, sleep_ns;
	u64 cpu_ns, wait_total_ns, sleep_total_ns, deep_total_ns;
	u32 pid, tgid, parent, waker;
	u32 turns, preempted, wakeups, migrations;
	u32 exec, cpu;
	u32 deep, is_root;
	u32 ended, unused;
	struct at_identity identity;
};

struct end {
	u64 start_ns, end_ns, cpu_ns, wait_ns, sleep_ns, deep_ns;
	u32 pid, tgid, parent, exec;
	u32 turns, preempted, wakeups, migrations;
	char comm[16];
	u64 program, place, both;
};

struct exec {
	u64 at_ns;
	u32 pid, args_bytes;
	u32 args_cut, unused;
	char args[ARGS_BYTES];
};

struct turn {
	u64 runnable_ns, on_ns, off_ns, slept_ns;
	u32 pid, waker;
	u32 cpu, preempted;
};

struct counts {
	u64 ends, execs, turns, lost_tasks, lost_cpu_ns, short_turns, short_turns_cpu_ns;
	u64 waits[WAIT_BUCKETS]; /* of 2^n to 2^(n+1) ns until a runnable task ran */
};

#define TABLE(name, value_type, entries)                               \
	struct {                                                       \
		AT_MAP_UINT(type, 2); /* BPF_MAP_TYPE_ARRAY */         \
		AT_MAP_UINT(max_entries, entries);                     \
		AT_MAP_UINT(map_flags, MMAPABLE);                      \
		AT_MAP_TYPE(key, u32);                                 \
		AT_MAP_TYPE(value, value_type);                        \
	} name SEC(".maps")

TABLE(ends, struct end, MAX_ENDS);
TABLE(execs, struct exec, MAX_EXECS);
TABLE(turns, struct turn, MAX_TURNS);
TABLE(counts, struct counts, 1);

struct {
	AT_MAP_UINT(type, 1); /* BPF_MAP_TYPE_HASH */
	AT_MAP_UINT(max_entries, MAX_TASKS);
	AT_MAP_TYPE(key, u32);
	AT_MAP_TYPE(value, struct task);
} tasks SEC(".maps");

static long (*const update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const remove)(void *map, const void *key) = (void *)3;
static u64 (*const clock_ns)(void) = (void *)5;
static u32 (*const this_cpu)(void) = (void *)8;
static struct task_struct *(*const current_task)(void) = (void *)158;

AT_INLINE struct counts *totals(void)
{
	u32 first = 0;

	return at_lookup(&counts, &first);
}

AT_INLINE struct task *task_of(struct task_struct *p)
{
	u32 pid = p->pid;

	return at_lookup(&tasks, &pid);
}

/* The index of a new record; past the end of its table it is only counted. */
#define NEXT(counter) __sync_fetch_and_add(&(counter), 1)

AT_INLINE u32 bucket_of(u64 ns)
{
	u32 bucket = 0;

#pragma unroll
	for (int step = 32; step; step >>= 1) {
		if (ns >> step) {
			ns >>= step;
			bucket += step;
		}
	}
	return bucket & (WAIT_BUCKETS - 1);
}

/* --- beginning and end of a task -------------------------------------------------------------------------- */

SEC("tp_btf/sched_process_fork") int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	struct task *from = task_of(parent);
	struct counts *seen = totals();
	struct task new = {};
	u32 pid = child->pid;

	if (!from || !seen)
		return 0;
	new.pid = pid;
	new.tgid = child->tgid;
	new.parent = from->is_root ? 0 : from->pid;
	new.start_ns = new.runnable_ns = clock_ns();
	new.exec = from->exec;
	new.cpu = NOBODY;
	new.waker = from->is_root ? 0 : from->pid;
	at_identity_fork(&from->identity, &new.identity);
	if (update(&tasks, &pid, &new, ANY))
		NEXT(seen->lost_tasks);
	return 0;
}

SEC("tp_btf/sched_process_exec") int on_exec(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct task *task = task_of(p);
	struct counts *seen = totals();
	struct exec *record;
	u64 from, bytes;
	u32 index;

	if (!task || !seen)
		return 0;
	at_identity_exec(&task->identity, p);
	index = NEXT(seen->execs);
	record = at_lookup(&execs, &index);
	if (!record) {
		task->exec = NOBODY;
		return 0;
	}
	task->exec = index;
	record->at_ns = clock_ns();
	record->pid = task->pid;
	from = p->mm->arg_start;
	bytes = p->mm->arg_end - from;
	record->args_cut = bytes > ARGS_BYTES;
	if (bytes > ARGS_BYTES)
		bytes = ARGS_BYTES;
	record->args_bytes = at_read_user(record->args, bytes, (void *)from) ? 0 : bytes;
	return 0;
}

AT_INLINE void end_of_turn(struct task *task, struct counts *seen, u64 now, bool preempted)
{
	struct turn *record;
	u64 ran = now - task->on_ns;
	u64 waited = task->on_ns - task->runnable_ns;
	u64 slept = task->sleep_ns ? task->runnable_ns - task->sleep_ns : 0;
	u32 index;

	if (!task->on_ns)
		return;
	task->cpu_ns += ran;
	task->on_ns = 0;
	if (ran < tell_ns && waited < tell_ns && slept < tell_ns) {
		NEXT(seen->short_turns);
		__sync_fetch_and_add(&seen->short_turns_cpu_ns, ran);
		return;
	}
	index = NEXT(seen->turns);
	record = at_lookup(&turns, &index);
	if (!record)
		return;
	record->on_ns = now - ran;
	record->runnable_ns = record->on_ns - waited;
	record->off_ns = now;
	record->slept_ns = slept;
	record->pid = task->pid;
	record->waker = slept ? task->waker : 0;
	record->cpu = task->cpu;
	record->preempted = preempted;
}

SEC("tp_btf/sched_process_exit") int on_exit(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct task *task = task_of(p);
	struct counts *seen = totals();
	struct end *record;
	u64 now = clock_ns();
	u32 index;

	if (!task || !seen)
		return 0;
	if (task->is_root)
		return 0;
	end_of_turn(task, seen, now, false);
	task->ended = 1; /* it stays known: it has yet to wake who waits for it */
	index = NEXT(seen->ends);
	record = at_lookup(&ends, &index);
	if (record) {
		record->start_ns = task->start_ns;
		record->end_ns = now;
		record->cpu_ns = task->cpu_ns;
		record->wait_ns = task->wait_total_ns;
		record->sleep_ns = task->sleep_total_ns;
		record->deep_ns = task->deep_total_ns;
		record->pid = task->pid;
		record->tgid = task->tgid;
		record->parent = task->parent;
		record->exec = task->exec;
		record->turns = task->turns;
		record->preempted = task->preempted;
		record->wakeups = task->wakeups;
		record->migrations = task->migrations;
		at_probe_read_kernel_str(record->comm, sizeof(record->comm), p->comm);
		record->program = task->identity.program;
		record->place = task->identity.place;
		record->both = task->identity.both;
	} else {
		__sync_fetch_and_add(&seen->lost_cpu_ns, task->cpu_ns);
	}
	return 0;
}

SEC("tp_btf/sched_process_free") int on_free(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct task *task = task_of(p);
	u32 pid = p->pid;

	if (task && task->ended) /* else the number is another's already */
		remove(&tasks, &pid);
	return 0;
}

/* --- running, waiting, sleeping --------------------------------------------------------------------------- */

SEC("tp_btf/sched_waking") int on_waking(u64 *ctx)
{
	struct task *task = task_of((struct task_struct *)ctx[0]);
	struct task_struct *by;
	struct task *waker;

	if (!task || task->ended || task->on_ns || !task->sleep_ns || task->runnable_ns > task->sleep_ns)
		return 0;
	by = current_task();
	waker = by ? task_of(by) : NULL;
	task->runnable_ns = clock_ns();
	if (waker && !waker->is_root)
		task->waker = waker->pid;
	else
		task->waker = !by || !by->pid || by->flags & IS_KERNEL_THREAD ? 0 : NOBODY;
	task->wakeups++;
	return 0;
}

AT_INLINE void begin_turn(struct task *task, struct counts *seen, u64 now)
{
	u32 cpu = this_cpu();
	u32 bucket;

	if (task->runnable_ns < task->sleep_ns || !task->runnable_ns)
		task->runnable_ns = now; /* its wake-up was not seen */
	bucket = bucket_of(now - task->runnable_ns);
	NEXT(seen->waits[bucket]);
	task->wait_total_ns += now - task->runnable_ns;
	if (task->sleep_ns) {
		u64 slept = task->runnable_ns - task->sleep_ns;

		task->sleep_total_ns += slept;
		if (task->deep)
			task->deep_total_ns += slept;
	}
	if (task->cpu != NOBODY && task->cpu != cpu)
		task->migrations++;
	task->cpu = cpu;
	task->turns++;
	task->on_ns = now;
}

AT_INLINE void leave(struct task *task, struct counts *seen, bool preempted, u64 state)
{
	u64 now = clock_ns();

	end_of_turn(task, seen, now, preempted);
	task->sleep_ns = preempted ? 0 : now;
	task->deep = !preempted && (state & SLEEPS_DEEPLY);
	if (preempted) {
		task->runnable_ns = now;
		task->preempted++;
	}
}

SEC("tp_btf/sched_switch") int on_switch(u64 *ctx)
{
	bool preempted = ctx[0] || !ctx[3]; /* it still wants to run */
	struct counts *seen = totals();
	struct task *task;

	if (!seen)
		return 0;
	task = task_of((struct task_struct *)ctx[1]);
	if (task && !task->ended)
		leave(task, seen, preempted, ctx[3]);
	task = task_of((struct task_struct *)ctx[2]);
	if (task && !task->ended)
		begin_turn(task, seen, clock_ns());
	return 0;
}
