/*
 * A simulated strap on somebody's chest: paces it in real time, puts what it sends on the air,
 * writes the truth about it, and lets go wrong what was asked to.
 */
#pragma once

#include "source/air.h"
#include "source/simulator_options.h"

struct wearer;

struct wearer *wearer_free(struct wearer *w);
DEFINE_CLEANUP(struct wearer *, wearer_free)
/* The strap is put on at boot time `now`. Options, air and truth are borrowed for its life. */
int wearer_new(const struct simulator_options *options, unsigned index, struct air *air,
	       struct truth *truth, usec_t now, struct wearer **ret);
/* When wearer_step() is to be called; USEC_INFINITY while it is paused or after the duration. */
usec_t wearer_due(const struct wearer *w);
bool wearer_is_finished(const struct wearer *w);
void wearer_step(struct wearer *w, usec_t now);
/* Says that it is there and links its characteristics, if it is in reach. */
void wearer_link(struct wearer *w, usec_t now);
const char *wearer_address(const struct wearer *w);
/* `word` names one that it notifies, NULL its most telling one; UNKNOWN: no such. */
enum characteristic wearer_characteristic(const struct wearer *w, const char *word);

/* Misbehaviour, now or with the next notification. */
void wearer_unlink(struct wearer *w, enum gap_reason why, double away_s, usec_t now);
void wearer_lose(struct wearer *w, enum characteristic c, unsigned n);
void wearer_duplicate(struct wearer *w, enum characteristic c);
void wearer_mangle(struct wearer *w, enum characteristic c);
/* Sends these bytes at once; at most STRAP_FRAME_SIZE. */
void wearer_inject(struct wearer *w, enum characteristic c, const uint8_t *data, size_t size,
		   usec_t now);
void wearer_jump_clock(struct wearer *w, double seconds, usec_t now);
void wearer_reset_clock(struct wearer *w, usec_t now);
void wearer_drift(struct wearer *w, double ppm, usec_t now);
void wearer_mute(struct wearer *w, double seconds, usec_t now);
void wearer_pause(struct wearer *w, bool paused, usec_t now);
