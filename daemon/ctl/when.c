/* Durations and moments on a command line. strptime() takes what is too long or too large for no time. */
#include "ctl/when.h"

#include <time.h>

#define A_DAY (86400 * (int64_t)USEC_PER_SEC)

/* "90s", "15min", "1h", "2d": microseconds; false: not like that. */
static bool parse_duration(const char *s, usec_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	unsigned long n;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoul(s, &end, 10);
	if (errno || n > 100000)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (streq(end, units[i].unit)) {
			*ret = n * units[i].seconds * USEC_PER_SEC;
			return true;
		}
	return false;
}

/*
 * "2026-03-01 12:00:00", with T or without seconds; "12:00" is the last one there was: at one in the
 * morning "23:30" is no time to come. UTC, as the page shows it.
 */
static bool parse_moment(const char *s, int64_t now_us, int64_t *ret)
{
	static const char *const formats[] = {"%Y-%m-%d %H:%M:%S",  "%Y-%m-%dT%H:%M:%S",
					      "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M",
					      "%Y-%m-%dT%H:%M",	    "%Y-%m-%d",
					      "%H:%M:%S",	    "%H:%M"};
	time_t now = (time_t)(now_us / (int64_t)USEC_PER_SEC);

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm tm = {0};
		const char *end;

		if (formats[i][1] == 'H' && !gmtime_r(&now, &tm))
			continue;
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		end = strptime(s, formats[i], &tm);
		if (!end || *end)
			continue;
		*ret = (int64_t)timegm(&tm) * (int64_t)USEC_PER_SEC;
		if (formats[i][1] == 'H' && *ret > now_us)
			*ret -= A_DAY;
		return true;
	}
	return false;
}

bool when_parse(const char *s, int64_t now_wall_us, int64_t *ret_wall_us)
{
	usec_t ago;

	if (!parse_duration(s, &ago))
		return parse_moment(s, now_wall_us, ret_wall_us);
	*ret_wall_us = now_wall_us - (int64_t)ago;
	return true;
}
