// SPDX-License-Identifier: MIT
// Workload of bench_search.py: two threads send a byte to and fro while two others for each CPU compute. It ends when
// those have done a given amount of work, and prints how much of it went by for each byte. Other work on the machine
// slows all threads alike, so it hardly changes this number.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 1000, HOGS_PER_CPU = 2 };

static atomic_long done; // pieces of work
static long wanted;
static atomic_long bytes;
static int there[2], back[2];

static void *compute(void *unused)
{
	(void)unused;
	while (atomic_load(&done) < wanted) {
		for (volatile int i = 0; i < PIECE; i++)
			;
		atomic_fetch_add(&done, 1);
	}
	return NULL;
}

static void *answer(void *unused)
{
	(void)unused;
	char byte;
	while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
		;
	return NULL;
}

static void *ask(void *unused)
{
	(void)unused;
	char byte = 'x';
	while (write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1)
		atomic_fetch_add(&bytes, 1);
	return NULL;
}

int main(int argc, char **argv)
{
	long hogs = HOGS_PER_CPU * sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t talker, *computing = calloc(hogs, sizeof(*computing));

	wanted = argc > 1 ? atol(argv[1]) : 0;
	if (wanted <= 0 || !computing || pipe(there) || pipe(back))
		return 1;
	if (pthread_create(&talker, NULL, answer, NULL) || pthread_create(&talker, NULL, ask, NULL))
		return 1;
	for (long i = 0; i < hogs; i++)
		if (pthread_create(&computing[i], NULL, compute, NULL))
			return 1;
	for (long i = 0; i < hogs; i++)
		pthread_join(computing[i], NULL);
	printf("work per byte: %.3f\n", (double)wanted / (atomic_load(&bytes) + 1));
	return 0;
}
