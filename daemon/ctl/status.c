/*
 * `vitalctl status [--watch]`: how it is, right now. The exit code says it too: 0 healthy, 1
 * degraded, 2 not working, so that a monitor needs no parser.
 *
 * --watch draws the page again each second. The terminal is without line mode and echo meanwhile
 * (that q needs no Enter) and gets back what it had, also when a signal ends us.
 */
#include "ctl/print.h"
#include "ctl/screen.h"
#include "ctl/text.h"
#include "util/json.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { WATCH_MS = 1000, CONTROL_C = 3, CONTROL_D = 4 };

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
	ended = signal;
}

static int code_of(const struct tables *t)
{
	const char *state = table_get_string(tables_find(t, "summary"), 0, "state");

	return streq(state, "healthy")	  ? EXIT_FINE
	       : streq(state, "degraded") ? EXIT_DEGRADED
					  : EXIT_NOT_WORKING;
}

static void make_json(struct buf *page, const struct tables *t)
{
	static const char *const lists[] = {"devices", "sinks",	       "rates",
					    "streams", "incarnations", "problems"};
	struct json j = json_make(page);

	json_open(&j, '{');
	json_key(&j, "summary");
	print_json_row(&j, tables_find(t, "summary"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		json_key(&j, lists[i]);
		print_json_rows(&j, tables_find(t, lists[i]));
	}
	json_close(&j, '}');
	buf_string(page, "\n");
}

static int make(struct ctl *ctl, struct buf *page)
{
	_cleanup_(tables_done) struct tables t = {0};
	size_t width = text_terminal_width(STDOUT_FILENO);
	int r = client_query(ctl->client, "status", &t);

	if (r)
		return print_failure(ctl, r);
	if (ctl->json) {
		make_json(page, &t);
		return code_of(&t);
	}
	screen_make(page, &t, width, width && !getenv("NO_COLOR"));
	return code_of(&t);
}

/* Waits for a second or a key. True: it is over. */
static bool rest(bool keys)
{
	struct pollfd fd = {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN};
	char key;

	if (poll(&fd, 1, WATCH_MS) <= 0)
		return ended;
	if (read(STDIN_FILENO, &key, 1) != 1)
		return true;
	return key == 'q' || key == 'Q' || key == CONTROL_C || key == CONTROL_D;
}

static int redraw(struct ctl *ctl)
{
	bool terminal = text_terminal_width(STDOUT_FILENO) && !ctl->json;
	struct buf page = {0};
	int code;

	if (terminal)
		buf_string(&page, "\033[H\033[J");
	code = make(ctl, &page);
	if (terminal)
		buf_string(&page, "\nevery second; q ends\n");
	return print_end(&page, code);
}

static int watch(struct ctl *ctl)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct termios before, raw;
	bool keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
	int code;

	if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0 ||
	    sigaction(SIGHUP, &action, NULL) < 0)
		return EXIT_UNAVAILABLE;
	if (keys) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw); /* then q wants Enter, no more */
	}
	do
		code = redraw(ctl);
	while (code <= EXIT_NOT_WORKING && !ended && !rest(keys));
	if (keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before); /* nothing else could be done */
	return code;
}

int command_status(struct ctl *ctl, int argc, char **argv)
{
	struct buf page = {0};
	int code;

	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--watch") || streq(argv[i], "-w"))
			return watch(ctl);
		else
			return command_bad_argument("status", argv[i]);
	code = make(ctl, &page);
	return print_end(&page, code);
}
