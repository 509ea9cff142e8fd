/*
 * What happens on a link that is up, whoever carries it. A session goes through the profiles that
 * the wearable offers: subscribes, reads what is read once, starts the streams that the owner wants
 * by their dialogues, then watches that each of them speaks. Pure: the carrier (bluetoothd, or our
 * own ATT client) does what it is asked and answers; time is told; so every silence and every
 * refusal is tested with scripts.
 */
#pragma once

#include "model/profile.h"
#include "model/recorder.h"
#include "source/source.h"

/* How an operation of the carrier ended; 0: well. */
enum {
	/* The wearable wants an encrypted link: pair, then session_paired(). */
	SESSION_E_SECURITY = 1,
	SESSION_E_REFUSED, /* any other ATT error, told in `att_error`; 0: not known which */
	SESSION_E_TIMEOUT, /* no answer */
	SESSION_E_GONE,	   /* the link, or the characteristic */
	SESSION_E_KEPT,	   /* the carrier holds a subscription of before, and lets nobody have it */
};

/* Properties as in the characteristic's declaration (Core Specification 3.G.3.3.1.1). */
enum {
	PROPERTY_READ = 0x02,
	PROPERTY_WRITE_COMMAND = 0x04,
	PROPERTY_WRITE = 0x08,
	PROPERTY_NOTIFY = 0x10,
	PROPERTY_INDICATE = 0x20,
};

/*
 * At most one operation is under way; it is answered by session_done(), once, from the loop and
 * never from within the call. What cannot even be begun is answered the same way.
 */
struct session_carrier {
	void *userdata;
	/* 0: the wearable has no such characteristic. */
	unsigned (*properties)(void *userdata, enum characteristic c);
	void (*read)(void *userdata, enum characteristic c);
	void (*write)(void *userdata, enum characteristic c, const uint8_t *data, size_t size);
	void (*subscribe)(void *userdata, enum characteristic c, bool indicate);
	void (*unsubscribe)(void *userdata, enum characteristic c);
};

enum session_need {
	SESSION_NEED_PAIRING,	/* then session_paired(); nothing happens until then */
	SESSION_NEED_RECONNECT, /* drop the link: nothing more can be done on it */
	SESSION_NEED_RENEW,	/* the same would help; if it does not, this link goes on without */
	SESSION_NEED_END, /* the link is gone, though its carrier may not have been told yet */
};

/*
 * Called from session_done(), session_value() and session_tick() only, as the last thing they do:
 * the session may be freed from within. What the other functions cause comes with the next
 * session_tick(), which is then due at once.
 */
struct session_handler {
	void *userdata;
	/* Bytes of the wearable; `device` is not set in the frame. */
	void (*frame)(void *userdata, const struct frame *frame);
	void (*need)(void *userdata, enum session_need need, const char *why);
	/* RUNG_RESUBSCRIBE was climbed. */
	void (*rung)(void *userdata, enum rung rung, const char *why);
	/* session_running(), _why(), _offers() or _closed() have something new to say. */
	void (*changed)(void *userdata);
	/*
	 * A memory asks (recorder->question), or is elsewhere than it was. NULL: nobody cares, and none
	 * is touched.
	 */
	void (*recorder)(void *userdata, struct recorder *recorder);
};

/* What was not as it should be, since the link came up. */
struct session_counts {
	uint32_t reads_refused; /* or not answered */
	uint32_t strays;	/* values of characteristics that nobody asked for */
	uint32_t oversized;	/* values longer than FRAME_MAX */
	uint32_t unheard;	/* answers that came faster than the dialogue could take them */
};

struct session;

/* Sends nothing: the link may be gone. To let the wearable rest, session_close() before. */
struct session *session_free(struct session *s);
DEFINE_CLEANUP(struct session *, session_free)
/*
 * `wanted`: kinds, 1 << enum kind. Nothing is called from within: the first operation comes with
 * the first session_tick().
 */
int session_new(struct profiles profiles, unsigned wanted, const struct session_carrier *carrier,
		const struct session_handler *handler, usec_t now, struct session **ret);
/* The operation under way ended; data is what was read. */
void session_done(struct session *s, int result, uint8_t att_error, const uint8_t *data,
		  size_t size, usec_t now);
/* A notification or indication; longer than FRAME_MAX is counted and dropped, empty is fine. */
void session_value(struct session *s, enum characteristic c, const uint8_t *data, size_t size,
		   usec_t boot_us, usec_t now);
/* The carrier lost this subscription by itself (end of a socket): it is made again. */
void session_unsubscribed(struct session *s, enum characteristic c, usec_t now);
void session_paired(struct session *s, usec_t now);
/*
 * Silence is borne for 1 << doublings as long, up to 10 min, until the first stream speaks: for one
 * that said nothing on its last links. Before the first session_tick().
 */
void session_set_patience(struct session *s, unsigned doublings);
void session_set_mtu(struct session *s, uint16_t mtu);
/* Other kinds are wanted: what is too much is stopped, what lacks is started. */
void session_set_wanted(struct session *s, unsigned wanted, usec_t now);
/*
 * This hub lets go: the dialogues stop their streams, nothing else is begun any more. Give it a
 * second or so until session_closed(); a wearable that does not answer never gets there.
 */
void session_close(struct session *s, usec_t now);
bool session_closed(const struct session *s);
/* When session_tick() has something to do; USEC_INFINITY: nothing. */
usec_t session_due(const struct session *s);
void session_tick(struct session *s, usec_t now);

/* All that is wanted and offered was started, or has told why it cannot be. */
bool session_running(const struct session *s);
/* Which stream does not run, and why; "" when all do. */
const char *session_why(const struct session *s);
/* The names of the profiles that the wearable offers, with blanks between. */
const char *session_offers(const struct session *s);
/* One of the streams that must not be silent has said something. */
bool session_spoke(const struct session *s);
/* When anything was last heard; 0: nothing yet. */
usec_t session_heard(const struct session *s);
const struct session_counts *session_counts(const struct session *s);
