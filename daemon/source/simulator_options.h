/* What `vitald simulate` was asked on its command line. */
#pragma once

#include "source/strap.h"

enum {
	SIMULATOR_E_USAGE = 1, /* wrong; why was printed */
	SIMULATOR_E_HELP = 2,  /* help was printed */
};

struct simulator_options {
	const char *socket;
	const char *truth;
	const char *tell; /* a command for one that runs; else NULL */
	unsigned n_straps;
	unsigned n_ecg;
	uint64_t seed;
	double speed;
	double duration_s; /* of strap time; 0: for ever */
	int sndbuf;
	double drift_ppm[STRAP_MAX];
	/* Misbehaviour: probabilities a notification, and strap seconds; 0: never. */
	double drop, duplicate, malformed;
	double link_loss_every_s, disconnect_every_s, clock_reset_every_s;
	double away_s;
	/* The radio: each notification is late by up to so much; and a stall that all wait for. */
	double jitter_s, stall_every_s, stall_s;
};

int simulator_options_parse(int argc, char **argv, struct simulator_options *ret);
