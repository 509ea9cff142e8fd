/*
 * Audits on request. An audit reads every record there is, so it goes on in slices of STEP_ROWS
 * when the loop has nothing better to do, and the answer is sent at its end.
 *
 *     idle --join--> running --done--> idle, or running again for those who came meanwhile
 *
 * Callers that come while one is running wait for the next: their answer must not be older than
 * their question. AUDITS_MAX of them may wait; more are told so. Their messages hold their
 * connections, so one that has gone meanwhile is answered into the void, which harms nobody.
 */
#include "control/audits.h"

#include <systemd/sd-event.h>

enum { AUDITS_MAX = 8, STEP_ROWS = 2000 };

struct audits {
	struct control_handler handler;
	struct audit *audit; /* the one that runs */
	sd_event_source *step;
	sd_bus_message *waiting[AUDITS_MAX]; /* in the order they came */
	size_t n_waiting, n_served;	     /* the first n_served wait for the audit that runs */
};

int audits_reply(sd_bus_message *m, const struct tables *t)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(m, &reply);

	if (r >= 0)
		r = tables_append(reply, t);
	if (r < 0)
		return sd_bus_reply_method_errno(m, r, NULL);
	return sd_bus_send(NULL, reply, NULL);
}

/* Answers those the audit was run for and forgets them; the others move up. */
static void finish(struct audits *a, int r)
{
	_cleanup_(tables_done) struct tables t = {0};
	size_t n = a->n_served;

	if (r == 0)
		r = snapshot_audit(a->handler.store(a->handler.userdata), a->audit, &t);
	for (size_t i = 0; i < n; i++) {
		/* a caller that has gone is no concern of the others */
		if (r < 0)
			(void)sd_bus_reply_method_errno(a->waiting[i], r, NULL);
		else
			(void)audits_reply(a->waiting[i], &t);
		a->waiting[i] = sd_bus_message_unref(a->waiting[i]);
	}
	a->n_waiting -= n;
	for (size_t i = 0; i < a->n_waiting; i++)
		a->waiting[i] = a->waiting[i + n];
	a->n_served = 0;
	a->audit = audit_free(a->audit);
}

static int on_step(sd_event_source *source, void *userdata)
{
	struct audits *a = userdata;
	struct store *store = a->handler.store(a->handler.userdata);
	int r = 0;

	if (!a->audit) {
		a->n_served = a->n_waiting;
		r = store ? audit_new(store, &a->audit) : -ENODATA;
	}
	if (r == 0)
		r = audit_step(a->audit, STEP_ROWS);
	if (r == STORE_E_NOTHING)
		return 0;
	finish(a, r > 0 ? -EIO : r); /* audit_step() names no other condition */
	if (a->n_waiting == 0)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* ours: cannot fail */
	return 0;
}

struct audits *audits_free(struct audits *a)
{
	if (!a)
		return NULL;
	for (size_t i = 0; i < a->n_waiting; i++)
		a->waiting[i] = sd_bus_message_unref(a->waiting[i]);
	a->audit = audit_free(a->audit);
	a->step = sd_event_source_disable_unref(a->step);
	free(a);
	return NULL;
}
DEFINE_CLEANUP(struct audits *, audits_free)

int audits_new(sd_event *event, const struct control_handler *handler, struct audits **ret)
{
	_cleanup_(audits_freep) struct audits *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->handler = *handler;
	r = sd_event_add_defer(event, &a->step, on_step, a);
	if (r >= 0)
		r = sd_event_source_set_priority(a->step, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_enabled(a->step, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE(a);
	return 0;
}

int audits_join(struct audits *a, sd_bus_message *m)
{
	int r;

	if (a->n_waiting == AUDITS_MAX)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_LIMITS_EXCEEDED,
						  "%d audits are asked for already", AUDITS_MAX);
	r = sd_event_source_set_enabled(a->step, SD_EVENT_ON);
	if (r < 0)
		return sd_bus_reply_method_errno(m, r, NULL);
	a->waiting[a->n_waiting++] = sd_bus_message_ref(m);
	return 1;
}
