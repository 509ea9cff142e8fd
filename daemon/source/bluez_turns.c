/*
 * Whose turn it is. One Connect at a time over each adapter, and no scan meanwhile: both together are
 * the first cause of connections that fail (bleak#1220, #1673).
 *
 * Who connects next: configured ones first, then those that were heard a moment ago, then who failed
 * least, then who has waited longest. One that refuses goes behind all others by that.
 */
#include "source/bluez_inside.h"

#include <stdio.h>

#define ENROLL_FIRST   (120 * USEC_PER_SEC)
#define ENROLL_EVERY   (60 * USEC_PER_SEC)
#define ENROLL_SPAN    (10 * USEC_PER_SEC)
#define MISSED_SPAN    (600 * USEC_PER_SEC) /* an enrolled one is looked for so long */
#define SUSPECT_SILENT (6 * USEC_PER_SEC)
#define LISTEN_FIRST   (4 * USEC_PER_SEC) /* for who is named, before a stranger's turn */
#define SUSPECT_SPAN   (60 * USEC_PER_SEC)

enum { CLAIMS_MAX = 3 }; /* failures of who is named, until strangers keep their links */

static unsigned links_of(struct bluez *b, const struct radio *r)
{
	unsigned n = 0;

	for (struct objects_device *d = objects_devices(b->objects); d; d = d->next)
		n += d->connected && !d->ghost && bluez_radio_of(b, d->path) == r;
	return n;
}

/* Something of this kind is under way, and only one may be. */
static bool is_connecting(struct bluez *b, const struct radio *r)
{
	for (const struct wearable *w = b->wearables; w; w = w->next) {
		if (!w->object || bluez_radio_of(b, w->object->path) != r)
			continue;
		if (w->device.state == DEVICE_CONNECTING ||
		    (w->device.state == DEVICE_DROPPING && !w->device.connected))
			return true;
	}
	return false;
}

static bool goes_before(const struct wearable *a, const struct wearable *b, usec_t now)
{
	bool a_near = ladder_link_near(&a->device.ladder, now);
	bool b_near = ladder_link_near(&b->device.ladder, now);

	if (a->configured != b->configured)
		return a->configured;
	if (a_near != b_near)
		return a_near;
	if (a->device.ladder.failures != b->device.ladder.failures)
		return a->device.ladder.failures < b->device.ladder.failures;
	return a->tried < b->tried;
}

static bool is_candidate(struct bluez *b, const struct wearable *w, const struct radio *r)
{
	return w->wanted && w->device.state == DEVICE_IDLE && w->object && !w->object->connected &&
	       !w->object->blocked && bluez_radio_of(b, w->object->path) == r;
}

static struct wearable *next_turn(struct bluez *b, const struct radio *r, usec_t now)
{
	struct wearable *next = NULL;

	for (struct wearable *w = b->wearables; w; w = w->next)
		if (is_candidate(b, w, r) && ladder_link_due(&w->device.ladder, now) <= now &&
		    (!next || goes_before(w, next, now)))
			next = w;
	return next;
}

/* Links that are up already, whoever made them, are ours if they are wanted. */
void turns_adopt(struct bluez *b, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->wanted && w->device.state == DEVICE_IDLE && w->object &&
		    w->object->connected && w->device.ladder.not_before <= now)
			wearable_start(w, now);
}

/* Is anybody missed who could be found by scanning? */
static bool is_missed(const struct bluez *b, const struct wearable *w, usec_t now)
{
	if (!w->wanted || w->device.state != DEVICE_IDLE)
		return false;
	return w->configured ||
	       (w->device.ladder.lost > 0 && now < w->device.ladder.lost + MISSED_SPAN);
}

/* ... and is not known by any advertisement of late? */
static bool is_unknown_missed(struct bluez *b, usec_t now)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->configured && is_missed(b, w, now) &&
		    !ladder_link_near(&w->device.ladder, now))
			return true;
	return false;
}

static bool enroll_window(const struct bluez *b, usec_t now)
{
	usec_t age = now - b->started;

	return b->config->auto_enroll && (age < ENROLL_FIRST || age % ENROLL_EVERY < ENROLL_SPAN);
}

/*
 * All who should speak over this radio have been silent for a while: whether it still answers shows
 * when it is asked to scan.
 */
static bool is_suspect(struct bluez *b, struct radio *r, usec_t now)
{
	const struct ladder_adapter *l = radio_ladder(r);

	return l->stuck || l->owed ||
	       (l->heard > 0 && now < l->heard + SUSPECT_SPAN && now > l->alive + SUSPECT_SILENT &&
		links_of(b, r) > 0);
}

static bool proof_wanted(struct bluez *b, const struct radio *r)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (wearable_wants_proof(w) && bluez_radio_of(b, w->object->path) == r)
			return true;
	return false;
}

/* Somebody who has a link over this radio, and whom nobody has named. */
static struct wearable *stranger_up(struct bluez *b, const struct radio *r)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (!w->configured && w->device.state == DEVICE_UP && w->object &&
		    bluez_radio_of(b, w->object->path) == r)
			return w;
	return NULL;
}

static bool is_named_missed(const struct bluez *b, usec_t now)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->configured && is_missed(b, w, now))
			return true;
	return false;
}

/* All links are in use, and `next` is named and there: a stranger's is to be had, one at a time. */
static void claim_link(struct bluez *b, const struct radio *r, const struct wearable *next)
{
	struct wearable *stranger = stranger_up(b, r);

	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->yields)
			return;
	if (!next->configured || next->device.ladder.failures >= CLAIMS_MAX || !stranger)
		return;
	stranger->yields = true;
	bluez_wake(b);
}

static bool scan_wanted(struct bluez *b, struct radio *r, unsigned links, usec_t now)
{
	if (is_suspect(b, r, now))
		return true;
	if (links >= b->config->max_links && !(stranger_up(b, r) && is_named_missed(b, now)))
		return false;
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (is_missed(b, w, now))
			return true;
	return enroll_window(b, now);
}

static void say_waiting(struct bluez *b, const struct radio *r, bool full, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (is_candidate(b, w, r))
			w->waits =
				full && ladder_link_near(&w->device.ladder, now) ? b->full : NULL;
}

void turns_give(struct bluez *b, struct radio *r, usec_t now)
{
	unsigned links = links_of(b, r);
	bool full = links >= b->config->max_links;
	struct wearable *next =
		!radio_ready(r) || is_connecting(b, r) ? NULL : next_turn(b, r, now);

	if (full && next)
		claim_link(b, r, next);
	/* a scan that ends with the first stranger it hears would find nobody else */
	if (full || (next && !next->configured && is_named_missed(b, now) &&
		     radio_listened(r, now) < LISTEN_FIRST))
		next = NULL;

	(void)snprintf(b->full, sizeof(b->full), "%llu links of %llu are in use",
		       (unsigned long long)b->config->max_links,
		       (unsigned long long)b->config->max_links);
	say_waiting(b, r, full, now);
	radio_want_scan(r, !next && !is_connecting(b, r) && scan_wanted(b, r, links, now),
			is_unknown_missed(b, now));
	if (proof_wanted(b, r))
		radio_want_proof(r, now);
	radio_tick(r, now);
	if (next && radio_ready(r) && !radio_scanning(r)) {
		radio_listen_anew(r);
		wearable_start(next, now);
	}
}
