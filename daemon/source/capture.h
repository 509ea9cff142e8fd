/*
 * Who listens in: everything that a source tells, whichever it is, goes as a btsnoop file to those
 * who asked for it. A descriptor is a SEQPACKET socket: the first message is the file's header, each
 * other one is a packet. What the other side does not read in time is dropped and counted in the
 * packets that come later, as in any btsnoop file.
 *
 * It ends when the other side shuts down its writing (then a last note comes, and the end), hangs
 * up, or the daemon ends.
 */
#pragma once

#include "source/source.h"

enum {
	CAPTURE_MAX = 4, /* at once */
	CAPTURE_E_BUSY = 1,
	CAPTURE_E_SOCKET, /* not a SEQPACKET socket */
};

struct capture;

struct capture *capture_free(struct capture *c);
DEFINE_CLEANUP(struct capture *, capture_free)
/* `profiles` (borrowed) tell which values are said once and are needed to understand later ones. */
int capture_new(sd_event *event, struct profiles profiles, struct capture **ret);
/*
 * A handler for a source, each time there is a new one: the links of the last one are gone. It
 * passes all on to `next`.
 */
struct source_handler capture_tee(struct capture *c, const struct source_handler *next);
/* `device`: its address; "": all. Takes the descriptor unless it says no. */
int capture_add(struct capture *c, int fd, const char *device);
