/*
 * `vitalctl capture FILE`: what wearables send, as a file that replays. The daemon is handed one end
 * of a socket pair over the bus and writes the file's packets into it; here they are put into a file
 * of the caller's, with the caller's rights. So the daemon opens nothing that somebody names, and
 * whoever may ask it needs no right to any place of its own.
 *
 *	ask --> copy until Ctrl-C, --seconds, or the daemon's end
 *	          --> say that it is enough (SHUT_WR) --> copy what is on its way --> summary
 */
#include "ctl/client.h"
#include "ctl/print.h"
#include "model/value.h"
#include "util/human.h"
#include "util/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MESSAGE_MAX = 8192, /* the longest packet is far shorter */
	ROOM = 1 << 20,	    /* asked for in the socket; the kernel has a limit of its own */
	SECONDS_MAX = 86400,
	DROPPED_AT = 12, /* u32, big-endian, in the header of a packet (see source/btsnoop.h) */
};

#define PATIENCE (2 * USEC_PER_SEC) /* for what is on its way at the end */

struct capturing {
	const char *path;
	char device[DEVICE_ADDRESS_SIZE]; /* "": all */
	usec_t length;			  /* USEC_INFINITY: until Ctrl-C */
	int file, socket, signals;
	usec_t began, told;
	uint64_t packets, bytes, dropped;
	bool enough; /* we said so */
	bool ended;  /* the daemon did */
	int problem; /* of writing: errno */
	bool terminal;
};

static void close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd); /* what matters was written, or said by fsync() */
}

/* --- arguments --- */

static bool read_seconds(const char *s, usec_t *ret)
{
	char *end;
	unsigned long n;

	if (*s < '1' || *s > '9')
		return false;
	n = strtoul(s, &end, 10);
	if (*end || n > SECONDS_MAX)
		return false;
	*ret = n * USEC_PER_SEC;
	return true;
}

static int refuse(const char *what)
{
	(void)fprintf(stderr, "vitalctl: %s\n", what);
	return EXIT_USAGE;
}

static int take_seconds(struct capturing *c, const char *value)
{
	return read_seconds(value, &c->length) ? 0
					       : refuse("--seconds takes a number from 1 to 86400");
}

static int take_device(struct capturing *c, const char *value)
{
	return value_address(value, c->device)
		       ? 0
		       : refuse("--device takes an address like a0:b1:c2:d3:e4:f5; "
				"`vitalctl devices` shows them");
}

static int read_arguments(struct capturing *c, int argc, char **argv)
{
	int r = 0;

	for (int i = 1; r == 0 && i < argc; i++)
		if (streq(argv[i], "--seconds") && i + 1 < argc)
			r = take_seconds(c, argv[++i]);
		else if (strncmp(argv[i], "--seconds=", 10) == 0)
			r = take_seconds(c, argv[i] + 10);
		else if (streq(argv[i], "--device") && i + 1 < argc)
			r = take_device(c, argv[++i]);
		else if (strncmp(argv[i], "--device=", 9) == 0)
			r = take_device(c, argv[i] + 9);
		else if (argv[i][0] == '-' || *c->path)
			r = command_bad_argument("capture", argv[i]);
		else
			c->path = argv[i];
	if (r == 0 && !*c->path)
		r = refuse("capture needs a file to write; see `vitalctl capture --help`");
	return r;
}

/* --- copying --- */

static void tell_progress(struct capturing *c, usec_t now)
{
	if (!c->terminal || now < c->told + USEC_PER_SEC)
		return;
	c->told = now;
	(void)fprintf(stderr,
		      "\r%" PRIu64 " s, %" PRIu64 " packets, %" PRIu64 " dropped; Ctrl-C ends ",
		      (now - c->began) / USEC_PER_SEC, c->packets, c->dropped);
}

static void write_all(struct capturing *c, const uint8_t *data, size_t size)
{
	while (size > 0 && !c->problem) {
		ssize_t n = write(c->file, data, size);

		if (n < 0 && errno != EINTR)
			c->problem = errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
			c->bytes += (uint64_t)n;
		}
	}
}

/* The first message is the header of the file. */
static void take_message(struct capturing *c)
{
	uint8_t data[MESSAGE_MAX];
	ssize_t n = recv(c->socket, data, sizeof(data), MSG_DONTWAIT | MSG_TRUNC);
	bool header = c->bytes == 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (size_t)n > sizeof(data)) {
		c->ended = true;
		return;
	}
	write_all(c, data, (size_t)n);
	if (header || n < DROPPED_AT + 4)
		return;
	c->packets++;
	c->dropped = (uint64_t)data[DROPPED_AT] << 24 | (uint64_t)data[DROPPED_AT + 1] << 16 |
		     (uint64_t)data[DROPPED_AT + 2] << 8 | data[DROPPED_AT + 3];
}

/* When the waiting ends, whatever happens. */
static usec_t deadline(const struct capturing *c, usec_t stop)
{
	if (c->enough)
		return stop + PATIENCE;
	return c->length == USEC_INFINITY ? USEC_INFINITY : c->began + c->length;
}

static int pause_ms(const struct capturing *c, usec_t until, usec_t now)
{
	usec_t pause = until == USEC_INFINITY ? USEC_PER_SEC : MIN(until - now, USEC_PER_SEC);

	return c->terminal || until != USEC_INFINITY ? (int)(pause / USEC_PER_MSEC) + 1 : -1;
}

static void copy(struct capturing *c)
{
	usec_t now = c->began, stop = 0;

	while (!c->ended && !c->problem) {
		usec_t until = deadline(c, stop);
		struct pollfd fds[] = {{.fd = c->socket, .events = POLLIN},
				       {.fd = c->enough ? -1 : c->signals, .events = POLLIN}};

		if (now >= until && c->enough)
			return; /* it does not even hang up: a daemon that is stuck */
		if (now < until && poll(fds, ARRAY_SIZE(fds), pause_ms(c, until, now)) < 0 &&
		    errno != EINTR)
			c->problem = errno;
		now = clock_boot_usec();
		if (fds[0].revents)
			take_message(c);
		if (!c->enough && (fds[1].revents || now >= until)) {
			c->enough = true;
			stop = now;
			(void)shutdown(c->socket, SHUT_WR); /* if not, PATIENCE ends it */
		}
		tell_progress(c, now);
	}
}

/* --- the whole --- */

static int open_all(struct capturing *c)
{
	sigset_t set;

	c->file = open(c->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (c->file < 0) {
		(void)fprintf(stderr, "vitalctl: cannot make %s: %s\n", c->path, strerror(errno));
		return EXIT_UNAVAILABLE;
	}
	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGINT) < 0 || sigaddset(&set, SIGTERM) < 0 ||
	    sigaddset(&set, SIGHUP) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    (c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
		(void)fprintf(stderr, "vitalctl: %s\n", strerror(errno));
		return EXIT_UNAVAILABLE;
	}
	return 0;
}

static bool is_connected(const struct table *devices, const char *address)
{
	for (size_t row = 0; row < table_rows(devices); row++)
		if (table_cell(devices, row, "connected")->yes &&
		    (!*address || streq(address, table_get_string(devices, row, "address"))))
			return true;
	return false;
}

/* Hands the daemon its end; ours is c->socket. */
static int ask(struct ctl *ctl, struct capturing *c)
{
	_cleanup_(tables_done) struct tables t = {0};
	int ends[2], room = ROOM, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		(void)fprintf(stderr, "vitalctl: %s\n", strerror(errno));
		return EXIT_UNAVAILABLE;
	}
	c->socket = ends[0];
	/* Less is fine, and then more is dropped. */
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	r = client_capture(ctl->client, ends[1], c->device, &t);
	(void)close(ends[1]); /* the daemon has its own */
	if (r)
		return print_failure(ctl, r);
	if (!ctl->json && !is_connected(tables_find(&t, "devices"), c->device))
		(void)fprintf(stderr, "vitalctl: %s connected yet: waiting\n",
			      c->device[0] ? "it is not" : "nothing is");
	return 0;
}

static void make_summary(const struct ctl *ctl, const struct capturing *c, struct buf *page)
{
	usec_t took = clock_boot_usec() - c->began;
	char size[HUMAN_SIZE], duration[HUMAN_SIZE];
	struct json j = json_make(page);

	if (!ctl->json) {
		buf_printf(page, "%s: %" PRIu64 " packets, %s, in %s; %" PRIu64 " dropped\n",
			   c->path, c->packets, human_size(c->bytes, size),
			   human_duration(took, duration), c->dropped);
		buf_string(page, "It holds health data: think of whom you give it to.\n");
		return;
	}
	json_open(&j, '{');
	json_key(&j, "file");
	json_text(&j, c->path);
	json_key(&j, "packets");
	json_uint(&j, c->packets);
	json_key(&j, "bytes");
	json_uint(&j, c->bytes);
	json_key(&j, "dropped");
	json_uint(&j, c->dropped);
	json_key(&j, "duration_us");
	json_uint(&j, took);
	json_close(&j, '}');
	buf_string(page, "\n");
}

static int finish(struct ctl *ctl, struct capturing *c)
{
	struct buf page = {0};
	int r = EXIT_FINE;

	if (c->terminal)
		(void)fprintf(stderr, "\r%60s\r", "");
	if (!c->problem && fsync(c->file) < 0)
		c->problem = errno;
	if (c->problem) {
		(void)fprintf(stderr, "vitalctl: cannot write %s: %s\n", c->path,
			      strerror(c->problem));
		r = EXIT_UNAVAILABLE;
	} else if (!c->enough) {
		(void)fprintf(stderr, "vitalctl: the daemon ended the capture; what it sent is in "
				      "the file\n");
		r = EXIT_UNAVAILABLE;
	}
	make_summary(ctl, c, &page);
	return print_end(&page, r);
}

static int run(struct ctl *ctl, struct capturing *c)
{
	int r = open_all(c);

	if (r)
		return r;
	r = ask(ctl, c);
	if (r) {
		(void)unlink(c->path); /* empty, and ours */
		return r;
	}
	c->began = clock_boot_usec();
	copy(c);
	return finish(ctl, c);
}

int command_capture(struct ctl *ctl, int argc, char **argv)
{
	struct capturing c = {.path = "",
			      .length = USEC_INFINITY,
			      .file = -1,
			      .socket = -1,
			      .signals = -1,
			      .terminal = isatty(STDERR_FILENO) && !ctl->json};
	int r = read_arguments(&c, argc, argv);

	if (r == 0)
		r = run(ctl, &c);
	close_fd(c.signals);
	close_fd(c.socket);
	close_fd(c.file);
	return r;
}
