/*
 * vitalctl: asks vitald how it is and what it holds. A table of commands; each lives in a file of
 * its own and prints either a page for people or, with --json, one JSON value for scripts. Options
 * that all commands share may stand before or after the command. It looks, but for what has something
 * sent (`sync`, `reconcile`, `anchors import|accept|rewind`), `store downgrade`, and the files that
 * `capture`, `backup`, `report` and `anchors export` write.
 */
#include "ctl/client.h"
#include "ctl/command.h"
#include "ctl/decode.h"
#include "ctl/print.h"
#include "ctl/text.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_RUNTIME_DIR "/run/vitald"
#define DEFAULT_STATE_DIR   "/var/lib/vitald"

struct command {
	const char *name, *arguments, *line, *example, *help;
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

static const struct command commands[] = {
	{"status", "[--watch]", "how it is: wearables, servers, what is wrong",
	 "vitalctl status --watch",
	 "One screen: the verdict in words, what is wrong and what to do about it, the\n"
	 "wearables, the servers. --watch draws it again each second until q.\n\n"
	 "HEARD and CONFIRMED: how old the newest sample is, and the newest that a server\n"
	 "has confirmed; -: none yet. The last table, over an hour, a day and a week: AT\n"
	 "ONCE: share of batches that were confirmed without queueing. LATENCY: from\n"
	 "hearing a sample to the server's receipt, on average. QUEUED: records that had\n"
	 "to wait. RECOVERED: how many of these a server confirmed within a day.\n\n"
	 "Exit code: 0 healthy, 1 degraded (everything is kept, but something does not\n"
	 "happen), 2 not working (nothing is heard or kept). Without a daemon it shows\n"
	 "what the store holds.",
	 command_status},
	{"devices", "", "the wearables: names, batteries, counts", "vitalctl devices --json",
	 "Every wearable that is known: connected or why not, battery, how many frames\n"
	 "came, came twice, could not be read, and how many gaps there were today.",
	 command_devices},
	{"queue", "", "what waits to be sent again, and why", "vitalctl queue",
	 "Batches whose first attempts failed, the most urgent first: how many records,\n"
	 "how often tried, when next, and what the server said last.",
	 command_queue},
	{"anchors", "[export | import | accept | rewind ...]",
	 "up to where each server has confirmed; send again", "vitalctl anchors",
	 "For each server and stream the anchor: the server holds everything up to there\n"
	 "but what it refused (see `quarantine`).\n\n"
	 "  anchors export [FILE]            writes all of them as JSON, to keep them\n"
	 "  anchors import FILE [--dry-run]  sends again what was confirmed since then\n"
	 "  anchors accept SINK              its url was changed, it is the same server\n"
	 "  anchors rewind SINK STREAM|--all --to SEQ|--since WHEN [--dry-run]\n"
	 "                                   sends again what is behind SEQ, or not older\n\n"
	 "STREAM: a wearable (its address), wearable/kind like a0:b1:c2:d3:e4:f5/ecg, or\n"
	 "the beginning of an id. SEQ: as this list shows it, like 12.345; 0 is everything\n"
	 "that is still here. WHEN: 15min, 2d, or a time, UTC. --dry-run says what would\n"
	 "be sent and changes nothing. Nothing can be skipped by any of this, or lost: a\n"
	 "server counts what it has already as duplicates. An import that is ahead of this\n"
	 "hub, or of another one, is refused as a whole.",
	 command_anchors},
	{"quarantine", "", "records that a server refused for good", "vitalctl quarantine",
	 "They are kept, and everything else goes on without them.", command_quarantine},
	{"unreadable", "", "frames of wearables that could not be decoded", "vitalctl unreadable",
	 "The last thousand, with the reason and their first bytes: they are counted and\n"
	 "kept, never guessed.",
	 command_unreadable},
	{"audit", "", "count everything again: does the ledger balance?", "vitalctl audit",
	 "Counts all records anew and compares: what was admitted must be confirmed,\n"
	 "waiting or refused, to the last one. Exit code 0 balanced, 1 not. Takes a while\n"
	 "on a big store; the daemon goes on meanwhile.",
	 command_audit},
	{"events", "[--since WHEN] [--sink NAME] [--kind KIND] [--failed] [--follow]",
	 "what became of each piece of syncing", "vitalctl events --since 15min --failed",
	 "The newest thousand sync events, oldest first. WHEN: a duration (90s, 15min, 1h,\n"
	 "2d) or a time, UTC (\"2026-03-01 12:30\", or 12:30, the last one there was).\n"
	 "KIND: of data (heart_rate) or of event (immediate_success, immediate_failed,\n"
	 "queued, background_success, background_failed, quarantined, reconcile). --follow\n"
	 "goes on with each as it happens, a line each, with --json a JSON object each;\n"
	 "Ctrl-C ends it.",
	 command_events},
	{"config", "", "what is in force, and where it was set", "vitalctl config",
	 "Every key of the configuration, its value, and the file and line that set it, or\n"
	 "that it is the default; features first. When the files were changed and not\n"
	 "reloaded yet it says which keys differ. Without a daemon it shows the files.",
	 command_config},
	{"sync", "", "try everything now", "vitalctl sync",
	 "Ends every wait: commits what was heard, tries every server at once. Returns\n"
	 "immediately; watch it with `vitalctl status --watch`.",
	 command_sync},
	{"reconcile", "[--all] [--wait] [--show]", "compare with what the servers say they hold",
	 "vitalctl reconcile --wait",
	 "Asks each server what it holds of what it has confirmed, and sends again exactly\n"
	 "what it lacks: of the last reconcile_window, with --all of everything that is\n"
	 "kept here. Returns at once; --wait stays until it has ended and shows how far it\n"
	 "is. --show begins nothing: when it was last done, and what was found since.\n\n"
	 "FOUND: lacked: the server had lost it, it is sent again. server only: it is not\n"
	 "here, usually lost in a power cut. conflict: the server has other content; the\n"
	 "stream is held.\n\n"
	 "Exit code with --wait and --show: 0 everything is there or on its way; 1 a\n"
	 "server could not be compared to the end, or holds other content.",
	 command_reconcile},
	{"capture", "FILE [--seconds N] [--device ADDRESS]",
	 "write what wearables send into a file that replays",
	 "vitalctl capture night.btsnoop --seconds 600",
	 "Writes what the daemon hears from now on, of all wearables or of one, until\n"
	 "Ctrl-C or for N seconds. FILE must not exist; only you can read it. It is a\n"
	 "btsnoop file: btmon -r and Wireshark open it, and a vitald with `type = replay`\n"
	 "plays it. That turns a problem into a bug report that replays.\n\n"
	 "It holds health data, and the addresses of the wearables: think of whom you give\n"
	 "it to. Connections and handles in it are made up; values and times are real.\n\n"
	 "What cannot be written fast enough is dropped and counted; the daemon never\n"
	 "waits.",
	 command_capture},
	{"backup", "FILE", "copy the store while it is in use",
	 "vitalctl backup /media/usb/vitald.db",
	 "Writes all that is in the store into FILE, which must not exist: as one commit\n"
	 "left it, looked over, and on the disk when this returns. As root or user vitald.\n"
	 "It has health data in it.\n\n"
	 "To go back to it: stop vitald, put FILE in place of store.db in its state\n"
	 "directory (owned by vitald), remove store.db-wal and store.db-shm, start vitald.\n"
	 "Records then get new streams, so that no number is ever used twice.",
	 command_backup},
	{"check", "[FILE] [--whole]", "is the store, or a backup, damaged?", "vitalctl check",
	 "Looks over every page, then counts all records again (see `audit`); of a FILE\n"
	 "only the first. --whole compares indices with their tables as well. As root or\n"
	 "user vitald; the daemon goes on meanwhile, and nothing is written.\n\n"
	 "Exit code: 0 sound, 1 the ledger does not balance, 65 damaged.",
	 command_check},
	{"store", "downgrade --to VERSION", "make the store one of an older vitald",
	 "vitalctl store downgrade --to 1",
	 "For going back to an older vitald, which refuses a newer store and names\n"
	 "VERSION. Run by the newer one, before the older is installed, with vitald\n"
	 "stopped. A copy of the store is left beside it. All records, and what each\n"
	 "server has, stay. Refused while records move to new names or are brought over\n"
	 "from a damaged store, as `vitalctl status` says: vitald has to end that first.",
	 command_store},
	{"report", "[FILE] [--full]", "gather what a helper needs, without samples or names",
	 "sudo vitalctl report",
	 "Writes a tar archive that must not exist yet and only you can read: versions,\n"
	 "the configuration, what the other commands show, the last lines of the journal,\n"
	 "the units, this machine. It works whatever state the daemon and its store are\n"
	 "in: what cannot be had says so. As root it has the most.\n\n"
	 "Never in it: samples and readings, bytes of frames, tokens and keys. Addresses\n"
	 "of wearables, names, subjects and this hub's name are replaced, the same by the\n"
	 "same throughout one report; --full keeps them. Urls of servers are in it.\n\n"
	 "Look at it before you give it away.",
	 command_report},
	{"decode", "UUID HEX...", "say what a wearable's bytes mean",
	 "vitalctl decode 2a37 16 3c 11 04", NULL, NULL},
};

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (streq(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* Edits that make one of the other (Levenshtein); both are short. */
static size_t distance(const char *a, const char *b)
{
	size_t row[33], n = MIN(strlen(b), ARRAY_SIZE(row) - 1);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] && i < ARRAY_SIZE(row); i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];

			row[j] = MIN(MIN(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

static int unknown(const char *name)
{
	size_t best = 4;
	const char *nearest = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (distance(name, commands[i].name) < best) {
			best = distance(name, commands[i].name);
			nearest = commands[i].name;
		}
	(void)fprintf(stderr, "vitalctl: there is no command \"%.40s\"", name);
	if (nearest)
		(void)fprintf(stderr, "; did you mean `vitalctl %s`?", nearest);
	(void)fprintf(stderr, "\n`vitalctl --help` lists them\n");
	return EXIT_USAGE;
}

bool command_value(int argc, char **argv, int *i, const char *name, const char **ret)
{
	size_t n = strlen(name);

	if (streq(argv[*i], name) && *i + 1 < argc)
		*ret = argv[++*i];
	else if (strncmp(argv[*i], name, n) == 0 && argv[*i][n] == '=')
		*ret = argv[*i] + n + 1;
	else
		return false;
	return true;
}

int command_bad_argument(const char *command, const char *argument)
{
	(void)fprintf(stderr, "vitalctl: %s takes no \"%.60s\"; see `vitalctl %s --help`\n",
		      command, argument, command);
	return EXIT_USAGE;
}

int command_lacks(const char *command, const char *what)
{
	(void)fprintf(stderr, "vitalctl: %s needs %s; see `vitalctl %s --help`\n", command, what,
		      command);
	return EXIT_USAGE;
}

static int help(void)
{
	(void)printf("vitalctl asks vitald how it is and what it holds.\n\n"
		     "  vitalctl [--config FILE] [--json] COMMAND\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)printf("  %-11s %s\n%14se.g. %s\n", commands[i].name, commands[i].line, "",
			     commands[i].example);
	(void)printf(
		"\n"
		"  --config FILE  the daemon's configuration (%s)\n"
		"  --json         one JSON value instead of a page\n"
		"  --version      the version\n\n"
		"`vitalctl COMMAND --help` says more. When the daemon is not running, whatever\n"
		"only looks reads its store, as root or user vitald. Start with `vitalctl\n"
		"status`.\n",
		CONFIG_DEFAULT_FILE);
	return EXIT_FINE;
}

static int help_command(const struct command *c)
{
	struct buf usage = {0};
	char line[120];

	(void)snprintf(line, sizeof(line), "vitalctl %s%s%s [--json]", c->name,
		       c->arguments[0] ? " " : "", c->arguments); /* fits */
	text_wrap(&usage, line, TEXT_WIDTH, sizeof("vitalctl"));
	buf_printf(&usage, "\n%s\n\n%s\n\nFor example: %s\n", c->line, c->help, c->example);
	return print_end(&usage, EXIT_FINE);
}

/* 1: what all commands share, and now *i is at its end; 0: another word; EXIT_USAGE. */
static int take_option(struct ctl *ctl, const char **file, char **argv, int *i)
{
	const char *word = argv[*i];

	if (streq(word, "--json")) {
		ctl->json = true;
	} else if (streq(word, "--help") || streq(word, "-h")) {
		ctl->help = true;
	} else if (strncmp(word, "--config=", 9) == 0) {
		*file = word + 9;
	} else if (streq(word, "--config") && argv[*i + 1]) {
		*file = argv[++*i];
	} else if (streq(word, "--config")) {
		(void)fprintf(stderr, "vitalctl: --config needs a file\n");
		return EXIT_USAGE;
	} else {
		return 0;
	}
	return 1;
}

/* Takes what all commands share out of argv. 0, or EXIT_USAGE. */
static int take_options(struct ctl *ctl, const char **file, int *argc, char **argv)
{
	int n = 1;

	for (int i = 1; i < *argc; i++) {
		/* what stands behind decode is bytes, and nobody's options */
		bool bytes = n > 1 && streq(argv[1], "decode");
		int r = bytes ? 0 : take_option(ctl, file, argv, &i);

		if (r == EXIT_USAGE)
			return r;
		if (r == 0)
			argv[n++] = argv[i];
	}
	*argc = n;
	argv[n] = NULL;
	return 0;
}

/* A config with mistakes is the daemon's problem, and it may well run with an older one: go on. */
static int read_config(struct ctl *ctl, const char *file)
{
	struct buf problems = {0};
	int r = config_load(file ? file : CONFIG_DEFAULT_FILE, &problems, &ctl->config);

	if (r)
		(void)fprintf(stderr, "vitalctl: cannot use the configuration%s\n%.*s",
			      file ? "" : ", looking in the usual places instead",
			      (int)problems.size, problems.data ? (const char *)problems.data : "");
	buf_done(&problems);
	ctl->runtime_dir = r ? DEFAULT_RUNTIME_DIR : ctl->config->runtime_dir;
	ctl->state_dir = r ? DEFAULT_STATE_DIR : ctl->config->state_dir;
	return r && file ? EXIT_USAGE : 0;
}

static int run(const struct command *c, const char *file, struct ctl *ctl, int argc, char **argv)
{
	int r = read_config(ctl, file);

	if (r == 0 && client_new(ctl->runtime_dir, ctl->state_dir, ctl->config, &ctl->client) < 0)
		r = EXIT_NO_MEMORY;
	if (r == 0)
		r = c->run(ctl, argc, argv);
	ctl->client = client_free(ctl->client);
	ctl->config = config_free(ctl->config);
	return r;
}

int main(int argc, char **argv)
{
	const struct command *c;
	const char *file = NULL;
	struct ctl ctl = {0};

	if (take_options(&ctl, &file, &argc, argv))
		return EXIT_USAGE;
	if (argc > 1 && streq(argv[1], "--version")) {
		(void)printf("vitalctl " VITALD_VERSION "\n");
		return EXIT_FINE;
	}
	if (argc < 2 || streq(argv[1], "help"))
		return help();
	c = find(argv[1]);
	if (!c)
		return unknown(argv[1]);
	if (!c->run)
		return command_decode(argc - 1, argv + 1);
	return ctl.help ? help_command(c) : run(c, file, &ctl, argc - 1, argv + 1);
}
