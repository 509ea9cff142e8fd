/* Misbehaviour on request: what --tell and PATH.ctl bring, done to the simulated wearables. */
#pragma once

#include "source/wearer.h"

struct command_context {
	struct wearer *const *wearers;
	unsigned n_wearers;
	double away_s; /* of a link, where the command does not say */
};

/* Cuts `line` up. NULL: done; else what is wrong with it. */
const char *command_run(const struct command_context *context, char *line, usec_t now);
