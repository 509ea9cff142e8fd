/*
 * `vitalctl report [FILE] [--full]`: a support bundle, see bundle.c.
 *
 * The file is made first, by whoever calls; the bundle then by a child, which on a store that nobody
 * owns stops being root. So whatever ends the child (a signal, no room, a bug), what is left here has
 * the right to remove the file again. It is written at once, when all of it is there.
 */
#include "ctl/bundle.h"
#include "ctl/print.h"
#include "util/file.h"
#include "util/human.h"
#include "util/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct report {
	const char *path;
	char default_path[64];
	bool full;
	int file;
};

static int read_arguments(struct report *r, int argc, char **argv)
{
	char now[32];
	int64_t seconds;

	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--full"))
			r->full = true;
		else if (argv[i][0] == '-' || *r->path)
			return command_bad_argument("report", argv[i]);
		else
			r->path = argv[i];
	if (*r->path)
		return 0;
	seconds = clock_wall_usec() / (int64_t)USEC_PER_SEC;
	clock_format(seconds * (int64_t)USEC_PER_SEC, now);
	/* 2026-03-01T12:30:00Z: no colons, which tar and scp take for hosts */
	(void)snprintf(r->default_path, sizeof(r->default_path),
		       "vitald-report-%.10s-%.2s%.2s%.2s.tar", now, now + 11, now + 14, now + 17);
	r->path = r->default_path;
	return 0;
}

/* --- in the child --- */

/* A line each, as a list of JSON strings. */
static void put_lines(struct json *j, const struct buf *lines)
{
	json_open(j, '[');
	for (size_t at = 0; at < lines->size;) {
		const char *line = (const char *)lines->data + at;
		const char *end = memchr(line, '\n', lines->size - at);
		size_t n = end ? (size_t)(end - line) : lines->size - at;
		char text[512];

		(void)snprintf(text, sizeof(text), "%.*s", (int)MIN(n, sizeof(text) - 1), line);
		json_text(j, text);
		at += n + 1;
	}
	json_close(j, ']');
}

static void make_json(struct buf *page, const struct report *r, const struct bundle *b)
{
	struct json j = json_make(page);

	json_open(&j, '{');
	json_key(&j, "file");
	json_text(&j, r->path);
	json_key(&j, "bytes");
	json_uint(&j, b->archive.size);
	json_key(&j, "full");
	json_bool(&j, r->full);
	json_key(&j, "contents");
	put_lines(&j, &b->names);
	json_key(&j, "missing");
	put_lines(&j, &b->missing);
	json_close(&j, '}');
	buf_string(page, "\n");
}

static void make_page(struct buf *page, const struct report *r, const struct bundle *b)
{
	char size[HUMAN_SIZE];

	buf_printf(page, "%s: %s; only you can read it.\n\n", r->path,
		   human_size(b->archive.size, size));
	buf_string(
		page,
		"In it: versions, the configuration, what vitalctl shows (status, devices, queue,\n"
		"anchors, reconcile, events, quarantine, unreadable, audit), the last lines of\n"
		"the journal, the units, and this machine: kernel, clock, card, Bluetooth\n"
		"adapters.\n"
		"Not in it: heart rates, ECG and whatever else was measured, bytes of frames,\n"
		"tokens and keys.\n");
	buf_string(page,
		   r->full ? "Addresses, names and subjects ARE in it as they are: --full.\n"
			   : "Addresses, names, subjects and this hub's name are replaced, by "
			     "words that\n"
			     "mean something in this report only. Urls of servers are in it.\n");
	if (b->missing.size)
		buf_printf(page, "\nCould not be had, and says so in its place:\n%.*s",
			   (int)b->missing.size, (const char *)b->missing.data);
	buf_printf(page, "\nLook at it before you give it away: tar -xOf %s | less\n", r->path);
}

static int make(struct ctl *ctl, const struct report *r)
{
	_cleanup_(bundle_done) struct bundle b = {0};
	struct buf page = {0};
	int k = bundle_make(ctl, r->full, &b);

	if (k == 0)
		k = file_write(r->file, &b.archive);
	if (k < 0) {
		(void)fprintf(stderr, "vitalctl: cannot write %s: %s\n", r->path, strerror(-k));
		return k == -ENOMEM ? EXIT_NO_MEMORY : EXIT_UNAVAILABLE;
	}
	if (ctl->json)
		make_json(&page, r, &b);
	else
		make_page(&page, r, &b);
	return print_end(&page, EXIT_FINE);
}

/* --- in the parent --- */

/* Hands signals on until the child has ended: its exit code, or that of a failure. */
static int watch(pid_t child, const sigset_t *set)
{
	int status = 0, signal;

	while (waitpid(child, &status, WNOHANG) == 0)
		if (sigwait(set, &signal) == 0 && signal != SIGCHLD)
			(void)kill(child, signal); /* ours, and not waited for */
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_UNAVAILABLE;
}

static int run(struct ctl *ctl, const struct report *r)
{
	sigset_t set, before;
	pid_t child;

	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGCHLD) < 0 || sigaddset(&set, SIGINT) < 0 ||
	    sigaddset(&set, SIGTERM) < 0 || sigaddset(&set, SIGHUP) < 0 ||
	    sigprocmask(SIG_BLOCK, &set, &before) < 0 ||
	    signal(SIGCHLD, SIG_DFL) == SIG_ERR) /* who ignores it is never told */
		return EXIT_UNAVAILABLE;
	child = fork();
	if (child == 0) {
		/* what it writes is of no use without us */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
		    sigprocmask(SIG_SETMASK, &before, NULL) < 0)
			_exit(EXIT_UNAVAILABLE);
		exit(make(ctl, r));
	}
	if (child < 0) {
		(void)fprintf(stderr, "vitalctl: %s\n", strerror(errno));
		return EXIT_UNAVAILABLE;
	}
	return watch(child, &set);
}

int command_report(struct ctl *ctl, int argc, char **argv)
{
	struct report report = {.path = "", .file = -1};
	int code = read_arguments(&report, argc, argv);

	if (code)
		return code;
	report.file = open(report.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (report.file < 0) {
		(void)fprintf(stderr, "vitalctl: cannot make %s: %s\n", report.path,
			      strerror(errno));
		return errno == EEXIST ? EXIT_USAGE : EXIT_UNAVAILABLE;
	}
	if (!ctl->json && isatty(STDERR_FILENO) == 1)
		(void)fprintf(stderr, "gathering; this may take a minute...\n");
	code = run(ctl, &report);
	if (code != EXIT_FINE)
		(void)unlink(report.path); /* it was made here, and has nothing whole in it */
	(void)close(report.file);	   /* the child has it on the disk */
	return code;
}
