/* Polar Measurement Data: frames of characteristic fb005c82, answers of control point fb005c81. */
#pragma once

#include "decode/decode.h"
#include "model/record.h"

enum pmd_type { PMD_ECG = 0, PMD_PPG = 1, PMD_ACC = 2, PMD_PPI = 3 };

#define PMD_ACC_MAX 512 /* triples in one frame; what unpacks to more is malformed */

struct pmd_header {
	uint8_t type;	    /* enum pmd_type and others, 6 bits */
	uint8_t frame_type; /* 7 bits */
	bool compressed;
	uint64_t ts_ns; /* of the last sample, since 2000-01-01 on the sensor's clock */
};

struct pmd_acc {
	uint64_t ts_ns;
	uint32_t n;
	int32_t mg[PMD_ACC_MAX][3]; /* milli-g */
};

struct pmd_answer {
	uint8_t op;
	uint8_t type;
	uint8_t error;	       /* 0: success */
	bool more;	       /* further indications continue the parameters */
	const uint8_t *params; /* borrowed from the input */
	size_t n_params;
};

int pmd_header_decode(const uint8_t *data, size_t size, struct pmd_header *ret,
		      struct decode_error *error);
/*
 * Frame types 0 to 3, raw, and type 0 delta-compressed. sensor_ns and n and uv are set; dt_ns is 0.
 */
int pmd_ecg_decode(const uint8_t *data, size_t size, struct ecg *ret, struct decode_error *error);
/*
 * Frame types 0 to 2, raw, and delta-compressed ones; `factor` as the start answer gave it, else 1.
 */
int pmd_acc_decode(const uint8_t *data, size_t size, double factor, struct pmd_acc *ret,
		   struct decode_error *error);
/* An indication that starts with F0. A 4-byte one (no `more`) is accepted: H10 with a small MTU. */
int pmd_answer_decode(const uint8_t *data, size_t size, struct pmd_answer *ret,
		      struct decode_error *error);
const char *pmd_error_name(uint8_t error);
/* "ecg", "acc", ...: also bit `type` of the features that the control point shows when read. */
const char *pmd_type_name(uint8_t type);
