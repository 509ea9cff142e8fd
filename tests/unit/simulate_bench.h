/*
 * The source of simulated straps on a real loop, in a directory of its own, and what was heard from it: for
 * tests that put a simulator at its other end, a real one or a false one.
 */
#pragma once

#include "source/source.h"
#include "util/buf.h"
#include "util/clock.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY	     (2 * USEC_PER_MSEC)
#define FIRST	     "c0:de:00:00:00:01"
#define DEVICES_SEEN 4

/* One test's directory, simulator, loop and everything that was heard: lines "DEVICE UUID HEX". */
struct bench {
	usec_t latest; /* the most that a frame was read late */
	char dir[64], socket[96], control[104], truth[96];
	pid_t simulator;
	sd_event *event;
	struct source *source;
	struct buf heard;
	int heard_fd; /* of a child that listens; else -1 */
	unsigned n_frames, n_connected, n_disconnected, n_problems, n_states;
	enum gap_reason why;
	char problem[256];
	bool there, linked[DEVICES_SEEN];
};

static inline unsigned device_number(const char *device)
{
	return (unsigned)strtoul(device + 15, NULL, 16) % DEVICES_SEEN;
}

static inline void on_connected(void *userdata, const char *device, const char *name,
				usec_t boot_us)
{
	struct bench *b = userdata;

	assert_false(b->linked[device_number(device)]);
	assert_memory_equal(name, "Simulated strap", 15);
	b->linked[device_number(device)] = true;
	b->n_connected++;
}

static inline void on_frame(void *userdata, const struct frame *f)
{
	struct bench *b = userdata;
	size_t from = b->heard.size;

	assert_true(b->linked[device_number(f->device)]);
	assert_true(f->boot_us <= f->read_us && f->read_us <= clock_boot_usec());
	b->latest = MAX(b->latest, f->read_us - f->boot_us);
	b->n_frames++;
	buf_printf(&b->heard, "%s %s ", f->device, characteristic_uuid(f->characteristic));
	for (size_t i = 0; i < f->size; i++)
		buf_printf(&b->heard, "%02x", f->data[i]);
	buf_string(&b->heard, "\n");
	if (b->heard_fd >= 0)
		assert_int_equal(write(b->heard_fd, b->heard.data + from, b->heard.size - from),
				 b->heard.size - from);
}

static inline void on_disconnected(void *userdata, const char *device, enum gap_reason why,
				   usec_t boot_us)
{
	struct bench *b = userdata;

	assert_true(b->linked[device_number(device)]);
	b->linked[device_number(device)] = false;
	b->n_disconnected++;
	b->why = why;
}

static inline void on_state(void *userdata, const char *problem)
{
	struct bench *b = userdata;

	b->n_states++;
	b->n_problems += problem != NULL;
	b->there = problem == NULL;
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem ? problem : "");
}

static inline int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/test-simulate-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->socket, sizeof(b->socket), "%s/straps", b->dir);
	(void)snprintf(b->control, sizeof(b->control), "%s.ctl", b->socket);
	(void)snprintf(b->truth, sizeof(b->truth), "%s/truth", b->dir);
	b->heard_fd = -1;
	*state = b;
	return 0;
}

static inline int tear_down(void **state)
{
	struct bench *b = *state;

	if (b->simulator > 0) {
		(void)kill(b->simulator, SIGKILL);
		(void)waitpid(b->simulator, NULL, 0);
	}
	source_free(b->source);
	sd_event_unref(b->event);
	buf_done(&b->heard);
	(void)unlink(b->socket);
	(void)unlink(b->truth);
	(void)unlink(b->control);
	assert_int_equal(rmdir(b->dir), 0);
	free(b);
	return 0;
}

static inline void listen_to(struct bench *b)
{
	struct source_handler handler = {.userdata = b,
					 .connected = on_connected,
					 .frame = on_frame,
					 .disconnected = on_disconnected,
					 .state = on_state};

	assert_true(sd_event_new(&b->event) >= 0);
	assert_int_equal(source_simulate_new(b->event, b->socket, RETRY, &handler, &b->source), 0);
}

#define RUN_UNTIL(b, condition) \
	while (!(condition))    \
	assert_true(sd_event_run((b)->event, USEC_INFINITY) >= 0)
