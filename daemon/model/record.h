/*
 * A record: one notification, decoded, with its place in a stream and in time; or a gap, which is
 * the record of what was not heard. This is what the tail, the log and every sink speak of.
 *
 * Place: (stream, seq), for as long as the data lives. seq = run << 28 | n, n dense from 1 in each
 * run and stream. Time: boot_us on CLOCK_BOOTTIME of the boot its run belongs to; wall time is
 * boot_us + offset_us, frozen before the record is first encoded.
 */
#pragma once

#include "util/macro.h"
#include "util/uuid.h"

#define RR_MAX		     256 /* (514 - 2) / 2: the most one notification can carry */
#define ECG_SAMPLES_MAX	     1024 /* raw frames carry at most 168; what unpacks to more is malformed */
#define SAMPLES_CHANNELS_MAX 17 /* Polar PPG with all its diodes */
#define SAMPLES_VALUES_MAX \
	1536 /* n * n_channels: what a compressed frame of 512 triples unpacks to */
#define SAMPLES_NONE INT32_MIN

#define SEQ_N_BITS 28
#define SEQ_N_MAX  ((UINT64_C(1) << SEQ_N_BITS) - 1)

static inline uint64_t seq_make(uint64_t run, uint64_t n)
{
	return run << SEQ_N_BITS | n;
}

static inline uint64_t seq_run(uint64_t seq)
{
	return seq >> SEQ_N_BITS;
}

/* What a stream carries. The values are on disk and on the wire: append only. */
enum kind {
	KIND_HEART_RATE = 1,
	KIND_ECG = 2,
	KIND_OXIMETRY = 3,	 /* SpO2 %, pulse rate /min [, pulse amplitude index %] */
	KIND_TEMPERATURE = 4,	 /* of the body: one channel, degrees C or F */
	KIND_BLOOD_PRESSURE = 5, /* systolic, diastolic, mean, pulse rate /min */
	KIND_ACCELERATION = 6,	 /* x, y, z, milli-g */
	KIND_PPG = 7,		 /* counts of the converter, a channel a diode */
	KIND_PPI = 8,		 /* bpm, interval ms, its error ms, flags as sent */
	KIND_ECG_COUNTS = 9, /* ECG of whoever publishes no scale; [device] streams call it ecg */
};
#define KIND_MAX 10

/* A curve of many samples a second, where the others are values: most of a card, and first to go. */
static inline bool kind_is_wave(unsigned kind)
{
	return kind == KIND_ECG || kind == KIND_ECG_COUNTS || kind == KIND_ACCELERATION ||
	       kind == KIND_PPG;
}

enum record_type {
	RECORD_HEART_RATE = 1,
	RECORD_ECG = 2,
	RECORD_GAP = 3,
	RECORD_SAMPLES = 4, /* every kind but heart rate and ECG */
};

/* How far t_us can be believed. PENDING never leaves the hub. On disk and on the wire. */
enum clk {
	CLK_PENDING =
		0, /* the clock was not synchronised at admission: a clock segment will tell */
	CLK_UTC = 1,
	CLK_EST = 2, /* sent before the clock was synchronised; a correction may follow */
};

enum contact {
	CONTACT_UNSUPPORTED = 0,
	CONTACT_NONE = 1,
	CONTACT_YES = 2,
};

/* Why something was not heard. On disk and on the wire: append only. */
enum gap_reason {
	GAP_LINK_LOSS = 1,	/* the link broke */
	GAP_DISCONNECTED = 2,	/* the wearable ended the link */
	GAP_DAEMON_DOWN = 3,	/* nobody listened: the daemon was down, or has let it go */
	GAP_POWER_CUT = 4,	/* the machine lost power; what the tail held is gone */
	GAP_MISSING_FRAMES = 5, /* the sensor's timestamps jump */
	GAP_CLOCK_RESET = 6,	/* the sensor's clock jumped; n is unknown */
	GAP_STORE_FULL = 7,	/* shed under the size limit or on a full disk */
	GAP_ADAPTER = 8,	/* the hub's radio was unplugged, off or wedged */
	GAP_BLUETOOTHD = 9,	/* bluetoothd was restarted, crashed or hung */
	GAP_SILENT = 10,	/* the link was up and the wearable said nothing */
	/*
	 * No gap of its own: the wearable's memory had n records of an earlier one, of this extent.
	 * They come next, with their times, which are in the past.
	 */
	GAP_BACKFILLED = 11,
	GAP_SALVAGE = 12, /* n records were in a store that was damaged, and could not be read */
};
#define GAP_REASON_MAX 13

struct heart_rate {
	uint16_t bpm;
	uint8_t contact;   /* enum contact */
	int32_t energy_kj; /* -1: absent */
	uint16_t n_rr;
	uint16_t rr_1024[RR_MAX]; /* 1/1024 s, oldest first */
};

struct ecg {
	uint64_t sensor_ns; /* the sensor's time of the last sample, ns since 2000-01-01 */
	uint32_t dt_ns;	    /* between samples */
	uint32_t n;
	int32_t uv[ECG_SAMPLES_MAX]; /* microvolts */
};

/* The unit of the first channel; the others' follow from the kind. On disk: append only. */
enum unit {
	UNIT_PERCENT = 1,
	UNIT_CELSIUS = 2,
	UNIT_FAHRENHEIT = 3,
	UNIT_MMHG = 4,
	UNIT_KPA = 5,
	UNIT_MILLI_G = 6,
	UNIT_COUNT = 7,
	UNIT_PER_MINUTE = 8,
};
#define UNIT_MAX 9

/* Integers as the wearable sent them: value * 10^exponent of its channel, no rounding on the way. */
struct samples {
	uint64_t sensor_ns; /* the sensor's time of the last row, ns since 2000-01-01; 0: none */
	uint32_t dt_ns;	    /* between rows; 0: n is 1 */
	/*
	 * Status bits as the service defines them; 0: nothing to remark. Oximetry: measurement status
	 * in b16-31, device and sensor status in b0-15. Temperature: b0 is set while it still rises.
	 */
	uint32_t status;
	uint8_t unit; /* enum unit */
	uint8_t n_channels;
	int8_t exponent[SAMPLES_CHANNELS_MAX];
	uint32_t n; /* rows */
	int32_t value
		[SAMPLES_VALUES_MAX]; /* row after row; SAMPLES_NONE where the sensor says it has none */
};

struct gap {
	uint8_t reason;	     /* enum gap_reason */
	uint32_t n;	     /* notifications missed; 0: unknown */
	int64_t duration_us; /* the gap is [boot_us, boot_us + duration_us] */
};

struct record {
	uint32_t stream; /* number in this store, see store.h */
	uint8_t type;	 /* enum record_type */
	uint8_t clk;	 /* enum clk */
	uint64_t id;	 /* position in this store's log, over all streams */
	uint64_t seq;
	int64_t boot_us;   /* of the first sample; < 0 is before this boot */
	int64_t offset_us; /* wall = boot_us + offset_us; only when clk is not PENDING */
	union {
		struct heart_rate heart_rate;
		struct ecg ecg;
		struct samples samples;
		struct gap gap;
	};
};

static inline int64_t record_wall_us(const struct record *r)
{
	return r->boot_us + r->offset_us;
}

/* What a sink must know of the stream that a record belongs to. Strings are borrowed. */
struct stream_info {
	uint32_t number; /* in this store */
	uint8_t kind;	 /* enum kind */
	struct uuid id;
	const char *device;  /* address */
	const char *subject; /* whose heart it is; "" where the owner named nobody */
};

/* One start of the owner: what gives seq its upper half. */
struct run_info {
	uint64_t number;
	struct uuid nonce;
	char boot_id[37];
};

const char *kind_name(unsigned kind); /* "heart_rate", "ecg", ... */
/* "spo2", "systolic", "x", ...; "channel_3" where a kind has no name for its third. */
const char *channel_name(unsigned kind, unsigned channel);
const char *unit_name(unsigned unit);	      /* UCUM: "%", "Cel", "mm[Hg]", ... */
const char *clk_name(unsigned clk);	      /* "utc", "est", "pending" */
const char *contact_name(unsigned contact);   /* "contact", "no contact", "unsupported" */
const char *gap_reason_name(unsigned reason); /* "link_loss", ... */
