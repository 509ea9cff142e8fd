/*
 * The names of the characteristics that this program knows: Bluetooth Assigned Numbers, and what
 * makers of wearables gave to theirs.
 */
#include "model/frame.h"

#include <stdio.h>
#include <strings.h>

#define SIG_BASE "-0000-1000-8000-00805f9b34fb"

static const struct {
	const char *uuid;
	const char *name;
} characteristic_table[CHARACTERISTIC_MAX_] = {
	[CHARACTERISTIC_UNKNOWN] = {"?", "unknown characteristic"},
	[CHARACTERISTIC_HEART_RATE_MEASUREMENT] = {"2a37", "heart rate measurement"},
	[CHARACTERISTIC_BODY_SENSOR_LOCATION] = {"2a38", "body sensor location"},
	[CHARACTERISTIC_BATTERY_LEVEL] = {"2a19", "battery level"},
	[CHARACTERISTIC_MANUFACTURER_NAME] = {"2a29", "manufacturer name"},
	[CHARACTERISTIC_MODEL_NUMBER] = {"2a24", "model number"},
	[CHARACTERISTIC_SERIAL_NUMBER] = {"2a25", "serial number"},
	[CHARACTERISTIC_FIRMWARE_REVISION] = {"2a26", "firmware revision"},
	[CHARACTERISTIC_HARDWARE_REVISION] = {"2a27", "hardware revision"},
	[CHARACTERISTIC_SOFTWARE_REVISION] = {"2a28", "software revision"},
	[CHARACTERISTIC_PMD_CONTROL_POINT] = {"fb005c81-02e7-f387-1cad-8acd2d8df0c8",
					      "PMD control point"},
	[CHARACTERISTIC_PMD_DATA] = {"fb005c82-02e7-f387-1cad-8acd2d8df0c8", "PMD data"},
	[CHARACTERISTIC_PLX_SPOT_CHECK] = {"2a5e", "PLX spot-check measurement"},
	[CHARACTERISTIC_PLX_CONTINUOUS] = {"2a5f", "PLX continuous measurement"},
	[CHARACTERISTIC_TEMPERATURE] = {"2a1c", "temperature measurement"},
	[CHARACTERISTIC_TEMPERATURE_INTERMEDIATE] = {"2a1e", "intermediate temperature"},
	[CHARACTERISTIC_BLOOD_PRESSURE] = {"2a35", "blood pressure measurement"},
	[CHARACTERISTIC_CUFF_PRESSURE] = {"2a36", "intermediate cuff pressure"},
	[CHARACTERISTIC_MOVESENSE_COMMAND] = {"34800001-7185-4d5d-b431-630e7050e8f0",
					      "Movesense command"},
	[CHARACTERISTIC_MOVESENSE_DATA] = {"34800002-7185-4d5d-b431-630e7050e8f0",
					   "Movesense data"},
	[CHARACTERISTIC_HEALTHYPI_ECG] = {"1424", "HealthyPi ECG"},
	[CHARACTERISTIC_VIATOM_COMMAND] = {"8b00ace7-eb0b-49b0-bbe9-9aee0a26e1a3",
					   "Viatom command"},
	[CHARACTERISTIC_VIATOM_DATA] = {"0734594a-a8e7-4b1a-a6b1-cd5243059a57", "Viatom data"},
	[CHARACTERISTIC_PSFTP_MTU] = {"fb005c51-02e7-f387-1cad-8acd2d8df0c8",
				      "Polar file transfer"},
	[CHARACTERISTIC_PSFTP_D2H] = {"fb005c52-02e7-f387-1cad-8acd2d8df0c8",
				      "Polar file transfer notification"},
};

/* "0000xxxx" before the base and "0x" before the short form both mean xxxx. */
static const char *short_form(const char *uuid, char ret[static 5])
{
	if (strlen(uuid) == 36 && strncmp(uuid, "0000", 4) == 0 &&
	    strcasecmp(uuid + 8, SIG_BASE) == 0)
		uuid += 4;
	else if (strlen(uuid) == 6 && strncasecmp(uuid, "0x", 2) == 0)
		uuid += 2;
	else
		return uuid;
	memcpy(ret, uuid, 4);
	ret[4] = '\0';
	return ret;
}

enum characteristic characteristic_parse(const char *uuid)
{
	char space[5];
	const char *wanted = short_form(uuid, space);

	for (int c = CHARACTERISTIC_UNKNOWN + 1; c < CHARACTERISTIC_MAX_; c++)
		if (strcasecmp(characteristic_table[c].uuid, wanted) == 0)
			return (enum characteristic)c;
	return CHARACTERISTIC_UNKNOWN;
}

const char *characteristic_uuid(enum characteristic c)
{
	return characteristic_table[c].uuid;
}

const char *characteristic_name(enum characteristic c)
{
	return characteristic_table[c].name;
}

const char *device_field(const char *address, char ret[static DEVICE_FIELD_SIZE])
{
	(void)snprintf(ret, DEVICE_FIELD_SIZE, "DEVICE=%s", address); /* fits */
	return ret;
}
