/*
 * Durations and sizes as people say them: two units at most, since at three in the morning nobody
 * wants the seconds of a day.
 */
#include "util/human.h"

#include <inttypes.h>
#include <stdio.h>

const char *human_duration(usec_t us, char ret[static HUMAN_SIZE])
{
	uint64_t s = us / USEC_PER_SEC;

	if (us < USEC_PER_SEC)
		(void)snprintf(ret, HUMAN_SIZE, "%" PRIu64 " ms", us / USEC_PER_MSEC);
	else if (s < 120)
		(void)snprintf(ret, HUMAN_SIZE, "%" PRIu64 " s", s);
	else if (s < 3600)
		(void)snprintf(ret, HUMAN_SIZE, "%" PRIu64 " min", s / 60);
	else if (s < 86400)
		(void)snprintf(ret, HUMAN_SIZE, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
			       s / 60 % 60);
	else
		(void)snprintf(ret, HUMAN_SIZE, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
			       s / 3600 % 24);
	return ret;
}

const char *human_age(usec_t us, char ret[static HUMAN_SIZE])
{
	if (us >= USEC_PER_SEC)
		return human_duration(us, ret);
	(void)snprintf(ret, HUMAN_SIZE, "a moment");
	return ret;
}

/* It is measured: an hour comes as 59 min 59.998 s, which nobody calls 59 minutes. */
const char *human_step(int64_t us, char ret[static HUMAN_STEP_SIZE])
{
	usec_t far = us < 0 ? -(usec_t)us : (usec_t)us;
	char text[HUMAN_SIZE];

	if (far >= USEC_PER_SEC)
		far += USEC_PER_SEC / 2;
	(void)snprintf(ret, HUMAN_STEP_SIZE, "%s by %s", us < 0 ? "back" : "forward",
		       human_duration(far, text));
	return ret;
}

const char *human_size(uint64_t bytes, char ret[static HUMAN_SIZE])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)bytes;
	size_t i = 0;

	for (; v >= 1023.95 && i + 1 < ARRAY_SIZE(units); i++)
		v /= 1024;
	(void)snprintf(ret, HUMAN_SIZE, i ? "%.1f %s" : "%.0f %s", v, units[i]);
	return ret;
}

const char *human_records(uint64_t n, char ret[static HUMAN_SIZE + 8])
{
	(void)snprintf(ret, HUMAN_SIZE + 8, "%" PRIu64 " record%s", n, n == 1 ? "" : "s");
	return ret;
}
