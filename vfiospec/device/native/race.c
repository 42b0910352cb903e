// SPDX-License-Identifier: MIT
//
// Races: programs on threads, started together again and again.

#define _GNU_SOURCE
#include "ops.h"

#include <pthread.h>
#include <stdlib.h>

#define TALLIES 16 // distinct answers remembered for one operation

struct tally {
	int64_t ret;
	int err;
	uint32_t count;
};

struct racer {
	struct reader program; // an encoded array of operations
	uint32_t ops, rounds;
	struct tally (*tallies)[TALLIES];
	pthread_barrier_t *barrier;
	pthread_t thread;
};

static void *race_thread(void *arg)
{
	struct racer *racer = arg;

	for (uint32_t round = 0; round < racer->rounds; round++) {
		struct reader r = racer->program;

		pthread_barrier_wait(racer->barrier);
		for (uint32_t i = 0; i < racer->ops; i++) {
			struct result res = { 0 };

			execute(&r, &res, -1);
			for (int t = 0; t < TALLIES; t++) {
				struct tally *tally = &racer->tallies[i][t];
				int err = res.fault[0] ? -1 : res.sig ? -100 - res.sig : res.err;

				if (tally->count && (tally->ret != res.ret || tally->err != err) && t < TALLIES - 1)
					continue;
				tally->ret = res.ret;
				tally->err = err;
				tally->count++;
				break;
			}
			clear_result(&res);
		}
	}
	drop_arena();
	return NULL;
}

void op_race(struct reader *r, struct result *res)
{
	uint32_t n = get_array(r), rounds;
	struct racer racers[16] = { 0 };
	pthread_barrier_t barrier;

	if (!n || n > 16) {
		fault(res, "a race of %u programs", n);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct reader program = *r;

		skip(r, 0);
		racers[i].ops = get_array(&program);
		racers[i].program = program;
		racers[i].program.end = r->at;
	}
	rounds = get_int(r);
	if (r->broken)
		return;
	pthread_barrier_init(&barrier, NULL, n);
	for (uint32_t i = 0; i < n; i++) {
		racers[i].rounds = rounds;
		racers[i].barrier = &barrier;
		racers[i].tallies = calloc(racers[i].ops + 1, sizeof(*racers[i].tallies));
		pthread_create(&racers[i].thread, NULL, race_thread, &racers[i]);
	}
	for (uint32_t i = 0; i < n; i++) {
		pthread_join(racers[i].thread, NULL);
		for (uint32_t op = 0; op < racers[i].ops; op++) {
			for (int t = 0; t < TALLIES && racers[i].tallies[op][t].count; t++) {
				value(res, i);
				value(res, op);
				value(res, racers[i].tallies[op][t].ret);
				value(res, racers[i].tallies[op][t].err);
				value(res, racers[i].tallies[op][t].count);
			}
		}
		free(racers[i].tallies);
	}
	pthread_barrier_destroy(&barrier);
}
