/* Polar Measurement Data: frames of characteristic fb005c82, answers of control point fb005c81. */
#pragma once

#include "decode/decode.h"
#include "model/record.h"

enum pmd_type { PMD_ECG = 0, PMD_PPG = 1, PMD_ACC = 2, PMD_PPI = 3 };

#define PMD_PPI_MAX 84 /* (514 - 10) / 6: the most one notification can carry */

struct pmd_header {
	uint8_t type;	    /* enum pmd_type and others, 6 bits */
	uint8_t frame_type; /* 7 bits */
	bool compressed;
	uint64_t ts_ns; /* of the last sample, since 2000-01-01 on the sensor's clock */
};

struct pmd_ppi {
	uint64_t ts_ns; /* of the last beat; some wearables leave it 0 */
	uint32_t n;
	struct {
		uint8_t bpm;
		uint16_t interval_ms;
		uint16_t error_ms;
		uint8_t flags; /* b0 artefact, b1 contact, b2 contact is supported */
	} beat[PMD_PPI_MAX];
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
 * Frame types 0 to 2, raw, and 0 and 1 compressed; `factor` as the start answer gave it, else 1.
 * More than SAMPLES_VALUES_MAX values are malformed. All of `ret` is set, dt_ns to 0.
 */
int pmd_acc_decode(const uint8_t *data, size_t size, double factor, struct samples *ret,
		   struct decode_error *error);
/* Frame type 0, raw and compressed (four channels), and 7, compressed (seventeen). */
int pmd_ppg_decode(const uint8_t *data, size_t size, double factor, struct samples *ret,
		   struct decode_error *error);
int pmd_ppi_decode(const uint8_t *data, size_t size, struct pmd_ppi *ret,
		   struct decode_error *error);
/* An indication that starts with F0. A 4-byte one (no `more`) is accepted: H10 with a small MTU. */
int pmd_answer_decode(const uint8_t *data, size_t size, struct pmd_answer *ret,
		      struct decode_error *error);
const char *pmd_error_name(uint8_t error);
/* "ecg", "acc", ...: also bit `type` of the features that the control point shows when read. */
const char *pmd_type_name(uint8_t type);
