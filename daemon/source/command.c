/*
 * Reads commands to the simulated wearables: NAME STRAP WORD..., one a line. A table says how many
 * words each takes; each says what is wrong with them in a sentence, since a person may be typing.
 * The list for people is in simulator_options.c (--help).
 */
#include "source/command.h"

#include <math.h>
#include <stdio.h>

enum { WORDS_MAX = 4 };

struct command { /* one of the table; its words come after STRAP */
	const char *name;
	unsigned min_words, max_words;
	const char *(*run)(const struct command_context *context, struct wearer *w, char **words,
			   usec_t now);
	bool all; /* has no STRAP */
};

static bool read_double(const char *word, double *ret)
{
	char *end;
	double v = strtod(word, &end);

	if (end == word || *end || isnan(v) || fabs(v) > 1e9)
		return false;
	*ret = v;
	return true;
}

static const char *run_gap(const struct command_context *context, struct wearer *w, char **words,
			   usec_t now)
{
	enum characteristic c = wearer_characteristic(w, words[1]);
	double n;

	if (!read_double(words[0], &n) || n < 0 || n != floor(n))
		return "N is not a whole number";
	if (c == CHARACTERISTIC_UNKNOWN)
		return "this strap does not notify that UUID";
	wearer_lose(w, c, (unsigned)n);
	return NULL;
}

static const char *run_duplicate(const struct command_context *context, struct wearer *w,
				 char **words, usec_t now)
{
	enum characteristic c = wearer_characteristic(w, words[0]);

	if (c == CHARACTERISTIC_UNKNOWN)
		return "this strap does not notify that UUID";
	wearer_duplicate(w, c);
	return NULL;
}

static bool read_hex(const char *hex, uint8_t *ret, size_t max, size_t *ret_n)
{
	size_t n = strlen(hex) / 2;

	if (streq(hex, "-")) {
		*ret_n = 0;
		return true;
	}
	if (strlen(hex) % 2 || n > max || strspn(hex, "0123456789abcdefABCDEF") != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1]};

		ret[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	*ret_n = n;
	return true;
}

static const char *run_malformed(const struct command_context *context, struct wearer *w,
				 char **words, usec_t now)
{
	enum characteristic c = wearer_characteristic(w, words[0]);
	uint8_t data[STRAP_FRAME_SIZE];
	size_t n;

	if (c == CHARACTERISTIC_UNKNOWN)
		return "this strap does not notify that UUID";
	if (!words[1]) {
		wearer_mangle(w, c);
		return NULL;
	}
	if (!read_hex(words[1], data, sizeof(data), &n))
		return "HEX is not at most 229 bytes in hexadecimal";
	wearer_inject(w, c, data, n, now);
	return NULL;
}

static const char *unlink_for(const struct command_context *context, struct wearer *w, char **words,
			      enum gap_reason why, usec_t now)
{
	double away_s = context->away_s;

	if (words[0] && (!read_double(words[0], &away_s) || away_s < 0))
		return "S is not a number of seconds";
	wearer_unlink(w, why, away_s, now);
	return NULL;
}

static const char *run_link_loss(const struct command_context *context, struct wearer *w,
				 char **words, usec_t now)
{
	return unlink_for(context, w, words, GAP_LINK_LOSS, now);
}

static const char *run_disconnect(const struct command_context *context, struct wearer *w,
				  char **words, usec_t now)
{
	return unlink_for(context, w, words, GAP_DISCONNECTED, now);
}

static const char *run_clock_reset(const struct command_context *context, struct wearer *w,
				   char **words, usec_t now)
{
	wearer_reset_clock(w, now);
	return NULL;
}

static const char *run_clock_jump(const struct command_context *context, struct wearer *w,
				  char **words, usec_t now)
{
	double seconds;

	if (!read_double(words[0], &seconds) || fabs(seconds) > 1e9)
		return "S is not a number of seconds";
	wearer_jump_clock(w, seconds, now);
	return NULL;
}

static const char *run_drift(const struct command_context *context, struct wearer *w, char **words,
			     usec_t now)
{
	double ppm;

	if (!read_double(words[0], &ppm) || fabs(ppm) > 50000)
		return "PPM is not a number from -50000 to 50000";
	wearer_drift(w, ppm, now);
	return NULL;
}

static const char *run_mute(const struct command_context *context, struct wearer *w, char **words,
			    usec_t now)
{
	double seconds;

	if (!read_double(words[0], &seconds) || seconds < 0)
		return "S is not a number of seconds";
	wearer_mute(w, seconds, now);
	return NULL;
}

static const char *pause_all(const struct command_context *context, bool paused, usec_t now)
{
	for (unsigned i = 0; i < context->n_wearers; i++)
		wearer_pause(context->wearers[i], paused, now);
	return NULL;
}

static const char *run_pause(const struct command_context *context, struct wearer *w, char **words,
			     usec_t now)
{
	return pause_all(context, true, now);
}

static const char *run_resume(const struct command_context *context, struct wearer *w, char **words,
			      usec_t now)
{
	return pause_all(context, false, now);
}

static const struct command commands[] = {
	{"gap", 1, 2, run_gap, false},
	{"duplicate", 0, 1, run_duplicate, false},
	{"malformed", 0, 2, run_malformed, false},
	{"link_loss", 0, 1, run_link_loss, false},
	{"disconnect", 0, 1, run_disconnect, false},
	{"clock_reset", 0, 0, run_clock_reset, false},
	{"clock_jump", 1, 1, run_clock_jump, false},
	{"drift", 1, 1, run_drift, false},
	{"mute", 1, 1, run_mute, false},
	{"pause", 0, 0, run_pause, true},
	{"resume", 0, 0, run_resume, true},
};

static struct wearer *find_wearer(const struct command_context *context, const char *word)
{
	char number[12];

	for (unsigned i = 0; word && i < context->n_wearers; i++) {
		(void)snprintf(number, sizeof(number), "%u", i);
		if (streq(word, number) || streq(word, wearer_address(context->wearers[i])))
			return context->wearers[i];
	}
	return NULL;
}

const char *command_run(const struct command_context *context, char *line, usec_t now)
{
	char *words[WORDS_MAX + 2] = {NULL}, *save = NULL;
	const struct command *c = commands;
	struct wearer *w = NULL;
	char **rest;
	unsigned n = 0;

	for (char *word = strtok_r(line, " \n", &save); word && n <= WORDS_MAX;
	     word = strtok_r(NULL, " \n", &save))
		words[n++] = word;
	while (c < commands + ARRAY_SIZE(commands) && (n == 0 || !streq(words[0], c->name)))
		c++;
	if (c == commands + ARRAY_SIZE(commands))
		return "unknown command, see `vitald simulate --help`";
	if (!c->all && !(w = find_wearer(context, words[1])))
		return "no such strap: a number from 0, or an address";
	rest = words + (c->all ? 1 : 2);
	n -= c->all ? 1 : 2;
	if (n < c->min_words || n > c->max_words)
		return "wrong number of words, see `vitald simulate --help`";
	return c->run(context, w, rest, now);
}
