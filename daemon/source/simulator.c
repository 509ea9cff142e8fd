/*
 * `vitald simulate`: the process with the simulated wearables in it. One loop, one timer for
 * whatever notification is due next, one socket for the daemon (air.c), one for commands.
 *
 *	RUNNING --- SIGTERM, SIGINT -------> CLOSING --- all is read, nobody listens,
 *	        \-- --duration is over ---/              or grace is over ---> end line, exit
 *
 * Grace is a second after a signal, ten seconds after --duration; a further signal ends it.
 *
 * In CLOSING the straps are silent and the links are still up, so that a daemon can read what is on
 * its way to it; what it did not read is in the truth as unread, exactly.
 *
 * A simulator that falls behind (it was stopped, or the machine slept) sends what it missed in
 * slices, without skipping: the hearts went on.
 */
#include "source/command.h"
#include "source/source.h"
#include "source/wearer.h"
#include "util/clock.h"
#include "util/signals.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	STEPS_A_SLICE = 256,
	CONTROLLERS_MAX = 8,
	EXIT_USAGE = 2,
	COMMAND_SIZE = 640, /* a HEX of the longest frame and its words */
};

#define TIMER_ACCURACY	 (1 * USEC_PER_MSEC)
#define GRACE_TERMINATED (1 * USEC_PER_SEC)
#define GRACE_FINISHED	 (10 * USEC_PER_SEC)
#define CLOSING_LOOK	 (20 * USEC_PER_MSEC)

struct simulator;

struct controller {
	struct simulator *simulator;
	int fd;
	sd_event_source *source; /* NULL: this place is free */
};

struct simulator {
	struct simulator_options options;
	sd_event *event;
	struct air *air;
	struct truth *truth;
	struct wearer *wearers[STRAP_MAX];
	sd_event_source *timer;
	sd_event_source *control_source;
	int control_fd;
	char control_path[128];
	struct controller controllers[CONTROLLERS_MAX];
	bool closing;
	usec_t deadline; /* of CLOSING */
};

static void simulator_done(struct simulator *s)
{
	for (unsigned i = 0; i < CONTROLLERS_MAX; i++) {
		if (!s->controllers[i].source)
			continue;
		sd_event_source_disable_unref(s->controllers[i].source);
		(void)close(s->controllers[i].fd); /* a socket */
	}
	sd_event_source_disable_unref(s->control_source);
	if (s->control_fd >= 0) {
		(void)unlink(s->control_path); /* a leftover is replaced by the next one */
		(void)close(s->control_fd);    /* a socket */
	}
	sd_event_source_disable_unref(s->timer);
	for (unsigned i = 0; i < STRAP_MAX; i++)
		wearer_free(s->wearers[i]);
	air_free(s->air);
	truth_free(s->truth);
	sd_event_unref(s->event);
}

static void on_listener(void *userdata, bool here)
{
	struct simulator *s = userdata;
	usec_t now = clock_boot_usec();

	truth_event(s->truth, now, here ? "daemon_connected" : "daemon_gone", NULL, "%s", "");
	for (unsigned i = 0; here && !s->closing && i < s->options.n_straps; i++)
		wearer_link(s->wearers[i], now);
}

static void on_unread(void *userdata, uint64_t n)
{
	struct simulator *s = userdata;

	truth_unread(s->truth, n);
}

static struct wearer *next_wearer(struct simulator *s, usec_t *ret_due)
{
	struct wearer *next = NULL;

	*ret_due = USEC_INFINITY;
	for (unsigned i = 0; i < s->options.n_straps; i++) {
		usec_t due = wearer_due(s->wearers[i]);

		if (due < *ret_due) {
			*ret_due = due;
			next = s->wearers[i];
		}
	}
	return next;
}

static bool all_finished(const struct simulator *s)
{
	for (unsigned i = 0; i < s->options.n_straps; i++)
		if (!wearer_is_finished(s->wearers[i]))
			return false;
	return true;
}

/* The timer exists and takes any time: setting it cannot fail. */
static void arm(struct simulator *s, usec_t at)
{
	(void)sd_event_source_set_time(s->timer, at);
	(void)sd_event_source_set_enabled(s->timer,
					  at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void begin_closing(struct simulator *s, usec_t grace)
{
	usec_t now = clock_boot_usec();

	if (!s->closing)
		truth_event(s->truth, now, "closing", NULL, "%s", "");
	s->deadline = s->closing ? now : now + grace; /* asked twice: at once */
	s->closing = true;
	arm(s, now);
}

static void look_whether_read(struct simulator *s, usec_t now)
{
	int r;

	if (air_has_listener(s->air) && !air_is_clear(s->air) && now < s->deadline) {
		arm(s, now + CLOSING_LOOK);
		return;
	}
	air_close(s->air);
	r = truth_end(s->truth, now);
	if (r < 0)
		(void)fprintf(stderr, "vitald simulate: cannot write %s: %s\n", s->options.truth,
			      strerror(-r));
	(void)sd_event_exit(s->event, r < 0 ? EXIT_FAILURE : EXIT_SUCCESS); /* it runs */
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct simulator *s = userdata;
	struct wearer *w;
	usec_t due, now;

	if (s->closing) {
		look_whether_read(s, clock_boot_usec());
		return 0;
	}
	w = next_wearer(s, &due);
	for (unsigned i = 0; w && i < STEPS_A_SLICE && due <= (now = clock_boot_usec()); i++) {
		wearer_step(w, now);
		w = next_wearer(s, &due);
	}
	if (all_finished(s))
		begin_closing(s, GRACE_FINISHED);
	else
		arm(s, due);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	begin_closing(userdata, GRACE_TERMINATED);
	return 0;
}

static int on_command(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct controller *c = userdata;
	struct simulator *s = c->simulator;
	struct command_context context = {.wearers = s->wearers,
					  .n_wearers = s->options.n_straps,
					  .away_s = s->options.away_s};
	char line[COMMAND_SIZE], answer[128] = "ok";
	ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
	const char *problem;

	if (n <= 0) {
		c->source = sd_event_source_disable_unref(c->source);
		(void)close(fd); /* a socket */
		return 0;
	}
	line[n] = '\0';
	problem = command_run(&context, line, clock_boot_usec());
	if (problem)
		(void)snprintf(answer, sizeof(answer), "error: %s", problem);
	(void)send(fd, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL); /* its own loss */
	arm(s, clock_boot_usec()); /* what is due next may have changed */
	return 0;
}

static int on_controller(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct simulator *s = userdata;
	struct controller *c = s->controllers;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	while (c < s->controllers + CONTROLLERS_MAX && c->source)
		c++;
	if (peer < 0)
		return 0;
	if (c == s->controllers + CONTROLLERS_MAX ||
	    sd_event_add_io(s->event, &c->source, peer, EPOLLIN, on_command, c) < 0) {
		(void)close(peer); /* too many at once: it sees the end */
		return 0;
	}
	c->simulator = s;
	c->fd = peer;
	return 0;
}

static int complain(int r, const char *path)
{
	const char *problem =
		r == AIR_E_PATH	    ? "longer than a unix socket's name may be (103 bytes)"
		: r == AIR_E_IN_USE ? "in use: are simulated wearables running already?"
				    : strerror(-r);

	(void)fprintf(stderr, "vitald simulate: %s: %s\n", path, problem);
	return r == AIR_E_PATH ? EXIT_USAGE : EXIT_FAILURE;
}

static int set_up_loop(struct simulator *s)
{
	static const int signals[] = {SIGTERM, SIGINT};
	int r;

	r = sd_event_new(&s->event);
	if (r >= 0)
		r = signals_watch(s->event, signals, ARRAY_SIZE(signals), on_signal, s);
	if (r >= 0)
		r = sd_event_add_time(s->event, &s->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY,
				      on_timer, s);
	return r < 0 ? r : 0;
}

static int set_up_sockets(struct simulator *s)
{
	struct air_handler handler = {.userdata = s, .listener = on_listener, .unread = on_unread};
	int r = air_listen(s->control_path, &s->control_fd);

	if (r != 0)
		return r;
	r = sd_event_add_io(s->event, &s->control_source, s->control_fd, EPOLLIN, on_controller, s);
	if (r < 0)
		return r;
	return air_new(s->event, s->options.socket, s->options.sndbuf, &handler, &s->air);
}

static int set_up_wearers(struct simulator *s)
{
	usec_t now = clock_boot_usec();
	int r = 0;

	truth_event(s->truth, now, "start", NULL,
		    ",\"straps\":%u,\"seed\":%" PRIu64 ",\"speed\":%g", s->options.n_straps,
		    s->options.seed, s->options.speed);
	for (unsigned i = 0; r == 0 && i < s->options.n_straps; i++)
		r = wearer_new(&s->options, i, s->air, s->truth, now, &s->wearers[i]);
	return r;
}

/* The truth file is opened after the sockets: a second simulator must not empty the first one's. */
static int set_up(struct simulator *s)
{
	int r = set_up_loop(s);

	if (r < 0)
		return complain(r, "event loop");
	r = set_up_sockets(s);
	if (r != 0)
		return complain(r, s->options.socket);
	r = truth_new(s->options.truth, &s->truth);
	if (r < 0)
		return complain(r, s->options.truth);
	r = set_up_wearers(s);
	return r < 0 ? complain(r, "straps") : EXIT_SUCCESS;
}

static int simulate(const struct simulator_options *options, const char *control_path)
{
	struct simulator s = {.options = *options, .control_fd = -1};
	int r;

	(void)snprintf(s.control_path, sizeof(s.control_path), "%s", control_path);
	r = set_up(&s);
	if (r == EXIT_SUCCESS) {
		r = sd_event_loop(s.event);
		r = r < 0 ? complain(r, "event loop") : r;
	}
	simulator_done(&s);
	return r;
}

/* --tell: says one line to a running simulator, prints its answer. */
static int tell(const char *control_path, const char *line)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char answer[256] = "";
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool done = false;

	memcpy(address.sun_path, control_path,
	       strlen(control_path) + 1); /* simulator_main measured */
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    send(fd, line, strlen(line), MSG_NOSIGNAL) >= 0)
		done = recv(fd, answer, sizeof(answer) - 1, 0) > 0;
	if (!done)
		(void)complain(errno ? -errno : -ECONNRESET, control_path);
	else
		(void)printf("%s\n", answer);
	if (fd >= 0)
		(void)close(fd); /* a socket */
	return done && streq(answer, "ok") ? EXIT_SUCCESS : EXIT_FAILURE;
}

int simulator_main(int argc, char **argv)
{
	struct simulator_options options;
	char control_path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int r = simulator_options_parse(argc, argv, &options);

	if (r != 0)
		return r == SIMULATOR_E_HELP ? EXIT_SUCCESS : EXIT_USAGE;
	r = snprintf(control_path, sizeof(control_path), "%s.ctl", options.socket);
	if (r < 0 || (size_t)r >= sizeof(control_path))
		return complain(AIR_E_PATH, options.socket);
	return options.tell ? tell(control_path, options.tell) : simulate(&options, control_path);
}
