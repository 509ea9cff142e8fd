/*
 * The wearables that are known at the moment: a place for each, and what is shown of it. Places are
 * few and the air is full, so a place is lent:
 *
 *    told of or heard --> a free place, else that of who is not connected, strangers first
 *    forgotten by its source --> free again
 *
 * Only what can be found again is lost with a place: streams are the store's, wishes the config's.
 *
 * State comes from the source, if it tells one (struct source_device). Of one that only connects and
 * disconnects it is "streaming" and "waiting".
 */
#include "collect_state.h"

#include <stdio.h>

static void copy(char *ret, size_t size, const char *text)
{
	(void)snprintf(ret, size, "%s", text ? text : ""); /* longer is cut */
}

static bool goes_before(const struct collect *c, size_t a, size_t b)
{
	if (c->devices[a].enrolled != c->devices[b].enrolled)
		return c->devices[b].enrolled;
	return c->status[a].last_frame_us < c->status[b].last_frame_us;
}

/*
 * A place for a new device. What changes its address with each link, or only passes by, must not
 * take the last place from a strap that is worn: who is not connected goes, strangers first, then
 * the one not heard for longest. COLLECT_MAX_DEVICES: all are connected.
 */
static size_t free_place(struct collect *c)
{
	size_t place = COLLECT_MAX_DEVICES;

	if (c->n < COLLECT_MAX_DEVICES)
		return c->n++;
	for (size_t i = 0; i < c->n; i++)
		if (!c->status[i].connected &&
		    (place == COLLECT_MAX_DEVICES || goes_before(c, i, place)))
			place = i;
	return place;
}

int collect_device_index(struct collect *c, const char *address)
{
	size_t place;

	for (size_t i = 0; i < c->n; i++)
		if (streq(c->status[i].address, address))
			return (int)i;
	place = free_place(c);
	if (place == COLLECT_MAX_DEVICES)
		return -1;
	collect_device_done(&c->devices[place]);
	c->status[place] = (struct device_status){.battery = -1};
	copy(c->status[place].state, sizeof(c->status[place].state), "waiting");
	copy(c->status[place].address, sizeof(c->status[place].address), address);
	collect_device_configure(c, place);
	return (int)place;
}

enum speaks { SPEAKS_NOT, SPEAKS_NOW_AND_THEN, SPEAKS_ALWAYS };

/* How the streams of this profile speak, of those that are wanted. */
static enum speaks profile_speaks(const struct profile *p, unsigned wanted)
{
	enum speaks speaks = SPEAKS_NOT;

	for (size_t i = 0; i < p->n_characteristics; i++) {
		const struct profile_characteristic *c = &p->characteristics[i];

		if (c->kinds & wanted)
			speaks = MAX(speaks, c->silence ? SPEAKS_ALWAYS : SPEAKS_NOW_AND_THEN);
	}
	return speaks;
}

static bool offers_profile(const char *offers, const char *name)
{
	size_t size = strlen(name);

	for (const char *at = strstr(offers, name); at; at = strstr(at + 1, name))
		if ((at == offers || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0'))
			return true;
	return false;
}

/* Of what is wanted and, where that is known, offered, nothing streams all the time. */
static bool is_occasional(unsigned wanted, const char *offers)
{
	const struct profiles all = protocol_profiles();
	enum speaks speaks = SPEAKS_NOT;

	if (wanted && !(wanted & ~CONFIG_KINDS_OCCASIONAL))
		return true;
	for (size_t i = 0; i < all.n; i++)
		if (offers_profile(offers, all.list[i]->name))
			speaks = MAX(speaks, profile_speaks(all.list[i], wanted));
	return speaks == SPEAKS_NOW_AND_THEN;
}

/* A strap that is given to somebody else opens new streams with its next record. */
void collect_device_configure(struct collect *c, size_t i)
{
	const struct config_device *wish = config_device_find(c->config, c->status[i].address);
	struct device *d = &c->devices[i];
	const char *subject = wish && wish->subject ? wish->subject : "";

	d->enrolled = wish || c->config->auto_enroll;
	d->wanted = source_wanted(c->config, c->status[i].address);
	c->status[i].occasional = is_occasional(d->wanted, c->status[i].offers);
	if (wish && wish->name)
		copy(c->status[i].name, sizeof(c->status[i].name), wish->name);
	if (streq(d->subject, subject))
		return;
	copy(d->subject, sizeof(d->subject), subject); /* the config bounds it */
	memset(d->flows, 0, sizeof(d->flows));
}

void collect_device_remove(struct collect *c, size_t i)
{
	size_t after = c->n - i - 1;

	collect_device_done(&c->devices[i]);
	memmove(&c->devices[i], &c->devices[i + 1], after * sizeof(*c->devices));
	memmove(&c->status[i], &c->status[i + 1], after * sizeof(*c->status));
	c->n--;
	c->devices[c->n] = (struct device){0};
}

struct decoder *collect_device_decoder(struct device *d, size_t index)
{
	if (!d->decoders)
		d->decoders = calloc(protocol_count(), sizeof(struct decoder *));
	if (d->decoders && !d->decoders[index])
		d->decoders[index] = calloc(1, sizeof(**d->decoders));
	return d->decoders ? d->decoders[index] : NULL;
}

void collect_device_link(struct device *d)
{
	memset(d->timelines, 0, sizeof(d->timelines));
	for (size_t kind = 0; kind < KIND_MAX; kind++)
		d->flows[kind].voice = 0;
	for (size_t i = 0; d->decoders && i < protocol_count(); i++)
		if (d->decoders[i])
			memset(d->decoders[i]->state, 0, sizeof(d->decoders[i]->state));
}

void collect_device_done(struct device *d)
{
	for (size_t i = 0; d->decoders && i < protocol_count(); i++)
		free(d->decoders[i]);
	free(d->decoders);
	*d = (struct device){0};
}

void collect_device_report(struct collect *c, size_t i, const struct source_device *told)
{
	struct device_status *status = &c->status[i];
	const struct config_device *wish = config_device_find(c->config, status->address);
	struct device *d = &c->devices[i];
	bool has_why = told->why && told->why[0];

	static_assert((int)RECOVERY_MAX_ == (int)RUNG_MAX_, "one counter for each rung");
	d->reported = true;
	if (told->name && told->name[0] && !(wish && wish->name))
		copy(status->name, sizeof(status->name), told->name);
	copy(status->state, sizeof(status->state), told->state);
	copy(status->why, sizeof(status->why), has_why ? told->why : d->lost);
	copy(status->offers, sizeof(status->offers), told->offers);
	copy(status->adapter, sizeof(status->adapter), told->adapter);
	status->rssi = told->rssi;
	status->paired = told->paired;
	status->occasional = is_occasional(d->wanted, status->offers);
	for (size_t rung = 0; rung < RUNG_MAX_; rung++)
		status->recoveries[rung] = told->rungs[rung];
}
