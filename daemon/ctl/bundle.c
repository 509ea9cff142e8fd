/*
 * Gathers first, for only who knows every name can take them all out; then writes file by file, each
 * through the mask:
 *
 *	readme.txt version.txt machine.txt units.txt journal.txt
 *	config.json status.json devices.json queue.json anchors.json reconcile.json events.json
 *	quarantine.json unreadable.json audit.json
 *
 * What needs root's rights (the journal, the tokens, so that they can be looked for) is asked first:
 * on a store that nobody owns the client becomes another user.
 *
 * Readings are left out by name of the column. They are health data, and so is what a server said
 * about a record that it refused, and the bytes of a frame that could not be read.
 */
#include "ctl/bundle.h"

#include "ctl/client.h"
#include "ctl/facts.h"
#include "ctl/mask.h"
#include "ctl/print.h"
#include "ctl/program.h"
#include "ctl/tar.h"
#include "util/file.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define FOLDER	     "vitald-report/"
#define PATIENCE     (15 * USEC_PER_SEC) /* for a program */
#define LINES	     "2000"
#define JOURNAL_MAX  (4U << 20)
#define UNITS_MAX    (256U << 10)
#define TOKEN_MAX    (16U << 10)
#define PROBLEM_SIZE 400

/* What is asked of the daemon or the store. The audit comes last: it may take a while. */
static const char *const questions[] = {"status",     "config",	   "devices", "queue",
					"anchors",    "reconcile", "events",  "quarantine",
					"unreadable", "audit"};

static const struct {
	const char *table, *column;
} left_out[] = {{"devices", "bpm"},
		{"devices", "readings"},
		{"quarantine", "detail"},
		{"unreadable", "hex"}};

struct answer {
	const char *which;
	struct tables tables;
	char problem[PROBLEM_SIZE]; /* why it is not the daemon's, or why there is none */
	bool there;
};

struct gathering {
	struct ctl *ctl;
	struct mask *mask;
	struct buf machine, units, journal;
	struct answer answers[ARRAY_SIZE(questions)];
	struct tables files; /* the config that is on the card */
	uint64_t seconds;    /* since 1970 */
	struct bundle *to;
};

void bundle_done(struct bundle *b)
{
	buf_done(&b->archive);
	buf_done(&b->names);
	buf_done(&b->missing);
}

static void gathering_done(struct gathering *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(g->answers); i++)
		tables_done(&g->answers[i].tables);
	tables_done(&g->files);
	buf_done(&g->machine);
	buf_done(&g->units);
	buf_done(&g->journal);
	g->mask = mask_free(g->mask);
}

/* --- gathering --- */

#define UNIT_NAMES                                                                                \
	"vitald.service", "vitald-sync.service", "vitald-sync.timer", "vitald-reconcile.service", \
		"vitald-reconcile.timer", "vitald-cleanup.service", "vitald-cleanup.timer",       \
		"vitald-recover.path", "vitald-recover.service"

/* Not all of them: an environment, or a credential that is set in the unit, is nobody's business. */
static const char unit_properties[] =
	"Id,LoadState,UnitFileState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,"
	"ExecMainStartTimestamp,ExecMainExitTimestamp,NRestarts,MainPID,MemoryCurrent,"
	"CPUUsageNSec,IOWriteBytes,TasksCurrent,WatchdogUSec,StatusText,FragmentPath,DropInPaths,"
	"NeedDaemonReload,LastTriggerUSec,NextElapseUSecMonotonic,TimersMonotonic";

static void ask_systemd(struct gathering *g)
{
	static const char *const status[] = {"systemctl", "--no-pager", "--full",   "--lines=0",
					     "status",	  "--",		UNIT_NAMES, NULL};
	static const char *const show[] = {"systemctl",	    "--no-pager", "show",     "--property",
					   unit_properties, "--",	  UNIT_NAMES, NULL};
	static const char *const journal[] = {"journalctl",
					      "--no-pager",
					      "--no-hostname",
					      "--quiet",
					      "--output=short-iso",
					      "--lines",
					      LINES,
					      "--unit=vitald.service",
					      "--unit=vitald-sync.service",
					      "--unit=vitald-reconcile.service",
					      "--unit=vitald-cleanup.service",
					      "--unit=vitald-recover.service",
					      NULL};

	program_run(status, PATIENCE, UNITS_MAX, &g->units);
	buf_string(&g->units, "\n");
	program_run(show, PATIENCE, UNITS_MAX, &g->units);
	program_run(journal, PATIENCE, JOURNAL_MAX, &g->journal);
	if (!g->journal.size && !g->journal.failed)
		buf_string(&g->journal, "[there are no lines of vitald, or this user may not read "
					"them: use sudo]\n");
}

static void ask(struct gathering *g, struct answer *a)
{
	struct client *client = g->ctl->client;
	bool config = streq(a->which, "config");
	int r = config ? client_ask(client, a->which, &a->tables)
		       : client_query(client, a->which, &a->tables);
	const char *problem = client_problem(client);

	(void)snprintf(a->problem, sizeof(a->problem), "%s",
		       r && !problem[0] ? strerror(r < 0 ? -r : EIO) : problem);
	a->there = r == 0;
	if (r == 0)
		return;
	tables_done(&a->tables);
	a->tables = (struct tables){0};
	if (config)
		a->there = command_config_files(g->ctl, &a->tables) != NULL;
}

static void ask_all(struct gathering *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		struct answer *a = &g->answers[i];

		a->which = questions[i];
		ask(g, a);
		if (i == 0 && a->problem[0])
			client_spare(g->ctl->client); /* each question would wait as long again */
	}
	(void)command_config_files(g->ctl, &g->files); /* NULL: they have mistakes */
}

/* --- what is to be taken out --- */

/* What a machine is called before anybody calls it something: names nobody, and stands everywhere. */
static int learn_word(struct mask *m, const char *kind, const char *word)
{
	static const char *const nobody[] = {"localhost", "debian", "raspberrypi", "vitald"};

	for (size_t i = 0; i < ARRAY_SIZE(nobody); i++)
		if (strcasecmp(word, nobody[i]) == 0)
			return 0;
	return mask_name(m, kind, word);
}

static int learn_column(struct mask *m, const struct table *t, const char *column, const char *kind)
{
	int r = 0;

	for (size_t row = 0; r == 0 && row < table_rows(t); row++)
		r = learn_word(m, kind, table_get_string(t, row, column));
	return r;
}

static int learn_config(struct mask *m, const struct table *t)
{
	static const char *const kinds[] = {"name", "subject", "gateway"};
	int r = 0;

	for (size_t row = 0; r == 0 && row < table_rows(t); row++)
		for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++)
			if (streq(table_get_string(t, row, "key"), kinds[i]))
				r = learn_word(m, kinds[i], table_get_string(t, row, "value"));
	return r;
}

static int learn_tables(struct mask *m, const struct tables *t)
{
	int r = learn_column(m, tables_find(t, "devices"), "name", "name");

	for (size_t i = 0; r == 0 && i < t->n; i++) {
		r = learn_column(m, t->table[i], "subject", "subject");
		if (r == 0)
			r = learn_column(m, t->table[i], "gateway", "gateway");
	}
	return r ? r : learn_config(m, tables_find(t, "config"));
}

static int learn_host(struct mask *m)
{
	char name[256] = "";

	if (gethostname(name, sizeof(name) - 1) < 0)
		return 0; /* then nobody else knows it either */
	return learn_word(m, "gateway", name);
}

/* The first word of the file, as upload/token.c reads it. */
static int learn_token(struct mask *m, struct buf *file)
{
	char *word;

	buf_u8(file, 0);
	if (file->failed)
		return -ENOMEM;
	word = (char *)file->data + strspn((char *)file->data, " \t\r\n");
	word[strcspn(word, " \t\r\n")] = '\0';
	return mask_secret(m, word);
}

/* Nothing of ours writes them anywhere; should something do so one day, they are not in here. */
static int learn_tokens(struct mask *m, const struct config *c)
{
	int r = 0;

	for (size_t i = 0; c && r == 0 && i < c->n_sinks; i++) {
		struct buf token = {0};

		if (c->sinks[i].token_file &&
		    file_read(c->sinks[i].token_file, TOKEN_MAX, &token) == 0)
			r = learn_token(m, &token);
		buf_done(&token);
	}
	return r;
}

static int learn(struct gathering *g)
{
	int r = learn_host(g->mask);

	if (r == 0)
		r = learn_tables(g->mask, &g->files);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(g->answers); i++)
		r = learn_tables(g->mask, &g->answers[i].tables);
	if (r == 0)
		r = mask_learn(g->mask, (const char *)g->journal.data, g->journal.size);
	return r;
}

/* --- writing --- */

static void put_file(struct gathering *g, const char *name, const struct buf *content)
{
	char path[64];

	(void)snprintf(path, sizeof(path), FOLDER "%s", name); /* fits */
	tar_add(&g->to->archive, path, g->seconds, content);
	buf_printf(&g->to->names, "%s\n", name);
}

static void put_text(struct gathering *g, const char *name, const struct buf *text)
{
	struct buf masked = {0};

	mask_text(g->mask, (const char *)text->data, text->size, &masked);
	masked.failed = masked.failed || text->failed;
	put_file(g, name, &masked);
	buf_done(&masked);
}

static void put_string(struct gathering *g, struct json *j, const char *s)
{
	struct buf masked = {0};

	mask_text(g->mask, s, strlen(s), &masked);
	buf_u8(&masked, 0);
	if (masked.failed)
		j->out->failed = true;
	else
		json_text(j, (const char *)masked.data);
	buf_done(&masked);
}

static bool is_left_out(const struct table *t, size_t row, const char *column)
{
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (streq(t->name, left_out[i].table) && streq(column, left_out[i].column))
			return true;
	return streq(t->name, "events") && streq(column, "reason") &&
	       streq(table_get_string(t, row, "type"), "quarantined");
}

static void put_row(struct gathering *g, struct json *j, const struct table *t, size_t row)
{
	json_open(j, '{');
	for (size_t i = 0; i < t->n_columns; i++) {
		const struct cell *c = &t->cells[row * t->n_columns + i];

		if (is_left_out(t, row, t->columns[i]))
			continue;
		json_key(j, t->columns[i]);
		/* whose id a characteristic has is its maker's */
		if (c->type == CELL_STRING && !streq(t->columns[i], "characteristic"))
			put_string(g, j, c->string);
		else
			print_json_cell(j, c);
	}
	json_close(j, '}');
}

static void put_answer(struct gathering *g, const struct answer *a)
{
	struct buf content = {0};
	struct json j = json_make(&content);
	char name[40];

	json_open(&j, '{');
	json_key(&j, "problem");
	if (a->problem[0])
		put_string(g, &j, a->problem);
	else
		json_none(&j);
	for (size_t i = 0; a->there && i < a->tables.n; i++) {
		const struct table *t = a->tables.table[i];

		json_key(&j, t->name);
		json_open(&j, '[');
		for (size_t row = 0; row < table_rows(t); row++)
			put_row(g, &j, t, row);
		json_close(&j, ']');
	}
	json_close(&j, '}');
	buf_string(&content, "\n");
	(void)snprintf(name, sizeof(name), "%s.json", a->which); /* fits */
	put_file(g, name, &content);
	buf_done(&content);
	if (!a->there)
		buf_printf(&g->to->missing, "%s: %s\n", a->which, a->problem);
}

static void put_version(struct gathering *g)
{
	struct buf text = {0};

	buf_printf(&text,
		   "vitalctl %s\nbuilt by: %s, for %zu bit, byte order %d\nconfiguration in: %s\n",
		   VITALD_VERSION, __VERSION__, 8 * sizeof(void *), __BYTE_ORDER__,
		   VITALD_SYSCONFDIR);
	buf_string(&text, "The version that runs is in status.json.\n");
	put_text(g, "version.txt", &text);
	buf_done(&text);
}

static void put_readme(struct gathering *g, bool full)
{
	struct buf text = {0};

	buf_string(
		&text,
		"A report of vitald, for whoever helps with it.\n\n"
		"machine.txt   the system, its clock, its card, its Bluetooth adapters\n"
		"units.txt     what systemd knows of vitald and its timers\n"
		"journal.txt   the last " LINES " lines of vitald and its background\n"
		"*.json        what `vitalctl NAME --json` shows; `problem` says why it is not\n"
		"              the daemon's answer, or why there is none\n\n"
		"Not in it: samples and readings of any kind, bytes of frames, tokens and keys.\n");
	buf_string(&text,
		   full ? "Made with --full: addresses, names and subjects are in it as they are.\n"
			: "device-*, name-*, subject-*, gateway-* and id-* stand for addresses, "
			  "names,\n"
			  "subjects, this hub and ids: the same for the same everywhere in this "
			  "report,\n"
			  "and for nothing outside of it.\n");
	put_file(g, "readme.txt", &text);
	buf_done(&text);
}

static int put_all(struct gathering *g, bool full)
{
	bool failed = tables_failed(&g->files);

	put_readme(g, full);
	put_version(g);
	put_text(g, "machine.txt", &g->machine);
	put_text(g, "units.txt", &g->units);
	put_text(g, "journal.txt", &g->journal);
	for (size_t i = 0; i < ARRAY_SIZE(g->answers); i++) {
		put_answer(g, &g->answers[i]);
		failed = failed || tables_failed(&g->answers[i].tables);
	}
	tar_end(&g->to->archive);
	return failed || g->to->archive.failed || g->to->names.failed || g->to->missing.failed
		       ? -ENOMEM
		       : 0;
}

int bundle_make(struct ctl *ctl, bool full, struct bundle *ret)
{
	_cleanup_(gathering_done) struct gathering g = {
		.ctl = ctl, .to = ret, .seconds = (uint64_t)clock_wall_usec() / USEC_PER_SEC};
	int r = mask_new(full, &g.mask);

	if (r == 0)
		r = learn_tokens(g.mask, ctl->config);
	if (r < 0)
		return r;
	facts_put(ctl->state_dir, &g.machine);
	ask_systemd(&g);
	ask_all(&g);
	r = learn(&g);
	return r < 0 ? r : put_all(&g, full);
}
