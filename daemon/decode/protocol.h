/*
 * All wearables that this program can read, in one table. A protocol is a profile (which service,
 * what to subscribe to, how to start) and a decoder (what its bytes mean); both are defined in one
 * file of this room, so that a new wearable is one file and one line in protocol.c.
 */
#pragma once

#include "decode/decode.h"
#include "model/profile.h"
#include "model/record.h"

/* What a frame turned out to hold. Borrowed for the call. */
struct reading {
	enum kind kind;
	/* type, and heart_rate, ecg or samples are set; stream, ids and times are not. dt_ns is 0 */
	struct record *record;
	uint32_t n; /* samples in time; 1 for a single value */
	/* When the sensor itself says when its last sample was: ns since 2000-01-01; 0: it does not */
	uint64_t sensor_ns;
	uint32_t nominal_dt_ns; /* between samples; 0: n is 1, and arrival is when it was */
};

struct reading_handler {
	void *userdata;
	void (*reading)(void *userdata, const struct reading *reading);
};

enum { DECODER_STATE_MAX = 4096 };

/* What a decoder remembers between frames of one link (halves of messages, scale factors). */
struct decoder {
	uint64_t state[DECODER_STATE_MAX / 8]; /* all zero at the start of a link */
	struct record record;		       /* where readings are put together */
};

struct protocol {
	struct profile profile;
	/*
	 * A frame of one of the profile's characteristics: calls handler->reading for each reading in
	 * it, none for half a message, an answer of the control point, or what is read once and is no
	 * measurement (battery, names: see device_info.h). DECODE_E_*: nothing of it was handed on.
	 */
	int (*decode)(struct decoder *d, const struct frame *f,
		      const struct reading_handler *handler, struct decode_error *error);
};

/* The protocol that this characteristic belongs to, or NULL. */
const struct protocol *protocol_of(enum characteristic c);
/* 0 .. protocol_count() - 1, for whoever keeps a decoder for each. */
size_t protocol_index(const struct protocol *p);
size_t protocol_count(void);
/* For a source. */
struct profiles protocol_profiles(void);

/* Each in the file of its name, or of its service. */
extern const struct protocol protocol_heart_rate;
extern const struct protocol protocol_battery;
extern const struct protocol protocol_device_info;
extern const struct protocol protocol_polar_pmd;
extern const struct protocol protocol_pulse_oximeter;
extern const struct protocol protocol_thermometer;
extern const struct protocol protocol_blood_pressure;
extern const struct protocol protocol_movesense;
extern const struct protocol protocol_healthypi;
extern const struct protocol protocol_viatom;
extern const struct protocol protocol_polar_psftp;
