/* What is missing or wrong, in words: what, what follows from it, what to do. */
#pragma once

#include "control/say.h"
#include "control/snapshot.h"

enum { PROBLEMS_MAX = 32 };

struct problem_text {
	enum severity severity;
	char what[SAY_SIZE];   /* the headline */
	char detail[SAY_SIZE]; /* ... in the words of who found out, for who mends it; or "" */
	char consequence[SAY_SIZE], remedy[SAY_SIZE];
};

/* All zeroes is empty. */
struct problem_list {
	struct problem_text problem[PROBLEMS_MAX]; /* the gravest first */
	size_t n;
};

/* What the store owes one sink; numbers of records. */
struct sink_debt {
	uint64_t confirmed, waiting, quarantined;
	unsigned held; /* streams in conflict */
};
struct sink_debt problems_sink_debt(const struct snapshot *s, uint32_t sink);
/* The store's number of a sink with this name; 0: none. */
uint32_t problems_sink_number(const struct snapshot *s, const char *name);
const struct sink_state *problems_sink_state(const struct snapshot *s, const char *name);
/* Wall time of its last receipt, in this run or, as the store has it, in an earlier one; 0: never. */
int64_t problems_last_success(const struct snapshot *s, const char *name);

void problems_find(const struct snapshot *s, struct problem_list *ret);
