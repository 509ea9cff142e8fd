/*
 * Follows what an adapter and its host say to each other (HCI), and tells what a source would have
 * told: wearables that come and go, and their bytes. Pure: packets in, calls out; bounded, and made
 * for packets that somebody has tampered with.
 *
 * A link that was up before the first packet has no address that anybody could know. It gets one
 * made of the adapter's index and the handle of the connection: adapter 0, handle 0x0040 is
 * "00:00:00:00:00:40".
 */
#pragma once

#include "model/record.h"
#include "source/attribute.h"
#include "source/btsnoop.h"

struct sniff_handler {
	void *userdata;
	void (*connected)(void *userdata, const char *device, const char *name, usec_t boot_us);
	void (*frame)(void *userdata, const struct frame *frame);
	void (*disconnected)(void *userdata, const char *device, enum gap_reason why,
			     usec_t boot_us);
};

struct sniff_counts {
	uint64_t packets;
	uint64_t frames;    /* told */
	uint64_t unnamed;   /* values at handles that nobody has named */
	uint64_t malformed; /* packets and PDUs that are not what they should be */
	uint64_t torn;	    /* PDUs of which a part is missing */
};

struct sniff;

struct sniff *sniff_free(struct sniff *s);
DEFINE_CLEANUP(struct sniff *, sniff_free)
/* `given` (borrowed, or NULL): which characteristic is at which handle, where no discovery tells. */
int sniff_new(const struct attribute_map *given, const struct sniff_handler *handler,
	      struct sniff **ret);
/* `boot_us`: when the packet came; `now`: when that is told. */
int sniff_packet(struct sniff *s, const struct btsnoop_packet *p, usec_t boot_us, usec_t now);
/* There will be no more packets: all links are gone. */
void sniff_end(struct sniff *s, usec_t now);
const struct sniff_counts *sniff_counts(const struct sniff *s);
