/*
 * A receiver that is not what is measured: a process of its own on loopback that speaks just enough
 * of contract 1. It unpacks each body, looks at each record's seq, remembers each (stream, seq) it
 * saw, and answers a true receipt. It stores nothing.
 */
#pragma once

#include "util/macro.h"

#include <sys/types.h>

/* Counted by the server, shared with whoever started it. */
struct server_counts {
	_Atomic uint64_t records;    /* unique (stream, seq) */
	_Atomic uint64_t duplicates; /* seen before */
	_Atomic uint64_t requests, body_bytes, json_bytes;
	_Atomic uint64_t bad; /* requests that were not understood */
};

struct server {
	pid_t pid;
	int port;
	struct server_counts *counts;
};

/* Forks: call it before there is anything that should not be inherited. */
int server_start(struct server *ret);
void server_stop(struct server *s);
