/*
 * What an owner does with anchors. An export says up to where each server has confirmed what; an
 * import, weeks later, has sent again what was confirmed since; a rewind says from where on by hand.
 * None of them can make the hub skip a record: an anchor that is ahead of ours is refused, and the
 * daemon, which does it, only adds to what it owes. A file is looked at as a whole before anything
 * is done because of it.
 */
#include "ctl/anchors.h"

#include "ctl/client.h"
#include "ctl/print.h"
#include "ctl/text.h"
#include "ctl/when.h"
#include "model/anchor_file.h"
#include "util/file.h"
#include "util/human.h"
#include "util/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFIX_MIN = 4, STREAM_SIZE = 128 };

/* --- export -------------------------------------------------------------------------------- */

static void put_ranges(struct json *j, const struct table *queue, const char *sink,
		       const char *stream)
{
	json_open(j, '[');
	for (size_t i = 0; i < table_rows(queue); i++) {
		if (!streq(table_get_string(queue, i, "sink"), sink) ||
		    !streq(table_get_string(queue, i, "stream"), stream))
			continue;
		json_open(j, '[');
		json_uint(j, table_get_u64(queue, i, "first_seq", 0));
		json_uint(j, table_get_u64(queue, i, "last_seq", 0));
		json_close(j, ']');
	}
	json_close(j, ']');
}

static void put_anchor(struct json *j, const struct table *t, size_t row, const struct table *queue)
{
	static const struct {
		const char *name, *column;
	} texts[] = {{"sink", "sink"},
		     {"stream", "stream"},
		     {"device", "device"},
		     {"data_type", "data_type"},
		     {"subject", "subject"}},
	  numbers[] = {{"anchor", "anchor_seq"}, {"cursor", "cursor_seq"}, {"last", "last_seq"}};

	json_open(j, '{');
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_key(j, texts[i].name);
		json_text(j, table_get_string(t, row, texts[i].column));
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		json_key(j, numbers[i].name);
		json_uint(j, table_get_u64(t, row, numbers[i].column, 0));
	}
	json_key(j, "rows");
	put_ranges(j, queue, table_get_string(t, row, "sink"), table_get_string(t, row, "stream"));
	json_close(j, '}');
}

/* A line an anchor, so that a mistake in the file has a line, and diff(1) shows what moved. */
static void make_export(struct buf *out, const struct tables *anchors, const struct table *queue)
{
	const struct table *t = tables_find(anchors, "anchors");
	const struct table *all = tables_find(anchors, "anchors_summary");
	struct json j = json_make(out);
	char now[32];

	clock_format(clock_wall_usec(), now);
	json_open(&j, '{');
	json_key(&j, "format");
	json_text(&j, ANCHOR_FILE_FORMAT);
	json_key(&j, "version");
	json_uint(&j, ANCHOR_FILE_VERSION);
	json_key(&j, "incarnation");
	json_text(&j, table_get_string(all, 0, "incarnation"));
	json_key(&j, "gateway");
	json_text(&j, table_get_string(all, 0, "gateway"));
	json_key(&j, "exported");
	json_text(&j, now);
	json_key(&j, "anchors");
	json_open(&j, '[');
	for (size_t row = 0; row < table_rows(t); row++) {
		buf_string(out, row ? "" : "\n");
		put_anchor(&j, t, row, queue);
		j.comma = false; /* ours has a line end with it */
		buf_string(out, row + 1 < table_rows(t) ? ",\n" : "\n");
	}
	json_close(&j, ']');
	json_close(&j, '}');
	buf_string(out, "\n");
}

static int complain_file(const char *path, int r)
{
	(void)fprintf(stderr, "vitalctl: %s: %s\n", path,
		      r == -EEXIST ? "is there already, and is not written over" : strerror(-r));
	return EXIT_UNAVAILABLE;
}

static void say_cut(const struct table *all)
{
	uint64_t n = table_get_u64(all, 0, "anchors", 0);
	uint64_t shown = table_get_u64(all, 0, "shown", 0);

	if (shown < n)
		(void)fprintf(stderr,
			      "vitalctl: the newest %" PRIu64 " of %" PRIu64
			      " anchors are in it: an import leaves the others as they are\n",
			      shown, n);
}

/* Opened before the store is, which may cost us the right to write here. */
static int export_to(struct ctl *ctl, const char *path)
{
	_cleanup_(tables_done) struct tables anchors = {0}, queue = {0};
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1, r;
	struct buf out = {0}, remark = {0};

	if (path && fd < 0)
		return complain_file(path, -errno);
	ctl->json = true; /* whose answer it is goes to stderr */
	r = print_query(ctl, "anchors", &remark, &anchors);
	if (r == EXIT_FINE)
		r = print_query(ctl, "queue", &remark, &queue);
	if (r == EXIT_FINE) {
		make_export(&out, &anchors, tables_find(&queue, "queue"));
		say_cut(tables_find(&anchors, "anchors_summary"));
	}
	buf_done(&remark);
	if (!path)
		return print_end(&out, r);
	if (r == EXIT_FINE && out.failed)
		r = EXIT_NO_MEMORY;
	if (r == EXIT_FINE) {
		int w = file_write(fd, &out);

		r = w < 0 ? complain_file(path, w) : r;
	}
	(void)close(fd); /* fsync() said whether it is there */
	if (r != EXIT_FINE)
		(void)unlink(path); /* half a file is worse than none */
	buf_done(&out);
	return r;
}

int anchors_export(struct ctl *ctl, int argc, char **argv)
{
	if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
		return command_bad_argument("anchors export", argv[argc - 1]);
	return export_to(ctl, argc == 2 ? argv[1] : NULL);
}

/* --- what is sent again -------------------------------------------------------------------- */

struct again {
	struct ctl *ctl;
	bool dry_run;
	struct tables done; /* "rewound" of all answers, one under the other */
	struct table *rows;
};

static int again_begin(struct again *a, struct ctl *ctl)
{
	a->ctl = ctl;
	a->rows = tables_add(&a->done, "rewound", CONTROL_REWOUND_COLUMNS);
	return a->rows ? 0 : -ENOMEM;
}

static void copy_row(struct table *to, const struct table *from, size_t row)
{
	for (size_t i = 0; i < from->n_columns; i++) {
		const struct cell *c = &from->cells[row * from->n_columns + i];

		switch (c->type) {
		case CELL_STRING: table_string(to, c->string); break;
		case CELL_U64: table_u64(to, c->u64); break;
		case CELL_BOOL: table_bool(to, c->yes); break;
		default: table_null(to); break;
		}
	}
}

static int again_send(struct again *a, const struct control_rewind *wish)
{
	_cleanup_(tables_done) struct tables t = {0};
	int r = client_rewind(a->ctl->client, wish, &t);
	const struct table *rows = tables_find(&t, "rewound");

	if (r)
		return print_failure(a->ctl, r);
	for (size_t row = 0; row < table_rows(rows); row++)
		if (rows->n_columns == a->rows->n_columns)
			copy_row(a->rows, rows, row);
	return EXIT_FINE;
}

static void make_page(const struct again *a, struct buf *page)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *t =
		tables_add(&shown, "", "SERVER WEARABLE DATA >AFTER >RECORDS >ABOUT note");
	char text[TEXT_SEQ_SIZE], size[HUMAN_SIZE], n[HUMAN_SIZE + 8];
	uint64_t records = 0, bytes = 0;

	for (size_t row = 0; row < table_rows(a->rows); row++) {
		records += table_get_u64(a->rows, row, "records", 0);
		bytes += table_get_u64(a->rows, row, "size_bytes", 0);
		table_string(t, table_get_string(a->rows, row, "sink"));
		table_string(t, table_get_string(a->rows, row, "device"));
		table_string(t, table_get_string(a->rows, row, "data_type"));
		table_string(t, text_seq(table_get_u64(a->rows, row, "after_seq", 0), text));
		(void)snprintf(text, sizeof(text), "%" PRIu64,
			       table_get_u64(a->rows, row, "records", 0)); /* fits */
		table_string(t, text);
		table_string(t, human_size(table_get_u64(a->rows, row, "size_bytes", 0), size));
		table_string(t, table_get_u64(a->rows, row, "held", 0)
					? "held: they wait until the conflict is settled"
					: "");
	}
	if (tables_failed(&shown))
		page->failed = true;
	if (!records) {
		buf_string(page, "There is nothing to send again: of what is behind that place "
				 "nothing is\nconfirmed and still here.\n");
		return;
	}
	text_table(page, t, text_terminal_width(STDOUT_FILENO));
	buf_printf(page, "\n%s, about %s, %s sent again%s\n", human_records(records, n),
		   human_size(bytes, size),
		   a->dry_run	  ? "would be"
		   : records == 1 ? "is"
				  : "are",
		   a->dry_run ? "; nothing was changed."
			      : ".\nWhat the server has already it counts as duplicates.");
}

static void make_json(const struct again *a, struct buf *page)
{
	struct json j = json_make(page);

	json_open(&j, '{');
	json_key(&j, "dry_run");
	json_bool(&j, a->dry_run);
	json_key(&j, "rewound");
	print_json_rows(&j, a->rows);
	json_close(&j, '}');
	buf_string(page, "\n");
}

/*
 * Each stream is a request and a commit of its own, so one that fails leaves those before it done: then
 * they are shown all the same. It may be said again as often as one likes: what is owed is owed once.
 */
static int again_end(struct again *a, int r)
{
	bool cut = r != EXIT_FINE && !a->dry_run && table_rows(a->rows) > 0;
	struct buf page = {0};

	if (tables_failed(&a->done))
		r = EXIT_NO_MEMORY;
	else if ((r == EXIT_FINE || cut) && a->ctl->json)
		make_json(a, &page);
	else if (r == EXIT_FINE || cut)
		make_page(a, &page);
	tables_done(&a->done);
	r = print_end(&page, r);
	if (cut)
		(void)fprintf(stderr, "vitalctl: it ended there: only what is listed is sent again "
				      "for certain; the same command does the rest\n");
	return r;
}

/* The anchors as they are, from the daemon: only it can change them. */
static int ask_anchors(struct ctl *ctl, struct tables *ret)
{
	int r = client_ask(ctl->client, "anchors", ret);

	return r ? print_failure_and(ctl, r,
				     "only the daemon can do this: `sudo systemctl start vitald`")
		 : EXIT_FINE;
}

/* --- import -------------------------------------------------------------------------------- */

struct importing {
	const char *path;
	const struct anchor_file *file;
	const struct table *ours;
	bool other; /* the file is of another incarnation */
	unsigned refused;
};

static void refuse(struct importing *m, const struct anchor_entry *e, const char *why)
{
	(void)fprintf(stderr, "%s:%u: %s\n", m->path, e->line, why);
	m->refused++;
}

static bool has_sink(const struct table *ours, const char *sink)
{
	for (size_t row = 0; row < table_rows(ours); row++)
		if (streq(table_get_string(ours, row, "sink"), sink))
			return true;
	return false;
}

/* SIZE_MAX: there is none. */
static size_t row_of(const struct table *ours, const char *sink, const struct uuid *stream)
{
	char id[UUID_STRING_SIZE];

	uuid_format(stream, id);
	for (size_t row = 0; row < table_rows(ours); row++)
		if (streq(table_get_string(ours, row, "sink"), sink) &&
		    streq(table_get_string(ours, row, "stream"), id))
			return row;
	return SIZE_MAX;
}

static void look_at_entry(struct importing *m, const struct anchor_entry *e)
{
	size_t row = row_of(m->ours, e->sink, &e->stream);
	char why[200], theirs[TEXT_SEQ_SIZE], ours[TEXT_SEQ_SIZE];
	uint64_t anchor;

	if (row == SIZE_MAX) {
		refuse(m, e,
		       !has_sink(m->ours, e->sink) ? "this hub has no server of that name"
		       : m->other ? "the file is of another store, and this stream is not one of "
				    "this hub's"
				  : "this hub has no such stream");
		return;
	}
	anchor = table_get_u64(m->ours, row, "anchor_seq", 0);
	if (e->anchor <= anchor)
		return;
	(void)snprintf(why, sizeof(why),
		       "the file says that it is confirmed up to %s, and here that is so up to %s "
		       "only: nothing may be skipped",
		       text_seq(e->anchor, theirs), text_seq(anchor, ours)); /* fits */
	refuse(m, e, why);
}

static int import(struct again *a, const struct importing *m)
{
	int r = EXIT_FINE;

	for (size_t i = 0; r == EXIT_FINE && i < m->file->n; i++) {
		const struct anchor_entry *e = &m->file->entries[i];
		const struct control_rewind wish = {.sink = e->sink,
						    .stream = e->stream,
						    .after_seq = e->anchor,
						    .dry_run = a->dry_run};
		size_t row = row_of(m->ours, e->sink, &e->stream);

		if (e->anchor < table_get_u64(m->ours, row, "anchor_seq", 0))
			r = again_send(a, &wish);
	}
	return r;
}

static int read_export(const char *path, struct anchor_file **ret)
{
	struct buf text = {0}, problem = {0};
	int r = file_read(path, ANCHOR_FILE_MAX + 1, &text), code = EXIT_FINE;

	if (r < 0) {
		(void)fprintf(stderr, "vitalctl: %s: %s\n", path, strerror(-r));
		buf_done(&text);
		return EXIT_BAD_DATA;
	}
	r = anchor_file_parse(path, text.data, text.size, &problem, ret);
	if (r == ANCHOR_FILE_E_BAD)
		(void)fprintf(stderr, "%.*s", (int)problem.size, (const char *)problem.data);
	if (r)
		code = r < 0 ? EXIT_NO_MEMORY : EXIT_BAD_DATA;
	buf_done(&problem);
	buf_done(&text);
	return code;
}

int anchors_import(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(anchor_file_freep) struct anchor_file *file = NULL;
	_cleanup_(tables_done) struct tables t = {0};
	struct importing m = {0};
	struct again a = {0};
	struct uuid incarnation;
	int r;

	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--dry-run"))
			a.dry_run = true;
		else if (argv[i][0] != '-' && !m.path)
			m.path = argv[i];
		else
			return command_bad_argument("anchors import", argv[i]);
	if (!m.path) {
		(void)fprintf(stderr, "vitalctl: anchors import needs the file of an export\n");
		return EXIT_USAGE;
	}
	r = read_export(m.path, &file);
	if (r == EXIT_FINE)
		r = ask_anchors(ctl, &t);
	if (r != EXIT_FINE)
		return r;
	m.file = file;
	m.ours = tables_find(&t, "anchors");
	m.other =
		!uuid_parse(table_get_string(tables_find(&t, "anchors_summary"), 0, "incarnation"),
			    &incarnation) ||
		!uuid_equal(&incarnation, &file->incarnation);
	for (size_t i = 0; i < file->n; i++)
		look_at_entry(&m, &file->entries[i]);
	if (m.refused) {
		(void)fprintf(stderr, "vitalctl: nothing was changed\n");
		return EXIT_BAD_DATA;
	}
	if (again_begin(&a, ctl) < 0)
		return EXIT_NO_MEMORY;
	return again_end(&a, import(&a, &m));
}

/* --- rewind -------------------------------------------------------------------------------- */

struct rewinding {
	const char *sink, *stream; /* stream: as the owner named it */
	const char *to, *since;
	bool all;
	struct control_rewind wish;
};

/* "12.345", as the lists show it, or the number itself; 0 is everything. */
static bool read_seq(const char *s, uint64_t *ret)
{
	char *end;
	uint64_t run, n = 0;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	run = strtoull(s, &end, 10);
	if (!errno && !*end) {
		*ret = run;
		return true;
	}
	if (errno || *end != '.' || end[1] < '0' || end[1] > '9' || run > UINT64_MAX >> SEQ_N_BITS)
		return false;
	n = strtoull(end + 1, &end, 10);
	if (errno || *end || n > SEQ_N_MAX)
		return false;
	*ret = seq_make(run, n);
	return true;
}

/* The beginning of its id, the wearable's address, or both with the kind: a0:..:f5/ecg. */
static bool is_meant(const char *stream, const struct table *t, size_t row)
{
	const char *id = table_get_string(t, row, "stream");
	const char *device = table_get_string(t, row, "device");
	char name[STREAM_SIZE];

	(void)snprintf(name, sizeof(name), "%s/%s", device,
		       table_get_string(t, row, "data_type")); /* fits */
	return (strlen(stream) >= PREFIX_MIN && strncmp(id, stream, strlen(stream)) == 0) ||
	       streq(device, stream) || streq(name, stream);
}

static int rewind_streams(struct again *a, struct rewinding *w, const struct table *ours)
{
	unsigned n = 0;
	int r = EXIT_FINE;

	if (!has_sink(ours, w->sink)) {
		(void)fprintf(stderr,
			      "vitalctl: there is no server \"%.40s\"; `vitalctl anchors` "
			      "lists them\n",
			      w->sink);
		return EXIT_USAGE;
	}
	for (size_t row = 0; r == EXIT_FINE && row < table_rows(ours); row++) {
		if (!streq(table_get_string(ours, row, "sink"), w->sink) ||
		    (!w->all && !is_meant(w->stream, ours, row)) ||
		    !uuid_parse(table_get_string(ours, row, "stream"), &w->wish.stream))
			continue;
		n++;
		r = again_send(a, &w->wish);
	}
	if (r == EXIT_FINE && n == 0) {
		(void)fprintf(stderr,
			      "vitalctl: there is no stream \"%.60s\"; name it by its wearable, by "
			      "wearable/kind, or by its id (`vitalctl anchors --json`)\n",
			      w->all ? "" : w->stream);
		return EXIT_USAGE;
	}
	return r;
}

static int bad_rewind(const char *what)
{
	(void)fprintf(stderr, "vitalctl: anchors rewind %s; see `vitalctl anchors --help`\n", what);
	return EXIT_USAGE;
}

int anchors_rewind(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct rewinding w = {0};
	struct again a = {0};
	int r;

	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--dry-run"))
			a.dry_run = true;
		else if (streq(argv[i], "--all"))
			w.all = true;
		else if (command_value(argc, argv, &i, "--to", &w.to) ||
			 command_value(argc, argv, &i, "--since", &w.since))
			continue;
		else if (argv[i][0] == '-' || w.stream)
			return command_bad_argument("anchors rewind", argv[i]);
		else if (!w.sink)
			w.sink = argv[i];
		else
			w.stream = argv[i];
	if (!w.sink || !w.stream == !w.all)
		return bad_rewind("needs a server, and a stream or --all");
	if (!w.to == !w.since)
		return bad_rewind("needs either --to or --since");
	if (w.to && !read_seq(w.to, &w.wish.after_seq))
		return bad_rewind("--to needs a number like 12.345, as `vitalctl anchors` shows");
	if (w.since && !when_parse(w.since, clock_wall_usec(), &w.wish.since_us))
		return bad_rewind("--since needs a duration or a time (UTC)");
	w.wish.sink = w.sink;
	w.wish.dry_run = a.dry_run;
	r = ask_anchors(ctl, &t);
	if (r != EXIT_FINE)
		return r;
	if (again_begin(&a, ctl) < 0)
		return EXIT_NO_MEMORY;
	return again_end(&a, rewind_streams(&a, &w, tables_find(&t, "anchors")));
}

/* --- accept -------------------------------------------------------------------------------- */

static void make_accepted(struct buf *page, bool changed, const char *sink)
{
	if (changed)
		buf_printf(page,
			   "%s: what it has confirmed counts at its present url; it is tried now\n",
			   sink);
	else
		buf_printf(page, "%s: nothing was changed; its url is the one it is known at\n",
			   sink);
}

int anchors_accept(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct buf page = {0};
	bool changed;
	int r;

	if (argc != 2 || argv[1][0] == '-') {
		(void)fprintf(stderr, "vitalctl: anchors accept needs the name of a server; see "
				      "`vitalctl anchors --help`\n");
		return EXIT_USAGE;
	}
	r = client_accept(ctl->client, argv[1], &t);
	if (r)
		return print_failure_and(
			ctl, r, "only the daemon can do this: `sudo systemctl start vitald`");
	changed = table_get_u64(tables_find(&t, "accepted"), 0, "changed", true);
	if (ctl->json) {
		struct json j = json_make(&page);

		json_open(&j, '{');
		json_key(&j, "changed");
		json_bool(&j, changed);
		json_key(&j, "sinks");
		print_json_rows(&j, tables_find(&t, "sinks"));
		json_close(&j, '}');
		buf_string(&page, "\n");
	} else {
		make_accepted(&page, changed, argv[1]);
	}
	return print_end(&page, EXIT_FINE);
}
