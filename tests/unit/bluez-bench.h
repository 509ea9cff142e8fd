/*
 * The source `bluez` on a bench: a false bluetoothd (fake-bluez.h) on a bus of its own, told time, and a
 * handler that writes down what it is told and checks that it makes sense.
 */
#pragma once

#include "fake-bluez.h"
#include "hearing.h"
#include "source/source.h"

#define STRAP_A	      "a0:b1:c2:d3:e4:0a"
#define STRAP_B	      "a0:b1:c2:d3:e4:0b"
#define STRAP_C	      "a0:b1:c2:d3:e4:0c"
#define BENCH_ADAPTER "00:1a:7d:da:71:13"
#define NAMED(x)      "[device \"" x "\"]\n"
#define SAID_SIZE     256

/* What was told of one wearable. */
struct seen {
	char address[DEVICE_ADDRESS_SIZE]; /* "": nothing, and this place is free */
	char name[64], state[32], why[SAID_SIZE], offers[SAID_SIZE];
	bool connected, paired, forgotten;
	unsigned n_connected, n_disconnected, n_frames[CHARACTERISTIC_MAX_];
	enum gap_reason gap;
	uint32_t rungs[RUNG_MAX_];
	uint8_t last[FRAME_MAX]; /* frame */
	size_t n_last;
};

struct bench {
	char dir[32], recover[48];
	sd_event *event;
	struct fake_bluez *fake;
	struct fake_adapter *hci;
	struct config *config;
	struct source *source;
	struct seen seen[128]; /* a wearable each; nobody looks for more */
	unsigned n_states;
	char problem[SAID_SIZE];
	bool stormy;	    /* what does not answer may be misjudged: who scans, who connects */
	unsigned n_fds;	    /* before the source came */
	struct hearing log; /* while bench_listen() is on */
	bool listens;
};

int bench_group_set_up(void **state);
int bench_group_tear_down(void **state);
int bench_set_up(void **state);
/* Also: does the source leave anything open? */
int bench_tear_down(void **state);

/* A source with these sections beside [daemon] and [source]; hci0 is plugged in. */
void bench_start(struct bench *b, const char *config);
/* The owner's wishes change. */
void bench_configure(struct bench *b, const char *config);
void bench_stop(struct bench *b);
/* The bus goes, and another one comes with another bluetoothd, which knows no straps. */
void bench_restart_bus(struct bench *b);
struct fake_strap *bench_strap(struct bench *b, const char *address);
struct seen *bench_seen(struct bench *b, const char *address);

/* Each waits at most so many seconds, and fails the test if it does not come to that. */
void bench_await_connected(struct bench *b, const char *address, unsigned seconds);
/* The end of its n-th link. */
void bench_await_gone(struct bench *b, const char *address, unsigned n, unsigned seconds);
void bench_await_state(struct bench *b, const char *address, const char *state, unsigned seconds);
void bench_await_calls(struct bench *b, const char *method, unsigned n, unsigned seconds);
void bench_await_rung(struct bench *b, const char *address, enum rung rung, unsigned seconds);
/* A problem of the source as a whole, or its end (""). */
void bench_await_problem(struct bench *b, const char *part, unsigned seconds);
void bench_await_recover(struct bench *b, unsigned seconds);
/* Time passes; those who have a heart beat once a second. */
void bench_pass(struct bench *b, unsigned seconds, struct fake_strap *const *beating, size_t n);
/* All of that at once, as when the machine sleeps. */
void bench_skip(struct bench *b, unsigned seconds);
/* From now on, what is logged is kept: how often is this in it? */
void bench_listen(struct bench *b);
unsigned bench_heard(const struct bench *b, const char *text);
unsigned bench_calls(const struct bench *b, const char *method);
/* A beat, delivered, and ECG, if that is listened to. */
void bench_beat(struct bench *b, struct fake_strap *s, uint8_t bpm);
