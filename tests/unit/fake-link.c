/*
 * Links of made-up wearables. The order is that of bluez 5.66: Connected, the answer of Connect, the
 * characteristics, ServicesResolved; and at the end the sockets, ServicesResolved, Connected.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake-world.h"
#include "told-time.h"

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

#define FORGETS (30 * USEC_PER_SEC) /* bluetoothd, a device that it does not hear any more */

void fake_link_unsubscribe(struct fake_strap *s)
{
	for (size_t i = 0; i < FAKE_CHARACTERISTICS; i++) {
		if (s->characteristics[i].fd >= 0)
			assert_int_equal(close(s->characteristics[i].fd), 0);
		s->characteristics[i] = (struct fake_characteristic){.fd = -1};
	}
}

void fake_link_end(struct fake_strap *s)
{
	fake_link_unsubscribe(s);
	s->ends = 0;
	s->resolved = s->connected = false;
}

void fake_link_down(struct fake_bluez *f, struct fake_strap *s)
{
	bool was_resolved = s->resolved;

	fake_link_end(s);
	if (was_resolved)
		fake_tell_strap(f, s, "ServicesResolved");
	fake_tell_strap(f, s, "Connected");
}

static void link_resolved(struct fake_bluez *f, struct fake_strap *s)
{
	if (!s->listed) {
		s->listed = true;
		for (int i = 0; i < fake_tell_count(s); i++)
			fake_tell_added(f, &(struct fake_place){s->adapter, s, i});
		fake_tell_added(f, &(struct fake_place){s->adapter, s, -1});
	}
	s->resolved = true;
	fake_tell_strap(f, s, "ServicesResolved");
}

void fake_link_answer(struct fake_strap *s, const char *error)
{
	sd_bus_message *m = TAKE(s->asked);

	if (!m)
		return;
	if (error)
		assert_true(sd_bus_reply_method_errorf(m, FAKE_ERROR "Failed", "%s", error) >= 0);
	else
		assert_true(sd_bus_reply_method_return(m, NULL) >= 0);
	sd_bus_message_unref(m);
}

void fake_link_up(struct fake_bluez *f, struct fake_strap *s)
{
	s->connected = s->kept = true;
	fake_tell_strap(f, s, "Connected");
	fake_link_answer(s, NULL);
	if (s->forgot && s->paired)
		fake_link_down(f, s);
	else if (s->link != FAKE_LINK_UNRESOLVED)
		link_resolved(f, s);
}

void fake_link_paired(struct fake_bluez *f, struct fake_strap *s)
{
	s->paired = s->kept = true;
	if (s->identity) {
		(void)snprintf(s->address, sizeof(s->address), "%s", s->identity);
		s->random = false;
		fake_tell_strap(f, s, "AddressType");
		fake_tell_strap(f, s, "Address");
	}
	fake_tell_strap(f, s, "Paired");
}

void fake_link_know(struct fake_bluez *f, struct fake_strap *s)
{
	if (s->path[0] || !s->adapter->path[0])
		return;
	(void)snprintf(s->path, sizeof(s->path), "%.60s/dev_%s", s->adapter->path, s->address);
	for (char *c = s->path + strlen(s->path) - strlen(s->address); *c; c++)
		*c = (char)(*c == ':' ? '_' : toupper(*c));
	fake_tell_added(f, &(struct fake_place){s->adapter, s, -1});
}

void fake_link_forget(struct fake_bluez *f, struct fake_strap *s)
{
	char path[FAKE_PATH_SIZE];

	if (!s->path[0])
		return;
	if (s->connected)
		fake_link_down(f, s);
	fake_link_answer(s, "le-connection-abort-by-local");
	for (int i = 0; s->listed && i < fake_tell_count(s); i++) {
		fake_tell_path(s, i, path);
		fake_tell_removed(f, path, FAKE_CHARACTERISTIC);
	}
	fake_tell_removed(f, s->path, FAKE_DEVICE);
	s->path[0] = '\0';
	s->rssi = 0;
	s->listed = s->trusted = s->kept = false;
}

void fake_link_stop_discovery(struct fake_bluez *f, struct fake_adapter *a)
{
	if (!a->discovering)
		return;
	a->discovering = false;
	for (size_t i = 0; i < f->n_straps; i++)
		if (f->straps[i].adapter == a && f->straps[i].rssi) {
			f->straps[i].rssi = 0;
			fake_tell_strap(f, &f->straps[i], "RSSI");
		}
	fake_tell_adapter(f, a, "Discovering");
}

void fake_link_live(struct fake_bluez *f, struct fake_strap *s)
{
	if (s->ends > 0 && told_time() >= s->ends)
		fake_link_down(f, s);
	if (s->path[0] && !s->kept && !s->asked && told_time() >= s->seen + FORGETS)
		fake_link_forget(f, s);
	if (!f->running || !s->near || s->connected || !s->adapter->path[0] ||
	    s->adapter->mood != FAKE_WELL)
		return;
	if (s->asked && s->link != FAKE_LINK_UNANSWERED) {
		fake_link_up(f, s);
		return;
	}
	if (s->every && told_time() / USEC_PER_SEC % s->every != 0)
		return;
	if (!s->adapter->discovering || !s->adapter->filtered || (s->bare && !s->adapter->all))
		return;
	s->seen = told_time();
	s->rssi = s->rssi == -60 ? -61 : -60;
	if (!s->path[0])
		fake_link_know(f, s);
	else
		fake_tell_strap(f, s, "RSSI");
}
