/*
 * The packets that an adapter and its host would have exchanged for what a source told: a link, the
 * discovery of what is on it, values, the end. So that btmon, Wireshark and our own replay read the
 * frames of any source. Pure: what was told in, packets out, each one by one.
 *
 * Made up are: one adapter (0), the handles of connections, and the table of handles, which is the
 * same for all: the value of characteristic c is at 0x0010 + c. All values are notifications, those
 * that were read as well.
 */
#pragma once

#include "model/frame.h"
#include "model/record.h"
#include "source/btsnoop.h"

enum {
	SYNTHESIS_VALUE_MAX = 1024,   /* a longer one is cut: no radio brings it */
	SYNTHESIS_LINKS_MAX = 0x0e00, /* 12 bits hold no more handles */
	SYNTHESIS_PACKET_MAX = 1100,  /* bytes of data */
};

struct synthesis {
	void *userdata;
	/* Borrowed for the call; `dropped` is not set. */
	void (*packet)(void *userdata, const struct btsnoop_packet *p);
	struct buf data; /* of the packet that is put together; it never grows */
};

/* < 0: no memory. */
int synthesis_init(struct synthesis *s, void *userdata,
		   void (*packet)(void *userdata, const struct btsnoop_packet *p));
void synthesis_done(struct synthesis *s);
/* An adapter, and a note that says what this is. */
void synthesis_begin(struct synthesis *s, int64_t wall_us);
/* `link`: 0 .. SYNTHESIS_LINKS_MAX - 1. */
void synthesis_connected(struct synthesis *s, unsigned link, const char *address, const char *name,
			 int64_t wall_us);
void synthesis_value(struct synthesis *s, unsigned link, enum characteristic c, const uint8_t *data,
		     size_t size, int64_t wall_us);
void synthesis_disconnected(struct synthesis *s, unsigned link, enum gap_reason why,
			    int64_t wall_us);
void synthesis_note(struct synthesis *s, const char *text, int64_t wall_us);
