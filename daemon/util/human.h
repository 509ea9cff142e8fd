/* Durations and sizes as people say them. */
#pragma once

#include "util/macro.h"

#define HUMAN_SIZE	24
#define HUMAN_STEP_SIZE (HUMAN_SIZE + 16)

/* "250 ms", "4 s", "12 min", "3 h 20 min", "2 d 4 h"; into `ret`, which it returns. */
const char *human_duration(usec_t us, char ret[static HUMAN_SIZE]);
/* Of "for", "in" and "ago": the same, and "a moment" for less than a second. */
const char *human_age(usec_t us, char ret[static HUMAN_SIZE]);
/* How far a clock was set, to the nearest second: "forward by 1 h 0 min", "back by 250 ms". */
const char *human_step(int64_t us, char ret[static HUMAN_STEP_SIZE]);
/* "812 B", "4.0 KiB", "1.2 GiB"; into `ret`, which it returns. */
const char *human_size(uint64_t bytes, char ret[static HUMAN_SIZE]);
/* "1 record", "812 records"; into `ret`, which it returns. */
const char *human_records(uint64_t n, char ret[static HUMAN_SIZE + 8]);
