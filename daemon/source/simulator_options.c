/*
 * The command line of `vitald simulate`, as one table: an option's name, where its number goes, and
 * what numbers make sense. The help is the manual of the simulator, commands at run time included.
 */
#include "source/simulator_options.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>

enum { DEFAULT_SNDBUF = 106496 }; /* which Linux doubles to 212992, its default: 167 ECG frames */

static const char help[] =
	"usage: vitald simulate --socket PATH --truth FILE [OPTION...]\n"
	"       vitald simulate --socket PATH --tell COMMAND\n"
	"\n"
	"Simulated chest straps. A daemon with `[source] type = simulate` connects to PATH and "
	"gets their\n"
	"notifications as bluetoothd hands them out: one SEQPACKET socket a characteristic, a "
	"packet a\n"
	"notification, dropped when the socket is full. Straps go on while nobody listens. FILE "
	"tells\n"
	"each notification and what became of it, a JSON object a line; it starts anew.\n"
	"\n"
	"  --straps N               straps, 1 to 16 (3)\n"
	"  --ecg N                  how many of them, the first ones, send ECG too (2)\n"
	"  --seed N                 same seed, same hearts (1)\n"
	"  --speed X                strap time runs X times as fast, 0.01 to 10000 (1)\n"
	"  --duration S             stop after S seconds of strap time (never): waits until all "
	"is\n"
	"                           read, ten seconds at most, ends the truth file and exits 0\n"
	"  --sndbuf BYTES           of each notification socket (106496: 167 ECG frames)\n"
	"\n"
	"Misbehaviour; rates are probabilities a notification, S is strap time:\n"
	"  --drop RATE              lost in the air\n"
	"  --duplicate RATE         sent twice\n"
	"  --malformed RATE         mangled\n"
	"  --link-loss-every S      the link of each strap breaks each S seconds\n"
	"  --disconnect-every S     the strap ends the link each S seconds\n"
	"  --away S                 how long it is gone then (5)\n"
	"  --jitter S               each notification is late by up to S seconds, in order\n"
	"  --stall-every S          each S seconds the radio stalls; what waited comes in a bunch\n"
	"  --stall S                for so long (1)\n"
	"  --clock-reset-every S    the sensor's clock falls back to 2019-01-01\n"
	"  --drift-ppm N[,N...]     the crystal is fast by N parts in a million; a value a strap,\n"
	"                           the last one for all that follow (0)\n"
	"\n"
	"Commands while it runs, by --tell or as packets on the SEQPACKET socket PATH.ctl, each "
	"answered\n"
	"with `ok` or `error: ...`. STRAP is a number from 0 or an address; UUID defaults to ECG "
	"where the\n"
	"strap has it, else 2a37:\n"
	"  gap STRAP N [UUID]            the next N notifications are lost in the air\n"
	"  duplicate STRAP [UUID]        the next one is sent twice\n"
	"  malformed STRAP [UUID [HEX]]  the next one is mangled, or these bytes are sent now (- "
	"is none)\n"
	"  link_loss STRAP [S]           the link breaks, for S strap seconds (--away)\n"
	"  disconnect STRAP [S]          the strap ends the link\n"
	"  clock_reset STRAP             the sensor's clock falls back\n"
	"  clock_jump STRAP S            it is set forward by S seconds, or back\n"
	"  drift STRAP PPM               from now on\n"
	"  mute STRAP S                  linked, but nothing arrives for S strap seconds\n"
	"  pause, resume                 time stands still for all straps\n"
	"\n"
	"SIGTERM and SIGINT: waits up to a second for the daemon to read what is there, marks the "
	"rest\n"
	"unread, ends the truth file, exits 0. Exit status: 0, 1 when something failed, 2 for bad "
	"usage.\n";

struct number_option {
	const char *name;
	double min, max;
	size_t at; /* of a double in struct simulator_options */
};

#define FIELD(f) offsetof(struct simulator_options, f)
static const struct number_option numbers[] = {
	{"speed", 0.01, 10000, FIELD(speed)},
	{"duration", 0.001, 1e9, FIELD(duration_s)},
	{"drop", 0, 1, FIELD(drop)},
	{"duplicate", 0, 1, FIELD(duplicate)},
	{"malformed", 0, 1, FIELD(malformed)},
	{"link-loss-every", 0.1, 1e9, FIELD(link_loss_every_s)},
	{"disconnect-every", 0.1, 1e9, FIELD(disconnect_every_s)},
	{"clock-reset-every", 0.1, 1e9, FIELD(clock_reset_every_s)},
	{"away", 0, 1e9, FIELD(away_s)},
	{"jitter", 0, 1e9, FIELD(jitter_s)},
	{"stall-every", 0.1, 1e9, FIELD(stall_every_s)},
	{"stall", 0, 1e9, FIELD(stall_s)},
};

enum {
	OPT_NUMBER = 256,
	OPT_SOCKET = 512,
	OPT_TRUTH,
	OPT_TELL,
	OPT_STRAPS,
	OPT_ECG,
	OPT_SEED,
	OPT_SNDBUF,
	OPT_DRIFT,
	OPT_HELP
};

/* OPT_NUMBER + n is the n-th of `numbers`. */
static const struct option options[] = {
	{"speed", required_argument, NULL, OPT_NUMBER + 0},
	{"duration", required_argument, NULL, OPT_NUMBER + 1},
	{"drop", required_argument, NULL, OPT_NUMBER + 2},
	{"duplicate", required_argument, NULL, OPT_NUMBER + 3},
	{"malformed", required_argument, NULL, OPT_NUMBER + 4},
	{"link-loss-every", required_argument, NULL, OPT_NUMBER + 5},
	{"disconnect-every", required_argument, NULL, OPT_NUMBER + 6},
	{"clock-reset-every", required_argument, NULL, OPT_NUMBER + 7},
	{"away", required_argument, NULL, OPT_NUMBER + 8},
	{"jitter", required_argument, NULL, OPT_NUMBER + 9},
	{"stall-every", required_argument, NULL, OPT_NUMBER + 10},
	{"stall", required_argument, NULL, OPT_NUMBER + 11},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"truth", required_argument, NULL, OPT_TRUTH},
	{"tell", required_argument, NULL, OPT_TELL},
	{"straps", required_argument, NULL, OPT_STRAPS},
	{"ecg", required_argument, NULL, OPT_ECG},
	{"seed", required_argument, NULL, OPT_SEED},
	{"sndbuf", required_argument, NULL, OPT_SNDBUF},
	{"drift-ppm", required_argument, NULL, OPT_DRIFT},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

static int complain(const char *what, const char *value, const char *expected)
{
	(void)fprintf(stderr, "vitald simulate: --%s %s: %s\n", what, value, expected);
	return SIMULATOR_E_USAGE;
}

static bool read_whole(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	char *end;
	uint64_t v;

	if (s[0] < '0' || s[0] > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

static bool read_number(const char *s, double min, double max, double *ret)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || isnan(v) || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

static int set_number(const struct number_option *n, const char *value, struct simulator_options *o)
{
	char expected[64];
	double v;

	if (!read_number(value, n->min, n->max, &v)) {
		(void)snprintf(expected, sizeof(expected), "wants a number from %g to %g", n->min,
			       n->max);
		return complain(n->name, value, expected);
	}
	memcpy((char *)o + n->at, &v, sizeof(v));
	return 0;
}

static int set_drift(const char *value, struct simulator_options *o)
{
	char text[256], *save = NULL, *word;
	unsigned n = 0;
	double v = 0;

	(void)snprintf(text, sizeof(text), "%s", value);
	for (word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (n == STRAP_MAX || !read_number(word, -50000, 50000, &v))
			return complain("drift-ppm", value,
					"wants numbers from -50000 to 50000, "
					"comma between, one a strap");
		o->drift_ppm[n++] = v;
	}
	for (; n < STRAP_MAX; n++)
		o->drift_ppm[n] = v;
	return 0;
}

static int set_whole(int option, const char *value, struct simulator_options *o)
{
	uint64_t v;

	switch (option) {
	case OPT_STRAPS:
		if (!read_whole(value, 1, STRAP_MAX, &v))
			return complain("straps", value, "wants 1 to 16");
		o->n_straps = (unsigned)v;
		return 0;
	case OPT_ECG:
		if (!read_whole(value, 0, STRAP_MAX, &v))
			return complain("ecg", value, "wants 0 to 16");
		o->n_ecg = (unsigned)v;
		return 0;
	case OPT_SNDBUF:
		if (!read_whole(value, 1, 1 << 24, &v))
			return complain("sndbuf", value, "wants 1 to 16777216 bytes");
		o->sndbuf = (int)v;
		return 0;
	default:
		if (!read_whole(value, 0, UINT64_MAX, &o->seed))
			return complain("seed", value, "wants a whole number");
		return 0;
	}
}

static int set_option(int option, char *value, struct simulator_options *o)
{
	switch (option) {
	case OPT_SOCKET: o->socket = value; return 0;
	case OPT_TRUTH: o->truth = value; return 0;
	case OPT_TELL: o->tell = value; return 0;
	case OPT_DRIFT: return set_drift(value, o);
	case OPT_HELP: (void)fputs(help, stdout); return SIMULATOR_E_HELP;
	case '?':
		(void)fputs("vitald simulate: see `vitald simulate --help`\n", stderr);
		return SIMULATOR_E_USAGE;
	default: break;
	}
	if (option >= OPT_NUMBER && option < OPT_NUMBER + (int)ARRAY_SIZE(numbers))
		return set_number(&numbers[option - OPT_NUMBER], value, o);
	return set_whole(option, value, o);
}

static int check(const struct simulator_options *o, const char *surplus)
{
	const char *problem = NULL;

	if (surplus)
		problem = "takes options only";
	else if (!o->socket)
		problem = "--socket PATH is missing: where a daemon finds the straps";
	else if (!o->truth && !o->tell)
		problem = "--truth FILE is missing: where to write what was sent";
	if (!problem)
		return 0;
	(void)fprintf(stderr, "vitald simulate: %s\n", problem);
	return SIMULATOR_E_USAGE;
}

int simulator_options_parse(int argc, char **argv, struct simulator_options *ret)
{
	struct simulator_options o = {.n_straps = 3,
				      .n_ecg = 2,
				      .seed = 1,
				      .speed = 1,
				      .away_s = 5,
				      .stall_s = 1,
				      .sndbuf = DEFAULT_SNDBUF};
	int option, r;

	optind = 0; /* glibc: start over, whoever used getopt before */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = set_option(option, optarg, &o);
		if (r != 0)
			return r;
	}
	r = check(&o, optind < argc ? argv[optind] : NULL);
	if (r == 0)
		*ret = o;
	return r;
}
