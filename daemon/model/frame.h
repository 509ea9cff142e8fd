/*
 * What a source hands on: the bytes of one notification (or of one value read), as the radio
 * brought them, with where they came from and when. Borrowed for the call.
 */
#pragma once

#include "util/macro.h"

#define DEVICE_ADDRESS_SIZE 18 /* "a0:b1:c2:d3:e4:f5" and NUL, lower case */
#define DEVICE_FIELD_SIZE   (sizeof("DEVICE=") - 1 + DEVICE_ADDRESS_SIZE)
#define FRAME_MAX	    514 /* MTU 517 less opcode and handle: nothing longer is a notification */

/* The characteristics that this program knows; the number is the index of characteristic_table. */
enum characteristic {
	CHARACTERISTIC_UNKNOWN,
	CHARACTERISTIC_HEART_RATE_MEASUREMENT,	 /* 2a37 */
	CHARACTERISTIC_BODY_SENSOR_LOCATION,	 /* 2a38 */
	CHARACTERISTIC_BATTERY_LEVEL,		 /* 2a19 */
	CHARACTERISTIC_MANUFACTURER_NAME,	 /* 2a29 */
	CHARACTERISTIC_MODEL_NUMBER,		 /* 2a24 */
	CHARACTERISTIC_SERIAL_NUMBER,		 /* 2a25 */
	CHARACTERISTIC_FIRMWARE_REVISION,	 /* 2a26 */
	CHARACTERISTIC_HARDWARE_REVISION,	 /* 2a27 */
	CHARACTERISTIC_SOFTWARE_REVISION,	 /* 2a28 */
	CHARACTERISTIC_PMD_CONTROL_POINT,	 /* fb005c81-02e7-f387-1cad-8acd2d8df0c8 */
	CHARACTERISTIC_PMD_DATA,		 /* fb005c82-02e7-f387-1cad-8acd2d8df0c8 */
	CHARACTERISTIC_PLX_SPOT_CHECK,		 /* 2a5e */
	CHARACTERISTIC_PLX_CONTINUOUS,		 /* 2a5f */
	CHARACTERISTIC_TEMPERATURE,		 /* 2a1c */
	CHARACTERISTIC_TEMPERATURE_INTERMEDIATE, /* 2a1e */
	CHARACTERISTIC_BLOOD_PRESSURE,		 /* 2a35 */
	CHARACTERISTIC_CUFF_PRESSURE,		 /* 2a36 */
	CHARACTERISTIC_MOVESENSE_COMMAND,	 /* 34800001-7185-4d5d-b431-630e7050e8f0 */
	CHARACTERISTIC_MOVESENSE_DATA,		 /* 34800002-7185-4d5d-b431-630e7050e8f0 */
	CHARACTERISTIC_HEALTHYPI_ECG,		 /* 1424: not of the SIG, but on its base */
	CHARACTERISTIC_VIATOM_COMMAND,		 /* 8b00ace7-eb0b-49b0-bbe9-9aee0a26e1a3 */
	CHARACTERISTIC_VIATOM_DATA,		 /* 0734594a-a8e7-4b1a-a6b1-cd5243059a57 */
	CHARACTERISTIC_PSFTP_MTU,		 /* fb005c51-02e7-f387-1cad-8acd2d8df0c8 */
	CHARACTERISTIC_PSFTP_D2H,		 /* fb005c52-02e7-f387-1cad-8acd2d8df0c8 */
	CHARACTERISTIC_MAX_,
};

struct frame {
	const char *device; /* address, DEVICE_ADDRESS_SIZE */
	enum characteristic characteristic;
	usec_t boot_us; /* CLOCK_BOOTTIME when it came: by the kernel's stamp, if there is one */
	usec_t read_us; /*   ... and when it was read: the same, unless we were late */
	const uint8_t *data;
	size_t size;
};

/* Of a line in the journal, whose it is: "DEVICE=a0:b1:c2:d3:e4:f5"; into `ret`, which it returns. */
const char *device_field(const char *address, char ret[static DEVICE_FIELD_SIZE]);

/* "2a37", "0x2A37" or the 128-bit form, in any case. CHARACTERISTIC_UNKNOWN if none of ours. */
enum characteristic characteristic_parse(const char *uuid);
/* The short form where the Bluetooth SIG gave one, else the 128-bit form; "?" for UNKNOWN. */
const char *characteristic_uuid(enum characteristic c);
/* "heart rate measurement" and so on, for people. */
const char *characteristic_name(enum characteristic c);
