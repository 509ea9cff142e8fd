/* 0x2A37 Heart Rate Measurement (Heart Rate Service 1.0, 3.1) and 0x2A38 Body Sensor Location. */
#pragma once

#include "decode/decode.h"
#include "model/record.h"

int heart_rate_decode(const uint8_t *data, size_t size, struct heart_rate *ret,
		      struct decode_error *error);
/* 0 other, 1 chest, 2 wrist, 3 finger, 4 hand, 5 ear lobe, 6 foot. */
int body_location_decode(const uint8_t *data, size_t size, uint8_t *ret,
			 struct decode_error *error);
const char *body_location_name(uint8_t location);
