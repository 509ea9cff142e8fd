/*
 * Random walks: things that happen in any order, each order known by its seed. VITALD_SEED=n walks one of
 * them, to look at; VITALD_LONG=1 two thousand.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* 0 to n - 1; `seed` goes on. */
static inline unsigned walk_dice(uint64_t *seed, unsigned n)
{
	*seed = *seed * 6364136223846793005 + 1442695040888963407;
	return (unsigned)(*seed >> 33) % n;
}

/* False: only the one that was asked for. */
static inline bool walk_all(void (*walk)(uint64_t seed))
{
	const char *one = getenv("VITALD_SEED");
	uint64_t n = getenv("VITALD_LONG") ? 2000 : 40;

	if (one) {
		walk(strtoull(one, NULL, 10));
		return false;
	}
	for (uint64_t seed = 1; seed <= n; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		walk(seed);
	}
	return true;
}
