/*
 * The table of all wearables that can be read. Its order is the order in which a session asks: what
 * is read once comes first, so that an owner sees a name and a battery before the first beat.
 */
#include "decode/protocol.h"

static const struct protocol *const protocols[] = {
	&protocol_device_info,	  &protocol_battery,	    &protocol_heart_rate,
	&protocol_polar_pmd,	  &protocol_pulse_oximeter, &protocol_thermometer,
	&protocol_blood_pressure, &protocol_movesense,	    &protocol_healthypi,
	&protocol_viatom,	  &protocol_polar_psftp,
};

static const struct profile *const profiles[] = {
	&protocol_device_info.profile,	  &protocol_battery.profile,
	&protocol_heart_rate.profile,	  &protocol_polar_pmd.profile,
	&protocol_pulse_oximeter.profile, &protocol_thermometer.profile,
	&protocol_blood_pressure.profile, &protocol_movesense.profile,
	&protocol_healthypi.profile,	  &protocol_viatom.profile,
	&protocol_polar_psftp.profile,
};

static_assert(ARRAY_SIZE(protocols) == ARRAY_SIZE(profiles), "every protocol has its profile");

static bool has(const struct profile *p, enum characteristic c)
{
	for (size_t i = 0; i < p->n_characteristics; i++)
		if (p->characteristics[i].characteristic == c)
			return true;
	return false;
}

const struct protocol *protocol_of(enum characteristic c)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (has(&protocols[i]->profile, c))
			return protocols[i];
	return NULL;
}

size_t protocol_index(const struct protocol *p)
{
	size_t i = 0;

	while (protocols[i] != p)
		i++;
	return i;
}

size_t protocol_count(void)
{
	return ARRAY_SIZE(protocols);
}

struct profiles protocol_profiles(void)
{
	return (struct profiles){.list = profiles, .n = ARRAY_SIZE(profiles)};
}
